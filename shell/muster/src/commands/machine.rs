//! `muster machine`: look at machines, make them ahead, pause and end them.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::{Client, collect};
use muster_model::{MachineId, MachineKind, Search};
use muster_wire::ListQuery;
use muster_wire::ending::Readmit;
use muster_wire::machine::{CreateMachine, CreatedMachine, Machine as Shape, MachineDetail, Revoke, Revoked};

use super::ending::{self, Many};
use super::lists::{Filter, Listed, Sought, or_dash};
use super::{reaper, rotate};
use crate::cli::parse_pair;
use crate::context::Context;
use crate::durations::parse_seconds;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, opt_relative, pairs, relative, table};

/// What a search of machines may say.
const SEARCH: &str = "Only those that fit all of these words and fields";

/// What a search of machines looks like.
const EXAMPLES: &str = "\
Searches:
  A word begins any word of a name, host, identifier, label, role, address, version or system.
  A field says all that is asked of it, or with * how that begins. Fields are state, site, online,
  label, grant, version, os, kind, role and address. What stands in double quotes is words alone.
  All must fit. Case and punctuation make no difference.

Examples:
  muster machine ls --search 'online:no state:active'       who is missing
  muster machine ls --search 'label:ring=canary version:1.2*'
  muster machine ls --search 'label:rack'                   a label, whatever its value
  muster machine ls --search 'os:\"Debian GNU/Linux 12*\" site:lab'
  muster machine ls --search 'address:192.0.2.* kiosk'
  muster machine ls --search 'grant:grt_01*' -o json        what came in by one grant";

/// Machines.
#[derive(Debug, Subcommand)]
pub(crate) enum Machine {
    /// List machines.
    #[command(visible_alias = "list", mut_arg("search", |search| search.help(SEARCH)), after_help = EXAMPLES)]
    Ls(Ls),
    /// Show a machine with its credentials.
    Show(Which),
    /// Make a machine ahead of the real one, with an invite that only it can use.
    Create(Create),
    /// Pause machines: they keep their identity and may do nothing. By name, or by what they have in common.
    Suspend(Many),
    /// End a pause.
    Resume(Act),
    /// End machines for good. They stay listed. By name, or by what they have in common.
    Retire(Many),
    /// Undo that machines were paused or retired for their silence: they go on with all that they held. For 30 days after the
    /// end.
    Restore(Restore),
    /// Permit that the hardware of a retired machine comes back as it, once.
    Readmit(ReadmitArgs),
    /// Have machines get their next certificate now, whichever server they are connected to.
    Renew(Renew),
    /// Have machines make their next keys, one after the other; those that are away are told when they are back.
    Rotate(rotate::Rotate),
    /// End the credentials of machines at once. By name, or by what they have in common; or one credential.
    Revoke(RevokeArgs),
}

/// Which machines to list.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only machines in this state.
    #[arg(long, value_name = "STATE", value_parser = ["pending", "active", "suspended", "retired"])]
    state: Option<String>,
    /// Which ones, and how many.
    #[command(flatten)]
    filter: Filter,
}

/// Which machine.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Its identifier (mch_…) or name.
    #[arg(value_name = "MACHINE")]
    machine: String,
}

/// What to do to which machine, and why.
#[derive(Debug, Args)]
pub(crate) struct Act {
    /// Its identifier (mch_…) or name.
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Why, for the audit log and for the machine.
    #[arg(long)]
    reason: Option<String>,
}

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// Their identifiers (mch_…) or names.
    #[arg(value_name = "MACHINE", required = true)]
    machines: Vec<String>,
}

/// Which machines go on, and why.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Their identifiers (mch_…) or names.
    #[arg(value_name = "MACHINE", required = true)]
    machines: Vec<String>,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

/// A machine to make ahead.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What operators call it.
    #[arg(value_name = "NAME", required_unless_present = "named")]
    name: Option<String>,
    /// What operators call it.
    #[arg(long = "name", id = "named", value_name = "NAME", conflicts_with = "name")]
    named: Option<String>,
    /// Its site's code; the only site where nothing is said.
    #[arg(long, value_name = "CODE")]
    site: Option<String>,
    /// What sort of thing it is.
    #[arg(long, value_parser = ["host", "worker", "software_agent"])]
    kind: Option<String>,
    /// The hardware it will have, where that is known.
    #[arg(long, value_name = "ID")]
    hardware_id: Option<String>,
    /// A role to stamp on it.
    #[arg(long)]
    role: Option<String>,
    /// A label to stamp on it; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// How long its invite is good for (15m, 24h, 7d).
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    expires: Option<u32>,
}

