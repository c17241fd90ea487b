//! The desk: what waits for a person, what is risky first.

use askama::Template;
use muster_wire::alarm::Alarm;
use muster_wire::hold::{Choice, Hold, HoldDetail};
use serde_json::Value;

use crate::act::{Act, Field, Gives, Kind};
use crate::frame::{Frame, Place};

/// What waits for a person.
#[derive(Debug, Template)]
#[template(path = "desk.html")]
pub struct Desk {
    frame: Frame,
    place: Place,
    alarms: Vec<Sign>,
    cases: Vec<Case>,
    requests: Vec<Request>,
}

/// Something that somebody should look at.
#[derive(Debug)]
struct Sign {
    alarm: Alarm,
    id: String,
    title: String,
    meaning: &'static str,
    acts: Vec<Act>,
}

/// Somebody asks in the name of a machine that is there, or was.
#[derive(Debug)]
struct Case {
    hold: Hold,
    risk: &'static str,
    signals: Vec<Signal>,
    acts: Vec<Act>,
}

/// Somebody asks to come in.
#[derive(Debug)]
struct Request {
    hold: Hold,
    acts: Vec<Act>,
}

/// What both claimants say of one thing.
#[derive(Debug, PartialEq, Eq)]
struct Signal {
    name: String,
    asks: String,
    stands: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Differs,
    Unknown,
}

impl Signal {
    fn is_telling(&self) -> bool {
        self.verdict != Verdict::Same || ["Hardware", "Host name", "Network"].contains(&self.name.as_str())
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

impl Desk {
    /// The desk with these alarms and holds.
    pub fn new(frame: Frame, alarms: Vec<Alarm>, holds: Vec<HoldDetail>) -> Self {
        let alarms = alarms.into_iter().enumerate().map(|(n, alarm)| Sign::new(n, alarm)).collect();
        let mut cases = Vec::new();
        let mut requests = Vec::new();
        for detail in holds {
            match detail.existing_machine.is_some() {
                true => cases.push(Case::new(detail)),
                false => requests.push(Request::new(detail)),
            }
        }
        // The sort is stable: of the same rank, whoever has waited longest is first.
        cases.sort_by_key(|case| rank(&case.hold.reason));
        requests.sort_by_key(|request| rank(&request.hold.reason));
        Self { frame, place: Place::Desk, alarms, cases, requests }
    }
}

impl Sign {
    fn new(n: usize, alarm: Alarm) -> Self {
        let who = alarm.name.as_deref().unwrap_or("A machine");
        let title = match alarm.action.as_str() {
            "machine.forked" => format!("{who} may have been copied"),
            "machine.contended" => format!("Several programs show the key of {who}"),
            "credential.copied" => format!("A credential file of {who} was copied"),
            "refusals.storm" => "Somebody is refused again and again".to_owned(),
            "reaper.stop" => "The reaper stopped: too many machines are silent at once".to_owned(),
            _ => alarm.action.clone(),
        };
        let act = Act {
            name: "acknowledge",
            label: "Acknowledge",
            effect: "It leaves the desk, with your name in the log. Nothing else changes: what was paused stays paused.",
            path: "/v1/alarms/acknowledge".to_owned(),
            fields: vec![
                Field::given("object", alarm.object.as_str()),
                Field::given("until", alarm.last_at.to_string()),
                Field::REASON,
            ],
            command: format!("alarm acknowledge {}", alarm.object),
            method: "POST",
            ends: false,
            gives: Gives::Nothing,
        };
        Self { id: format!("alarm-{n}"), title, meaning: meaning(&alarm), acts: vec![act], alarm }
    }

    fn is_of_a_machine(&self) -> bool {
        self.alarm.object.starts_with("mch_")
    }

    /// What was told with it, but for what the title says.
    fn told(&self) -> impl Iterator<Item = (&String, &String)> {
        self.alarm.detail.iter().filter(|(name, _)| *name != "name")
    }
}

/// What an alarm says, and what to do.
fn meaning(alarm: &Alarm) -> &'static str {
    match (alarm.action.as_str(), alarm.cause.as_deref()) {
        ("machine.forked", Some("earlier_boot")) => {
            "A life of its agent goes on that another one had followed. Look for a second host; rotate its key on the right one."
        }
        ("machine.forked", Some("counter")) => {
            "Something was counted twice in one life of its agent, as after a snapshot with memory. Look for a second host."
        }
        ("machine.forked", Some("conflict")) => {
            "Two next keys were asked for at once. One of those who asked is not your machine."
        }
        ("machine.forked", Some("base_skipped")) => {
            "A next key was used by somebody who did not have the key before. Find out who rotated; revoke if it was not the machine."
        }
        ("machine.forked", Some("recovery")) => {
            "The key before was used though the present one was at work: a lost disk, or somebody with an old one."
        }
        ("machine.forked", Some("superseded_key")) => {
            "A key was shown that a newer one replaced: an old image was started, or the newer key is a thief's."
        }
        ("machine.forked", Some("forgotten_key")) => {
            "A key was shown that an older database forgot, after a newer one was known: the newer one may be a thief's."
        }
        ("machine.forked", Some("many_boots")) => {
            "Its agent was started more often than its lives can be told apart. Look why it is started all the time."
        }
        ("machine.forked", Some("boot_missing")) => "Its key was shown by something that is not its agent.",
        ("machine.contended", _) => {
            "They push each other off. Give each its own identity: retire one and let it enroll."
        }
        ("credential.copied", _) => {
            "What was issued by it ended. Enroll the host again, and look who has the copy."
        }
        ("refusals.storm", _) => {
            "Ten a second and more, for a minute. The log tells from where, and what they try."
        }
        ("reaper.stop", _) => {
            "The fault is more likely here than with them. Look at the network first; nobody is taken meanwhile."
        }
        _ => "Look at the log.",
    }
}

impl Case {
    fn new(detail: HoldDetail) -> Self {
        let signals = signals(&detail);
        let acts = acts(&detail);
        Self { risk: risk(&detail.hold.reason), signals, acts, hold: detail.hold }
    }

