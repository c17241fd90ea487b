//! `muster machine rotate`: have machines make their next keys, one after the other.
//!
//! The order is kept with each key, so a machine that is away is told when it comes back, and repeating the command tells
//! nobody anything new. Machines of a selection are told at an even pace: a fleet does not come for certificates at once.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use muster_client::{Client, collect};
use muster_wire::machine::{Machine, MachineKey, Rotation};
use muster_wire::{ListQuery, Page};

use super::machine::resolve;
use super::progress::Bar;
use crate::cli::parse_pair;
use crate::context::Context;
use crate::durations::{parse_seconds, show};
use crate::failure::{Exit, Failure, Result};
use crate::output::{details, escape, opt_relative, relative};

/// Orders in a second where no time was named.
const PACE: u32 = 20;

/// Which machines are to make their next key.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["machines", "site", "labels", "all"])]
pub(crate) struct Rotate {
    /// Their identifiers (mch_…) or names.
    #[arg(value_name = "MACHINE", conflicts_with_all = ["site", "labels", "all"])]
    machines: Vec<String>,
    /// Every machine of this site.
    #[arg(long, value_name = "CODE")]
    site: Option<String>,
    /// Every machine with this label; with several, those that have all of them.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// Every machine.
    #[arg(long, conflicts_with_all = ["site", "labels"])]
    all: bool,
    /// Spread the orders over this long (15m, 4h); twenty in a second where nothing is said.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    over: Option<u32>,
    /// Only list whom it would be.
    #[arg(long)]
    dry_run: bool,
}

/// Runs `muster machine rotate`.
pub(crate) async fn run(context: &Context, client: &Client, args: Rotate) -> Result {
    let items = match args.machines.is_empty() {
        true => chosen(client, &args).await?,
        false => named(client, &args.machines).await?,
    };
    if items.is_empty() {
        return Err(Failure::new(Exit::NotFound, "no machine with a key fits").hint(
            "`muster machine ls` lists all of them; clients without a key of their own have none to replace",
        ));
    }
    if args.dry_run {
        return context.out.show(&Page { items, next: None });
    }
    let all = items.len();
    let told = order(context, client, items, args.over).await?;
    let missed = all - told.len();
    context.out.show(&Page { items: told, next: None })?;
    match missed {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Failed, format!("{missed} of {all} machines were not told"))
            .hint("run it again: an order that was given stands, and is not given anew")),
    }
}

async fn named(client: &Client, machines: &[String]) -> Result<Vec<Machine>> {
    let mut items = Vec::with_capacity(machines.len());
    // Each name is found before the first order goes out.
    for machine in machines {
        let id = resolve(client, machine.clone()).await?;
        items.push(client.machine(&id).await?.machine);
    }
    Ok(items)
}

async fn chosen(client: &Client, args: &Rotate) -> Result<Vec<Machine>> {
    let query = ListQuery { site: args.site.clone(), ..ListQuery::default() };
    let query = &query;
    let page = collect(usize::MAX, None, |cursor, limit| async move {
        client.machines(&ListQuery { cursor, limit: Some(limit), ..query.clone() }).await
    });
    let mut items = page.await?.items;
    items.retain(|machine| has_a_key_that_works(machine) && fits(machine, &args.labels));
    Ok(items)
}

fn has_a_key_that_works(machine: &Machine) -> bool {
    let is_revoked = machine.state_reason.as_deref().is_some_and(|why| why.starts_with("revoked"));
    machine.key.is_some() && (machine.state == "active" || machine.state == "suspended" && !is_revoked)
}

fn fits(machine: &Machine, labels: &[(String, String)]) -> bool {
    labels.iter().all(|(key, value)| machine.labels.get(key) == Some(value))
}

/// Tells one after the other, and goes on where one cannot be told; returns those that were told.
async fn order(
    context: &Context,
    client: &Client,
    machines: Vec<Machine>,
    over: Option<u32>,
) -> Result<Vec<Machine>> {
    let count = u32::try_from(machines.len()).unwrap_or(u32::MAX);
    let between = over.map_or(Duration::from_secs(1) / PACE, |over| Duration::from_secs(over.into()) / count);
    if count > PACE {
        context.out.note(&format!("{count} machines are told within {}", show(between * count)));
    }
    let mut at = Bar::counting(context.out, "machines");
    let mut beat = tokio::time::interval(between.max(Duration::from_millis(1)));
    let mut told = Vec::with_capacity(machines.len());
    for (done, machine) in (1..).zip(&machines) {
        beat.tick().await;
        match client.rotate_machine(&machine.id).await {
            Ok(machine) => told.push(machine),
            Err(error) if count == 1 => return Err(error.into()),
            Err(error) => context.out.note(&format!("{} was not told: {error}", escape(&machine.name))),
        }
        at(done, u64::from(count));
    }
    Ok(told)
}

/// How a machine stands with its keys, as one list.
pub(super) fn facts(rotation: &Rotation, keys: &[MachineKey], now: Timestamp) -> String {
    let due = rotation.next.map(|next| relative(now, next)).unwrap_or_default();
    let waiting = keys.iter().find(|key| key.standing == "proposed");
    let before = keys.iter().find(|key| key.standing == "previous");
    details([
        ("key in use", opt_relative(now, rotation.last)),
        ("next rotation", if rotation.overdue { format!("overdue, {due}") } else { due }),
        (
            "copied",
            rotation
                .forked_at
                .map(|at| format!("{}, {}", shown_by(rotation.forked_by.as_deref()), relative(now, at)))
                .unwrap_or_default(),
        ),
        ("ordered", rotation.ordered_at.map(|at| relative(now, at)).unwrap_or_default()),
        ("next key", waiting.map(|key| format!("{} (not used yet)", key.key)).unwrap_or_default()),
        ("key before", before.map(|key| format!("{} (may ask for a rotation)", key.key)).unwrap_or_default()),
    ])
}

/// What showed that a machine may have been copied, in words.
fn shown_by(cause: Option<&str>) -> &'static str {
    match cause {
        Some("conflict") => "two next keys were asked for at once",
        Some("base_skipped") => "a next key was used by somebody without the key before",
        Some("recovery") => "the key before was used though the present one was at work",
        Some("superseded_key") => "a key was shown whose place a newer one took",
        Some("forgotten_key") => "a key was shown that an older database forgot, after a newer one",
        Some("many_boots") => "more agents were started than one machine starts",
        Some("boot_missing") => "its key was shown by something that is not its agent",
        _ => "two hold its key",
    }
}
