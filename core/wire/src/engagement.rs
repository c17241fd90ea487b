//! Software agents and their engagements, and the payload that is signed of them.

use jiff::Timestamp;
use muster_model::engagement::{Difference as Of, Draft};
use muster_model::text::{Skill, Team};
use muster_model::{AgentRole, Engagement, EngagementVersion, Nick, SoftwareAgent};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::{FieldErrors, Fields, go_json};

/// A software agent with the engagement in force and both signatures of it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EngagedAgent {
    /// The machine that it is.
    pub machine: String,
    /// Its nick.
    pub nick: String,
    /// `observer`, `worker`, `orchestrator` or `operator`.
    pub role: String,
    /// Its team.
    pub team: Option<String>,
    /// What it can do.
    pub skills: Vec<String>,
    /// The version in force.
    pub version: u32,
    /// What it is to do.
    #[schema(value_type = Object)]
    pub engagement: Draft,
    /// Who made it so.
    pub author: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When its agent said that it goes by this version; nothing until it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// SHA-256 over the engagement as the JWS has it, in hexadecimal: what an agent acknowledges.
    pub hash: String,
    /// The same as a JWS by the deployment's signing key: whoever has the keys of `/.well-known/jwks.json` can verify it,
    /// and none of them can make one.
    pub jws: String,
    /// The bytes that verifiers of an older kind know.
    pub payload: String,
    /// HMAC-SHA-256 over these bytes, in hexadecimal.
    pub signature: String,
}

/// A software agent in the registry.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedAgent {
    /// The machine that it is.
    pub machine: String,
    /// Its nick.
    pub nick: String,
    /// `observer`, `worker`, `orchestrator` or `operator`.
    pub role: String,
    /// Its team.
    pub team: Option<String>,
    /// What it can do.
    pub skills: Vec<String>,
    /// How its machine stands: `pending`, `active`, `suspended` or `revoked`.
    pub state: String,
    /// Whether it was heard of lately.
    pub online: bool,
    /// When it was last heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen: Option<Timestamp>,
    /// The version of its engagement in force.
    pub version: u32,
    /// When its agent said that it goes by this version; nothing until it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// What it is to do.
    #[schema(value_type = Object)]
    pub engagement: Draft,
    /// Its accounts in other systems.
    pub accounts: Vec<Account>,
}

/// One version of an engagement, as it was written.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WrittenEngagement {
    /// Which one, from one on.
    pub version: u32,
    /// What it says.
    #[schema(value_type = Object)]
    pub engagement: Draft,
    /// Who made it so.
    pub author: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When its agent said that it goes by this version; nothing until it does.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// What is different from the version before.
    pub differences: Vec<Difference>,
}

/// An agent's word that it goes by its engagement.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeEngagement {
    /// The version, which must be the one in force.
    pub version: u32,
    /// Its `hash`, as the server told it or as the JWS has it.
    pub hash: String,
}

/// Which version of an engagement.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct WrittenQuery {
    /// Which one, from one on; the one in force where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// What a change of an engagement would lead to.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EngagementPreview {
    /// The version that would be in force.
    pub version: u32,
    /// What would be different; nothing where it is so already.
    pub differences: Vec<Difference>,
}

/// A part that is different. Of a list, what goes and what comes; of anything else, what it was and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Difference {
    /// Where: `role`, `team`, `skills`, or below `engagement`: `engagement.channels`.
    pub path: String,
    /// What is there no more.
    pub removed: Vec<String>,
    /// What was not there before.
    pub added: Vec<String>,
}

/// What a software agent is to be from now on.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEngagement {
    /// Its nick, where it has none yet. A nick does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// `observer`, `worker`, `orchestrator` or `operator`; what it is, or `worker`, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its team; an empty text is none, and nothing leaves what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// What it can do; nothing leaves what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skills: Option<Vec<String>>,
    /// What it is to do, as a whole; nothing leaves what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub engagement: Option<Draft>,
}

