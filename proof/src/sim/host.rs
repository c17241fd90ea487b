//! A simulated machine: its disk, its agent, and whoever runs it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use muster_agent_core::{Agent, Event, Timer};
use muster_model::KeyFingerprint;
use muster_testkit::world::Device;
use muster_wire::enroll::EnrollRequest;
use muster_wire::rotate;
use serde_json::Value;

use super::disk::{Disk, DiskError, Pending};
use super::hub::{Millis, at};
use super::slots::{Enrolled, Other};
use super::steps::Step;

/// A machine and whoever runs it.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) way: Way,
    pub(super) hardware: String,
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
    /// Rises with every start and stop.
    pub(super) epoch: u64,
    /// How far its clock is off.
    pub(super) offset: Millis,
    /// Every key that it made, the newest last.
    pub(super) keys: Vec<KeyFingerprint>,
    pub(super) exit: Option<Exit>,
    /// How many requests it sent.
    pub(super) sent: u64,
    /// Whether somebody has a copy of its disk.
    pub(super) copied: bool,
    /// Whether files of it were damaged at any time.
    pub(super) was_damaged: bool,
    /// Whether it gave up a next key that would never be one.
    pub(super) abandoned: bool,
}

/// Who has the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Honest,
    /// Has a copy of somebody's one-time token.
    TokenThief,
    /// Has a copy of the site's key and says that its hardware is somebody else's.
    Impostor,
    /// Runs on a copy of somebody's disk.
    Clone(usize),
}

/// How it gets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Token(String),
    Site(String),
    Request,
}

/// A running agent.
pub(super) struct Process {
    pub(super) core: Agent,
    pub(super) holding: Holding,
    /// What the slot holds that is not shown.
    pub(super) other: Other,
    pub(super) timers: BTreeMap<Timer, Millis>,
    /// What it learned of the server's clock.
    pub(super) learned: Millis,
    pub(super) link: Link,
    /// The channel by the next key, until that has worked.
    pub(super) beside: Link,
    pub(super) first_channel: bool,
    /// Drawn at the start.
    pub(super) boot: [u8; 16],
    /// Rises with each request.
    pub(super) counter: u64,
    /// What came of effects that are done at once.
    pub(super) soon: VecDeque<Event>,
}

/// A channel as its machine has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Closed,
    /// Asked for by this request.
    Opening(u64),
    /// Held under this number.
    Open(u64),
}

/// What the agent has in hand.
pub(super) enum Holding {
    Pending { pending: Pending, device: Arc<Device>, evidence: Option<Value> },
    Enrolled(Box<Enrolled>),
}

/// How an agent left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// Its identity ended, or its enrollment was turned away.
    Over(String),
    Permissions,
    Corrupt,
    /// Its present key is lost, and no server heard of the next one.
    KeyLost,
    Disk,
    /// It gave up asking, with this code.
    GaveUp(String),
}

/// What interrupts the agent.
pub(super) enum Trouble {
    Crashed,
    Disk(DiskError),
}

impl Host {
    pub(super) fn device(&self) -> Option<Arc<Device>> {
        match &self.process.as_ref()?.holding {
            Holding::Pending { device, .. } => Some(Arc::clone(device)),
            Holding::Enrolled(enrolled) => Some(Arc::clone(&enrolled.device)),
        }
    }

    /// The step at which it stores what it was given.
    pub(super) fn storing(&self) -> Step {
        match self.way {
            Way::Token(_) => Step::StoreRedeemed,
            Way::Site(_) => Step::StoreAdmitted,
            Way::Request => Step::StoreApproved,
        }
    }

    /// The step that last wrote its files.
    pub(super) fn written(&self) -> Step {
        if let (Ok(Some(identity)), Ok(Some(note))) = (self.disk.identity(), self.disk.rotation()) {
            return match note.slot == identity.slot {
                true => Step::Settle,
                false if self.disk.exists(note.slot.certificate_file()) => Step::StoreNext,
                false => Step::MakeNext,
            };
        }
        match (self.disk.identity(), self.disk.pending()) {
            (Ok(Some(identity)), _) if identity.renewed => Step::StoreRenewed,
            (Ok(Some(_)), _) => self.storing(),
            (_, Ok(Some(Pending { hold: Some(_), .. }))) => Step::NoteHold,
            _ => Step::MakeKey,
        }
    }

    pub(super) fn evidence(&self) -> Value {
        match &self.way {
            Way::Token(token) | Way::Site(token) => serde_json::json!({ "token": token }),
            Way::Request => serde_json::json!({}),
        }
    }

    pub(super) fn token(&self) -> Option<String> {
        match &self.way {
            Way::Token(token) | Way::Site(token) => Some(token.clone()),
            Way::Request => None,
        }
    }

    pub(super) fn request(&self, csr: Option<String>) -> EnrollRequest {
        EnrollRequest {
            method: if self.way == Way::Request { "request" } else { "token" }.to_owned(),
            evidence: Value::Null,
            csr,
            secret_hash: None,
            credential: muster_wire::enroll::CredentialForm::Certificate,
            hardware_id: Some(self.hardware.clone()),
            hostname: Some(self.name.clone()),
            kind: "host".to_owned(),
            attributes: BTreeMap::new(),
            previous: None,
        }
    }
}

impl Process {
    pub(super) fn new(core: Agent, holding: Holding) -> Self {
        Self {
            core,
            holding,
            other: Other::default(),
            timers: BTreeMap::new(),
            learned: 0,
            link: Link::Closed,
            beside: Link::Closed,
            first_channel: true,
            boot: [0; 16],
            counter: 0,
            soon: VecDeque::new(),
        }
    }

    /// The hour by its clock, corrected by what it learned.
    pub(super) fn hour(&self, now: Millis, offset: Millis) -> Timestamp {
        at(now + offset + self.learned)
    }

    pub(super) fn enrolled(&self) -> Option<&Enrolled> {
        match &self.holding {
            Holding::Enrolled(enrolled) => Some(enrolled),
            Holding::Pending { .. } => None,
        }
    }

    pub(super) fn enrolled_mut(&mut self) -> Option<&mut Enrolled> {
        match &mut self.holding {
            Holding::Enrolled(enrolled) => Some(enrolled),
            Holding::Pending { .. } => None,
        }
    }

    /// What it says of its durable slot.
    pub(super) fn says(&mut self, base: KeyFingerprint) -> rotate::Slot {
        self.counter += 1;
        rotate::Slot { base, boot: self.boot, counter: self.counter }
    }

    /// The channels that it holds.
    pub(super) fn channels(&self) -> impl Iterator<Item = u64> {
        [self.link, self.beside].into_iter().filter_map(|link| match link {
            Link::Open(channel) => Some(channel),
            Link::Closed | Link::Opening(_) => None,
        })
    }
}