    /// What tells both apart, and what everybody looks at first.
    fn telling(&self) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(|signal| signal.is_telling())
    }

    /// What else both say alike.
    fn alike(&self) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(|signal| !signal.is_telling())
    }

    fn who(&self) -> &str {
        self.hold.claimant.hostname.as_deref().unwrap_or("Somebody without a name")
    }
}

impl Request {
    fn new(detail: HoldDetail) -> Self {
        Self { acts: acts(&detail), hold: detail.hold }
    }

    fn who(&self) -> &str {
        self.hold.claimant.hostname.as_deref().unwrap_or("no name")
    }
}

/// The riskier, the lower: whoever claims to be somebody, then whoever was sent away, then who merely asks.
fn rank(reason: &str) -> u8 {
    match reason {
        "key_mismatch" => 0,
        "was_removed" => 1,
        "site_mismatch" => 2,
        "quota" => 3,
        _ => 4,
    }
}

fn risk(reason: &str) -> &'static str {
    match reason {
        "key_mismatch" => {
            "Known hardware, another key: a re-installed machine, a clone, or somebody who pretends."
        }
        "was_removed" => "This hardware was retired here. Whoever lets it in undoes that.",
        "site_mismatch" => "This machine stands at another site.",
        "quota" => "The site has no seat left.",
        _ => "New here, and its site asks for approval.",
    }
}

fn acts(detail: &HoldDetail) -> Vec<Act> {
    let id = &detail.hold.id;
    let only = detail.choices.len() == 1;
    let mut acts: Vec<Act> = detail.choices.iter().map(|choice| approve(id, *choice, only)).collect();
    acts.push(Act {
        name: "reject",
        label: "Reject",
        effect: "Whoever asks is turned away, and stays so. Nothing else changes.",
        path: format!("/v1/holds/{id}/reject"),
        fields: vec![Field::REASON],
        command: format!("hold reject {id}"),
        method: "POST",
        ends: true,
        gives: Gives::Nothing,
    });
    acts
}