impl Difference {
    /// Of an agent and what it is to do, from before to after.
    pub fn between(before: (&SoftwareAgent, &Draft), after: (&SoftwareAgent, &Draft)) -> Vec<Self> {
        let words = |agent: &SoftwareAgent| {
            let skills = agent.skills.iter().map(ToString::to_string).collect();
            let team = agent.team.iter().map(ToString::to_string).collect();
            [("role", vec![agent.role.as_str().to_owned()]), ("team", team), ("skills", skills)]
        };
        let of_agent = words(before.0).into_iter().zip(words(after.0));
        let of_agent = of_agent.filter_map(|((path, was), (_, is))| Of::of(path, was, is));
        of_agent.map(Self::from).chain(Self::of_terms(before.1, after.1)).collect()
    }

    /// Of what it is to do alone.
    pub fn of_terms(before: &Draft, after: &Draft) -> Vec<Self> {
        let below = |one: Of| Self { path: format!("engagement.{}", one.path), ..one.into() };
        after.differences(before).into_iter().map(below).collect()
    }
}

impl From<Of> for Difference {
    fn from(Of { path, removed, added }: Of) -> Self {
        Self { path, removed, added }
    }
}

/// [`SetEngagement`] as values of the model.
#[derive(Debug, Clone)]
pub struct SetEngagementFields {
    /// Its nick.
    pub nick: Option<Nick>,
    /// Its role.
    pub role: Option<AgentRole>,
    /// Its team; inside, none is no team.
    pub team: Option<Option<Team>>,
    /// Its skills.
    pub skills: Option<Vec<Skill>>,
    /// Its engagement.
    pub engagement: Option<Engagement>,
}

/// Whom the JWS of an engagement is for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EngagementQuery {
    /// Whoever is to take it; the deployment's own address where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// A nick that was freed.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FreedNick {
    /// The nick.
    pub nick: String,
    /// The machine that held it.
    pub machine: String,
    /// When it was freed.
    #[schema(value_type = String, format = DateTime)]
    pub freed_at: Timestamp,
}

/// A nick to be freed.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreeNick {
    /// The nick of an agent that was revoked.
    pub nick: String,
}

/// What older verifiers know of an engagement. Its bytes are signed as [`go_json`] writes them: the order of the fields is
/// part of the contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Payload {
    v: u8,
    nick: String,
    #[serde(rename = "type")]
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    config: Draft,
    issued_at: Timestamp,
}

impl Payload {
    /// Of an agent's engagement. It was issued when that version came into force, so that it is the same at every asking.
    pub fn of(agent: &SoftwareAgent, version: &EngagementVersion) -> Self {
        let mut config = version.engagement.terms().clone();
        // These verifiers know no such field.
        config.data.clear();
        Self {
            v: 1,
            nick: agent.nick.to_string(),
            role: agent.role.as_str(),
            team: agent.team.as_ref().map(ToString::to_string),
            config,
            issued_at: version.at,
        }
    }

    /// The bytes that are signed.
    pub fn text(&self) -> String {
        go_json::to_string(self)
    }
}

/// Takes skills, each of them well formed and not too many.
pub fn skills(fields: &mut Fields, names: &[String]) -> Option<Vec<Skill>> {
    if names.len() > SoftwareAgent::MAX_SKILLS {
        fields.wrong("skills", format!("has more than {} entries", SoftwareAgent::MAX_SKILLS));
        return None;
    }
    names.iter().enumerate().map(|(at, name)| fields.parse(&format!("skills[{at}]"), name)).collect()
}

/// Takes an engagement, or names every wrong part of it below this path.
pub fn engagement(fields: &mut Fields, below: &str, draft: Draft) -> Option<Engagement> {
    let mut tell = |(path, message): (String, String)| fields.wrong(format!("{below}{path}"), message);
    Engagement::new(draft).map_err(|wrong| wrong.into_iter().for_each(&mut tell)).ok()
}

impl TryFrom<SetEngagement> for SetEngagementFields {
    type Error = FieldErrors;

