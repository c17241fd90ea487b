//! What the operator configured, as far as use cases need it.

use muster_lifecycle::Terms;
use muster_lifecycle::fork::OnCopy;
use muster_lifecycle::reap::Patience;
use muster_model::{PayloadKey, SignedDuration, SiteCode};

/// What the operator configured.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where machines reach this deployment: `https://host:port`, perhaps with a path prefix.
    pub url: String,
    /// Lifetimes of what is issued.
    pub terms: Terms,
    /// What is done about a machine whose key two hold.
    pub on_copy: OnCopy,
    /// How long a one-time login link is good for.
    pub login_life: SignedDuration,
    /// How long a browser session is good for.
    pub session_life: SignedDuration,
    /// Holds ask again after this many seconds.
    pub poll_after: u32,
    /// How many holds may be open at a site that is made from now on.
    pub hold_cap: u32,
    /// Where the data are, for operators on the server's own host.
    pub data_dir: Option<String>,
    /// How long machines may be silent.
    pub patience: Patience,
    /// Of software agents.
    pub agents: AgentSettings,
}

/// What the operator configured of software agents.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// The site that they are registered in; the only one there is where nothing is said.
    pub site: Option<SiteCode>,
    /// Where their IRC server is, as they are told with what they show there.
    pub irc_server: Option<String>,
    /// The channels that a caller of any team may give them.
    pub shared_channels: Vec<String>,
    /// Signs engagements for verifiers of an older kind; the one that follows from the pepper where nothing is said.
    pub payload_key: Option<PayloadKey>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        let shared_channels = vec!["#general".to_owned()];
        Self { site: None, irc_server: None, shared_channels, payload_key: None }
    }
}

impl Settings {
    /// The defaults, for a deployment that machines reach at this address.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            terms: Terms::default(),
            on_copy: OnCopy::default(),
            login_life: SignedDuration::from_mins(15),
            session_life: SignedDuration::from_hours(12),
            poll_after: 2,
            hold_cap: 1000,
            data_dir: None,
            patience: Patience::default(),
            agents: AgentSettings::default(),
        }
    }
}
