//! Carrying out what the core wants, and making what came back durable before the core hears of it.

use std::time::Duration;

use jiff::Timestamp;
use muster_agent_core::{Effect, Ending, Event, Hook, Life, Proof, Standing, Verdict};
use muster_wire::channel::ServerFrame;
use muster_wire::enroll::{
    EnrollAnswer, EnrollRequest, Enrolled as EnrolledAnswer, Held, IssuedCredential, Renewed,
};
use muster_wire::invite::CaPin;
use muster_wire::trust::Trust;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::begin::Holding;
use crate::drive::{Driver, Goal, News};
use crate::error::shown;
use crate::key::MachineKey;
use crate::machine::hooks::{self, Job};
use crate::net::{channel, trust};
use crate::store::records::{EndedNote, Identity, PendingHold, Slot, VERSION};
use crate::store::{Enrolled, is_for, parse_chain};
use crate::{AgentError, Progress};

/// How long hooks may still take when the identity ends.
const LAST_HOOKS: Duration = Duration::from_secs(60);

impl Driver {
    /// Carries out one effect; returns the end, if it is one.
    pub(crate) async fn carry_out(&mut self, effect: Effect) -> Option<Ending> {
        if self.setting.goal == Goal::Enroll && matches!(effect, Effect::OpenChannel | Effect::Renew(_)) {
            return None;
        }
        match effect {
            Effect::Enroll => self.ask(None),
            Effect::Poll { hold } => self.ask(Some(hold)),
            Effect::Renew(proof) => self.renew(proof),
            Effect::OpenChannel => self.open_channel(),
            Effect::CloseChannel => self.acknowledge = None,
            Effect::Wake { timer, after } => {
                self.timers.insert(timer, Instant::now() + after);
            }
            Effect::Acknowledge(id) => self.send_acknowledgement(id),
            Effect::Hook { hook, acknowledge } => self.run_hook(hook, acknowledge),
            Effect::Remember(standing) => self.remember(standing),
            Effect::SetClock(server_time) => self.setting.ports.clock.learn(server_time),
            Effect::SetAside(ending) => self.set_aside(&ending).await,
            Effect::Stop(ending) => return Some(ending),
        }
        None
    }

    /// Sends the enrollment, or asks how its hold stands; finds the pinned root first where it is not known yet.
    fn ask(&mut self, hold: Option<String>) {
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
        let key = std::sync::Arc::clone(key);
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
        self.tasks.spawn(async move { News::Renewal(line.renew(&enrolled, proof).await) });
    }

    fn open_channel(&mut self) {
        let Holding::Enrolled(enrolled) = &self.holding else { return };
        let (line, enrolled, heard) = (self.line.clone(), enrolled.clone(), self.heard.0.clone());
        let (acknowledge, acknowledged) = mpsc::channel(16);
        self.acknowledge = Some(acknowledge);
        self.tasks
            .spawn(async move { News::Channel(channel::hold(line, *enrolled, heard, acknowledged).await) });
    }

    pub(crate) fn send_acknowledgement(&self, id: u64) {
        // A channel that is gone or stuck needs none: the server repeats the order on the next one.
        if let Some(acknowledge) = &self.acknowledge
            && acknowledge.try_send(id).is_err()
        {
            tracing::debug!(id, "the acknowledgement was not taken");
        }
    }

