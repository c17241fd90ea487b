//! Machines that are known, and what operators do to them.

use muster_app::{Action, Caller, Error, MachineCaller};
use muster_model::MachineId;
use muster_store::Store;
use muster_wire::enroll::{MachineToken, TokenRequest};

use super::manage::said;
use super::{KEYS, Player, pick};
use crate::op::Kind;
use crate::plain::{Answer, unsigned};

impl<S: Store> Player<S> {
    pub(super) async fn as_machine(&mut self, kind: Kind, [a, b, _]: [u8; 3]) -> Answer {
        match kind {
            Kind::RenewSigned => return self.renew_signed(a, b).await,
            Kind::UseBearer => return self.use_bearer(a).await,
            Kind::Disconnect => return self.disconnect(a).await,
            _ => {}
        }
        let Some(certificate) = pick(&self.memory.certificates, a).cloned() else { return Answer::Nothing };
        let shown = self.app.by_certificate(&certificate, None).await;
        let caller = match shown.and_then(|caller| permitted(kind, &caller)) {
            Ok(caller) => caller,
            Err(error) => return Answer::error(&error),
        };
        match kind {
            Kind::Renew => self.renew(&caller).await,
            Kind::Leave => Answer::of(&self.app.leave(&caller, &self.machine_origin(caller)).await),
            Kind::MachineToken => self.machine_token(&caller).await,
            _ => self.connect(&caller, b).await,
        }
    }

    async fn renew(&mut self, caller: &MachineCaller) -> Answer {
        let result = self.app.renew(caller, &self.machine_origin(*caller)).await;
        if let Ok(renewed) = &result {
            self.learn_credential(caller.machine, &renewed.credential);
        }
        Answer::of(&result)
    }

    /// By a key that was let in once, or by any; sometimes the same signature is shown twice, or too late.
    async fn renew_signed(&mut self, number: u8, how: u8) -> Answer {
        let known = pick(&self.memory.keys, number).filter(|_| !how.is_multiple_of(7)).copied();
        let device = self.device(known.unwrap_or(number % KEYS), None, 0);
        let nonce = self.app.nonce().nonce;
        let signed = device.signs(&nonce, "POST", "/v1/machines/self/renew", b"");
        if how.is_multiple_of(16) {
            self.clock.advance(muster_model::SignedDuration::from_secs(90));
        }
        let origin = self.stranger(how);
        let mut shown = self.app.by_signature(&signed.call(), &origin).await;
        if how.is_multiple_of(5) && shown.is_ok() {
            shown = self.app.by_signature(&signed.call(), &origin).await;
        }
        match shown.and_then(|caller| permitted(Kind::Renew, &caller)) {
            Ok(caller) => self.renew(&caller).await,
            Err(error) => Answer::error(&error),
        }
    }

    async fn machine_token(&self, caller: &MachineCaller) -> Answer {
        let request = TokenRequest { audience: "https://jobs.test".to_owned(), ttl_seconds: None };
        let result = self.app.machine_token(&request, caller, &self.machine_origin(*caller)).await;
        let result = result.map(|token| MachineToken { token: unsigned(&token.token).to_owned(), ..token });
        Answer::of(&result)
    }

    async fn use_bearer(&self, number: u8) -> Answer {
        let Some(bearer) = pick(&self.memory.bearers, number) else { return Answer::Nothing };
        let shown = self.app.by_secret(bearer).await;
        match shown.and_then(|caller| permitted(Kind::UseBearer, &caller)) {
            Ok(caller) => Answer::of(&self.app.self_view(&caller).await),
            Err(error) => Answer::error(&error),
        }
    }

    async fn connect(&mut self, caller: &MachineCaller, later: u8) -> Answer {
        match self.app.channel_open(caller).await {
            Ok(channel) => {
                channel.heard(self.now() + muster_model::SignedDuration::from_secs(i64::from(later % 4)));
                self.memory.channels.push(channel);
                Answer::done(&"connected")
            }
            Err(error) => Answer::error(&error),
        }
    }

    /// Tells what came down the channel while it was open.
    async fn disconnect(&mut self, number: u8) -> Answer {
        let Some(at) = usize::from(number).checked_rem(self.memory.channels.len()) else {
            return Answer::Nothing;
        };
        let mut channel = self.memory.channels.remove(at);
        let orders: Vec<String> =
            std::iter::from_fn(|| channel.orders.try_recv().ok()).map(|order| format!("{order:?}")).collect();
        self.app.channel_closed(channel).await;
        Answer::done(&orders)
    }

    pub(super) async fn on_machine(&self, kind: Kind, [a, b, _]: [u8; 3]) -> Answer {
        if kind == Kind::RevokeOne {
            let Some((machine, credential)) = pick(&self.memory.credentials, a) else {
                return Answer::Nothing;
            };
            let (machine, credential) = (*machine, Some(*credential));
            return Answer::of(&self.app.revoke(machine, credential, said(b), false, &self.admin()).await);
        }
        let Some(machine) = pick(&self.memory.machines, a) else { return Answer::Nothing };
        let (machine, admin): (MachineId, _) = (*machine, self.admin());
        match kind {
            Kind::Suspend => Answer::of(&self.app.suspend(machine, said(b), &admin).await),
            Kind::Resume => Answer::of(&self.app.resume(machine, said(b), &admin).await),
            Kind::OrderRenewal => {
                let key = b.is_multiple_of(2).then(|| format!("order-{}", b % 3));
                Answer::of(&self.app.order_renewal(machine, key.as_deref(), &admin).await)
            }
            Kind::Retire => Answer::of(&self.app.retire(machine, said(b), &admin).await),
            Kind::Revoke => Answer::of(&self.app.revoke(machine, None, said(b), false, &admin).await),
            _ => Answer::of(&self.app.revoke(machine, None, said(b), true, &admin).await),
        }
    }
}

/// The machine that calls, where it may do this.
fn permitted(kind: Kind, caller: &Caller) -> Result<MachineCaller, Error> {
    let action = match kind {
        Kind::Renew => Action::SelfRenew,
        Kind::Leave => Action::SelfLeave,
        Kind::MachineToken => Action::SelfToken,
        _ => Action::Self_,
    };
    action.permit(caller)?;
    Ok(*caller.machine()?)
}
