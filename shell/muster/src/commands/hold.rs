//! `muster hold`: enrollments that wait for a person, with the evidence to decide on.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::collect;
use muster_wire::hold::{Choice, Claimant, Hold as Shape, HoldDetail};

use super::lists::{Filter, Listed, or_dash};
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Human, details, pairs, relative, table};

/// Holds.
#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// List what waits for a person.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show a hold: who asks, who stands in the way, and the words to compare.
    Show(Which),
    /// Let who asks in.
    Approve(Approve),
    /// Turn who asks away.
    Reject(Reject),
}

/// Which holds to list.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only holds in this state.
    #[arg(long, value_name = "STATE", default_value = "open", value_parser = ["open", "expired", "approved", "rejected"])]
    state: String,
    /// Holds in every state.
    #[arg(long, short)]
    all: bool,
    /// Which ones, and how many.
    #[command(flatten)]
    filter: Filter,
}

/// Which hold.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Its identifier (hld_…).
    #[arg(value_name = "HOLD")]
    hold: String,
}

/// Whom to let in, and as whom.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Its identifier (hld_…).
    #[arg(value_name = "HOLD")]
    hold: String,
    /// As the machine it claims to be: it gets the new key, older credentials end.
    #[arg(long, conflicts_with = "as_new")]
    as_same: bool,
    /// As another machine: both keep running.
    #[arg(long)]
    as_new: bool,
}

/// Whom to turn away, and why.
#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// Its identifier (hld_…).
    #[arg(value_name = "HOLD")]
    hold: String,
    /// Why, for the audit log and for the machine.
    #[arg(long)]
    reason: Option<String>,
}

/// Runs `muster hold`.
pub(crate) async fn run(context: &Context, verb: Hold) -> Result {
    let client = context.client().await?;
    let out = context.out;
    match verb {
        Hold::Ls(args) => {
            let (filter, asked) = (&args.filter, args.asked());
            let (most, start, client) = (filter.part.most(), filter.part.cursor.clone(), &client);
            let page = collect(most, start, |cursor, limit| async move {
                client.holds(&filter.query(Some(asked), cursor, limit)).await
            });
            let mut page = page.await?;
            page.items.retain(|hold| args.all || hold.state == args.state);
            out.show(&page)
        }
        Hold::Show(args) => out.show(&client.hold(&args.hold).await?),
        Hold::Approve(args) => out.show(&client.approve_hold(&args.hold, args.choice()).await?),
        Hold::Reject(args) => out.show(&client.reject_hold(&args.hold, args.reason).await?),
    }
}

impl Ls {
    /// The server lists what waits, or everything.
    fn asked(&self) -> &'static str {
        if self.all || self.state != "open" { "all" } else { "open" }
    }
}

impl Approve {
    fn choice(&self) -> Option<Choice> {
        match (self.as_same, self.as_new) {
            (true, _) => Some(Choice::Same),
            (false, true) => Some(Choice::New),
            (false, false) => None,
        }
    }
}

impl Listed for Shape {
    const EMPTY: &'static str = "Nothing waits for you. A machine without any secret asks to be let in with:\n\n    muster enroll --request --server URL --ca-pin PIN";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["ID", "REASON", "STATE", "SITE", "HOSTNAME", "SOURCE", "WORDS", "ASKED"];
        table(
            header,
            items.iter().map(|hold| {
                [
                    hold.id.clone(),
                    hold.reason.clone(),
                    hold.state.clone(),
                    hold.site.clone(),
                    or_dash(hold.claimant.hostname.as_deref()),
                    or_dash(hold.claimant.source.as_deref()),
                    hold.claimant.words.join(" "),
                    relative(now, hold.created_at),
                ]
            }),
        )
    }
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        let head = details([
            ("id", self.id.clone()),
            ("reason", self.reason.clone()),
            ("state", self.state.clone()),
            ("site", self.site.clone()),
            ("grant", self.grant.clone().unwrap_or_default()),
            ("asked", relative(now, self.created_at)),
            ("ends", if self.state == "open" { relative(now, self.expires_at) } else { String::new() }),
            ("decided", self.decided_at.map(|at| relative(now, at)).unwrap_or_default()),
            ("by", self.decided_by.clone().unwrap_or_default()),
            ("because", self.decision_reason.clone().unwrap_or_default()),
            ("machine", self.machine.clone().unwrap_or_default()),
        ]);
        format!("{head}\n\nWho asks\n{}", indent(&claimant(&self.claimant)))
    }
}

impl Human for HoldDetail {
    fn human(&self, now: Timestamp) -> String {
        let mut text = self.hold.human(now);
        if let Some(machine) = &self.existing_machine {
            let facts = super::machine::facts(machine, &self.existing_words, now);
            text.push_str(&format!("\n\nWho stands in the way\n{}", indent(&facts)));
        }
        if self.hold.state == "open" {
            text.push_str(&format!(
                "\n\nCompare the words with those the machine shows, then:\n\n{}",
                self.commands()
            ));
        }
        text
    }
}

trait Commands {
    fn commands(&self) -> String;
    fn has_the_same_key(&self) -> bool;
    fn caption(&self, choice: Choice) -> String;
}