/// What to revoke.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// Which machines, and how sure.
    #[command(flatten)]
    many: Many,
    /// Only this credential (crd_…) of one machine; all of them where nothing is said.
    #[arg(long, value_name = "CREDENTIAL", conflicts_with = "all")]
    credential: Option<String>,
    /// All credentials, as where nothing is said; the machines are paused with them (suspended, revoked).
    #[arg(long)]
    all: bool,
}

/// Which machine may come back.
#[derive(Debug, Args)]
pub(crate) struct ReadmitArgs {
    /// Its identifier (mch_…) or name.
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// For how long (15m, 24h, 7d); a day where nothing is said.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    expires: Option<u32>,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

/// Runs `muster machine`.
pub(crate) async fn run(context: &Context, verb: Machine) -> Result {
    let client = context.client().await?;
    let out = context.out;
    match verb {
        Machine::Ls(args) => {
            let is_whole = args.state.is_none() && args.filter.is_none();
            out.show(&Sought { page: ls(&client, &args).await?, is_whole })
        }
        Machine::Show(args) => out.show(&client.machine(&resolve(&client, args.machine).await?).await?),
        Machine::Create(args) => out.show(&client.create_machine(&args.into()).await?),
        Machine::Suspend(many) => match many.one().filter(|_| !many.dry_run) {
            Some(one) => {
                let id = resolve(&client, one.to_owned()).await?;
                out.show(&client.suspend_machine(&id, many.reason).await?)
            }
            None => ending::run(context, &client, "suspend", &many).await,
        },
        Machine::Resume(act) => {
            let id = resolve(&client, act.machine).await?;
            out.show(&client.resume_machine(&id, act.reason).await?)
        }
        Machine::Retire(many) => match many.one().filter(|_| !many.dry_run) {
            Some(one) => {
                let id = resolve(&client, one.to_owned()).await?;
                out.show(&client.retire_machine(&id, many.reason).await?)
            }
            None => ending::run(context, &client, "retire", &many).await,
        },
        Machine::Restore(args) => out.show(&restore(&client, args).await?),
        Machine::Readmit(args) => {
            let id = resolve(&client, args.machine).await?;
            let request = Readmit { expires_in: args.expires, reason: args.reason };
            out.show(&client.readmit_machine(&id, &request).await?)
        }
        Machine::Rotate(args) => rotate::run(context, &client, args).await,
        Machine::Renew(args) => out.show(&renew(&client, args.machines).await?),
        Machine::Revoke(args) => revoke(context, &client, args).await,
    }
}

async fn revoke(context: &Context, client: &Client, args: RevokeArgs) -> Result {
    let RevokeArgs { many, credential, .. } = args;
    match (many.one(), &credential) {
        (Some(one), _) => {
            let id = resolve(client, one.to_owned()).await?;
            let request = Revoke { credential, reason: many.reason, dry_run: many.dry_run };
            context.out.show(&client.revoke_machine(&id, &request).await?)
        }
        (None, Some(_)) => Err(Failure::usage("a credential is one machine's: name that machine alone")),
        (None, None) => ending::run(context, client, "revoke", &many).await,
    }
}

/// Each name is found before the first order goes out.
async fn renew(client: &Client, machines: Vec<String>) -> Result<muster_wire::Page<Shape>> {
    let mut ids = Vec::with_capacity(machines.len());
    for machine in machines {
        ids.push(resolve(client, machine).await?);
    }
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        items.push(client.renew_machine(&id).await?);
    }
    Ok(muster_wire::Page { items, next: None })
}

/// Each name is found before the first one is restored.
async fn restore(client: &Client, args: Restore) -> Result<muster_wire::Page<Shape>> {
    let mut ids = Vec::with_capacity(args.machines.len());
    for machine in args.machines {
        ids.push(resolve(client, machine).await?);
    }
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        items.push(client.restore_machine(&id, args.reason.clone()).await?);
    }
    Ok(muster_wire::Page { items, next: None })
}

async fn ls(client: &Client, args: &Ls) -> Result<muster_wire::Page<Shape>> {
    let (filter, state) = (&args.filter, args.state.as_deref());
    let page = collect(filter.part.most(), filter.part.cursor.clone(), |cursor, limit| async move {
        client.machines(&filter.query(state, cursor, limit)).await
    });
    Ok(page.await?)
}

/// The identifier of the machine that is meant: itself, or the one machine of that name.
pub(super) async fn resolve(client: &Client, text: String) -> Result<String> {
    resolve_if(client, text, |_| true).await
}

