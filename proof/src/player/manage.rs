//! Operators make grants, sites, machines and tokens, decide holds, and send requests again.

use muster_model::{HoldId, ReasonText, SiteCode};
use muster_store::Store;
use muster_wire::access::CreateToken;
use muster_wire::grant::CreateGrant;
use muster_wire::hold::{Approve, Choice};
use muster_wire::invite::Invite;
use muster_wire::machine::CreateMachine;
use muster_wire::site::CreateSite;

use super::{HARDWARE, Player, pick};
use crate::op::Kind;
use crate::plain::Answer;

/// A request that is recognised when it is repeated.
#[derive(Debug, Clone)]
pub(super) enum Marked {
    Grant(CreateGrant),
    Site(CreateSite),
    Machine(CreateMachine),
    Rotate(SiteCode),
    Token(CreateToken),
}

const SITES: [&str; 7] = ["default", "default", "default", "small", "site-0", "site-1", "site-2"];

pub(super) fn site(number: u8) -> String {
    SITES[usize::from(number) % SITES.len()].to_owned()
}

pub(super) fn said(number: u8) -> Option<ReasonText> {
    number.is_multiple_of(2).then(|| "moved to the other rack".parse().expect("a reason"))
}

impl<S: Store> Player<S> {
    pub(super) async fn managing(&mut self, kind: Kind, with: [u8; 3]) -> Answer {
        let [a, b, c] = with;
        let request = match kind {
            Kind::CreateGrant => Marked::Grant(new_grant(with)),
            Kind::CreateSite => Marked::Site(new_site(with)),
            Kind::CreateMachine => Marked::Machine(self.new_machine(with)),
            Kind::RotateKey => Marked::Rotate(site(a).parse().expect("the code of a site")),
            Kind::CreateToken => Marked::Token(new_token(with)),
            Kind::Repeat => return self.again_under(a, None).await,
            Kind::Mismatch => return self.again_under(a, Some(b)).await,
            Kind::RevokeGrant => return self.revoke_grant(a, b).await,
            _ => return self.decide(kind, a, b).await,
        };
        // Some come without an idempotency key.
        let key = (!c.is_multiple_of(4)).then(|| format!("key-{}", self.ids.count()));
        if let Some(key) = &key {
            self.memory.marked.push((key.clone(), request.clone()));
        }
        self.make(request, key.as_deref(), true).await
    }

    async fn again_under(&mut self, number: u8, other: Option<u8>) -> Answer {
        let Some((key, request)) = pick(&self.memory.marked, number).cloned() else {
            return Answer::Nothing;
        };
        let request = match other {
            None => request,
            Some(other) => {
                Marked::Grant(CreateGrant { uses: Some(1000 + u32::from(other)), ..new_grant([0; 3]) })
            }
        };
        self.make(request, Some(&key), false).await
    }

    /// Sends a request. What a new one made is kept; a repetition gets the same.
    async fn make(&mut self, request: Marked, key: Option<&str>, new: bool) -> Answer {
        let admin = self.admin();
        match request {
            Marked::Grant(request) => {
                let result = self.app.create_grant(request, key, &admin).await;
                if let (Ok(created), true) = (&result, new) {
                    let id = created.grant.id.parse().expect("the identifier of a grant");
                    self.memory.grants.push((id, created.token.clone()));
                }
                Answer::of(&result)
            }
            Marked::Site(request) => Answer::of(&self.app.create_site(request, key, &admin).await),
            Marked::Machine(request) => {
                let result = self.app.create_machine(request, key, &admin).await;
                if let (Ok(created), true) = (&result, new) {
                    let invite: Invite = created.invite.parse().expect("an invite");
                    self.memory.invites.push(invite.token.reveal());
                    self.memory.machines.push(created.machine.id.parse().expect("a machine"));
                }
                Answer::of(&result)
            }
            Marked::Rotate(code) => {
                let result = self.app.rotate_key(&code, key, &admin).await;
                if let (Ok(rotated), true) = (&result, new) {
                    self.memory.site_keys.push(rotated.key.clone());
                    let id = rotated.grant.parse().expect("the identifier of a grant");
                    self.memory.grants.push((id, rotated.key.clone()));
                }
                Answer::of(&result)
            }
            Marked::Token(request) => {
                let result = self.app.create_token(request, key, &admin).await;
                if let (Ok(created), true) = (&result, new) {
                    self.memory.tokens.push(created.token.id.parse().expect("the identifier of a token"));
                    self.memory.secrets.push(created.secret.clone());
                }
                Answer::of(&result)
            }
        }
    }

    async fn revoke_grant(&self, number: u8, reason: u8) -> Answer {
        let Some((id, _)) = pick(&self.memory.grants, number) else { return Answer::Nothing };
        Answer::of(&self.app.revoke_grant(*id, said(reason), &self.admin()).await)
    }

    async fn decide(&self, kind: Kind, number: u8, how: u8) -> Answer {
        let Some((hold, _)) = pick(&self.memory.holds, number) else { return Answer::Nothing };
        let hold: HoldId = *hold;
        if kind == Kind::Reject {
            return Answer::of(&self.app.reject(hold, said(how), &self.admin()).await);
        }
        let choice = match how % 5 {
            0 => None,
            1 | 2 => Some(Choice::Same),
            _ => Some(Choice::New),
        };
        // Most holds offer no choice: whoever makes none is not refused for it.
        let choice = if how >= 128 { None } else { choice };
        Answer::of(&self.app.approve(hold, &Approve { choice }, &self.admin()).await)
    }

    fn new_machine(&self, [a, b, c]: [u8; 3]) -> CreateMachine {
        let hardware = Some(b % (HARDWARE + 2)).filter(|hardware| *hardware < HARDWARE);
        CreateMachine {
            name: format!("made {}", c % 4),
            site: Some(site(a)),
            kind: c.is_multiple_of(5).then(|| "worker".to_owned()),
            hardware_id: hardware.map(|hardware| format!("hw_{}_{hardware:04}", self.run)),
            role: None,
            labels: [("rack".to_owned(), format!("b-{}", c % 3))].into(),
            expires_in: Some(if c.is_multiple_of(7) { 60 } else { 86_400 }),
        }
    }
}

fn new_grant([a, b, c]: [u8; 3]) -> CreateGrant {
    CreateGrant {
        site: Some(site(a / 2)),
        uses: [None, Some(0), Some(2), Some(3), Some(0)][usize::from(b) % 5],
        expires_in: if b.is_multiple_of(11) { Some(60) } else { Some(30 * 86_400) },
        labels: if c.is_multiple_of(3) { [("env".to_owned(), "prod".to_owned())].into() } else { [].into() },
        role: c.is_multiple_of(5).then(|| "db".to_owned()),
        machine_kind: b.is_multiple_of(13).then(|| "worker".to_owned()),
        approval: b.is_multiple_of(4),
    }
}

fn new_site([a, b, c]: [u8; 3]) -> CreateSite {
    let policies = ["never", "keyless_only", "offline_only", "same_name"];
    CreateSite {
        code: format!("site-{}", a % 3),
        approval: b.is_multiple_of(3),
        requests: !b.is_multiple_of(5),
        reimage: Some(policies[usize::from(c) % 4].to_owned()),
        seats: b.is_multiple_of(4).then_some(u32::from(c % 3)),
    }
}

fn new_token([a, b, _]: [u8; 3]) -> CreateToken {
    let role = ["viewer", "operator", "admin"][usize::from(a) % 3].to_owned();
    CreateToken {
        name: format!("deploys {}", b % 4),
        role: Some(role),
        scopes: Vec::new(),
        expires_in: Some(86_400),
    }
}