impl Commands for HoldDetail {
    fn commands(&self) -> String {
        let id = crate::output::escape(&self.hold.id);
        let is_known = self.has_the_same_key();
        let fitting = self.choices.iter().filter(|choice| !is_known || **choice == Choice::Same);
        let mut lines: Vec<String> = match fitting.copied().collect::<Vec<_>>().as_slice() {
            [Choice::New] => vec![format!("    muster hold approve {id}")],
            [Choice::Same] => {
                vec![format!("    muster hold approve {id}    # {}", self.caption(Choice::Same))]
            }
            several => several
                .iter()
                .map(|choice| {
                    let flag = if *choice == Choice::Same { "--as-same" } else { "--as-new " };
                    format!("    muster hold approve {id} {flag}    # {}", self.caption(*choice))
                })
                .collect(),
        };
        lines.push(format!("    muster hold reject {id} --reason TEXT"));
        lines.join("\n")
    }

    /// A key belongs to one machine for ever: who shows it again can only be that machine.
    fn has_the_same_key(&self) -> bool {
        let existing = self.existing_machine.as_ref().and_then(|machine| machine.key.as_ref());
        existing.is_some() && existing == self.hold.claimant.key.as_ref()
    }

    fn caption(&self, choice: Choice) -> String {
        match choice {
            Choice::Same if self.has_the_same_key() => {
                format!("the same machine, moved to site {}", crate::output::escape(&self.hold.site))
            }
            Choice::Same => "it is that machine, with a new key".to_owned(),
            Choice::New => "it is another machine".to_owned(),
        }
    }
}

fn claimant(claimant: &Claimant) -> String {
    details([
        ("words", claimant.words.join(" ")),
        ("key", claimant.key.clone().unwrap_or_default()),
        ("hostname", claimant.hostname.clone().unwrap_or_default()),
        ("kind", claimant.kind.clone()),
        ("hardware id", claimant.hardware_id.clone().unwrap_or_default()),
        ("source", claimant.source.clone().unwrap_or_default()),
        ("method", claimant.method.clone()),
        ("attributes", pairs(&claimant.attributes)),
    ])
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail() -> HoldDetail {
        serde_json::from_value(serde_json::json!({
            "id": "hld_1", "reason": "key_mismatch", "state": "open", "site": "main", "existing": "mch_1", "grant": null,
            "claimant": {"key": "ab", "words": ["one", "two"], "hardware_id": "hw_1", "hostname": "web\u{1b}[2J",
                "kind": "host", "attributes": {"os": "linux"}, "source": "192.0.2.1", "method": "token"},
            "created_at": "2026-11-01T00:00:00Z", "expires_at": "2026-11-08T00:00:00Z",
            "existing_machine": null, "existing_words": ["three"], "choices": ["same", "new"],
        }))
        .expect("the wire's shape")
    }

    #[test]
    fn the_evidence_and_every_choice_that_fits_are_shown() {
        let text = detail().human(Timestamp::UNIX_EPOCH);
        for part in [
            "one two",
            "192.0.2.1",
            "os=linux",
            "approve hld_1 --as-same",
            "approve hld_1 --as-new",
            "reject hld_1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    fn machine(key: &str) -> muster_wire::machine::Machine {
        serde_json::from_value(serde_json::json!({
            "id": "mch_1", "name": "web", "kind": "host", "state": "active",
            "state_since": "2026-11-01T00:00:00Z", "online": true, "site": "old", "hostname": null,
            "hardware_id": null, "last_seen": null, "credential_expires": null, "generation": 1, "key": key,
            "role": null, "labels": {}, "attributes": {}, "grant": null, "contested_by": null,
            "created_at": "2026-11-01T00:00:00Z", "enrolled_at": null,
        }))
        .expect("the wire's shape")
    }

    #[test]
    fn where_one_choice_fits_none_has_to_be_named() {
        let text = HoldDetail { choices: vec![Choice::New], ..detail() }.human(Timestamp::UNIX_EPOCH);
        assert!(text.contains("\n    muster hold approve hld_1\n    muster hold reject hld_1"), "{text}");
    }

    #[test]
    fn a_machine_with_its_own_key_at_another_site_is_offered_as_moved_and_not_as_another() {
        let moved = HoldDetail { existing_machine: Some(machine("ab")), ..detail() };
        let text = moved.human(Timestamp::UNIX_EPOCH);
        assert!(text.contains("approve hld_1    # the same machine, moved to site main\n"), "{text}");
        assert!(!text.contains("--as-new"), "{text}");
        let other = HoldDetail { existing_machine: Some(machine("cd")), ..detail() };
        let text = other.human(Timestamp::UNIX_EPOCH);
        assert!(text.contains("--as-same    # it is that machine, with a new key"), "{text}");
    }

    #[test]
    fn the_words_of_who_stands_in_the_way_line_up_with_the_rest() {
        let text =
            HoldDetail { existing_machine: Some(machine("cd")), ..detail() }.human(Timestamp::UNIX_EPOCH);
        let column = |name: &str, value: &str| {
            let line = text.lines().find(|line| line.trim().starts_with(name) && line.ends_with(value));
            line.unwrap_or_else(|| panic!("{name} {value}: {text}")).find(value)
        };
        assert_eq!(column("words", "three"), column("name", "web"));
    }

    #[test]
    fn q_34_a_claimant_cannot_drive_the_terminal() {
        assert!(!detail().human(Timestamp::UNIX_EPOCH).contains('\u{1b}'));
    }
}
