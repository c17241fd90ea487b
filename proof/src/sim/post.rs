//! Requests on their way: what is lost, doubled, late, or answered by somebody else.

use super::call::{Call, Kind};
use super::carry::Gone;
use super::happening::{Happening, Request};
use super::hub::{Millis, SECOND};
use super::steps::{Column, Step};
use super::world::World;

/// Whoever asks waits this long for an answer.
const PATIENCE: Millis = 30 * SECOND;
/// Nobody has reason to ask more often in one life of the world.
const MOST: u64 = 5_000;

impl World {
    /// Sends a request of a machine.
    pub(super) fn send(&mut self, host: usize, kind: Kind, call: Call) -> Result<u64, Gone> {
        let step = kind.asked().expect("machines ask at steps of theirs");
        if self.strikes(host, step, Column::CrashBefore) {
            self.crash(host);
            return Err(Gone);
        }
        self.hosts[host].sent += 1;
        if self.hosts[host].sent > MOST {
            let name = self.hosts[host].name.clone();
            self.wrong(format!("{name} asks without end"));
        }
        match self.hosts[host].offset {
            0 => {}
            offset => {
                let column = if offset > 0 { Column::ClockAhead } else { Column::ClockBehind };
                self.hub.lock().hit(step, column);
            }
        }
        let request = self.number();
        let epoch = self.hosts[host].epoch;
        let by = self.hosts[host].device().map(|device| device.fingerprint());
        let since = self.store.snapshot().told();
        let asked =
            Request { host: Some((host, epoch)), by, kind, call, tries: 0, since, answer_lost: false };
        self.requests.insert(request, asked);
        self.after(PATIENCE, Happening::Timeout { request });
        match self.is_out_of_time(host) {
            true => self.ask_the_hour(request),
            false => self.post(request),
        }
        if self.strikes(host, step, Column::CrashAfter) {
            self.crash(host);
            return Err(Gone);
        }
        Ok(request)
    }

    /// Puts a request on its way.
    pub(super) fn post(&mut self, request: u64) {
        let Some(asked) = self.requests.get(&request) else { return };
        let kind = asked.kind;
        let seat = self.pick_seat();
        if self.hub.lock().chaos && asked.host.is_some() && self.once_in(60) {
            let after = self.between(5, 500);
            return self.after(after, Happening::Foreign { request });
        }
        let mut late = 0;
        if self.strikes_call(kind, Column::Late) {
            late = self.between(SECOND, PATIENCE + 20 * SECOND);
        }
        if self.strikes_call(kind, Column::Duplicate) {
            let again = self.between(5, 10 * SECOND);
            let other = self.pick_seat();
            self.after(again, Happening::Arrive { request, seat: other });
        }
        let lost = self.strikes_call(kind, Column::ReplyLost);
        if let Some(asked) = self.requests.get_mut(&request) {
            asked.answer_lost = lost;
        }
        if self.hub.lock().chaos && self.once_in(80) {
            // It never arrives.
            return;
        }
        let after = late + self.between(2, 120);
        self.after(after, Happening::Arrive { request, seat });
    }

    /// A fault of the network strikes the step of whoever asks and the step of whoever answers.
    fn strikes_call(&mut self, kind: Kind, column: Column) -> bool {
        let mut inside = self.hub.lock();
        let steps = [kind.about(), kind.asked()];
        let strikes = steps.into_iter().flatten().any(|step| inside.strikes(step, column, 50));
        if strikes {
            inside.hit_both(kind, kind.about(), column);
            // What is signed in the end is part of the same answer.
            if !matches!(
                kind,
                Kind::Approve
                    | Kind::Reject
                    | Kind::End
                    | Kind::Order
                    | Kind::Channel
                    | Kind::FirstChannel
                    | Kind::Next
                    | Kind::Confirm
                    | Kind::Other
            ) {
                inside.hit(Step::Sign, column);
            }
            inside.tell(|| format!("{} strikes {kind:?}", column.says()));
        }
        strikes
    }

    /// The balancer mostly knows who is there.
    pub(super) fn pick_seat(&self) -> usize {
        let mut inside = self.hub.lock();
        let all = inside.seats.len();
        let seat = inside.dice.usize(0..all);
        if inside.seats[seat].alive || inside.once_in(4) {
            return seat;
        }
        (0..all).find(|seat| inside.seats[*seat].alive).unwrap_or(seat)
    }
}
