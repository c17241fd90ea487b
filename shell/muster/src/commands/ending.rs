//! `muster machine suspend | revoke | retire` of many: by names or by what they have in common.
//!
//! It looks first, and asks for the number that it found; what is done then is stopped by the server where another number is
//! meant by now. A run that was broken off is gone on with by the same command: what ended is not meant any more.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use muster_client::{Client, collect};
use muster_model::GrantId;
use muster_wire::ListQuery;
use muster_wire::ending::{EndMachines, EndedMachines};

use super::machine::resolve;
use super::progress::Bar;
use crate::cli::parse_pair;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, escape};
use crate::{clock, durations};

/// Machines that people are shown one by one.
const SHOWN: usize = 20;

/// Which machines, and how sure.
#[derive(Debug, Default, Args)]
pub(crate) struct Many {
    /// Their identifiers (mch_…) or names.
    #[arg(value_name = "MACHINE")]
    pub(crate) machines: Vec<String>,
    /// Who came in by this grant (grt_…, or how it begins); revoked or retired, the grant ends with them.
    #[arg(long, value_name = "GRANT", help_heading = "By what they have in common")]
    grant: Option<String>,
    /// Whom this operator let in (usr_… or name).
    #[arg(long, value_name = "OPERATOR", help_heading = "By what they have in common")]
    approved_by: Option<String>,
    /// Let in at this time or later: 2026-11-22T09:00:00Z, or 2h for two hours ago.
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "By what they have in common")]
    since: Option<Timestamp>,
    /// Let in before this time, written alike.
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "By what they have in common")]
    until: Option<Timestamp>,
    /// Who asked to be let in from this network: 10.0.0.0/8.
    #[arg(long, value_name = "CIDR", help_heading = "By what they have in common")]
    network: Option<String>,
    /// Of this site.
    #[arg(long, value_name = "CODE", help_heading = "By what they have in common")]
    site: Option<String>,
    /// With this label; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair, help_heading = "By what they have in common")]
    labels: Vec<(String, String)>,
    /// Why, for the audit log and for the machines.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only tell what would end.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Go on only if so many machines are meant.
    #[arg(long, value_name = "N")]
    expect: Option<u64>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Many {
    /// The one machine that is meant, where it is named and nothing else is said.
    pub(crate) fn one(&self) -> Option<&str> {
        let is_lone = self.grant.is_none()
            && self.approved_by.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.network.is_none()
            && self.site.is_none()
            && self.labels.is_empty()
            && self.expect.is_none();
        match self.machines.as_slice() {
            [one] if is_lone => Some(one),
            _ => None,
        }
    }

    async fn request(&self, client: &Client, verb: &str) -> Result<EndMachines> {
        let mut machines = Vec::with_capacity(self.machines.len());
        for machine in &self.machines {
            machines.push(resolve(client, machine.clone()).await?);
        }
        let grant = match &self.grant {
            Some(text) => Some(grant_named(client, text).await?),
            None => None,
        };
        Ok(EndMachines {
            verb: verb.to_owned(),
            machines,
            site: self.site.clone(),
            grant,
            approved_by: self.approved_by.clone(),
            since: self.since,
            until: self.until,
            network: self.network.clone(),
            labels: BTreeMap::from_iter(self.labels.clone()),
            reason: self.reason.clone(),
            ..EndMachines::default()
        })
    }
}

/// Ends many machines, or tells what would end.
pub(crate) async fn run(context: &Context, client: &Client, verb: &str, many: &Many) -> Result {
    let request = many.request(client, verb).await?;
    let dry = EndMachines { dry_run: true, ..request.clone() };
    let looked = all(client, dry, |_| {}).await?;
    let found = looked.counts.machines;
    if let Some(expected) = many.expect.filter(|expected| *expected != found) {
        return Err(Failure::new(Exit::Conflict, format!("{found} machines are meant, not {expected}"))
            .cause("nothing was done")
            .hint("look again with --dry-run"));
    }
    if many.dry_run || found + looked.counts.grants + looked.counts.holds == 0 {
        return context.out.show(&looked);
    }
    if !many.yes {
        sure(&looked)?;
    }
    let mut bar = Bar::counting(context.out, "machines");
    let real = EndMachines { expect: Some(found), ..request };
    let done = all(client, real, |done| bar(done.counts.machines, found)).await;
    context.out.show(&done?)
}

/// Part after part, added up.
async fn all(
    client: &Client,
    mut request: EndMachines,
    mut told: impl FnMut(&EndedMachines),
) -> Result<EndedMachines> {
    let mut whole: Option<EndedMachines> = None;
    loop {
        let part = match client.end_machines(&request).await {
            Ok(part) => part,
            Err(error) => return Err(broken_off(error.into(), whole.as_ref())),
        };
        request.after = part.next.clone();
        let whole = match &mut whole {
            Some(whole) => {
                whole.counts.add(&part.counts);
                whole.machines.extend(part.machines);
                whole.unknown_network += part.unknown_network;
                whole.next = part.next;
                whole
            }
            None => whole.insert(part),
        };
        told(whole);
        if request.after.is_none() {
            return Ok(whole.clone());
        }
    }
}