/// The same among software agents: other machines may be called as one of them is.
pub(super) async fn resolve_agent(client: &Client, text: String) -> Result<String> {
    resolve_if(client, text, |machine| machine.kind == MachineKind::SoftwareAgent.as_str()).await
}

async fn resolve_if(client: &Client, text: String, fits: impl Fn(&Shape) -> bool) -> Result<String> {
    if text.starts_with(MachineId::PREFIX) && text.parse::<MachineId>().is_ok() {
        return Ok(text);
    }
    let query = ListQuery { search: Some(Search::quoted(&text)), limit: Some(1000), ..ListQuery::default() };
    let machines = client.machines(&query).await?.items;
    pick(&text, machines.into_iter().filter(|machine| machine.name == text && fits(machine)).collect())
}

/// A retired machine gives way to a living one of the same name.
fn pick(name: &str, mut named: Vec<Shape>) -> Result<String> {
    if named.len() > 1 {
        named.retain(|machine| machine.state != "retired");
    }
    match named.as_slice() {
        [machine] => Ok(machine.id.clone()),
        [] => Err(Failure::new(Exit::NotFound, format!("there is no machine {name}"))
            .hint("`muster machine ls` lists all of them")),
        several => Err(Failure::new(Exit::Conflict, format!("{} machines are called {name}", several.len()))
            .hint(format!("name one by its identifier: {}", ids(several)))),
    }
}

fn ids(machines: &[Shape]) -> String {
    machines.iter().map(|machine| machine.id.as_str()).collect::<Vec<_>>().join(" ")
}

impl From<Create> for CreateMachine {
    fn from(args: Create) -> Self {
        Self {
            name: args.name.or(args.named).unwrap_or_default(),
            site: args.site,
            kind: args.kind,
            hardware_id: args.hardware_id,
            role: args.role,
            labels: BTreeMap::from_iter(args.labels),
            expires_in: args.expires,
        }
    }
}

impl Listed for Shape {
    const EMPTY: &'static str = "No machines yet. Let one in:\n\n    muster invite create\n\nand, on that machine: muster agent run --invite-file -";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["ID", "NAME", "SITE", "STATE", "PRESENCE", "LAST SEEN", "CREDENTIAL", "HARDWARE ID"];
        table(
            header,
            items.iter().map(|machine| {
                [
                    machine.id.clone(),
                    machine.name.clone(),
                    machine.site.clone(),
                    state(machine),
                    presence(machine).to_owned(),
                    opt_relative(now, machine.last_seen),
                    credential(machine, now),
                    or_dash(machine.hardware_id.as_deref().map(short)),
                ]
            }),
        )
    }
}

fn presence(machine: &Shape) -> &'static str {
    if machine.online { "online" } else { "offline" }
}

fn state(machine: &Shape) -> String {
    let contested = if machine.contested_by.is_some() { ", contested" } else { "" };
    // Not every pause or end is an operator's: these end in other ways.
    let cause = match machine.state_reason.as_deref() {
        Some("probation") => ", on probation",
        Some("silent") => ", silent",
        Some(reason) if machine.state == "suspended" && reason.starts_with("revoked") => ", revoked",
        _ => "",
    };
    format!("{}{cause}{contested}", machine.state)
}

fn credential(machine: &Shape, now: Timestamp) -> String {
    match machine.credential_expires {
        Some(end) if end <= now => format!("expired {}", relative(now, end)),
        end => opt_relative(now, end),
    }
}

/// A hardware id is a hash: its start tells machines apart, the whole is in `show` and JSON.
fn short(id: &str) -> &str {
    id.char_indices().nth(19).map_or(id, |(end, _)| &id[..end])
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        facts(self, &[], now)
    }
}

/// What is known of a machine, with the words of its key where they are known, as one list.
pub(super) fn facts(machine: &Shape, words: &[String], now: Timestamp) -> String {
    details([
        ("id", machine.id.clone()),
        ("name", machine.name.clone()),
        ("kind", machine.kind.clone()),
        ("state", format!("{} since {}", machine.state, machine.state_since)),
        ("reason", machine.state_reason.clone().unwrap_or_default()),
        ("presence", presence(machine).to_owned()),
        ("last seen", opt_relative(now, machine.last_seen)),
        ("site", machine.site.clone()),
        ("hostname", machine.hostname.clone().unwrap_or_default()),
        ("hardware id", machine.hardware_id.clone().unwrap_or_default()),
        ("credential", credential(machine, now)),
        ("generation", machine.generation.to_string()),
        ("key", machine.key.clone().unwrap_or_default()),
        ("words", words.join(" ")),
        ("role", machine.role.clone().unwrap_or_default()),
        ("labels", pairs(&machine.labels)),
        ("attributes", pairs(&machine.attributes)),
        ("grant", machine.grant.clone().unwrap_or_default()),
        ("let in from", machine.entered_from.clone().unwrap_or_default()),
        ("approved by", machine.approved_by.clone().unwrap_or_default()),
        ("may come back", machine.readmit_until.map(|end| format!("once, until {end}")).unwrap_or_default()),
        ("contested by", machine.contested_by.clone().unwrap_or_default()),
        ("created", relative(now, machine.created_at)),
        ("enrolled", machine.enrolled_at.map(|at| relative(now, at)).unwrap_or_default()),
    ])
}

