//! What is going on: `status.json`, written by a running agent on transitions, and the answer to whoever asks.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use muster_agent_core::{Channel, Renewal, Rotation, Running, Standing, State, Step};
use muster_wire::enroll::EnrolledMachine;
use serde::{Deserialize, Serialize};

use crate::AgentError;
use crate::store::records::{EndedNote, PendingHold};
use crate::store::slots::Slots;
use crate::store::{self, Found, STATUS};

/// What an agent is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentStatus {
    /// The agent's directory.
    pub dir: PathBuf,
    /// `not_enrolled`, `enrolling`, `waiting`, `active`, `suspended` or `ended`.
    pub state: String,
    /// Whether an agent is running on the directory now.
    pub running: bool,
    /// `up`, `opening` or `down`; nothing where no agent is running.
    pub channel: Option<String>,
    /// The server.
    pub url: Option<String>,
    /// The machine.
    pub machine: Option<EnrolledMachine>,
    /// Fingerprint of the machine key.
    pub key: Option<String>,
    /// The words people compare.
    pub words: Vec<String>,
    /// When that key was made.
    #[serde(default)]
    pub key_made_at: Option<Timestamp>,
    /// When the next one is made.
    #[serde(default)]
    pub rotate_at: Option<Timestamp>,
    /// What comes next in a rotation that is under way: `ask`, `use`, `settle` or `confirm`.
    #[serde(default)]
    pub rotation: Option<String>,
    /// What the two slots of the store hold.
    #[serde(default)]
    pub slots: Vec<SlotStatus>,
    /// Files that cannot be used, each with the reason. The next start sets them aside.
    #[serde(default)]
    pub damage: Vec<String>,
    /// The end of the certificate.
    pub certificate_expires: Option<Timestamp>,
    /// When the next certificate is asked for.
    pub renew_at: Option<Timestamp>,
    /// When the server was last heard.
    pub last_contact: Option<Timestamp>,
    /// What last failed.
    pub last_problem: Option<Trouble>,
    /// How far the server's clock is ahead, in seconds.
    pub clock_skew_seconds: i64,
    /// Where the hardware id is from.
    pub hardware_source: Option<String>,
    /// The hold that is waited on.
    pub hold: Option<PendingHold>,
    /// Why there is no identity any more.
    pub ended: Option<EndedNote>,
}

/// A slot for a key and its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotStatus {
    /// `a` or `b`.
    pub slot: String,
    /// `present`, `next` or `before`.
    pub role: String,
    /// Fingerprint of its key.
    pub key: String,
    /// The end of its certificate, where there is one.
    pub certificate_expires: Option<Timestamp>,
}

/// Something that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When.
    pub at: Timestamp,
    /// What, in one printable line.
    pub what: String,
}

/// `status.json`: what only the running agent knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    summary: String,
    channel: Option<String>,
    renew_at: Option<Timestamp>,
    #[serde(default)]
    rotate_at: Option<Timestamp>,
    #[serde(default)]
    rotation: Option<String>,
    last_contact: Option<Timestamp>,
    last_problem: Option<Trouble>,
    #[serde(default)]
    clock_skew_seconds: i64,
    #[serde(skip)]
    dirty: bool,
}

impl Report {
    pub(crate) fn failed(&mut self, at: Timestamp, what: &str) {
        self.last_problem = Some(Trouble { at, what: what.to_owned() });
        self.dirty = true;
    }

    pub(crate) fn heard(&mut self, at: Timestamp) {
        self.last_contact = Some(at);
        self.dirty = true;
    }

    pub(crate) fn summary(&self) -> &str {
        &self.summary
    }

    /// Takes over where the agent stands; whether there is anything new to write.
    pub(crate) fn changed(&mut self, state: &State, clock_skew_seconds: i64) -> bool {
        let before = self.clone();
        self.clock_skew_seconds = clock_skew_seconds;
        (self.channel, self.renew_at, self.rotate_at, self.rotation) = (None, None, None, None);
        self.summary = match state {
            State::Enrolling { .. } => "enrolling".into(),
            State::Waiting { .. } => "waiting for approval".into(),
            State::Ended(ending) => format!("ended: {}", ending.as_str()),
            State::Running(running) => self.take_running(running),
        };
        let changed = *self != before;
        std::mem::take(&mut self.dirty) || changed
    }

