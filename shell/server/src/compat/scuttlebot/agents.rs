//! `/v1/agents`, presence in channels, and the status.

use axum::Extension;
use axum::extract::{Path, State};
use http::StatusCode;
use muster_app::{Error, Origin, Store};
use muster_model::{Nick, Refusal};

use super::Go;
use super::shapes::{
    AdoptAnswer, Agent, Agents, Asked, Blocked, Credentials, Deleted, Json, Named, Nicks, Present, Register,
    RegisterAnswer, Status, Update,
};
use crate::problem::Failure;
use crate::route::{Key, Params, wrong_field};
use crate::state::ServerState;

/// So many agents are deleted by one request.
const MAX_NICKS: usize = 1000;

/// Register an agent; its passphrase is shown this once.
#[utoipa::path(post, path = "/v1/agents/register", responses((status = 201)))]
pub(super) async fn register<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Key(key): Key,
    Json(asked): Json<Register>,
) -> Result<Go<RegisterAnswer>, Failure> {
    let wished = asked.try_into().map_err(Error::Malformed)?;
    let registered = state.app.register_agent(wished, false, key.as_deref(), &origin).await?;
    Ok(Go(StatusCode::CREATED, RegisterAnswer::of(registered, server(&state))))
}

fn server<S: Store>(state: &ServerState<S>) -> Option<String> {
    state.app.settings().agents.irc_server.clone()
}

/// Take an agent as it is, with what it shows elsewhere.
#[utoipa::path(post, path = "/v1/agents/{nick}/adopt", responses((status = 200)), params(("nick" = String, Path)))]
pub(super) async fn adopt<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(nick): Named,
    Key(key): Key,
    Json(asked): Json<Register>,
) -> Result<Go<AdoptAnswer>, Failure> {
    let wished = asked.of(&nick).try_into().map_err(Error::Malformed)?;
    let registered = state.app.register_agent(wished, true, key.as_deref(), &origin).await?;
    Ok(Go(StatusCode::OK, registered.into()))
}

/// List agents, those that were revoked too.
#[utoipa::path(get, path = "/v1/agents", responses((status = 200)))]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(asked): Params<Asked>,
) -> Result<Go<Agents>, Failure> {
    let mut seen = state.app.agents(&origin).await?;
    if !asked.skill.is_empty() {
        seen.retain(|seen| {
            seen.agent.skills.iter().any(|skill| skill.as_str().eq_ignore_ascii_case(&asked.skill))
        });
    }
    if !asked.team.is_empty() {
        let is_of = |team: &muster_model::Team| team.as_str().eq_ignore_ascii_case(&asked.team);
        seen.retain(|seen| seen.agent.team.as_ref().is_some_and(is_of));
    }
    Ok(Go(StatusCode::OK, Agents { agents: seen.into_iter().map(Agent::from).collect() }))
}

/// Show an agent; one that was revoked with `?revoked=true`.
#[utoipa::path(get, path = "/v1/agents/{nick}", responses((status = 200)), params(("nick" = String, Path)))]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(nick): Named,
    Params(asked): Params<Asked>,
) -> Result<Go<Agent>, Failure> {
    let seen = state.app.agent(&nick, asked.revoked, &origin).await?;
    Ok(Go(StatusCode::OK, seen.into()))
}

/// Change where an agent works and by which model.
#[utoipa::path(patch, path = "/v1/agents/{nick}", responses((status = 204)), params(("nick" = String, Path)))]
pub(super) async fn update<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(nick): Named,
    Json(asked): Json<Update>,
) -> Result<StatusCode, Failure> {
    let (parts, team) = asked.into_parts()?;
    state.app.amend_agent(nick, parts, team, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another passphrase in the place of the one it had.
#[utoipa::path(post, path = "/v1/agents/{nick}/rotate", responses((status = 200)), params(("nick" = String, Path)))]
pub(super) async fn rotate<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(nick): Named,
    Key(key): Key,
) -> Result<Go<Credentials>, Failure> {
    let registered = state.app.rotate_agent(nick, key.as_deref(), &origin).await?;
    Ok(Go(StatusCode::OK, Credentials::of(&registered, server(&state))))
}

/// Revoke an agent: it does not come back before an operator frees its nick.
#[utoipa::path(post, path = "/v1/agents/{nick}/revoke", responses((status = 204)), params(("nick" = String, Path)))]
pub(super) async fn revoke<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(nick): Named,
) -> Result<StatusCode, Failure> {
    state.app.revoke_agent(nick, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End an agent.
#[utoipa::path(delete, path = "/v1/agents/{nick}", responses((status = 204)), params(("nick" = String, Path)))]
pub(super) async fn delete<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(nick): Named,
) -> Result<StatusCode, Failure> {
    state.app.delete_agent(nick, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End several agents. Those that are not there and those out of reach count alike.
#[utoipa::path(post, path = "/v1/agents/bulk-delete", responses((status = 200)))]
pub(super) async fn bulk_delete<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Json(asked): Json<Nicks>,
) -> Result<Go<Deleted>, Failure> {
    let nicks = asked.nicks.unwrap_or_default();
    if nicks.is_empty() || nicks.len() > MAX_NICKS {
        return Err(wrong_field("nicks", "list is required, with at most 1000 entries"));
    }
    let mut counts = Deleted { deleted: 0, failed: 0 };
    for nick in &nicks {
        let ended = match nick.parse::<Nick>() {
            Ok(nick) => state.app.delete_agent(nick, &origin).await,
            Err(_not_a_nick) => Err(Refusal::NotFound { what: "agent" }.into()),
        };
        match ended {
            Ok(()) => counts.deleted += 1,
            Err(Error::Refused(_)) => counts.failed += 1,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Go(StatusCode::OK, counts))
}

/// An agent cannot go on by itself.
#[utoipa::path(post, path = "/v1/agents/{nick}/blocker", responses((status = 204)), params(("nick" = String, Path)))]
pub(super) async fn blocker<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(nick): Named,
    Json(asked): Json<Blocked>,
) -> Result<StatusCode, Failure> {
    if asked.message.is_empty() {
        return Err(wrong_field("message", "is required"));
    }
    let said = match asked.channel.is_empty() {
        true => asked.message,
        false => format!("{}: {}", asked.channel, asked.message),
    };
    state.app.agent_blocked(nick, &said, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An agent is in a channel. The path names it without its `#`.
#[utoipa::path(
    post, path = "/v1/channels/{channel}/presence", responses((status = 204)), params(("channel" = String, Path))
)]
pub(super) async fn presence<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Path(channel): Path<String>,
    Json(asked): Json<Present>,
) -> Result<StatusCode, Failure> {
    let nick = asked.nick.parse().or(Err(Refusal::NotFound { what: "agent" }))?;
    let channel = format!("#{}", channel.trim_start_matches('#'));
    state.app.agent_present(&nick, &channel, &origin).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How it goes.
#[utoipa::path(get, path = "/v1/status", responses((status = 200)))]
pub(super) async fn status<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
) -> Result<Go<Status>, Failure> {
    let agents = state.app.agents(&origin).await?.iter().filter(|seen| !seen.revoked).count();
    let now = state.app.now();
    let seconds = now.duration_since(state.app.started_at()).as_secs();
    let uptime = format!("{}h{}m{}s", seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Relays that were connected before this moment drop everything and register anew. Their keys outlive a start of
    // this server, so this tells when the deployment began.
    let started = state.app.founded_at().await?;
    Ok(Go(StatusCode::OK, Status { status: "ok", uptime, agents, started }))
}
