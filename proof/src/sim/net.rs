//! The network between machines and replicas: it loses, doubles, delays and reorders, and strangers answer on it.

use muster_agent_core::{Event, Verdict};
use muster_app::{Caller, Origin};
use muster_wire::channel::ServerFrame;

use super::call::{Call, Failure, Kind, Reply, address};
use super::happening::{Happening, Held, Request};
use super::host::Link;
use super::hub::{HOUR, MINUTE, SECOND};
use super::links::Which;
use super::plant::Plant;
use super::replica::is_channel;
use super::world::World;

impl World {
    /// A request reaches a replica.
    pub(super) fn arrive(&mut self, request: u64, seat: usize) {
        if !self.requests.contains_key(&request) {
            return;
        }
        if !self.replicas[seat].runs() {
            let reply = Reply::Refused;
            return self.after(1, Happening::Answer { request, reply: Box::new(reply) });
        }
        let kind = self.requests[&request].kind;
        self.hub.lock().meets(seat, kind);
        self.catch_up(seat);
        self.serve(seat, request);
    }

    /// Who calls, and from where.
    pub(super) fn origin_of(&self, request: u64) -> Origin {
        match self.requests[&request].host {
            Some((host, _)) => Origin { caller: Caller::Anonymous, source: Some(address(host)) },
            None => {
                let app = self.replicas.iter().find(|replica| replica.runs()).expect("one serves").app();
                Origin { caller: app.local_admin(self.founded.admin), source: None }
            }
        }
    }

    /// A replica has its answer ready.
    pub(super) fn given(&mut self, request: u64, seat: usize, reply: Reply) {
        self.hub.lock().seats[seat].serving.remove(&request);
        let Some(asked) = self.requests.get(&request) else {
            return self.drop_reply(seat, reply);
        };
        let (host, kind, lost) = (asked.host, asked.kind, asked.answer_lost);
        self.check_reply(request, &reply);
        let after = self.between(2, 120);
        let clear_at = self.now() + after;
        let reply = match (reply, host) {
            (Reply::Channel(channel, hello), Some((host, epoch))) => {
                let incarnation = self.hub.lock().seats[seat].incarnation;
                let number = self.number();
                let held =
                    Held { seat, incarnation, host, epoch, channel: Some(channel), orders: 0, clear_at };
                self.channels.insert(number, held);
                if lost || self.requests.get(&request).is_none_or(|asked| asked.host.is_none()) {
                    self.abandoned(number);
                }
                Reply::Opened(number, hello)
            }
            (reply, _) => reply,
        };
        if host.is_some_and(|(_, epoch)| epoch == u64::MAX) {
            self.requests.remove(&request);
        }
        if lost {
            self.tell(|_| format!("the answer to {kind:?} is lost"));
            return;
        }
        self.after(after, Happening::Answer { request, reply: Box::new(reply) });
    }

    /// Nobody waits for it any more.
    fn drop_reply(&mut self, seat: usize, reply: Reply) {
        if is_channel(&reply)
            && let Reply::Channel(channel, _) = reply
            && self.replicas[seat].runs()
        {
            let app = self.replicas[seat].app();
            self.aside(seat, async move { app.channel_closed(*channel).await });
        }
    }

    /// An answer reaches whoever asked.
    pub(super) fn answered(&mut self, request: u64, reply: Reply) {
        let Some(asked) = self.requests.remove(&request) else {
            if let Reply::Opened(channel, _) = reply {
                self.abandoned(channel);
            }
            return;
        };
        let Some((host, _)) = asked.host else { return self.told_operator(asked, &reply) };
        if !self.heeds(request, &asked) {
            if let Reply::Opened(channel, _) = reply {
                self.abandoned(channel);
            }
            return;
        }
        if matches!(reply, Reply::Renewed(_) | Reply::Rotated(_)) {
            self.copy_for_replay(host, &asked);
        }
        match reply {
            Reply::Enroll(answer) if asked.kind == Kind::Renew => self.keep_enrolled_again(host, answer),
            Reply::Enroll(answer) => self.keep_enrollment(host, answer),
            Reply::Renewed(renewed) => self.keep_renewal(host, renewed),
            Reply::Rotated(renewed) => self.keep_rotation(host, renewed),
            Reply::Confirmed => self.step(host, Event::Confirmed),
            Reply::Opened(channel, hello) => self.opened(host, asked.kind, channel, hello),
            Reply::Failed(failure) => self.refused(host, asked.kind, &failure),
            Reply::Refused => self.failed(host, asked.kind, Verdict::later("connection refused")),
            Reply::Hour(verdict) => self.failed(host, asked.kind, verdict),
            Reply::Done | Reply::Channel(..) => {}
        }
    }