    fn take_running(&mut self, running: &Running) -> String {
        let channel = match running.channel {
            Channel::Opening { .. } => "opening",
            Channel::Up { .. } => "up",
            Channel::Down { .. } => "down",
        };
        self.channel = Some(channel.to_owned());
        if let Renewal::Planned { at } = running.renewal {
            self.renew_at = Some(at);
        }
        match running.rotation {
            Rotation::Planned { at } => self.rotate_at = at,
            Rotation::Doing { step, .. } | Rotation::BackingOff { step, .. } => {
                self.rotation = Some(step.as_str().to_owned());
            }
        }
        format!("{}, channel {channel}", running.standing.as_str())
    }
}

/// What is going on in a directory. Asks nobody but the disk; fails as the agent would on files it would not take.
pub fn status(dir: &Path) -> Result<AgentStatus, AgentError> {
    let mut status = AgentStatus::empty(dir);
    let Some((files, found)) = store::peek(dir)? else { return Ok(status) };
    status.running = store::is_in_use(&files);
    match found {
        Found::Nothing => {}
        Found::Ended(note) => {
            status.state = "ended".into();
            status.ended = Some(note);
        }
        Found::Pending(pending, key) => {
            status.state = if pending.hold.is_some() { "waiting" } else { "enrolling" }.into();
            status.take_key(&key);
            status.url = Some(pending.url);
            status.hold = pending.hold;
            status.hardware_source = Some(pending.hardware_source);
        }
        Found::Enrolled(slots) => {
            status.take_slots(&slots);
            let enrolled = slots.present;
            let identity = enrolled.identity;
            status.state = match identity.standing {
                Standing::Active => "active".into(),
                Standing::Suspended => "suspended".into(),
            };
            status.take_key(&enrolled.key);
            status.url = Some(identity.url);
            status.machine = Some(identity.machine);
            status.certificate_expires = Some(identity.life.not_after);
            status.hardware_source = Some(identity.hardware_source);
        }
    }
    // A note of the running agent: where it cannot be read, the rest is still true.
    if let Ok(Some(report)) = store::read_json::<Report>(&files, STATUS) {
        status.take_report(report);
    }
    Ok(status)
}

impl AgentStatus {
    fn empty(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            state: "not_enrolled".into(),
            running: false,
            channel: None,
            url: None,
            machine: None,
            key: None,
            words: Vec::new(),
            key_made_at: None,
            rotate_at: None,
            rotation: None,
            slots: Vec::new(),
            damage: Vec::new(),
            certificate_expires: None,
            renew_at: None,
            last_contact: None,
            last_problem: None,
            clock_skew_seconds: 0,
            hardware_source: None,
            hold: None,
            ended: None,
        }
    }

    fn take_key(&mut self, key: &crate::key::MachineKey) {
        self.key = Some(key.fingerprint().to_string());
        self.words = key.words();
    }

    fn take_slots(&mut self, slots: &Slots) {
        let identity = &slots.present.identity;
        let open = slots.open();
        self.key_made_at = Some(identity.key_made_at());
        self.rotation = open.map(|step| step.as_str().to_owned());
        self.damage = slots.damage.iter().map(|damage| damage.what.clone()).collect();
        let present = SlotStatus {
            slot: identity.slot.as_str().to_owned(),
            role: "present".to_owned(),
            key: slots.present.key.fingerprint().to_string(),
            certificate_expires: (!slots.present.chain.is_empty()).then_some(identity.life.not_after),
        };
        let other = slots.spare.as_ref().map(|spare| SlotStatus {
            slot: spare.slot.as_str().to_owned(),
            role: if open == Some(Step::Confirm) { "before" } else { "next" }.to_owned(),
            key: spare.key.fingerprint().to_string(),
            certificate_expires: (!spare.chain.is_empty()).then(|| spare.life().not_after),
        });
        self.slots = std::iter::once(present).chain(other).collect();
    }

    fn take_report(&mut self, report: Report) {
        self.last_contact = report.last_contact;
        self.last_problem = report.last_problem;
        self.clock_skew_seconds = report.clock_skew_seconds;
        if self.running {
            self.channel = report.channel;
            self.renew_at = report.renew_at;
            self.rotate_at = report.rotate_at;
            self.rotation = report.rotation;
        }
    }
}