    fn try_from(request: SetEngagement) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let nick = fields.parse_opt("nick", request.nick.as_deref());
        let role = fields.parse_opt("role", request.role.as_deref());
        let team = match request.team.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(team) => Some(fields.parse("team", team)),
        };
        let skills = request.skills.and_then(|names| skills(&mut fields, &names));
        let engagement = request.engagement.and_then(|draft| engagement(&mut fields, "engagement.", draft));
        fields.finish(Some(Self { nick, role, team, skills, engagement }))
    }
}

#[cfg(test)]
mod tests {
    use muster_model::engagement::{RateLimit, Rules};
    use muster_model::{Actor, MachineId, TenantId};

    use super::*;

    fn payload(nick: &str, role: AgentRole, team: Option<&str>, draft: Draft, at: &str) -> String {
        let (tenant, machine) = (TenantId::from_bytes([1; 16]), MachineId::from_bytes([1; 16]));
        let agent = SoftwareAgent {
            tenant,
            machine,
            nick: nick.parse().expect("a nick"),
            role,
            team: team.map(|team| team.parse().expect("a team")),
            skills: Vec::new(),
            version: 1,
            freed_at: None,
        };
        let engagement = Engagement::new(draft).expect("right");
        let at = at.parse().expect("a time");
        let version = EngagementVersion {
            tenant,
            machine,
            version: 1,
            engagement,
            author: Actor::System,
            at,
            acknowledged_at: None,
        };
        Payload::of(&agent, &version).text()
    }

    #[test]
    fn the_payload_is_byte_for_byte_what_the_contract_shows() {
        let draft = Draft { channels: vec!["#general".to_owned()], ..Draft::default() };
        let at = "2026-11-22T00:41:15.847680548Z";
        let expected = r##"{"v":1,"nick":"w-two","type":"orchestrator","config":{"channels":["#general"],"rate_limit":{},"engagement":{}},"issued_at":"2026-11-22T00:41:15.847680548Z"}"##;
        assert_eq!(payload("w-two", AgentRole::Orchestrator, None, draft, at), expected);
    }

    #[test]
    fn every_field_stands_in_its_place_and_free_data_is_not_among_them() {
        let list = |entry: &str| vec![entry.to_owned()];
        let draft = Draft {
            channels: list("#a<b"),
            ops_channels: list("#a<b"),
            permissions: list("a&b"),
            rate_limit: RateLimit { messages_per_second: 2.0, burst: 7 },
            engagement: Rules { respond_to_types: list("task"), ignore_nicks: list("x") },
            system_prompt: "é\u{2028}\"\\".to_owned(),
            model: "m>1".to_owned(),
            temperature: Some(0.0),
            tool_allowlist: list("t"),
            data: serde_json::Map::from_iter([("secret".to_owned(), true.into())]),
        };
        let text = payload("w", AgentRole::Worker, Some("red"), draft, "2026-01-02T03:04:05.120Z");
        let expected = concat!(
            r##"{"v":1,"nick":"w","type":"worker","team":"red","config":{"channels":["#a\u003cb"],"ops_channels":["#a\u003cb"],"##,
            r##""permissions":["a\u0026b"],"rate_limit":{"messages_per_second":2,"burst":7},"##,
            r##""engagement":{"respond_to_types":["task"],"ignore_nicks":["x"]},"system_prompt":"é\u2028\"\\","##,
            r##""model":"m\u003e1","temperature":0,"tool_allowlist":["t"]},"issued_at":"2026-01-02T03:04:05.12Z"}"##,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn every_wrong_field_of_a_request_is_named() {
        let request = SetEngagement {
            nick: Some("bad nick".to_owned()),
            role: Some("emperor".to_owned()),
            team: Some("a b".to_owned()),
            skills: Some(vec![String::new()]),
            engagement: Some(Draft { channels: vec!["nohash".to_owned()], ..Draft::default() }),
        };
        let wrong = SetEngagementFields::try_from(request).expect_err("wrong").0;
        let paths: Vec<&str> = wrong.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, ["nick", "role", "team", "skills[0]", "engagement.channels[0]"]);
    }
}
