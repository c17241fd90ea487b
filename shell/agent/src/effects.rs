//! Carrying out what the core wants.

use std::sync::Arc;
use std::time::Duration;

use muster_agent_core::{Effect, Ending, Event, Hook, Proof, Standing, Verdict};
use muster_wire::channel::ServerFrame;
use muster_wire::enroll::EnrollRequest;
use muster_wire::invite::CaPin;
use tokio::time::Instant;

use crate::Progress;
use crate::begin::Holding;
use crate::drive::{Driver, Goal, News};
use crate::error::shown;
use crate::links::Which;
use crate::machine::hooks::{self, Job};
use crate::net::{channel, trust};
use crate::rotate::save;
use crate::store::records::EndedNote;

/// How long hooks may still take when the identity ends.
const LAST_HOOKS: Duration = Duration::from_secs(60);

impl Driver {
    /// Carries out one effect; returns the end, if it is one.
    pub(crate) async fn carry_out(&mut self, effect: Effect) -> Option<Ending> {
        if self.setting.goal == Goal::Enroll && is_for_those_who_stay(&effect) {
            return None;
        }
        match effect {
            Effect::Enroll => self.ask(None),
            Effect::Poll { hold } => self.ask(Some(hold)),
            Effect::Renew(proof) => self.renew(proof),
            Effect::Rotate => self.rotate(),
            Effect::TryNext => self.try_next(),
            Effect::TakeNext => self.take_next(),
            Effect::Settle => self.settle(),
            Effect::Confirm => self.confirm(),
            Effect::Forget => self.forget(),
            Effect::Abandon => self.abandon(),
            Effect::Swap => self.swap(),
            Effect::OpenChannel => self.open_channel(),
            Effect::CloseChannel => self.links.close(),
            Effect::Wake { timer, after } => {
                self.timers.insert(timer, Instant::now() + after);
            }
            Effect::Acknowledge(id) => self.links.acknowledge(id),
            Effect::Hook { hook, acknowledge } => self.run_hook(hook, acknowledge),
            Effect::Remember(standing) => self.remember(standing),
            Effect::SetClock(server_time) => self.setting.ports.clock.learn(server_time),
            Effect::SetAside(ending) => self.set_aside(&ending).await,
            Effect::Stop(ending) => return Some(ending),
        }
        None
    }

    /// Sends the enrollment, or asks how its hold stands; finds the pinned root first where it is not known yet.
    pub(crate) fn ask(&mut self, hold: Option<String>) {
        let Holding::Pending { pending, key, evidence } = &self.holding else { return };
        let line = self.line.clone();
        let Some(root) = pending.root.clone() else {
            let Ok(pin) = pending.pin.parse::<CaPin>() else { return };
            self.tasks.spawn(async move {
                match trust::pinned_root(&line.ports, &line.endpoint, pin).await {
                    Ok(root) => News::Root(root),
                    Err(verdict) => News::Enrollment(Err(verdict)),
                }
            });
            return;
        };
        let Some(evidence) = evidence.clone().or_else(|| hold.as_ref().map(|_| serde_json::Value::Null))
        else {
            self.tasks.spawn(async { News::Enrollment(Err(invite_needed())) });
            return;
        };
        let request = EnrollRequest { evidence, ..pending.request.clone() };
        let key = Arc::clone(key);
        self.tasks.spawn(async move {
            News::Enrollment(match hold {
                Some(hold) => line.poll(&root, &hold, &key).await,
                None => line.enroll(&root, &request).await,
            })
        });
    }

    fn renew(&mut self, proof: Proof) {
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        let (line, enrolled) = (self.line.clone(), enrolled.clone());
        let by = enrolled.key.fingerprint();
        self.tasks.spawn(async move { News::Renewal(by, line.renew(&enrolled, proof).await) });
    }

    fn open_channel(&mut self) {
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        let (line, enrolled) = (self.line.clone(), enrolled.clone());
        let (ear, acknowledged) = self.links.open(Which::Present);
        let number = ear.number;
        self.tasks.spawn(async move {
            News::Channel(number, channel::hold(line, *enrolled, ear, acknowledged).await)
        });
    }

