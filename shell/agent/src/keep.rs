//! Making what came back durable before the core hears of it.
//!
//! Invariant: an answer that cannot be kept, or that does not fit our key or our pin, reaches the core as a failure,
//! never as a success.

use std::sync::Arc;

use muster_agent_core::{Event, Life, Standing, State, Verdict};
use muster_model::KeyFingerprint;
use muster_wire::enroll::{EnrollAnswer, Enrolled as EnrolledAnswer, Held, IssuedCredential, Renewed};
use muster_wire::invite::CaPin;
use muster_wire::trust::Trust;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::begin::Holding;
use crate::drive::{Driver, News};
use crate::error::shown;
use crate::key::MachineKey;
use crate::links::Which;
use crate::net::trust;
use crate::rotate::save;
use crate::store::Enrolled;
use crate::store::records::{Identity, PendingHold, Slot, VERSION};
use crate::store::slots::{is_for, parse_chain};
use crate::{AgentError, Progress};

impl Driver {
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
            News::Renewal(key, _) | News::Rotation(key, _) | News::Confirmation(key, _)
                if !self.is_shown(key) =>
            {
                None
            }
            News::Renewal(_, answer) => {
                let kept = answer.and_then(|renewed| self.keep_renewed(renewed));
                Some(kept.unwrap_or_else(Event::RenewFailed))
            }
            News::Rotation(_, answer) => {
                let kept = answer.and_then(|renewed| self.keep_certified(renewed));
                Some(kept.unwrap_or_else(Event::RotateFailed))
            }
            News::Confirmation(_, answer) => {
                Some(answer.map_or_else(Event::ConfirmFailed, |()| Event::Confirmed))
            }
            News::Channel(number, verdict) => self.links.which(number).map(|which| {
                self.links.lost(which);
                match which {
                    Which::Present => Event::ChannelClosed(verdict),
                    Which::Beside => Event::NextClosed(verdict),
                }
            }),
        })
    }

    fn is_shown(&self, key: KeyFingerprint) -> bool {
        matches!(&self.holding, Holding::Enrolled(enrolled) if enrolled.key.fingerprint() == key)
    }

    /// The pinned root was found: notes it and goes on with what it was needed for.
    fn keep_root(&mut self, root: String) {
        let Holding::Pending { pending, .. } = &mut self.holding else { return };
        pending.root = Some(root);
        if let Err(error) = self.store.save_pending(pending) {
            tracing::warn!(%error, "the pinned root cannot be noted; it will be asked for again");
        }
        let hold = pending.hold.as_ref().map(|hold| hold.id.clone());
        let waiting = matches!(self.state(), State::Waiting { .. });
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
        let known = pending.hold.replace(hold.clone());
        if known.as_ref() == Some(&hold) {
            return Event::Held { hold: held.hold, poll_after: held.poll_after };
        }
        // The key is enough to find the hold again: a full disk does not stop the waiting.
        if let Err(error) = self.store.save_pending(pending) {
            tracing::warn!(%error, "the hold cannot be noted");
        }
        if known.is_none_or(|known| known.id != hold.id) {
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
            key_made_at: None,
            renewed_at: None,
        };
        self.store.save_identity(&identity, &certificate).map_err(disk)?;
        let (key, base) = (Arc::clone(key), key.fingerprint());
        self.holding = Holding::Enrolled(Box::new(Enrolled { identity, key, chain, base }));
        Ok(Event::Enrolled { life, standing })
    }

    fn keep_renewed(&mut self, renewed: Renewed) -> Result<Event, Verdict> {
        let now = self.setting.ports.clock.now();
        let Holding::Enrolled(enrolled) = &mut self.holding else {
            return Err(Verdict::later("an answer to a question that was not asked"));
        };
        let (certificate, chain) = certificate_of(&renewed.credential, &enrolled.key)?;
        let life = life_of(&renewed.credential);
        let mut identity = enrolled.identity.clone();
        let is_other = identity.trust.version != renewed.trust.version;
        if is_next(&renewed.trust, &identity.trust) {
            identity.trust = renewed.trust;
        }
        let bundle = identity.trust.version;
        identity.credential = renewed.credential.id;
        identity.life = life;
        identity.renewed_at = Some(now);
        self.store.save_identity(&identity, &certificate).map_err(disk)?;
        enrolled.identity = identity;
        enrolled.chain = chain;
        enrolled.base = enrolled.key.fingerprint();
        if is_other {
            self.links.holds(bundle);
        }
        Ok(Event::Renewed(life))
    }

    /// Takes the roots that the server gives over a connection that the present ones vouch for. They count, and are
    /// told to be held, once they are durable.
    pub(crate) fn keep_trust(&mut self, trust: Trust) {
        let Holding::Enrolled(enrolled) = &mut self.holding else { return };
        if !is_next(&trust, &enrolled.identity.trust) {
            return;
        }
        let before = std::mem::replace(&mut enrolled.identity.trust, trust);
        let bundle = enrolled.identity.trust.version;
        if let Err(error) = save(&self.store, enrolled) {
            enrolled.identity.trust = before;
            tracing::error!(%error, "the server's new roots cannot be noted; they are given again with the next channel");
            return;
        }
        tracing::info!(
            bundle,
            roots = enrolled.identity.trust.roots.len(),
            "the server's roots are others now"
        );
        self.links.holds(bundle);
    }
}

fn life_of(credential: &IssuedCredential) -> Life {
    Life { not_before: credential.not_before, not_after: credential.not_after }
}

/// The certificate of an answer, if it is one for our key.
pub(crate) fn certificate_of(
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

/// Whether a bundle takes the place of the present one. An older one does not: it may be of a server that has not heard of
/// a change yet, or whose database was put back.
fn is_next(trust: &Trust, present: &Trust) -> bool {
    present.version <= trust.version && is_usable(trust)
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

pub(crate) fn disk(error: AgentError) -> Verdict {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Verdict::Disk { what: format!("{error}{cause}") }
}
