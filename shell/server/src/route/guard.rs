//! Before a handler runs: who calls, and may they do this?

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Once;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};
use muster_app::Store;
use muster_app::{Action, Caller, Error, Origin, SignedCall};
use muster_model::Refusal;
use muster_wire::rotate::{SLOT_HEADER, Slot};
use muster_wire::signature::{HEADER, SignedHeader, SignedRequest};
use sha2::{Digest, Sha256};

use super::wrap::AsPage;
use super::{Entrance, Known};
use crate::limits::{Source, read_body, source_of};
use crate::problem::{Failure, Unreadable};
use crate::serve::{Peer, Since, Transport};
use crate::state::ServerState;

/// Name of the browser session's cookie. The prefix makes browsers hold it to this host and to TLS (RFC 6265bis).
pub(crate) const COOKIE: &str = "__Host-muster-session";

/// What a page of ours shows beside the cookie.
const CSRF: &str = "muster-csrf";

/// Where whoever has no certificate yet asks for one.
const ENROLL: &str = "/v1/enroll";

/// How existing clients show a session token.
const HOST_TOKEN: &str = "x-host-token";

/// Asks who calls and whether they may, before anything else happens.
pub(crate) async fn guard<S: Store>(
    State((state, entrance)): State<(ServerState<S>, Entrance)>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match admitted(&state, entrance, request).await {
        Ok(request) => next.run(request).await,
        Err(response) => *response,
    };
    if entrance.known == Known::BySession {
        response.extensions_mut().insert(AsPage);
    }
    response
}

async fn admitted<S: Store>(
    state: &ServerState<S>,
    entrance: Entrance,
    request: Request,
) -> Result<Request, Box<Response>> {
    let action = entrance.action;
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned().ok_or_else(no_peer)?;
    if is_of_before(state, &parts, &peer) {
        let mut response = Failure::from(Error::Restored).into_response();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Err(Box::new(response));
    }
    let source = counted(state, &peer, &parts.headers);
    let anonymous = Origin { caller: Caller::Anonymous, source };
    let (caller, body) = match action {
        Action::Public => {
            if entrance.known != Known::InBody {
                slow_down(state, &peer, &anonymous).await?;
            }
            if let Err(refusal) = no_foreign_cookie(&parts) {
                return Err(refused(state, &anonymous, refusal).await);
            }
            (Caller::Anonymous, body)
        }
        Action::SelfBeat if parts.headers.contains_key(HOST_TOKEN) => {
            (by_session(state, &parts, &peer, &anonymous).await?, body)
        }
        _ if entrance.known == Known::BySession => (by_cookie(state, &parts, &peer, &anonymous).await?, body),
        _ => authenticated(state, &parts, body, &peer, &anonymous).await?,
    };
    let origin = Origin { caller, source };
    if let Err(refusal) = action.permit(&origin.caller) {
        return Err(refused(state, &origin, refusal).await);
    }
    parts.extensions.insert(origin);
    Ok(Request::from_parts(parts, body))
}

/// Whether a machine asks for itself over a connection of before an older database was accepted. What is late there may be
/// of before, too: a certificate that it leads to would be newer than what the machine has got since and the database forgot.
fn is_of_before<S: Store>(state: &ServerState<S>, parts: &Parts, peer: &Peer) -> bool {
    let is_machine = peer.certificate().is_some() || parts.uri.path() == ENROLL;
    let since = parts.extensions.get::<Since>().filter(|_| is_machine);
    since.is_some_and(|Since(accepted)| *accepted != state.app.acceptance().last())
}

/// The machine that shows a session token.
async fn by_session<S: Store>(
    state: &ServerState<S>,
    parts: &Parts,
    peer: &Peer,
    anonymous: &Origin,
) -> Result<Caller, Box<Response>> {
    let token = parts.headers.get(HOST_TOKEN).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match state.app.by_session(token, anonymous).await {
        Ok(caller) => Ok(caller),
        Err(error) => Err(failed(state, peer, anonymous, error).await),
    }
}

/// Whoever opens a page: by the session of a browser and by nothing else. A certificate is as ambient as a cookie, and is
/// bound to no page of ours.
async fn by_cookie<S: Store>(
    state: &ServerState<S>,
    parts: &Parts,
    peer: &Peer,
    anonymous: &Origin,
) -> Result<Caller, Box<Response>> {
    let Some(secret) = session(&parts.headers) else {
        slow_down(state, peer, anonymous).await?;
        return Ok(Caller::Anonymous);
    };
    match state.app.by_secret(secret).await {
        Ok(caller) => Ok(caller),
        Err(error) => Err(failed(state, peer, anonymous, error).await),
    }
}

