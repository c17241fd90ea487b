//! What travels on this wire. Requests may say more than is known here; lists may be `null`.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use muster_app::{AgentSeen, Error, RegisteredAgent, Store, WishedAgent};
use muster_model::engagement::{Amendment, Draft, RateLimit, Rules};
use muster_model::text::Team;
use muster_model::{Nick, Refusal, Timestamp};
use muster_wire::engagement::{Payload, engagement, skills};
use muster_wire::{FieldErrors, Fields};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::{JsonLimits, parse_json, read_body};
use crate::problem::{Failure, Unreadable};
use crate::state::ServerState;

/// As many values as a list of all that are deleted by one request has, and some more.
const NODES: usize = 2_000;

/// A JSON body, whatever its type is said to be.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Store> FromRequest<ServerState<S>> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &ServerState<S>) -> Result<Self, Response> {
        let limits = &state.shared.config.body;
        let (parts, body) = request.into_parts();
        let unreadable = |error| Unreadable(error).into_response();
        let bytes = read_body(&parts, body, limits).await.map_err(unreadable)?;
        let json = JsonLimits { nodes: NODES, ..limits.json };
        parse_json(&bytes, &json).map(Self).map_err(unreadable)
    }
}

/// The nick in the path. One that cannot be one names nobody.
pub(super) struct Named(pub(super) Nick);

