//! The JSON files of the agent's directory. None holds a secret: keys have files of their own, tokens have none.

use jiff::Timestamp;
use muster_agent_core::{Ending, Life, Standing};
use muster_model::SecretId;
use muster_wire::enroll::{EnrollRequest, EnrolledMachine};
use muster_wire::rotate::RotateRequest;
use muster_wire::trust::Trust;
use serde::{Deserialize, Serialize};

/// The form of the files.
pub(crate) const VERSION: u32 = 1;

/// `identity.json`: who this machine is. Its presence is what makes a machine enrolled.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// The form of this file.
    pub version: u32,
    /// Where key and certificate are.
    pub slot: Slot,
    /// Where the server is.
    pub url: String,
    /// Whom to trust. Only authenticated answers change it.
    pub trust: Trust,
    /// Which machine.
    pub machine: EnrolledMachine,
    /// Which credential.
    pub credential: String,
    /// The certificate's life.
    pub life: Life,
    /// Whether the workload may run.
    pub standing: Standing,
    /// Where the hardware id is from; never the signal itself.
    pub hardware_source: String,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When its key was made, where that is not the key it enrolled with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_made_at: Option<Timestamp>,
    /// When it last renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Timestamp>,
}

/// One of two places for a key and its certificate. Rotation prepares the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

/// `rotation.json`: a rotation under way, from the moment its key is durable until the key before is gone. Where `slot` is
/// the one of `identity.json`, its key has taken the place already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RotationNote {
    /// The form of this file.
    pub(crate) version: u32,
    /// Where the next key is.
    pub(crate) slot: Slot,
    /// When it was made.
    pub(crate) begun_at: Timestamp,
    /// The key that vouches for it.
    pub(crate) by: String,
    /// What is asked, the same each time.
    pub(crate) request: RotateRequest,
    /// Its credential, once there is one. Its certificate is written after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<String>,
}

/// `pending.json`: an enrollment under way, so that a restart repeats it by the same key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// The form of this file.
    pub version: u32,
    /// Where the server is.
    pub url: String,
    /// Which CA it must have.
    pub pin: String,
    /// The root that the pin names, once it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// Which token is spent, without its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What is asked. Evidence that is secret is left out.
    pub request: EnrollRequest,
    /// The hold it waits on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<PendingHold>,
    /// Where the hardware id is from.
    pub hardware_source: String,
}

/// The hold an enrollment waits on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingHold {
    /// Which.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The rhythm of asking, in seconds.
    pub poll_after: u32,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// `ended.json`: why there is no identity here any more, so that nothing enrolls again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedNote {
    /// The form of this file.
    pub version: u32,
    /// `rejected`, `revoked`, `superseded`, `retired` or `unknown_machine`.
    pub ending: String,
    /// What the operator said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which machine it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Where it belonged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Slot {
    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The word in files and tables.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub(crate) fn key_file(self) -> &'static str {
        match self {
            Self::A => "key-a.pem",
            Self::B => "key-b.pem",
        }
    }

    pub(crate) fn certificate_file(self) -> &'static str {
        match self {
            Self::A => "certificate-a.pem",
            Self::B => "certificate-b.pem",
        }
    }
}

impl Identity {
    /// When the present key was made.
    pub fn key_made_at(&self) -> Timestamp {
        self.key_made_at.unwrap_or(self.enrolled_at)
    }
}

impl EndedNote {
    pub(crate) fn new(ending: &Ending, at: Timestamp) -> Self {
        let reason = match ending {
            Ending::Rejected { reason } => reason.as_deref().map(crate::error::shown),
            _ => None,
        };
        let ending = ending.as_str().to_owned();
        Self { version: VERSION, ending, reason, machine: None, url: None, at }
    }
}

/// The id of a secret as text: enough to tell two tokens apart, of no use to anybody else.
pub(crate) fn token_name(id: SecretId) -> String {
    data_encoding::HEXLOWER.encode(&id.0)
}