impl Human for MachineDetail {
    fn human(&self, now: Timestamp) -> String {
        let credentials = self.credentials.iter().map(|credential| {
            let why = credential.end_reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            [
                credential.id.clone(),
                credential.kind.clone(),
                format!("{}{why}", credential.state),
                credential.generation.to_string(),
                relative(now, credential.not_after),
            ]
        });
        let credentials = table(["CREDENTIAL", "KIND", "STATE", "GENERATION", "ENDS"], credentials);
        let mut parts = vec![facts(&self.machine, &self.words, now)];
        parts.extend(self.rotation.as_ref().map(|rotation| rotate::facts(rotation, &self.keys, now)));
        parts.extend(self.silence.as_ref().map(|silence| reaper::silence(silence, now)));
        parts.extend([String::new(), credentials]);
        if !self.accounts.is_empty() {
            parts.extend([String::new(), super::provision::short_table(&self.accounts)]);
        }
        parts.join("\n")
    }
}

impl Human for CreatedMachine {
    fn human(&self, now: Timestamp) -> String {
        let invite = details([("invite", self.invite.clone()), ("expires", relative(now, self.expires_at))]);
        let next = super::invite::next_command(&self.invite);
        format!("{}\n{invite}\n\nOn that machine:\n\n{next}", self.machine.human(now))
    }
}

impl Human for Revoked {
    fn human(&self, _: Timestamp) -> String {
        let did = if self.dry_run { "would end" } else { "ended" };
        details([
            ("machine", format!("{} ({})", self.machine.id, self.machine.name)),
            ("state", self.machine.state.clone()),
            (
                did,
                if self.credentials.is_empty() { "no credential".into() } else { self.credentials.join(" ") },
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(id: &str, name: &str, state: &str) -> Shape {
        serde_json::from_value(serde_json::json!({
            "id": id, "name": name, "kind": "host", "state": state, "state_since": "2026-11-01T00:00:00Z",
            "online": state == "active", "site": "main", "hostname": null, "hardware_id": null, "last_seen": null,
            "credential_expires": null, "generation": 1, "key": null, "role": null, "labels": {}, "attributes": {},
            "grant": null, "contested_by": null, "created_at": "2026-11-01T00:00:00Z", "enrolled_at": null,
        }))
        .expect("the wire's shape")
    }

    #[test]
    fn a_name_means_the_one_living_machine_that_has_it() {
        let living = || machine("mch_1", "web", "active");
        assert_eq!(
            pick("web", vec![machine("mch_2", "web", "retired"), living()]).expect("one lives"),
            "mch_1"
        );
        assert_eq!(pick("web", vec![machine("mch_2", "web", "retired")]).expect("only one"), "mch_2");
        assert_eq!(pick("web", vec![]).expect_err("none").exit(), Exit::NotFound);
        assert_eq!(pick("web", vec![living(), living()]).expect_err("two").exit(), Exit::Conflict);
    }

    #[test]
    fn q_34_a_hostile_name_stays_one_harmless_row() {
        let page = muster_wire::Page { items: vec![machine("mch_1", "a\u{1b}[2J\nb", "active")], next: None };
        let text = page.human(Timestamp::UNIX_EPOCH);
        assert!(!text.contains('\u{1b}') && text.lines().count() == 2, "{text}");
    }

    #[test]
    fn an_empty_list_teaches_the_next_command() {
        let page = muster_wire::Page::<Shape> { items: vec![], next: None };
        assert!(page.human(Timestamp::UNIX_EPOCH).contains("muster invite create"));
    }

    #[test]
    fn a_hardware_id_of_any_length_is_cut_between_characters() {
        assert_eq!(short("hw_é"), "hw_é");
        assert_eq!(short(&"é".repeat(40)).chars().count(), 19);
    }
}
