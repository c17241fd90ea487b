//! What open pages are told: that something has changed, and what. They read it again themselves, as who they are.
//!
//! One look at the audit log serves every page of a tenant, however many are open. A page learns no more than what kind of thing
//! changed and its identifier, and each stream ends with its session.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use http::HeaderMap;
use muster_app::{Error, Origin, Store};
use muster_model::TenantId;
use muster_wire::audit::{AuditEntry, AuditQuery};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::problem::Failure;
use crate::route::{Params, session};
use crate::serve::Draining;
use crate::state::ServerState;

/// How often the log is looked at while somebody has a page open.
const LOOK: Duration = Duration::from_millis(500);
/// How often a stream asks whether its session still counts, beside every change of who may do what.
const RECHECK: Duration = Duration::from_secs(4);
/// Changes that a slow page may be behind. It is told to look at everything then.
const BEHIND: usize = 64;
/// Entries that are told one by one: what comes in a greater rush is told as a whole.
const RUSH: u32 = 200;

/// What has changed since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct News {
    /// Names of events: a kind of thing, or an identifier.
    topics: BTreeSet<String>,
    /// How many holds wait.
    waiting: Option<u64>,
}

/// Whoever has pages open, by tenant.
#[derive(Debug, Default)]
pub struct Feed(Mutex<HashMap<TenantId, Watched>>);

/// A tenant of which somebody has a page open.
#[derive(Debug)]
struct Watched {
    sender: Sender<Arc<News>>,
    /// As whom the log is read: it is the log of the tenant, whoever asks.
    origin: Origin,
    /// The place in the log up to which everything was told.
    told: u64,
    /// How many machines held a channel.
    online: u64,
}

impl Feed {
    fn subscribe(&self, tenant: TenantId, origin: &Origin, after: u64) -> Receiver<Arc<News>> {
        let mut watched = self.lock();
        let new = || Watched { sender: channel(BEHIND).0, origin: origin.clone(), told: after, online: 0 };
        watched.entry(tenant).or_insert_with(new).sender.subscribe()
    }

    /// Those of whom a page is open, with where each stands. The others are forgotten.
    fn open(&self) -> Vec<(TenantId, Origin, u64, u64)> {
        let mut watched = self.lock();
        watched.retain(|_, one| one.sender.receiver_count() > 0);
        watched.iter().map(|(tenant, one)| (*tenant, one.origin.clone(), one.told, one.online)).collect()
    }

