//! How software agents are seen, and the two signatures of what they are to do.

use muster_issuer::EngagementClaims;
use muster_lifecycle::agent::Engaged;
use muster_model::engagement::Draft;
use muster_model::{
    EngagementVersion, MachineState, SignedDuration, SoftwareAgent, SuspendCause, Suspended, Timestamp,
};
use muster_store::{AgentRow, Store};
use muster_wire::engagement::{EngagedAgent, Payload};
use sha2::{Digest, Sha256};

use crate::App;
use crate::error::Error;
use crate::ports::draw;

/// An agent counts as there for so long after it was heard of.
const PATIENCE: SignedDuration = SignedDuration::from_secs(120);
/// So long is a signed engagement good for: whoever obeys it asks again in time.
const LIFE: SignedDuration = SignedDuration::from_hours(24);
const MAX_AUDIENCE: usize = 255;

/// A software agent as it is now.
#[derive(Debug, Clone)]
pub struct AgentSeen {
    /// The agent.
    pub agent: SoftwareAgent,
    /// What it is to do.
    pub engagement: Draft,
    /// When it said that it goes by it.
    pub acknowledged_at: Option<Timestamp>,
    /// When its machine was made.
    pub created_at: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether it was ended.
    pub retired: bool,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// Whether it was heard of lately. One that was revoked is not there.
    pub online: bool,
}

/// What is told of an agent to whoever registered it or had its bearer key rotated.
#[derive(Debug, Clone)]
pub struct RegisteredAgent {
    /// Its nick.
    pub nick: String,
    /// Its bearer key, in the clear, this once.
    pub secret: Option<String>,
    /// What older verifiers know of its engagement.
    pub payload: Payload,
    /// HMAC-SHA-256 over the bytes of the payload.
    pub signature: String,
}

impl<S: Store> App<S> {
    pub(super) fn seen(&self, row: AgentRow) -> AgentSeen {
        let AgentRow { agent, version, machine, last_seen } = row;
        let registry = &self.inner.registry;
        let last_seen = last_seen.max(registry.last_heard(machine.id)).max(registry.unwritten_of(machine.id));
        let revoked = matches!(
            &machine.state,
            MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(_), .. })
        );
        let lately = last_seen.is_some_and(|seen| self.now().duration_since(seen) < PATIENCE);
        AgentSeen {
            engagement: version.engagement.terms().clone(),
            acknowledged_at: version.acknowledged_at,
            created_at: machine.created_at,
            revoked,
            retired: matches!(machine.state, MachineState::Retired(_)),
            last_seen,
            online: lately && matches!(machine.state, MachineState::Active(_)),
            agent,
        }
    }

    pub(super) fn registered(&self, engaged: &Engaged, secret: Option<String>) -> RegisteredAgent {
        let payload = Payload::of(&engaged.agent, &written(&engaged.version));
        let signature = self.inner.payload_key.sign(payload.text().as_bytes());
        RegisteredAgent { nick: engaged.agent.nick.to_string(), secret, payload, signature }
    }

    /// An engagement with both signatures.
    pub(super) fn signed(
        &self,
        agent: &SoftwareAgent,
        version: &EngagementVersion,
        audience: Option<&str>,
    ) -> Result<EngagedAgent, Error> {
        let version = written(version);
        let payload = Payload::of(agent, &version).text();
        Ok(EngagedAgent {
            machine: agent.machine.to_string(),
            nick: agent.nick.to_string(),
            role: agent.role.as_str().to_owned(),
            team: agent.team.as_ref().map(ToString::to_string),
            skills: agent.skills.iter().map(ToString::to_string).collect(),
            version: version.version,
            engagement: version.engagement.terms().clone(),
            author: version.author.to_string(),
            at: version.at,
            acknowledged_at: version.acknowledged_at,
            hash: hash(&version),
            jws: self.jws(agent, &version, audience)?,
            signature: self.inner.payload_key.sign(payload.as_bytes()),
            payload,
        })
    }

    fn jws(
        &self,
        agent: &SoftwareAgent,
        version: &EngagementVersion,
        audience: Option<&str>,
    ) -> Result<String, Error> {
        let audience = audience.unwrap_or(&self.inner.settings.url);
        let fits = audience.len() <= MAX_AUDIENCE && audience.chars().all(|c| c.is_ascii_graphic());
        if audience.is_empty() || !fits {
            return Err(Error::field("audience", "is not 1 to 255 printable ASCII characters"));
        }
        let (now, document) = (self.now(), version.engagement.document());
        let jti: muster_model::AuditId = draw!(&*self.inner.ports);
        let claims = EngagementClaims {
            iss: self.inner.settings.url.clone(),
            sub: self.authority().spiffe_id(agent.tenant, agent.machine),
            aud: audience.to_owned(),
            iat: now.as_second(),
            nbf: now.as_second(),
            exp: (now + LIFE).as_second(),
            jti: jti.to_string(),
            nick: agent.nick.to_string(),
            role: agent.role.as_str().to_owned(),
            team: agent.team.as_ref().map(ToString::to_string),
            version: version.version,
            hash: hash(version),
            document,
        };
        Ok(self.authority().tokens().sign_engagement(&claims)?)
    }
}

/// What an agent acknowledges of a version: a hash over all that it says.
pub(super) fn hash(version: &EngagementVersion) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(version.engagement.document().as_bytes()))
}

/// A version as it is kept: its time in whole milliseconds, so that what is signed of it is the same at every asking.
fn written(version: &EngagementVersion) -> EngagementVersion {
    let at = Timestamp::from_millisecond(version.at.as_millisecond()).unwrap_or(version.at);
    EngagementVersion { at, ..version.clone() }
}