fn broken_off(failure: Failure, done: Option<&EndedMachines>) -> Failure {
    match done.filter(|done| !done.dry_run) {
        Some(done) => failure
            .cause(format!("{} machines were done before", done.counts.machines))
            .hint("the same command goes on with those that are left"),
        None => failure,
    }
}

/// Shows what would end, and asks for the number.
fn sure(looked: &EndedMachines) -> Result {
    let mut err = std::io::stderr().lock();
    let failed = |error: &std::io::Error| Failure::new(Exit::Failed, "nobody can be asked").because(error);
    let found = looked.counts.machines;
    let text = looked.human(clock::now());
    writeln!(err, "{text}").map_err(|error| failed(&error))?;
    if !std::io::stdin().is_terminal() {
        let hint = format!("add --yes, or --yes --expect {found}");
        return Err(Failure::new(Exit::Usage, "nobody is here to be asked").hint(hint));
    }
    write!(err, "{} {found} machines: type the number to go on: ", looked.verb)
        .and_then(|()| err.flush())
        .map_err(|error| failed(&error))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| failed(&error))?;
    match answer.trim().parse() == Ok(found) {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "nothing was done").cause(format!("that is not {found}"))),
    }
}

/// The identifier of the grant that is meant: itself, or the one that begins so.
async fn grant_named(client: &Client, text: &str) -> Result<String> {
    if text.parse::<GrantId>().is_ok() {
        return Ok(text.to_owned());
    }
    let grants = collect(usize::MAX, None, |cursor, limit| async move {
        client.grants(&ListQuery { cursor, limit: Some(limit), ..ListQuery::default() }).await
    });
    let fitting: Vec<String> =
        grants.await?.items.into_iter().map(|grant| grant.id).filter(|id| id.starts_with(text)).collect();
    match fitting.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::new(Exit::NotFound, format!("there is no grant {text}"))
            .hint("`muster grant ls` lists all of them")),
        several => Err(Failure::new(Exit::Conflict, format!("{} grants begin with {text}", several.len()))
            .hint("write more of it")),
    }
}

/// A time as people write it: an instant, or how long ago.
pub(crate) fn moment(text: &str) -> std::result::Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let wrong =
        || format!("{text:?} is not a time: write it like 2026-11-22T09:00:00Z, or 2h for two hours ago");
    let ago =
        durations::parse(text).ok().and_then(|ago| SignedDuration::try_from(ago).ok()).ok_or_else(wrong)?;
    clock::now().checked_sub(ago).or(Err(wrong()))
}

impl Human for EndedMachines {
    fn human(&self, _: Timestamp) -> String {
        let counts = &self.counts;
        let title = match (self.dry_run, self.verb.as_str()) {
            (true, "suspend") => "would be suspended",
            (true, _) => "would end",
            (false, "suspend") => "suspended",
            (false, _) => "ended",
        };
        let number = |count: u64| if count == 0 { String::new() } else { count.to_string() };
        let told = details([
            ("machines", counts.machines.to_string()),
            ("certificates", number(counts.certificates)),
            ("bearer keys", number(counts.bearer_keys)),
            ("sessions", number(counts.sessions)),
            ("channels", number(counts.channels)),
            ("accounts", number(counts.accounts)),
            ("grants", number(counts.grants)),
            ("holds", number(counts.holds)),
        ]);
        let mut lines = vec![format!("{}: {title}", self.verb), told];
        let named = self.machines.iter().take(SHOWN);
        lines.extend(named.map(|machine| format!("  {}  {}", machine.id, escape(&machine.name))));
        let more = self.machines.len().saturating_sub(SHOWN);
        lines.extend((more > 0).then(|| format!("  and {more} more")));
        lines.extend((self.unknown_network > 0).then(|| {
            format!(
                "{} machines fit but for their network, which nobody noted: they were left alone",
                self.unknown_network
            )
        }));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_instant_or_how_long_ago() {
        assert_eq!(moment("2026-11-22T09:00:00Z").expect("a time").to_string(), "2026-11-22T09:00:00Z");
        let ago = clock::now().duration_since(moment("2h").expect("a time"));
        assert!((7_199..=7_260).contains(&ago.as_secs()), "{ago:?}");
        for bad in ["", "yesterday", "2", "-2h"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_machine_alone_is_no_matter_of_many() {
        let named = |names: &[&str]| Many {
            machines: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Many::default()
        };
        assert_eq!(named(&["web-1"]).one(), Some("web-1"));
        assert_eq!(named(&["web-1", "web-2"]).one(), None);
        assert_eq!(Many { site: Some("lab".into()), ..named(&["web-1"]) }.one(), None);
        assert_eq!(Many { grant: Some("grt_1".into()), ..named(&[]) }.one(), None);
    }
}
