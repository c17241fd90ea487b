//! Where a start begins: with the identity in the store, with an enrollment that was under way, or with a new key.
//!
//! The key and the request are durable before the first byte goes out, so that a restart repeats the same request by
//! the same key. An identity that ended stays ended until somebody says otherwise.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use muster_agent_core::{Agent, Keys, Patience};
use muster_wire::enroll::{CredentialForm, EnrollRequest};
use serde_json::{Value, json};

use crate::key::MachineKey;
use crate::machine::facts;
use crate::net::{endpoint::Endpoint, trust};
use crate::rotate::Other;
use crate::run::{Joining, Way};
use crate::store::records::{EndedNote, Pending, VERSION, token_name};
use crate::store::slots::Slots;
use crate::store::{Enrolled, Found, Store};
use crate::{AgentError, Signal};

/// What the agent has in hand.
pub(crate) enum Holding {
    /// An enrollment under way.
    Pending {
        pending: Box<Pending>,
        key: Arc<MachineKey>,
        /// The evidence to send; nothing where it is a secret that was not given again.
        evidence: Option<Value>,
    },
    /// A machine.
    Enrolled(Box<Enrolled>),
}

/// The core's state, what the agent has in hand, and what its other slot holds.
pub(crate) type Begun = (Agent, (Holding, Other));

/// Finds out where to begin.
pub(crate) fn begin(
    store: &Store,
    joining: Option<&Joining>,
    patience: Patience,
    now: Timestamp,
    rotate_after: Option<SignedDuration>,
) -> Result<Begun, AgentError> {
    let (agent, holding) = match store.load()? {
        Found::Ended(note) => return Err(over(note, store.path())),
        Found::Enrolled(slots) => return go_on(store, *slots, joining, now, rotate_after),
        Found::Pending(pending, key) => resume(store, pending, key, joining, patience)?,
        Found::Nothing => match joining {
            Some(joining) => start(store, joining, patience, now)?,
            None => return Err(AgentError::NotEnrolled { dir: store.path().to_owned() }),
        },
    };
    Ok((agent.rotating(rotate_after), (holding, Other::default())))
}

fn over(note: EndedNote, dir: &Path) -> AgentError {
    match note.ending.as_str() {
        "rejected" => AgentError::Rejected { reason: note.reason },
        _ => AgentError::Ended { reason: note.ending, dir: dir.to_owned() },
    }
}

/// Goes on as the machine it is. A way in that names another address of the same deployment moves it there: trust
/// stays with the pinned roots, whatever the address.
fn go_on(
    store: &Store,
    mut slots: Slots,
    joining: Option<&Joining>,
    now: Timestamp,
    rotate_after: Option<SignedDuration>,
) -> Result<Begun, AgentError> {
    let identity = &mut slots.present.identity;
    if let Some(joining) = joining
        && !trust::holds(&identity.trust, joining.way.pin())
    {
        return Err(AgentError::OtherServer { url: identity.url.clone() });
    }
    if let Some(url) = joining.map(|joining| joining.way.url()).filter(|url| identity.url != *url) {
        Endpoint::parse(url).map_err(AgentError::config)?;
        identity.url = url.to_owned();
        store.save_standing(identity)?;
    }
    store.put_right(&slots, now);
    let untried = slots.is_untried();
    let (other, open) = Other::of(&mut slots);
    let identity = &slots.present.identity;
    let keys = Keys { made_at: identity.key_made_at(), rotate_after, open, untried };
    let agent = Agent::enrolled(identity.life, identity.standing, keys);
    Ok((agent, (Holding::Enrolled(Box::new(slots.present)), other)))
}

fn start(
    store: &Store,
    joining: &Joining,
    patience: Patience,
    now: Timestamp,
) -> Result<(Agent, Holding), AgentError> {
    let request = describe(joining, String::new())?;
    let key = MachineKey::generate(joining.algorithm).map_err(no_key)?;
    let csr = BASE64.encode(&key.csr().map_err(no_key)?);
    let pending = pending_of(joining, EnrollRequest { csr: Some(csr), ..request.0 }, request.1);
    store.save_key(&key, now)?;
    store.save_pending(&pending)?;
    let evidence = Some(evidence(&joining.way));
    let holding = Holding::Pending { pending: Box::new(pending), key: Arc::new(key), evidence };
    Ok((Agent::new(patience), holding))
}

