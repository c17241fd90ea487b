//! The JSON of this wire. Fields that are not known are passed over: its clients evolve without us.

use muster_app::{KeylessClaim, SiteGeneration};
use muster_model::{Attributes, MachineKind, Secret, SecretForm, SecretKind};
use muster_wire::enroll::{EnrollAnswer, Enrolled};
use muster_wire::{FieldErrors, Fields};
use serde::{Deserialize, Serialize};

/// How a person reads several tags in one attribute.
const BETWEEN_TAGS: &str = ",";

/// What an agent says when it asks to enroll.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct EnrollRequest {
    /// The site's code.
    #[serde(default)]
    site_code: String,
    /// The site's key, `cek_…`.
    #[serde(default)]
    enrollment_key: String,
    /// `muid_` and a hash of what the hardware says.
    #[serde(default)]
    machine_uid: String,
    /// What the machine calls itself.
    #[serde(default)]
    hostname: String,
    /// What its installer says of it.
    #[serde(default)]
    labels: Labels,
}

/// What an installer says of a machine. Evidence for people, never authority.
#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(super) struct Labels {
    company: Option<String>,
    site: Option<String>,
    department: Option<String>,
    device_type: Option<String>,
    tags: Vec<String>,
}

/// The answer to an agent. The key is there where it is let in, and only there.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct EnrollResponse {
    machine_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    enrollment_state: &'static str,
    disposition: &'static str,
}

/// A generation of a site's key.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Generation {
    site_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    version: u32,
    fingerprint: String,
    fingerprint_label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
}

/// The keys of a machine.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct MachineKeys {
    pub(super) keys: Vec<MachineKey>,
}

/// A key of a machine. What it is made of is not kept.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct MachineKey {
    pub(super) key_id: String,
    pub(super) state: String,
    pub(super) created_at: String,
    pub(super) expires_at: String,
}

impl TryFrom<EnrollRequest> for KeylessClaim {
    type Error = FieldErrors;

    fn try_from(request: EnrollRequest) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let site = fields.parse("site_code", &request.site_code);
        let hardware_id = fields.parse("machine_uid", &request.machine_uid);
        let hostname = fields.parse("hostname", &request.hostname);
        if request.enrollment_key.is_empty() {
            fields.wrong("enrollment_key", "must not be empty");
        }
        let attributes = fields.take_map("labels", request.labels.into_attributes());
        let token = Secret::presented(&request.enrollment_key, SecretKind::Enroll);
        let value = site.zip(hardware_id).zip(hostname.zip(attributes));
        let value = value.map(|((site, hardware_id), (hostname, attributes))| Self {
            token,
            site,
            form: SecretForm::Prefixed,
            hardware_id,
            hostname,
            kind: MachineKind::Host,
            attributes,
        });
        fields.finish(value)
    }
}

impl Labels {
    fn into_attributes(self) -> Result<Attributes, Vec<(String, muster_model::TextError)>> {
        let Self { company, site, department, device_type, tags } = self;
        let tags = Some(tags.join(BETWEEN_TAGS));
        let said = [
            ("company", company),
            ("site", site),
            ("department", department),
            ("device_type", device_type),
            ("tags", tags),
        ];
        let said = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Attributes::new(said.filter(|(_, value)| !value.trim().is_empty()))
    }
}

impl From<EnrollAnswer> for EnrollResponse {
    fn from(answer: EnrollAnswer) -> Self {
        match answer {
            EnrollAnswer::Enrolled(enrolled) => Self::let_in(*enrolled, false),
            EnrollAnswer::Same(enrolled) => Self::let_in(*enrolled, true),
            // What is pending is the question, not the machine that stands in its way: of that the caller learns
            // nothing, so the hold is named. It is also what an operator looks up.
            EnrollAnswer::Held(held) => Self {
                machine_id: held.hold,
                key: None,
                enrollment_state: "pending",
                disposition: "collision_pending",
            },
        }
    }
}

impl EnrollResponse {
    fn let_in(enrolled: Enrolled, again: bool) -> Self {
        let is_new = !again && enrolled.machine.generation == 1;
        Self {
            enrollment_state: if enrolled.machine.state == "active" { "active" } else { "pending" },
            machine_id: enrolled.machine.id,
            key: enrolled.credential.bearer,
            disposition: if is_new { "new" } else { "reuse" },
        }
    }

    pub(super) fn is_new(&self) -> bool {
        self.disposition == "new"
    }

    pub(super) fn is_pending(&self) -> bool {
        self.key.is_none()
    }
}

impl Generation {
    pub(super) fn shown(generation: &SiteGeneration) -> Self {
        Self { active: Some(generation.active), ..Self::of(generation) }
    }

    pub(super) fn made(generation: &SiteGeneration, key: String) -> Self {
        Self { key: Some(key), ..Self::of(generation) }
    }

    fn of(generation: &SiteGeneration) -> Self {
        Self {
            site_id: generation.site.to_string(),
            key: None,
            version: generation.key.version,
            fingerprint: generation.key.code(),
            fingerprint_label: generation.key.to_string(),
            active: None,
        }
    }
}