/// What somebody costs whose proof did not hold.
///
/// # Errors
/// The answer to one who has tried too often.
pub(crate) async fn pay<S: Store>(
    state: &ServerState<S>,
    parts: &Parts,
    origin: &Origin,
) -> Result<(), Box<Response>> {
    let peer = parts.extensions.get::<Peer>().cloned().ok_or_else(no_peer)?;
    slow_down(state, &peer, origin).await
}

/// Whoever has shown something is authenticated by it; the body is read first where a signature covers it.
async fn authenticated<S: Store>(
    state: &ServerState<S>,
    parts: &Parts,
    body: Body,
    peer: &Peer,
    anonymous: &Origin,
) -> Result<(Caller, Body), Box<Response>> {
    let shown = match shown(parts, peer) {
        Ok(shown) => shown,
        Err(refusal) => return Err(refused(state, anonymous, refusal).await),
    };
    let result = match shown {
        Shown::Nothing => {
            slow_down(state, peer, anonymous).await?;
            Ok(Caller::Anonymous)
        }
        Shown::LocalUser(uid) => Ok(local(state, uid)),
        Shown::Certificate(der) => match slot(&parts.headers) {
            Ok(slot) => state.app.by_certificate(&der, slot.as_ref()).await,
            Err(refusal) => Err(refusal.into()),
        },
        Shown::Secret(secret) => state.app.by_secret(&secret).await,
        Shown::Session(secret) => match state.app.by_secret(&secret).await {
            Ok(_) if !is_of_our_page(state, parts, &secret) => Err(cross_origin().into()),
            known => known,
        },
        Shown::Signature(header) => {
            // A body is read for whoever has a nonce of ours, whatever key is named.
            if let Err(error) = state.app.plausible(&header) {
                return Err(failed(state, peer, anonymous, error).await);
            }
            let limits = &state.shared.config.body;
            let bytes = read_body(parts, body, limits).await.map_err(|error| boxed(Unreadable(error)))?;
            let call = SignedCall { header: &header, request: stated(parts, &bytes) };
            let caller = state.app.by_signature(&call, anonymous).await;
            return match caller {
                Ok(caller) => Ok((caller, Body::from(bytes))),
                Err(error) => Err(failed(state, peer, anonymous, error).await),
            };
        }
    };
    match result {
        Ok(caller) => Ok((caller, body)),
        Err(error) => Err(failed(state, peer, anonymous, error).await),
    }
}

/// What a caller has shown. One thing counts, in this order; a certificate that TLS verified comes first.
enum Shown {
    Certificate(Vec<u8>),
    LocalUser(u32),
    Signature(Box<SignedHeader>),
    Secret(String),
    Session(String),
    Nothing,
}

fn shown(parts: &Parts, peer: &Peer) -> Result<Shown, Refusal> {
    if let Some(certificate) = peer.certificate() {
        return Ok(Shown::Certificate(certificate.to_vec()));
    }
    if let Some(header) = signed_header(&parts.headers)? {
        return Ok(Shown::Signature(Box::new(header)));
    }
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let secret = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        return Ok(Shown::Secret(secret.to_owned()));
    }
    if let Some(session) = session(&parts.headers) {
        same_origin(parts)?;
        return Ok(Shown::Session(session.to_owned()));
    }
    match &peer.transport {
        Transport::Unix { uid, .. } => Ok(Shown::LocalUser(*uid)),
        Transport::Tls { .. } | Transport::Plain => Ok(Shown::Nothing),
    }
}

/// The signed request header, if there is one.
pub(crate) fn signed_header(headers: &HeaderMap) -> Result<Option<SignedHeader>, Refusal> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or(Refusal::NotAuthenticated { cause: "signature_form" })
}

/// What a machine says of its slots beside its certificate, if it does.
fn slot(headers: &HeaderMap) -> Result<Option<Slot>, Refusal> {
    let Some(value) = headers.get(SLOT_HEADER) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or(Refusal::NotAuthenticated { cause: "slot_form" })
}

/// The secret that a caller shows as a bearer (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// What a signature must have been made over.
pub(crate) fn stated<'a>(parts: &'a Parts, body: &[u8]) -> SignedRequest<'a> {
    SignedRequest {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        body_sha256: Sha256::digest(body).into(),
    }
}

