//! The JSON shapes of the wrenn host agent's wire, and machines in them.
//!
//! What is not asked for is not looked at: existing clients evolve.

use std::collections::BTreeMap;

use muster_app::Session;
use muster_model::{SiteCode, Timestamp};
use muster_wire::enroll::{CredentialForm, EnrollRequest, by_token};
use muster_wire::machine::{CreateMachine, Machine};
use muster_wire::{FieldError, FieldErrors};
use serde::{Deserialize, Serialize};

/// How long a registration token is good for, in seconds.
pub(super) const TOKEN_LIFE: u32 = 3600;
/// The labels that keep what this wire's operators say of a host, apart from those that others give it.
const SAID: [&str; 4] = ["wrenn.type", "wrenn.team_id", "wrenn.provider", "wrenn.availability_zone"];
/// The label that keeps who made a host.
const CREATED_BY: &str = "wrenn.created_by";
/// Before each tag, as a label.
pub(super) const TAG: &str = "tag.";

#[derive(Serialize)]
pub(super) struct Envelope {
    pub(super) error: Said,
}

#[derive(Serialize)]
pub(super) struct Said {
    pub(super) code: String,
    pub(super) message: String,
}

#[derive(Deserialize)]
pub(super) struct Register {
    #[serde(default)]
    token: String,
    #[serde(default)]
    arch: String,
    #[serde(default)]
    cpu_cores: i64,
    #[serde(default)]
    memory_mb: i64,
    #[serde(default)]
    disk_gb: i64,
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
pub(super) struct Refresh {
    #[serde(default)]
    refresh_token: String,
}

#[derive(Deserialize)]
pub(super) struct CreateHost {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    team_id: Option<String>,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    availability_zone: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    #[serde(default)]
    pub(super) tag: String,
}

#[derive(Serialize)]
pub(super) struct Created {
    pub(super) host: Host,
    pub(super) registration_token: String,
}

#[derive(Serialize)]
pub(super) struct Preview {
    pub(super) host: Host,
    /// What runs on a host is not ours to know.
    pub(super) sandbox_ids: [String; 0],
}

/// What register and refresh answer: always all of it, because the agent takes what is missing for empty.
#[derive(Serialize)]
pub(super) struct Registered {
    host: Host,
    token: String,
    refresh_token: String,
    cert_pem: String,
    key_pem: String,
    ca_cert_pem: String,
}

#[derive(Serialize)]
pub(super) struct Host {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    team_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_cores: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_gb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heartbeat_at: Option<String>,
    created_by: String,
    created_at: String,
    updated_at: String,
}

fn missing(path: &str, text: &str) -> Result<(), FieldErrors> {
    let error = || FieldError { path: path.to_owned(), message: "is needed".to_owned() };
    if text.trim().is_empty() { Err(FieldErrors(vec![error()])) } else { Ok(()) }
}

impl Register {
    /// The token, and what the host says of itself.
    pub(super) fn into_request(self) -> Result<(String, EnrollRequest), FieldErrors> {
        missing("token", &self.token)?;
        missing("address", &self.address)?;
        let numbers =
            [("cpu_cores", self.cpu_cores), ("memory_mb", self.memory_mb), ("disk_gb", self.disk_gb)];
        let mut attributes: BTreeMap<String, String> =
            numbers.into_iter().map(|(name, number)| (name.to_owned(), number.to_string())).collect();
        attributes.insert("arch".to_owned(), self.arch);
        attributes.insert("address".to_owned(), self.address);
        let request = EnrollRequest {
            method: "token".to_owned(),
            evidence: by_token(&self.token),
            credential: CredentialForm::Bearer,
            kind: "host".to_owned(),
            attributes,
            csr: None,
            secret_hash: None,
            hardware_id: None,
            hostname: None,
            previous: None,
        };
        Ok((self.token, request))
    }
}

impl Refresh {
    pub(super) fn into_token(self) -> Result<String, FieldErrors> {
        missing("refresh_token", &self.refresh_token)?;
        Ok(self.refresh_token)
    }
}

impl CreateHost {
    /// A machine by that name, with what is said of it as labels.
    pub(super) fn into_machine(
        self,
        name: String,
        site: Option<&SiteCode>,
        by: String,
    ) -> Result<CreateMachine, FieldErrors> {
        if !matches!(self.kind.as_str(), "regular" | "byoc") {
            let message = "is not one of regular, byoc".to_owned();
            return Err(FieldErrors(vec![FieldError { path: "type".to_owned(), message }]));
        }
        let said = [Some(self.kind), self.team_id, self.provider, self.availability_zone];
        let mut labels: BTreeMap<String, String> = SAID
            .into_iter()
            .zip(said)
            .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !value.is_empty())?)))
            .collect();
        labels.insert(CREATED_BY.to_owned(), by);
        let (site, kind) = (site.map(ToString::to_string), Some("host".to_owned()));
        let (hardware_id, role) = (None, None);
        Ok(CreateMachine { name, site, kind, hardware_id, role, labels, expires_in: Some(TOKEN_LIFE) })
    }
}

impl From<Session> for Registered {
    fn from(session: Session) -> Self {
        Self {
            host: Host::from(&session.machine),
            token: session.token,
            refresh_token: session.refresh_token,
            cert_pem: session.made.chain,
            key_pem: session.made.key.to_string(),
            ca_cert_pem: session.callers,
        }
    }
}

impl From<&Machine> for Host {
    fn from(machine: &Machine) -> Self {
        let label = |name: &str| machine.labels.get(name).cloned();
        let said = |name: &str| machine.attributes.get(name).filter(|value| !value.is_empty()).cloned();
        let number = |name: &str| machine.attributes.get(name).and_then(|value| value.parse().ok());
        let [kind, team_id, provider, availability_zone] = SAID.map(label);
        Self {
            id: machine.id.clone(),
            kind: kind.unwrap_or_else(|| "regular".to_owned()),
            team_id,
            provider,
            availability_zone,
            arch: said("arch"),
            cpu_cores: number("cpu_cores"),
            memory_mb: number("memory_mb"),
            disk_gb: number("disk_gb"),
            address: said("address"),
            status: status(machine),
            last_heartbeat_at: machine.last_seen.map(seconds),
            created_by: label(CREATED_BY).unwrap_or_default(),
            created_at: seconds(machine.created_at),
            updated_at: seconds(
                machine.enrolled_at.max(Some(machine.state_since)).unwrap_or(machine.created_at),
            ),
        }
    }
}

fn status(machine: &Machine) -> &'static str {
    match machine.state.as_str() {
        "pending" => "pending",
        "active" if machine.online => "online",
        "active" => "unreachable",
        _ => "offline",
    }
}

/// RFC 3339 with whole seconds.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// The tags among a machine's labels.
pub(super) fn tags(machine: &Machine) -> Vec<String> {
    machine.labels.keys().filter_map(|key| key.strip_prefix(TAG)).map(ToOwned::to_owned).collect()
}
