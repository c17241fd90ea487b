//! `muster audit`: who did what, to what, why, from where.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::{Client, collect};
use muster_wire::Page;
use muster_wire::audit::{AuditContext, AuditEntry, AuditQuery};

use super::ending::moment;
use super::lists::{Listed, Part, or_dash};
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, Output, details, escape, pairs, table};

const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Entries of an export that are asked for at once.
const PAGE: u32 = 1000;

/// The audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List entries, the newest first.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Print the newest entries, the newest last.
    Tail(Tail),
    /// Show one entry with all it says, and what happened about it.
    Show(Show),
    /// Print everything that fits, oldest first: an entry a line, as JSON.
    Export(Export),
}

/// Which entries.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// Only acts on this object.
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// Only acts of this actor.
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only acts of this sort: machine.revoke.
    #[arg(long, value_name = "NOUN.VERB")]
    action: Option<String>,
}

/// When it happened.
#[derive(Debug, Clone, Args)]
pub(crate) struct When {
    /// At this time or later: 2026-11-22T09:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time, written alike.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
}

/// Which entries to list.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Which ones.
    #[command(flatten)]
    which: Which,
    /// When.
    #[command(flatten)]
    when: When,
    /// Which part of the list.
    #[command(flatten)]
    part: Part,
}

/// Which entries to print, and whether to wait for more.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Go on printing what happens.
    #[arg(long, short)]
    follow: bool,
    /// Start with this many.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    lines: u32,
    /// Which ones.
    #[command(flatten)]
    which: Which,
}

/// Which entry.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its place in the log (SEQ in lists).
    #[arg(value_name = "SEQ")]
    seq: u64,
}

/// Which entries to export.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Go on after this place in the log: the seq of the last line of an export that was cut off.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// Which ones.
    #[command(flatten)]
    which: Which,
    /// When.
    #[command(flatten)]
    when: When,
}

/// Runs `muster audit`.
pub(crate) async fn run(context: &Context, verb: Audit) -> Result {
    let client = context.client().await?;
    match verb {
        Audit::Ls(args) => context.out.show(&ls(&client, &args).await?),
        Audit::Tail(args) => tail(&client, context.out, &args).await,
        Audit::Show(args) => context.out.show(&client.audit_entry(args.seq).await?),
        Audit::Export(args) => export(&client, context.out, args).await,
    }
}

async fn ls(client: &Client, args: &Ls) -> Result<Page<AuditEntry>> {
    let page = collect(args.part.most(), args.part.cursor.clone(), |cursor, limit| async move {
        client.audit(&AuditQuery { cursor, ..within(args.which.query(limit), &args.when) }).await
    });
    Ok(page.await?)
}

/// A page at a time, however long the log is. What was printed stands: a later one goes on after it.
async fn export(client: &Client, out: Output, args: Export) -> Result {
    let mut query = within(args.which.query(PAGE), &args.when);
    query.after = Some(args.after);
    loop {
        let entries = client.audit(&query).await?.items;
        entries.iter().try_for_each(|entry| out.line(entry))?;
        match entries.last() {
            Some(last) if entries.len() == PAGE as usize => query.after = Some(last.seq),
            _ => return Ok(()),
        }
    }
}

fn within(query: AuditQuery, when: &When) -> AuditQuery {
    AuditQuery { since: when.since, until: when.until, ..query }
}

async fn tail(client: &Client, out: Output, args: &Tail) -> Result {
    let mut page = client.audit(&args.which.query(args.lines)).await?;
    page.items.sort_by_key(|entry| entry.seq);
    if !args.follow {
        return out.show(&Page { items: page.items, next: None });
    }
    page.items.iter().try_for_each(|entry| out.stream(entry))?;
    let after = page.items.last().map_or(0, |entry| entry.seq);
    follow(client, out, &args.which, after).await
}