    fn run_hook(&mut self, hook: Hook, acknowledge: Option<u64>) {
        if let Some(progress) = self.progress_of(hook) {
            self.tell(progress);
        }
        let (Holding::Enrolled(enrolled), Some(dir)) = (&self.holding, &self.setting.hooks_dir) else {
            return acknowledge.into_iter().for_each(|id| self.send_acknowledgement(id));
        };
        match hooks::check(dir, hook) {
            Ok(Some(program)) => {
                let environment = hooks::environment(hook, enrolled, self.store.path());
                self.hooks.push(Job { program, environment, acknowledge });
            }
            Ok(None) => acknowledge.into_iter().for_each(|id| self.send_acknowledgement(id)),
            Err(error) => {
                tracing::error!(%error, "the hook is not run");
                acknowledge.into_iter().for_each(|id| self.send_acknowledgement(id));
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
        if let Err(error) = self.store.save_standing(&enrolled.identity) {
            tracing::error!(%error, "how the machine stands cannot be noted; the next hello says it again");
        }
    }

    /// Lets the hooks end, which may need the files, then sets these aside. Where the disk refuses, the identity is
    /// over all the same: the next start asks, and is told again.
    async fn set_aside(&mut self, ending: &Ending) {
        match tokio::time::timeout(LAST_HOOKS, self.hooks.drain()).await {
            Ok(orders) => orders.into_iter().for_each(|id| self.send_acknowledgement(id)),
            Err(_) => tracing::error!("the last hooks took too long"),
        }
        // One turn for the channel to send what was acknowledged.
        tokio::task::yield_now().await;
        let note = EndedNote::new(ending, self.setting.ports.clock.now());
        match self.store.end(ending, note) {
            Ok(()) => {
                tracing::warn!(ending = ending.as_str(), "the identity ended; its files are kept aside");
            }
            Err(error) => tracing::error!(%error, "the files of the ended identity cannot be set aside"),
        }
    }

    pub(crate) fn understand(&mut self, frame: ServerFrame) -> Option<Event> {
        match frame {
            ServerFrame::Hello { machine, state, server_time } => {
                if !self.is_me(&machine) {
                    tracing::error!(machine = %shown(&machine), "the server takes us for another machine");
                    self.acknowledge = None;
                    return None;
                }
                self.setting.ports.clock.learn(server_time);
                Some(Event::ChannelOpened { standing: Standing::from_wire(&state) })
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

    /// Makes what came back durable and tells the core.
    pub(crate) fn take(&mut self, news: News) -> Result<Option<Event>, AgentError> {
        Ok(match news {
            News::Root(root) => {
                self.keep_root(root);
                None
            }
            News::Enrollment(Err(verdict)) => Some(Event::EnrollFailed(verdict)),
            News::Enrollment(Ok(EnrollAnswer::Held(held))) => Some(self.keep_hold(held)),
            News::Enrollment(Ok(EnrollAnswer::Enrolled(answer) | EnrollAnswer::Same(answer))) => {
                Some(self.keep_identity(*answer).unwrap_or_else(Event::EnrollFailed))
            }
            News::Renewal(Err(verdict)) => Some(Event::RenewFailed(verdict)),
            News::Renewal(Ok(renewed)) => Some(self.keep_renewed(renewed).unwrap_or_else(Event::RenewFailed)),
            News::Channel(verdict) => {
                self.acknowledge = None;
                Some(Event::ChannelClosed(verdict))
            }
        })
    }

    /// The pinned root was found: notes it and goes on with what it was needed for.
    fn keep_root(&mut self, root: String) {
        let Holding::Pending { pending, .. } = &mut self.holding else { return };
        pending.root = Some(root);
        if let Err(error) = self.store.save_pending(pending) {
            tracing::warn!(%error, "the pinned root cannot be noted; it will be asked for again");
        }
        let hold = pending.hold.as_ref().map(|hold| hold.id.clone());
        let waiting = matches!(self.state(), muster_agent_core::State::Waiting { .. });
        self.ask(hold.filter(|_| waiting));
    }

    fn keep_hold(&mut self, held: Held) -> Event {
        let Holding::Pending { pending, key, .. } = &mut self.holding else {
            return Event::Held { hold: held.hold, poll_after: held.poll_after };
        };
        let words = key.words();
        let hold = PendingHold {
            id: held.hold.clone(),
            reason: held.reason.clone(),
            poll_after: held.poll_after,
            expires_at: held.expires_at,
        };
        if pending.hold.as_ref() != Some(&hold) {
            pending.hold = Some(hold);
            // The key is enough to find the hold again: a full disk does not stop the waiting.
            if let Err(error) = self.store.save_pending(pending) {
                tracing::warn!(%error, "the hold cannot be noted");
            }
            let (hold, reason) = (shown(&held.hold), shown(&held.reason));
            tracing::info!(%hold, %reason, words = %words.join(" "), "a person must decide");
            self.tell(Progress::Held { hold, reason, words, expires_at: held.expires_at });
        }
        Event::Held { hold: held.hold, poll_after: held.poll_after }
    }

    /// Says again what a restart found on disk, so that whoever started it can show the words.
    pub(crate) fn tell_of_a_known_hold(&mut self) {
        let Holding::Pending { pending, key, .. } = &self.holding else { return };
        let (Some(hold), words) = (pending.hold.clone(), key.words()) else { return };
        let (id, reason) = (shown(&hold.id), shown(&hold.reason));
        self.tell(Progress::Held { hold: id, reason, words, expires_at: hold.expires_at });
    }

    fn keep_identity(&mut self, answer: EnrolledAnswer) -> Result<Event, Verdict> {
        let Holding::Pending { pending, key, .. } = &self.holding else {
            return Err(Verdict::later("an answer to a question that was not asked"));
        };
        let (certificate, chain) = certificate_of(&answer.credential, key)?;
        let pin: CaPin = pending.pin.parse().map_err(|error| Verdict::later(format!("the pin {error}")))?;
        if !trust::holds(&answer.trust, pin) {
            return Err(Verdict::Untrusted {
                what: "the server's trust bundle lacks the pinned root".into(),
            });
        }
        let standing = Standing::from_wire(&answer.machine.state);
        let life = life_of(&answer.credential);
        let identity = Identity {
            version: VERSION,
            slot: Slot::A,
            url: pending.url.clone(),
            trust: answer.trust,
            machine: answer.machine,
            credential: answer.credential.id,
            life,
            standing,
            hardware_source: pending.hardware_source.clone(),
            enrolled_at: self.setting.ports.clock.now(),
            renewed_at: None,
        };
        self.store.save_identity(&identity, &certificate).map_err(disk)?;
        let key = std::sync::Arc::clone(key);
        self.holding = Holding::Enrolled(Box::new(Enrolled { identity, key, chain }));
        Ok(Event::Enrolled { life, standing })
    }

    fn keep_renewed(&mut self, renewed: Renewed) -> Result<Event, Verdict> {
        let now: Timestamp = self.setting.ports.clock.now();
        let Holding::Enrolled(enrolled) = &mut self.holding else {
            return Err(Verdict::later("an answer to a question that was not asked"));
        };
        let (certificate, chain) = certificate_of(&renewed.credential, &enrolled.key)?;
        let life = life_of(&renewed.credential);
        let mut identity = enrolled.identity.clone();
        if is_usable(&renewed.trust) {
            identity.trust = renewed.trust;
        }
        identity.credential = renewed.credential.id;
        identity.life = life;
        identity.renewed_at = Some(now);
        self.store.save_identity(&identity, &certificate).map_err(disk)?;
        enrolled.identity = identity;
        enrolled.chain = chain;
        Ok(Event::Renewed(life))
    }
}

fn life_of(credential: &IssuedCredential) -> Life {
    Life { not_before: credential.not_before, not_after: credential.not_after }
}

/// The certificate of an answer, if it is one for our key.
fn certificate_of(
    credential: &IssuedCredential,
    key: &MachineKey,
) -> Result<(String, Vec<CertificateDer<'static>>), Verdict> {
    let Some(certificate) = credential.certificate.clone() else {
        return Err(Verdict::later("the server answered without a certificate"));
    };
    let chain = parse_chain(&certificate).map_err(|what| Verdict::later(format!("the answer {what}")))?;
    if !is_for(&chain, key) {
        return Err(Verdict::later("the server answered with a certificate for another key"));
    }
    Ok((certificate, chain))
}

/// A bundle that cannot be read would lock the agent out; the one it has goes on.
fn is_usable(trust: &Trust) -> bool {
    let readable = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).is_ok();
    let usable = !trust.roots.is_empty() && trust.roots.iter().all(readable);
    if !usable {
        tracing::error!("the server's trust bundle cannot be read; the present one is kept");
    }
    usable
}

fn invite_needed() -> Verdict {
    Verdict::Refused {
        code: "invite_needed".into(),
        detail: "the hold ended and the token is not kept on disk.".into(),
        help: "Give the invite again.".into(),
    }
}

fn disk(error: AgentError) -> Verdict {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Verdict::Disk { what: format!("{error}{cause}") }
}