    fn tell(&self, tenant: TenantId, told: u64, online: u64, news: News) {
        if let Some(one) = self.lock().get_mut(&tenant) {
            (one.told, one.online) = (told, online);
            if news != News::default() {
                // Nobody is left to hear it where this fails, and the next look forgets them.
                one.sender.send(Arc::new(news)).ok();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the log for whoever has pages open, until the server ends.
pub async fn follow<S: Store>(state: ServerState<S>, mut draining: Draining) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = draining.started() => break,
            _ = ticks.tick() => look(&state).await,
        }
    }
}

/// One look, for every tenant of whom a page is open. What cannot be read now is told with the next one.
pub async fn look<S: Store>(state: &ServerState<S>) {
    for (tenant, origin, told, online) in state.shared.feed.open() {
        match news(state, &origin, told, online).await {
            Ok((told, online, news)) => state.shared.feed.tell(tenant, told, online, news),
            Err(error) => tracing::debug!(%error, "open pages are told later"),
        }
    }
}

async fn news<S: Store>(
    state: &ServerState<S>,
    origin: &Origin,
    told: u64,
    online: u64,
) -> Result<(u64, u64, News), Error> {
    let (newest, mut topics) = since(state, origin, told).await?;
    let present = state.app.online();
    if present != online {
        topics.insert("machines".to_owned());
    }
    let waiting = match topics.contains("holds") {
        true => Some(state.app.holds_waiting(origin).await?),
        false => None,
    };
    Ok((newest, present, News { topics, waiting }))
}

/// What the log tells after a place, and the place that it ends at.
async fn since<S: Store>(
    state: &ServerState<S>,
    origin: &Origin,
    told: u64,
) -> Result<(u64, BTreeSet<String>), Error> {
    let log = AuditQuery { after: Some(told), limit: Some(RUSH), ..AuditQuery::default() };
    let entries = state.app.audit(&log, origin).await?.items;
    let mut topics = BTreeSet::new();
    entries.iter().for_each(|entry| about(entry, &mut topics));
    Ok((entries.last().map_or(told, |entry| entry.seq), topics))
}

/// What an entry of the log is about.
fn about(entry: &AuditEntry, topics: &mut BTreeSet<String>) {
    topics.insert("audit".to_owned());
    if ["alarm", "calm", "acknowledged"].contains(&entry.reason.as_str()) {
        topics.insert("alarms".to_owned());
    }
    let kind = match entry.object.split('_').next() {
        Some("mch") => "machines",
        Some("hld") => "holds",
        Some("gnt") => "grants",
        Some("tok" | "usr") => "access",
        _ => return,
    };
    topics.insert(kind.to_owned());
    topics.insert(entry.object.clone());
    // Whoever comes in by a hold is told of as a machine, and the other way round.
    topics.extend(entry.detail.get("machine").cloned());
    if entry.action.starts_with("hold.") || entry.action == "machine.enroll" {
        topics.extend(["holds".to_owned(), "machines".to_owned()]);
    }
}

/// What a page hears of, until its session ends.
struct Listener<S> {
    state: ServerState<S>,
    session: String,
    news: Receiver<Arc<News>>,
    draining: Draining,
    waiting: Vec<Event>,
    over: bool,
}

/// Since when a page is open.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Open {
    after: u64,
}

/// Tells an open page what changes. What did between its making and now comes first.
pub(super) async fn events<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Extension(draining): Extension<Draining>,
    headers: HeaderMap,
    Params(Open { after }): Params<Open>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    let news = state.shared.feed.subscribe(origin.caller.operator()?.tenant, &origin, after);
    let (_, topics) = since(&state, &origin, after).await?;
    let waiting = topics.iter().map(|topic| event(topic)).collect();
    let session = session(&headers).unwrap_or_default().to_owned();
    let stream = Listener { state, session, news, draining, waiting, over: false };
    Ok(Sse::new(unfold(stream, next)).keep_alive(KeepAlive::default()))
}

async fn next<S: Store>(mut stream: Listener<S>) -> Option<(Result<Event, Infallible>, Listener<S>)> {
    loop {
        if let Some(event) = stream.waiting.pop() {
            return Some((Ok(event), stream));
        }
        if stream.over {
            return None;
        }
        stream.listen().await;
    }
}

impl<S: Store> Listener<S> {
    /// Waits for the next thing to tell.
    async fn listen(&mut self) {
        let heard = tokio::select! {
            _ = self.draining.started() => {
                self.over = true;
                return;
            }
            heard = timeout(RECHECK, self.news.recv()) => heard,
        };
        match heard {
            Ok(Ok(news)) if news.topics.contains("access") => self.recheck().await,
            Ok(Ok(news)) => self.waiting = told(&news),
            Ok(Err(RecvError::Lagged(_))) => self.waiting = ["holds", "machines", "audit"].map(event).into(),
            Ok(Err(RecvError::Closed)) => self.over = true,
            Err(_nothing_for_long) => self.recheck().await,
        }
    }

    /// A session that ended takes its streams with it.
    async fn recheck(&mut self) {
        if let Err(Error::Refused(_)) = self.state.app.by_secret(&self.session).await {
            self.waiting = vec![event("ended")];
            self.over = true;
        }
    }
}

fn told(news: &News) -> Vec<Event> {
    let waiting = news.waiting.map(|count| Event::default().event("waiting").data(count.to_string()));
    news.topics.iter().map(|topic| event(topic)).chain(waiting).collect()
}

fn event(topic: &str) -> Event {
    Event::default().event(topic).data("")
}