    /// Whether whoever asked still waits for this: what comes back to a key that is not shown any more, or to a channel
    /// that was given up, is of the past.
    fn heeds(&self, request: u64, asked: &Request) -> bool {
        let Some((host, epoch)) = asked.host else { return true };
        let at = &self.hosts[host];
        let Some(process) = at.process.as_ref().filter(|_| at.epoch == epoch) else { return false };
        match asked.kind {
            Kind::Channel | Kind::FirstChannel => process.link == Link::Opening(request),
            Kind::Next => process.beside == Link::Opening(request),
            Kind::Renew | Kind::Rotate | Kind::Confirm => {
                at.device().map(|device| device.fingerprint()) == asked.by
            }
            _ => true,
        }
    }

    fn opened(&mut self, host: usize, kind: Kind, channel: u64, hello: ServerFrame) {
        match kind {
            Kind::Next => {
                self.link(host, Which::Beside, Link::Open(channel));
                self.heard_next(host, hello);
            }
            _ => {
                self.link(host, Which::Present, Link::Open(channel));
                self.heard(host, hello);
            }
        }
        // Its server may have let go of it while the greeting was under way: the end follows that.
        if self.channels.get(&channel).is_none_or(|held| held.channel.is_none()) {
            self.hung_up(host, channel);
        }
    }

    fn refused(&mut self, host: usize, kind: Kind, failure: &Failure) {
        let signed = failure.problem.server_time;
        if let (Some(hour), Kind::Poll | Kind::Renew | Kind::Rotate) = (signed, kind) {
            self.learn(host, hour);
        }
        if self.plant() == Some(Plant::AnyNoEnds) && (401..=404).contains(&failure.problem.status) {
            let ending = muster_agent_core::Ending::Told(muster_agent_core::EndReason::Revoked);
            self.judge_ending(host, &ending);
        }
        let verdict = self.verdict(failure);
        self.failed(host, kind, verdict);
    }

    pub(super) fn failed(&mut self, host: usize, kind: Kind, verdict: Verdict) {
        if let Verdict::ClockOff { .. } = &verdict
            && let Some(process) =
                self.hosts[host].process.as_mut().filter(|process| process.enrolled().is_none())
        {
            // Whoever told it the hour was wrong.
            process.learned = 0;
        }
        let event = match kind {
            Kind::Request | Kind::Token | Kind::SiteKey | Kind::Known | Kind::Poll => {
                Event::EnrollFailed(verdict)
            }
            Kind::Renew => Event::RenewFailed(verdict),
            Kind::Rotate => Event::RotateFailed(verdict),
            Kind::Confirm => Event::ConfirmFailed(verdict),
            Kind::Next => {
                self.link(host, Which::Beside, Link::Closed);
                Event::NextClosed(verdict)
            }
            _ => {
                self.link(host, Which::Present, Link::Closed);
                Event::ChannelClosed(verdict)
            }
        };
        self.step(host, event);
    }

    pub(super) fn answered_by_a_stranger(&mut self, request: u64) {
        let Some(asked) = self.requests.remove(&request) else { return };
        let Some((host, _)) = asked.host else { return };
        if self.heeds(request, &asked) {
            let verdict = self.foreign();
            self.failed(host, asked.kind, verdict);
        }
    }

    pub(super) fn timed_out(&mut self, request: u64) {
        let Some(asked) = self.requests.remove(&request) else { return };
        match asked.host {
            Some((host, _)) if self.heeds(request, &asked) => {
                self.failed(host, asked.kind, Verdict::later("no answer came"));
            }
            Some(_) => {}
            None => self.told_operator(asked, &Reply::Refused),
        }
    }

    /// The server's certificate is not valid at the machine's hour: it asks for the hour, where it is known already whom
    /// it asks.
    pub(super) fn ask_the_hour(&mut self, request: u64) {
        let Some(asked) = self.requests.get(&request) else { return };
        let what = "the server's certificate is not valid at this hour".to_owned();
        let seat = self.pick_seat();
        let server_time = super::hub::at(self.now() + self.hub.lock().seats[seat].offset);
        let verdict = match asked.kind {
            Kind::Renew | Kind::Channel | Kind::FirstChannel | Kind::Rotate | Kind::Next | Kind::Confirm
                if self.replicas[seat].runs() =>
            {
                Verdict::ClockSkew { server_time }
            }
            _ => Verdict::ClockOff { what },
        };
        let after = self.between(5, 300);
        self.after(after, Happening::Answer { request, reply: Box::new(Reply::Hour(verdict)) });
    }

    /// A signed request that was seen on the way may be sent again by somebody else.
    fn copy_for_replay(&mut self, host: usize, asked: &Request) {
        if let Call::RenewSigned { .. } | Call::Rotate { .. } = &asked.call
            && self.hosts[host].role == super::host::Role::Honest
            && self.once_in(2)
        {
            let after =
                if self.once_in(3) { self.between(MINUTE, HOUR) } else { self.between(SECOND, MINUTE / 2) };
            self.after(after, Happening::Replay(asked.call.clone()));
        }
    }
}