/// Prints what happens until interrupted. An outage is waited out and told once.
async fn follow(client: &Client, out: Output, which: &Which, mut after: u64) -> Result {
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        match client.audit(&AuditQuery { after: Some(after), ..which.query(1000) }).await {
            Ok(page) => {
                pause = PAUSE;
                for entry in page.items.iter().filter(|entry| entry.seq > after) {
                    out.stream(entry)?;
                }
                after = page.items.iter().map(|entry| entry.seq).fold(after, u64::max);
            }
            Err(error) => {
                let failure = Failure::from(error);
                if !matches!(failure.exit(), Exit::Unreachable | Exit::TryAgain | Exit::Limited) {
                    return Err(failure);
                }
                if pause == PAUSE {
                    out.note(&format!("waiting: {}", escape(failure.message())));
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

impl Which {
    fn query(&self, limit: u32) -> AuditQuery {
        AuditQuery {
            limit: Some(limit),
            object: self.object.clone(),
            actor: self.actor.clone(),
            action: self.action.clone(),
            ..AuditQuery::default()
        }
    }
}

impl Listed for AuditEntry {
    const EMPTY: &'static str = "No such entries. `muster audit tail -f` waits for new ones.";

    fn table(items: &[Self], _: Timestamp) -> String {
        let header = ["SEQ", "TIME", "ACTOR", "ACTION", "OBJECT", "REASON", "SOURCE", "DETAIL"];
        table(
            header,
            items.iter().map(|entry| {
                [
                    entry.seq.to_string(),
                    entry.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                    entry.actor.clone(),
                    entry.action.clone(),
                    entry.object.clone(),
                    entry.reason.clone(),
                    or_dash(entry.source.as_deref()),
                    pairs(&entry.detail),
                ]
            }),
        )
    }
}

impl Human for AuditContext {
    fn human(&self, now: Timestamp) -> String {
        let entry = &self.entry;
        let mut told = vec![
            ("seq", entry.seq.to_string()),
            ("id", entry.id.clone()),
            ("time", entry.at.to_string()),
            ("action", entry.action.clone()),
            ("object", entry.object.clone()),
            ("actor", entry.actor.clone()),
            ("reason", entry.reason.clone()),
            ("source", or_dash(entry.source.as_deref())),
        ];
        told.extend(entry.detail.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let near = [
            ("to the same object", &self.object),
            ("by the same actor", &self.actor),
            ("about that time", &self.around),
        ];
        let near = near.map(|(name, entries)| {
            let mark = |one: &AuditEntry| if one.seq == entry.seq { "> " } else { "  " };
            let lines: String =
                entries.iter().map(|one| format!("\n{}{}", mark(one), one.human(now))).collect();
            format!("\n\n{name}{lines}")
        });
        details(told) + &near.concat()
    }
}

impl Human for AuditEntry {
    fn human(&self, _: Timestamp) -> String {
        let source = self.source.as_deref().map(|source| format!(" from {source}")).unwrap_or_default();
        let detail = pairs(&self.detail);
        let text = format!(
            "{} {} {} {} ({}){source} {detail}",
            self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            self.actor,
            self.action,
            self.object,
            self.reason
        );
        escape(text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_26_a_hostile_value_in_an_entry_stays_inside_its_line() {
        let entry: AuditEntry = serde_json::from_value(serde_json::json!({
            "id": "aud_1", "seq": 7, "at": "2026-11-01T12:00:00.123Z", "actor": "anonymous", "action": "enroll.refuse",
            "object": "deployment", "reason": "not_entitled", "source": "192.0.2.1",
            "detail": {"hostname": "x\n2026-11-01T12:00:01Z usr_1 machine.retire\u{1b}[A"},
        }))
        .expect("the wire's shape");
        let line = entry.human(Timestamp::UNIX_EPOCH);
        assert!(line.starts_with(
            "2026-11-01T12:00:00Z anonymous enroll.refuse deployment (not_entitled) from 192.0.2.1"
        ));
        assert!(line.lines().count() == 1 && !line.contains('\u{1b}'), "{line}");
        let page = Page { items: vec![entry], next: None };
        assert_eq!(page.human(Timestamp::UNIX_EPOCH).lines().count(), 2);
    }
}