/// Takes up an enrollment that was under way: the same key always; the same hold unless the way in is another one.
fn resume(
    store: &Store,
    mut pending: Box<Pending>,
    key: Arc<MachineKey>,
    joining: Option<&Joining>,
    patience: Patience,
) -> Result<(Agent, Holding), AgentError> {
    let evidence = match joining {
        None => (pending.token.is_none()).then(|| pending.request.evidence.clone()),
        Some(joining) => {
            if pending.pin != joining.way.pin().to_string() {
                return Err(AgentError::OtherServer { url: pending.url });
            }
            let (request, source) = describe(joining, pending.request.csr.clone().unwrap_or_default())?;
            let mut next = pending_of(joining, request, source);
            next.root = pending.root.take();
            if next.token == pending.token && next.request.method == pending.request.method {
                next.hold = pending.hold.take();
            }
            store.save_pending(&next)?;
            *pending = next;
            Some(evidence(&joining.way))
        }
    };
    let agent = match &pending.hold {
        Some(hold) if patience != Patience::Once => {
            Agent::waiting(patience, hold.id.clone(), hold.poll_after)
        }
        _ => Agent::new(patience),
    };
    if evidence.is_none() && pending.hold.is_none() {
        return Err(AgentError::config(
            "an enrollment was begun by a secret: give that invite, or adopt that client, again",
        ));
    }
    Ok((agent, Holding::Pending { pending, key, evidence }))
}

fn pending_of(joining: &Joining, request: EnrollRequest, signal: Signal) -> Pending {
    let token = match &joining.way {
        Way::Invite(invite) => Some(token_name(invite.token.id())),
        Way::Credential { secret, .. } => Some(token_name(secret.id())),
        Way::Request { .. } => None,
    };
    Pending {
        version: VERSION,
        url: joining.way.url().to_owned(),
        pin: joining.way.pin().to_string(),
        root: None,
        token,
        request,
        hold: None,
        hardware_source: signal.source.to_owned(),
    }
}

/// The request as it may be written down: without the secret of its evidence.
fn describe(joining: &Joining, csr: String) -> Result<(EnrollRequest, Signal), AgentError> {
    Endpoint::parse(joining.way.url()).map_err(AgentError::config)?;
    let signal = joining.hardware.signal(Path::new("/"));
    let mut attributes: BTreeMap<String, String> = facts::attributes(Path::new("/"));
    attributes.insert("hardware_source".into(), signal.source.into());
    attributes.extend(joining.attributes.clone());
    let (method, public) = match &joining.way {
        Way::Invite(_) => ("token", Value::Null),
        Way::Credential { .. } => ("credential", Value::Null),
        Way::Request { .. } => ("request", evidence(&joining.way)),
    };
    let request = EnrollRequest {
        method: method.to_owned(),
        evidence: public,
        csr: Some(csr),
        secret_hash: None,
        credential: CredentialForm::Certificate,
        hardware_id: signal.id.as_ref().map(ToString::to_string),
        hostname: joining.hostname.clone().or_else(facts::hostname),
        kind: joining.kind.as_str().to_owned(),
        attributes,
        previous: None,
    };
    Ok((request, signal))
}

/// What the door of the way in asks for.
fn evidence(way: &Way) -> Value {
    match way {
        Way::Invite(invite) => json!({ "token": invite.token.reveal() }),
        Way::Credential { secret, .. } => json!({ "credential": secret.reveal() }),
        Way::Request { site: Some(site), .. } => json!({ "site": site }),
        Way::Request { site: None, .. } => json!({}),
    }
}

fn no_key(error: rcgen::Error) -> AgentError {
    AgentError::config(format!("this machine cannot make a key: {error}"))
}