fn approve(id: &str, choice: Choice, only: bool) -> Act {
    let (name, label, effect, option) = match choice {
        Choice::Same => (
            "same",
            "The same machine",
            "It gets the new key and goes on under its name. Its older credentials end.",
            " --as-same",
        ),
        Choice::New if only => ("new", "Approve", "It comes in as a machine of its own.", ""),
        Choice::New => (
            "new",
            "Another machine",
            "It comes in as a machine of its own. The one that is there stays as it is.",
            " --as-new",
        ),
    };
    let value = serde_json::to_value(choice).unwrap_or(Value::Null);
    Act {
        name,
        label,
        effect,
        path: format!("/v1/holds/{id}/approve"),
        fields: vec![Field::given("as", value)],
        command: format!("hold approve {id}{option}"),
        method: "POST",
        ends: false,
        gives: Gives::Nothing,
    }
}

/// What both say, side by side: what tells them apart and what does not.
fn signals(detail: &HoldDetail) -> Vec<Signal> {
    let Some(stands) = &detail.existing_machine else { return Vec::new() };
    let asks = &detail.hold.claimant;
    let mut signals = vec![
        signal("Hardware", asks.hardware_id.as_deref(), stands.hardware_id.as_deref()),
        signal("Host name", asks.hostname.as_deref(), stands.hostname.as_deref()),
        signal("Words of the key", words(&asks.words).as_deref(), words(&detail.existing_words).as_deref()),
        signal("Network", asks.source.as_deref(), stands.entered_from.as_deref()),
        signal("Site", Some(&detail.hold.site), Some(&stands.site)),
        signal("Kind", Some(&asks.kind), Some(&stands.kind)),
    ];
    let told = asks.attributes.keys().chain(stands.attributes.keys());
    let names: std::collections::BTreeSet<&String> = told.collect();
    let value = |of: &std::collections::BTreeMap<String, String>, name: &String| of.get(name).cloned();
    signals.extend(names.into_iter().map(|name| {
        signal(name, value(&asks.attributes, name).as_deref(), value(&stands.attributes, name).as_deref())
    }));
    signals
}

fn words(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}

fn signal(name: &str, asks: Option<&str>, stands: Option<&str>) -> Signal {
    let verdict = match (asks, stands) {
        (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => Verdict::Same,
        (Some(_), Some(_)) => Verdict::Differs,
        _ => Verdict::Unknown,
    };
    let text = |said: Option<&str>| said.unwrap_or("–").to_owned();
    Signal { name: name.to_owned(), asks: text(asks), stands: text(stands), verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_say_is_the_same_but_for_capitals_and_unknown_where_one_is_silent() {
        let verdict = |asks, stands| signal("Host name", asks, stands).verdict;
        assert_eq!(verdict(Some("WEB-1"), Some("web-1")), Verdict::Same);
        assert_eq!(verdict(Some("web-1"), Some("web-2")), Verdict::Differs);
        assert_eq!(verdict(None, Some("web-1")), Verdict::Unknown);
    }

    #[test]
    fn what_a_choice_sends_is_what_the_api_takes() {
        for choice in [Choice::Same, Choice::New] {
            let body = approve("hld_1", choice, false).body_text();
            let sent: muster_wire::hold::Approve = serde_json::from_str(&body).expect("the API's shape");
            assert_eq!(sent.choice, Some(choice));
        }
    }

    #[test]
    fn whoever_claims_to_be_somebody_is_riskier_than_whoever_merely_asks() {
        let mut reasons = ["approval", "quota", "key_mismatch", "site_mismatch", "was_removed"];
        reasons.sort_by_key(|reason| rank(reason));
        assert_eq!(reasons, ["key_mismatch", "was_removed", "site_mismatch", "quota", "approval"]);
    }
}
