//! The loop: what happened goes into the core, what the core wants is carried out.
//!
//! Requests, the channels and hooks run beside the loop, at most one of each kind; files are written here, in order,
//! before the core hears that something is so. What comes back to a key that is not shown any more is dropped.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_agent_core::{Agent, Ending, Event, State, Timer, Verdict};
use muster_model::KeyFingerprint;
use muster_wire::channel::ServerFrame;
use muster_wire::enroll::{EnrollAnswer, Renewed};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::begin::Holding;
use crate::error::shown;
use crate::links::Links;
use crate::machine::hooks::Queue;
use crate::net::calls::Line;
use crate::net::endpoint::Endpoint;
use crate::net::sign::Signer;
use crate::ports::Ports;
use crate::progress::Observer;
use crate::rotate::Other;
use crate::status::Report;
use crate::store::Store;
use crate::{AgentError, Progress};

/// How long the end waits for its last acknowledgement to go out.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a drive is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// To be enrolled.
    Enroll,
    /// To serve until told otherwise.
    Serve,
}

/// How a drive ended.
#[derive(Debug)]
pub(crate) enum Finish {
    /// It was told to stop.
    Told,
    /// The machine is enrolled, and that was the goal.
    Enrolled,
    /// The core stopped.
    Ended(Ending),
}

/// What a drive works with.
pub(crate) struct Setting {
    pub(crate) ports: Ports,
    pub(crate) hooks_dir: Option<PathBuf>,
    pub(crate) goal: Goal,
}

/// The loop and everything it holds.
pub(crate) struct Driver {
    pub(crate) setting: Setting,
    pub(crate) store: Store,
    pub(crate) line: Line,
    pub(crate) holding: Holding,
    pub(crate) tasks: JoinSet<News>,
    pub(crate) timers: BTreeMap<Timer, Instant>,
    pub(crate) hooks: Queue,
    pub(crate) links: Links,
    /// What the slot holds that is not shown.
    pub(crate) other: Other,
    /// What came of effects that are done at once.
    pub(crate) soon: VecDeque<Event>,
    pub(crate) report: Report,
    agent: Agent,
    observer: Observer,
}

/// What a task brings back.
pub(crate) enum News {
    /// The answer to enrolling or polling.
    Enrollment(Result<EnrollAnswer, Verdict>),
    /// The root that the pin names; the enrollment may go on.
    Root(String),
    /// The answer to renewing, to this key.
    Renewal(KeyFingerprint, Result<Renewed, Verdict>),
    /// The answer to proposing the next key, to the one that vouches for it.
    Rotation(KeyFingerprint, Result<Renewed, Verdict>),
    /// Whether the server has heard that this key is the durable one.
    Confirmation(KeyFingerprint, Result<(), Verdict>),
    /// The channel of this number is lost.
    Channel(u32, Verdict),
}

enum Next {
    Stop,
    Heard(u32, ServerFrame),
    Done(Result<News, JoinError>),
    HookDone(u64),
    Due(Timer),
}

impl Driver {
    pub(crate) fn new(
        setting: Setting,
        store: Store,
        agent: Agent,
        (holding, other): (Holding, Other),
        observer: Observer,
    ) -> Result<Self, AgentError> {
        let url = match &holding {
            Holding::Pending { pending, .. } => &pending.url,
            Holding::Enrolled(enrolled) => &enrolled.identity.url,
        };
        let endpoint = Endpoint::parse(url).map_err(AgentError::config)?;
        let line = Line { ports: setting.ports.clone(), endpoint, signer: Arc::new(Signer::new()?) };
        Ok(Self {
            setting,
            store,
            line,
            holding,
            tasks: JoinSet::new(),
            timers: BTreeMap::new(),
            hooks: Queue::new(),
            links: Links::new(),
            other,
            soon: VecDeque::new(),
            report: Report::default(),
            agent,
            observer,
        })
    }

    pub(crate) fn holding(&self) -> &Holding {
        &self.holding
    }