    fn run_hook(&mut self, hook: Hook, acknowledge: Option<u64>) {
        if let Some(progress) = self.progress_of(hook) {
            self.tell(progress);
        }
        let (Holding::Enrolled(enrolled), Some(dir)) = (&self.holding, &self.setting.hooks_dir) else {
            return acknowledge.into_iter().for_each(|id| self.links.acknowledge(id));
        };
        match hooks::check(dir, hook) {
            Ok(Some(program)) => {
                let environment = hooks::environment(hook, enrolled, self.store.path());
                self.hooks.push(Job { program, environment, acknowledge });
            }
            Ok(None) => acknowledge.into_iter().for_each(|id| self.links.acknowledge(id)),
            Err(error) => {
                tracing::error!(%error, "the hook is not run");
                acknowledge.into_iter().for_each(|id| self.links.acknowledge(id));
            }
        }
    }

    fn progress_of(&self, hook: Hook) -> Option<Progress> {
        let Holding::Enrolled(enrolled) = &self.holding else { return None };
        let identity = &enrolled.identity;
        tracing::info!(machine = %shown(&identity.machine.id), event = hook.as_str(), "the machine changed");
        match hook {
            Hook::Enrolled => Some(Progress::Enrolled { machine: identity.machine.clone() }),
            Hook::Renewed => Some(Progress::Renewed { not_after: identity.life.not_after }),
            Hook::Suspended => Some(Progress::Standing(Standing::Suspended)),
            Hook::Resumed => Some(Progress::Standing(Standing::Active)),
            Hook::Retired => None,
        }
    }

    fn remember(&mut self, standing: Standing) {
        let Holding::Enrolled(enrolled) = &mut self.holding else { return };
        enrolled.identity.standing = standing;
        if let Err(error) = save(&self.store, enrolled) {
            tracing::error!(%error, "how the machine stands cannot be noted; the next hello says it again");
        }
    }

    /// Lets the hooks end, which may need the files, then sets these aside. Where the disk refuses, the identity is
    /// over all the same: the next start asks, and is told again.
    async fn set_aside(&mut self, ending: &Ending) {
        match tokio::time::timeout(LAST_HOOKS, self.hooks.drain()).await {
            Ok(orders) => orders.into_iter().for_each(|id| self.links.acknowledge(id)),
            Err(_) => tracing::error!("the last hooks took too long"),
        }
        let note = EndedNote::new(ending, self.setting.ports.clock.now());
        match self.store.end(ending, note) {
            Ok(()) => {
                tracing::warn!(ending = ending.as_str(), "the identity ended; its files are kept aside");
            }
            Err(error) => tracing::error!(%error, "the files of the ended identity cannot be set aside"),
        }
    }

    pub(crate) fn understand(&mut self, number: u32, frame: ServerFrame) -> Option<Event> {
        match self.links.which(number)? {
            Which::Present => self.understand_present(frame),
            Which::Beside => self.understand_next(frame),
        }
    }

    fn understand_present(&mut self, frame: ServerFrame) -> Option<Event> {
        match frame {
            ServerFrame::Hello { machine, state, server_time } => {
                if !self.is_me(&machine) {
                    tracing::error!(machine = %shown(&machine), "the server takes us for another machine");
                    self.links.hang_up(Which::Present);
                    return None;
                }
                self.setting.ports.clock.learn(server_time);
                Some(Event::ChannelOpened { standing: Standing::from_wire(&state) })
            }
            ServerFrame::Trust { trust } => {
                self.keep_trust(trust);
                None
            }
            ServerFrame::Order { id, order, reason } => {
                let reason = reason.as_deref().map(shown);
                tracing::info!(id, ?order, reason, "the server orders");
                Some(Event::Ordered { id, order })
            }
        }
    }

    fn is_me(&self, machine: &str) -> bool {
        matches!(&self.holding, Holding::Enrolled(enrolled) if enrolled.identity.machine.id == machine)
    }
}

/// What somebody does not need who only wants to be enrolled.
fn is_for_those_who_stay(effect: &Effect) -> bool {
    matches!(effect, Effect::OpenChannel | Effect::Renew(_) | Effect::Rotate)
}

fn invite_needed() -> Verdict {
    Verdict::Refused {
        code: "invite_needed".into(),
        detail: "the hold ended and the token is not kept on disk.".into(),
        help: "Give the invite again.".into(),
    }
}