impl<S: Store> FromRequestParts<ServerState<S>> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState<S>) -> Result<Self, Response> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let nick = text.and_then(|Path(text)| text.parse().ok());
        let missing = || Failure::from(Refusal::NotFound { what: "agent" }).into_response();
        nick.map(Self).ok_or_else(missing)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Register {
    nick: String,
    #[serde(rename = "type")]
    role: Option<String>,
    team: Option<String>,
    channels: Option<Vec<String>>,
    ops_channels: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    skills: Option<Vec<String>>,
    rate_limit: Option<Rate>,
    engagement: Option<Engage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rate {
    messages_per_second: f64,
    burst: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Engage {
    respond_to_types: Option<Vec<String>>,
    ignore_nicks: Option<Vec<String>>,
}

impl Register {
    /// The same for the nick that a path names.
    pub(super) fn of(self, nick: &Nick) -> Self {
        Self { nick: nick.to_string(), ..self }
    }
}

impl TryFrom<Register> for WishedAgent {
    type Error = FieldErrors;

    fn try_from(asked: Register) -> Result<Self, FieldErrors> {
        let mut fields = Fields::new();
        let nick = match asked.nick.is_empty() {
            true => {
                fields.wrong("nick", "is required");
                None
            }
            false => fields.parse("nick", &asked.nick),
        };
        let role = asked.role.filter(|role| !role.is_empty());
        let role = fields.parse("type", role.as_deref().unwrap_or("worker"));
        let team = asked.team.filter(|team| !team.is_empty());
        let team = fields.parse_opt("team", team.as_deref());
        let names = skills(&mut fields, &asked.skills.unwrap_or_default());
        let rate = asked.rate_limit.unwrap_or_default();
        let rules = asked.engagement.unwrap_or_default();
        let draft = Draft {
            channels: asked.channels.unwrap_or_default(),
            ops_channels: asked.ops_channels.unwrap_or_default(),
            permissions: asked.permissions.unwrap_or_default(),
            rate_limit: RateLimit { messages_per_second: rate.messages_per_second, burst: rate.burst },
            engagement: Rules {
                respond_to_types: rules.respond_to_types.unwrap_or_default(),
                ignore_nicks: rules.ignore_nicks.unwrap_or_default(),
            },
            ..Draft::default()
        };
        let engagement = engagement(&mut fields, "", draft);
        let parts = nick.zip(role).zip(names).zip(engagement);
        fields.finish(parts.map(|(((nick, role), skills), engagement)| Self {
            nick,
            role,
            team,
            skills,
            engagement,
        }))
    }
}

/// What a change may say. `null` says nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Update {
    channels: Option<Vec<String>>,
    team: Option<String>,
    system_prompt: Option<String>,
    model: Option<String>,
    temperature: Option<f64>,
    tool_allowlist: Option<Vec<String>>,
}

impl Update {
    /// The parts of the engagement, and the team; inside, none is no team.
    pub(super) fn into_parts(self) -> Result<(Amendment, Option<Option<Team>>), Error> {
        let team = match self.team.as_deref() {
            None => None,
            Some("") => Some(None),
            Some(team) => {
                let mut fields = Fields::new();
                let team: Option<Team> = fields.parse("team", team);
                Some(fields.finish(Some(team))?)
            }
        };
        let parts = Amendment {
            channels: self.channels,
            system_prompt: self.system_prompt,
            model: self.model,
            temperature: self.temperature,
            tool_allowlist: self.tool_allowlist,
        };
        Ok((parts, team))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Nicks {
    pub(super) nicks: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Blocked {
    pub(super) channel: String,
    pub(super) message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Present {
    pub(super) nick: String,
}

/// Which agents a list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) skill: String,
    pub(super) team: String,
    /// Whether one that was revoked is shown too.
    pub(super) revoked: bool,
}

#[derive(Serialize)]
pub(super) struct Credentials {
    nick: String,
    passphrase: String,
    /// The same: what `scuttlectl` shows.
    password: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

#[derive(Serialize)]
pub(super) struct SignedPayload {
    payload: Payload,
    signature: String,
}

#[derive(Serialize)]
pub(super) struct RegisterAnswer {
    credentials: Credentials,
    payload: SignedPayload,
}

#[derive(Serialize)]
pub(super) struct AdoptAnswer {
    nick: String,
    payload: SignedPayload,
}

impl Credentials {
    pub(super) fn of(registered: &RegisteredAgent, server: Option<String>) -> Self {
        let secret = registered.secret.clone().unwrap_or_default();
        Self { nick: registered.nick.clone(), passphrase: secret.clone(), password: secret, server }
    }
}

impl RegisterAnswer {
    pub(super) fn of(registered: RegisteredAgent, server: Option<String>) -> Self {
        let credentials = Credentials::of(&registered, server);
        let RegisteredAgent { payload, signature, .. } = registered;
        Self { credentials, payload: SignedPayload { payload, signature } }
    }
}

impl From<RegisteredAgent> for AdoptAnswer {
    fn from(registered: RegisteredAgent) -> Self {
        let RegisteredAgent { nick, payload, signature, .. } = registered;
        Self { nick, payload: SignedPayload { payload, signature } }
    }
}

#[derive(Serialize)]
pub(super) struct Agents {
    pub(super) agents: Vec<Agent>,
}

/// An agent as this wire shows it.
#[derive(Serialize)]
pub(super) struct Agent {
    nick: String,
    #[serde(rename = "type")]
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    channels: Vec<String>,
    permissions: Vec<String>,
    config: Draft,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skills: Vec<String>,
    created_at: Timestamp,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    online: bool,
}

impl From<AgentSeen> for Agent {
    fn from(seen: AgentSeen) -> Self {
        let AgentSeen { agent, mut engagement, created_at, revoked, last_seen, online, .. } = seen;
        engagement.data.clear();
        Self {
            nick: agent.nick.to_string(),
            role: agent.role.as_str(),
            team: agent.team.as_ref().map(ToString::to_string),
            channels: engagement.channels.clone(),
            permissions: engagement.permissions.clone(),
            config: engagement,
            skills: agent.skills.iter().map(ToString::to_string).collect(),
            created_at,
            revoked,
            last_seen,
            online,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Deleted {
    pub(super) deleted: u32,
    pub(super) failed: u32,
}

#[derive(Serialize)]
pub(super) struct Status {
    pub(super) status: &'static str,
    pub(super) uptime: String,
    pub(super) agents: usize,
    pub(super) started: Timestamp,
}

/// A span as Go writes one: `720h`, `1h30m`, `1.5h`. Not below zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GoDuration(pub(super) f64);

impl FromStr for GoDuration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "is not a duration such as 720h";
        let (mut rest, mut seconds) = (text, 0.0);
        if rest.is_empty() {
            return Err(WRONG);
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(WRONG)?;
            let (number, after) = rest.split_at(end);
            let number: f64 = number.parse().or(Err(WRONG))?;
            let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            seconds += number
                * match unit {
                    "h" => 3600.0,
                    "m" => 60.0,
                    "s" => 1.0,
                    "ms" => 1e-3,
                    "us" | "µs" => 1e-6,
                    "ns" => 1e-9,
                    _ => return Err(WRONG),
                };
            rest = after;
        }
        Ok(Self(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them_and_never_below_zero() {
        let seconds = |text: &str| text.parse::<GoDuration>().ok().map(|duration| duration.0);
        assert_eq!(seconds("720h"), Some(2_592_000.0));
        assert_eq!(seconds("1h30m5s"), Some(5405.0));
        assert_eq!(seconds("1.5h"), Some(5400.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        for bad in ["", "h", "1", "-1h", "1d", "1h-30m", "tomorrow", "1..5h"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_request_may_say_more_and_null_and_every_wrong_part_is_named() {
        let text = r##"{"nick":"","type":"emperor","channels":["nohash"],"permissions":null,"new":1}"##;
        let asked: Register = serde_json::from_str(text).expect("read");
        let wrong = WishedAgent::try_from(asked).expect_err("wrong").0;
        let paths: Vec<&str> = wrong.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, ["nick", "type", "channels[0]"]);
        let text = r##"{"nick":"w-two","type":"","team":"","channels":null,"permissions":null}"##;
        let asked: Register = serde_json::from_str(text).expect("read");
        assert!(WishedAgent::try_from(asked).is_ok());
    }
}