    /// Goes on until it is told to stop, reaches its goal, or the core stops.
    pub(crate) async fn drive(&mut self, mut shutdown: watch::Receiver<bool>) -> Result<Finish, AgentError> {
        self.tell_of_a_known_hold();
        if let Some(finish) = self.step(Event::Started).await {
            return Ok(finish);
        }
        loop {
            if let Some(event) = self.soon.pop_front() {
                if let Some(finish) = self.step(event).await {
                    return Ok(finish);
                }
                continue;
            }
            let event = match self.next(&mut shutdown).await {
                Next::Stop => {
                    tracing::info!("the agent stops as told");
                    return Ok(Finish::Told);
                }
                Next::Heard(number, frame) => self.understand(number, frame),
                Next::Done(Ok(news)) => self.take(news)?,
                Next::Done(Err(error)) => {
                    return Err(AgentError::config(format!("the agent broke: {error}")));
                }
                Next::HookDone(id) => {
                    self.links.acknowledge(id);
                    None
                }
                Next::Due(timer) => {
                    self.timers.remove(&timer);
                    Some(Event::Due(timer))
                }
            };
            if let Some(event) = event
                && let Some(finish) = self.step(event).await
            {
                return Ok(finish);
            }
        }
    }

    async fn next(&mut self, shutdown: &mut watch::Receiver<bool>) -> Next {
        let timer = self.timers.iter().min_by_key(|(_, at)| **at).map(|(timer, at)| (*timer, *at));
        let due = async {
            match timer {
                Some((timer, at)) => {
                    sleep_until(at).await;
                    timer
                }
                None => std::future::pending().await,
            }
        };
        // In this order: what a channel said before it was lost counts before its loss.
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => Next::Stop,
            Some((number, frame)) = self.links.heard.recv() => Next::Heard(number, frame),
            Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => Next::Done(done),
            id = self.hooks.finished() => Next::HookDone(id),
            timer = due => Next::Due(timer),
        }
    }

    async fn step(&mut self, event: Event) -> Option<Finish> {
        self.note(&event);
        let fresh = self.setting.ports.fresh();
        let effects = self.agent.step(event, &fresh);
        let mut finish = None;
        for effect in effects {
            if let Some(ending) = self.carry_out(effect).await {
                finish = Some(Finish::Ended(ending));
            }
        }
        self.save_report();
        if finish.is_some() {
            self.say_the_last_word().await;
        }
        if finish.is_none() && self.is_goal_reached() {
            self.hooks.drain().await;
            return Some(Finish::Enrolled);
        }
        finish
    }

    /// Lets the channel send what was acknowledged; a server that does not take it has no say in the end.
    async fn say_the_last_word(&mut self) {
        self.links.close();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORD, rest).await.is_err() {
            tracing::debug!("something was still under way at the end");
        }
    }

    fn is_goal_reached(&self) -> bool {
        self.setting.goal == Goal::Enroll && matches!(self.agent.state(), State::Running(_))
    }

    pub(crate) fn state(&self) -> &State {
        self.agent.state()
    }

    pub(crate) fn tell(&mut self, progress: Progress) {
        (self.observer)(progress);
    }

    /// Notes what a person who asks for the status wants to know.
    fn note(&mut self, event: &Event) {
        let now = self.setting.ports.clock.now();
        match event {
            Event::EnrollFailed(verdict)
            | Event::RenewFailed(verdict)
            | Event::RotateFailed(verdict)
            | Event::NextClosed(verdict)
            | Event::SettleFailed(verdict)
            | Event::ConfirmFailed(verdict)
            | Event::ChannelClosed(verdict) => {
                let what = shown(&verdict.to_string());
                tracing::warn!(problem = %what, "will be tried again unless it ended this machine");
                self.report.failed(now, &what);
                self.tell(Progress::Trouble { what });
                if matches!(event, Event::ChannelClosed(_)) {
                    self.tell(Progress::Offline);
                }
            }
            Event::Enrolled { .. }
            | Event::Held { .. }
            | Event::Renewed(_)
            | Event::Certified
            | Event::Confirmed
            | Event::Ordered { .. } => {
                self.report.heard(now);
            }
            Event::ChannelOpened { .. } => {
                self.report.heard(now);
                tracing::info!("the channel is open");
                self.tell(Progress::Online);
            }
            Event::NextOpened { .. } => {
                self.report.heard(now);
                if !matches!(self.state(), State::Running(running) if running.is_up()) {
                    self.tell(Progress::Online);
                }
            }
            Event::Started | Event::Due(_) | Event::Settled | Event::Forgotten | Event::Swapped(_) => {}
        }
    }

    fn save_report(&mut self) {
        let skew = self.setting.ports.clock.skew_seconds();
        if self.report.changed(self.agent.state(), skew)
            && let Err(error) = self.store.save_status(&self.report)
        {
            tracing::warn!(%error, "the status file cannot be written");
        }
        crate::notify::status(self.report.summary());
    }
}