/// The secret of a browser session.
pub(crate) fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// A cookie is ambient: a change needs proof that our own page asked for it. This is what the browser says.
fn same_origin(parts: &Parts) -> Result<(), Refusal> {
    let site = parts.headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    match (&parts.method, site) {
        (&Method::GET | &Method::HEAD, _) | (_, Some("same-origin")) => Ok(()),
        _ => Err(cross_origin()),
    }
}

/// A page of another origin logs nobody in: they would work, unawares, as somebody else. Programs that are no browser say
/// neither.
///
/// # Errors
/// [`Refusal::Forbidden`] for a page that is none of ours.
pub(crate) fn of_our_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get("sec-fetch-site") {
        Some(site) if site == "same-origin" => Ok(()),
        None if !headers.contains_key(header::ORIGIN) => Ok(()),
        _ => Err(cross_origin()),
    }
}

/// And this is what only our page could read.
fn is_of_our_page<S: Store>(state: &ServerState<S>, parts: &Parts, session: &str) -> bool {
    let shown = parts.headers.get(CSRF).and_then(|value| value.to_str().ok());
    matches!(parts.method, Method::GET | Method::HEAD) || shown == Some(&state.app.csrf(session))
}

fn cross_origin() -> Refusal {
    Refusal::Forbidden { action: "cross_origin" }
}

/// What anybody may ask can still act on the session of whoever sends it along: closing it, for one.
fn no_foreign_cookie(parts: &Parts) -> Result<(), Refusal> {
    session(&parts.headers).map_or(Ok(()), |_session| same_origin(parts))
}

/// Root and the server's own user are admin on the server's own host; anybody else there has shown nothing.
fn local<S: Store>(state: &ServerState<S>, uid: u32) -> Caller {
    let config = &state.shared.config;
    if uid == 0 || uid == config.own_uid { state.app.local_admin(config.admin) } else { Caller::Anonymous }
}

fn counted<S>(state: &ServerState<S>, peer: &Peer, headers: &HeaderMap) -> Option<IpAddr> {
    let proxies = &state.shared.config.trusted_proxies;
    let source = match source_of(peer, headers, proxies) {
        Source::Address(address) => Some(address),
        Source::Local => None,
    };
    // Whoever comes through such a proxy seems to be this host, and is counted as little as it can be.
    if source.is_some_and(|address| is_loopback(&address)) && headers.contains_key("x-forwarded-for") {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            tracing::warn!("requests come through a proxy on this host that is not among trusted_proxies");
        });
    }
    source
}

/// Work for callers who have shown nothing is bounded by source. Loopback is the host itself, or a proxy that should
/// have been configured: bounding it would let one caller lock out the others.
async fn slow_down<S: Store>(
    state: &ServerState<S>,
    peer: &Peer,
    anonymous: &Origin,
) -> Result<(), Box<Response>> {
    let Some(address) = anonymous.source.filter(|address| !is_loopback(address)) else { return Ok(()) };
    if matches!(peer.transport, Transport::Unix { .. }) {
        return Ok(());
    }
    match state.shared.anonymous.check(&crate::limits::Bucket::of(address)) {
        Ok(()) => Ok(()),
        Err(wait) => {
            let retry_after = u32::try_from(wait.seconds).unwrap_or(u32::MAX);
            Err(refused(state, anonymous, Refusal::SlowDown { retry_after }).await)
        }
    }
}

pub(crate) fn is_loopback(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4: Ipv4Addr| v4.is_loopback())
        }
    }
}

/// Whoever shows something that does not hold pays like somebody who shows nothing, and past the bound loses the
/// connection as well. What does hold is never refused for what others try.
async fn failed<S: Store>(
    state: &ServerState<S>,
    peer: &Peer,
    origin: &Origin,
    error: Error,
) -> Box<Response> {
    match error {
        Error::Refused(refusal) => match slow_down(state, peer, origin).await {
            Ok(()) => refused(state, origin, refusal).await,
            Err(mut slower) => {
                slower.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                slower
            }
        },
        other => boxed(Failure::from(other)),
    }
}

async fn refused<S: Store>(state: &ServerState<S>, origin: &Origin, refusal: Refusal) -> Box<Response> {
    state.app.tell_refusal(origin, "request.authorize", &refusal).await;
    boxed(Failure::from(refusal))
}

fn no_peer() -> Box<Response> {
    boxed(Failure::from(Refusal::NotAuthenticated { cause: "no_peer" }))
}

fn boxed(response: impl IntoResponse) -> Box<Response> {
    Box::new(response.into_response())
}
