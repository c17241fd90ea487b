//! People: operators at their desk, whoever looks after a machine, and thieves.

use muster_lifecycle::hold::{Choice, choices};
use muster_model::{Hold, HoldState, Machine, MachineState, PublicKey, SuspendCause, Suspended};
use muster_wire::hold::Choice as Chosen;

use super::call::{Call, Kind, Reply, Wish};
use super::disk::Content;
use super::happening::{Happening, Request};
use super::host::{Exit, Role, Way};
use super::hub::{Condition, Fact, HOUR, MINUTE, SECOND};
use super::world::World;

/// Whoever wants something tries so often.
const TRIES: u32 = 60;

/// What people have in hand.
#[derive(Default)]
pub(super) struct People {
    pub(super) site_key: String,
    /// Tokens for machines whose own opened nothing.
    pub(super) spare: Vec<String>,
    /// Whether somebody is about to accept a restored store.
    pub(super) accepting: bool,
    pub(super) clones: u32,
}

impl World {
    /// Operators look at their desk.
    pub(super) fn desk(&mut self) {
        let chaos = self.hub.lock().chaos;
        let next = if chaos { self.between(2 * MINUTE, 30 * MINUTE) } else { 2 * MINUTE };
        self.after(next, Happening::Desk);
        let restored = self
            .replicas
            .iter()
            .any(|replica| replica.runs() && replica.app().mode() == muster_app::Mode::Restored);
        if restored && !self.people.accepting {
            self.people.accepting = true;
            self.wish(Wish::AcceptRestore, 0);
        }
        let open: Vec<Hold> = self
            .store
            .snapshot()
            .holds()
            .filter(|hold| hold.state == HoldState::Open)
            .take(6)
            .cloned()
            .collect();
        for hold in open {
            let wish = self.decide(&hold);
            self.wish(wish, 0);
        }
        if chaos {
            self.act();
        }
    }

    /// Compares the words of a claimant with those on the machine, and decides.
    fn decide(&mut self, hold: &Hold) -> Wish {
        let key = hold.claimant.key.as_ref().map(PublicKey::fingerprint);
        let honest = self.hosts.iter().position(|host| {
            // The words are those of the key that the machine shows.
            let shown = host.device().map(|device| device.fingerprint()).or(host.keys.last().copied());
            host.role == Role::Honest && key.is_some() && shown == key
        });
        let Some(host) = honest else { return Wish::Reject(hold.id) };
        let rarely = self.setup().focus.is_some_and(|(step, _)| step == super::steps::Step::Reject);
        if self.hub.lock().chaos && self.once_in(if rarely { 3 } else { 12 }) {
            return Wish::Reject(hold.id);
        }
        let moment = self.store.snapshot();
        let existing = hold.existing.and_then(|id| moment.machine_by_id(id));
        let is_same = existing
            .is_some_and(|machine| machine.key.is_none_or(|key| self.hosts[host].keys.contains(&key)));
        let is_known = key.is_some_and(|key| moment.key(hold.tenant, key).is_some());
        let offered = choices(hold, is_known, false);
        let choice = match (is_same && offered.contains(&Choice::Same), offered) {
            (true, _) => Chosen::Same,
            (false, [Choice::Same]) => Chosen::Same,
            (false, _) => Chosen::New,
        };
        Wish::Approve(hold.id, Some(choice))
    }

    /// Now and then an operator acts on a machine.
    fn act(&mut self) {
        let moment = self.store.snapshot();
        let machines: Vec<&Machine> = moment.machines().filter(|machine| machine.key.is_some()).collect();
        if machines.is_empty() {
            return;
        }
        let machine = machines[self.hub.lock().dice.usize(0..machines.len())];
        let looks = self
            .setup()
            .focus
            .is_some_and(|(step, _)| matches!(step, super::steps::Step::End | super::steps::Step::SetAside));
        let orders = self.setup().focus.is_some_and(|(step, _)| step == super::steps::Step::OrderRotation);
        let draw = match (looks, orders) {
            (true, _) => self.hub.lock().dice.u32(0..40),
            (_, true) => self.hub.lock().dice.u32(24..44),
            _ => self.hub.lock().dice.u32(0..100),
        };
        let wish = match (&machine.state, draw) {
            (MachineState::Active(_), 0..12) => Wish::Suspend(machine.id),
            (MachineState::Active(_), 12..20) => Wish::Renew(machine.id),
            (MachineState::Active(_), 20..26) => Wish::Revoke(machine.id),
            (MachineState::Active(_), 26..30) => Wish::Retire(machine.id),
            (MachineState::Active(_), 30..38) => Wish::Rotate(machine.id),
            (MachineState::Suspended(Suspended { cause: SuspendCause::Operator(_), .. }), 0..40) => {
                Wish::Resume(machine.id)
            }
            _ => return,
        };
        self.wish(wish, 0);
    }

    /// An operator asks a replica to do something, until it says that it is done or cannot be done.
    pub(super) fn wish(&mut self, wish: Wish, tries: u32) {
        let kind = match wish {
            Wish::Approve(..) => Kind::Approve,
            Wish::Reject(_) => Kind::Reject,
            Wish::Suspend(_) | Wish::Resume(_) | Wish::Revoke(_) | Wish::Retire(_) => Kind::End,
            Wish::Rotate(_) => Kind::Order,
            Wish::Renew(_) | Wish::AcceptRestore => Kind::Other,
        };
        if !self.replicas.iter().any(super::replica::Replica::runs) {
            return self.after(10 * SECOND, Happening::Wish { wish, tries });
        }
        self.tell(|_| format!("an operator: {wish:?}"));
        let request = self.number();
        let call = Call::Operator(wish);
        let asked = Request { host: None, by: None, kind, call, tries, since: 0, answer_lost: false };
        self.requests.insert(request, asked);
        self.after(30 * SECOND, Happening::Timeout { request });
        self.post(request);
    }

    /// What an operator is told.
    pub(super) fn told_operator(&mut self, asked: Request, reply: &Reply) {
        let Call::Operator(wish) = asked.call else { return };
        let again = match reply {
            Reply::Done => {
                self.carried_out(&wish);
                false
            }
            Reply::Failed(failure) => matches!(failure.problem.status, 500..),
            _ => true,
        };
        if wish == Wish::AcceptRestore && !again {
            self.people.accepting = false;
        }
        if again && asked.tries < TRIES {
            let after = self.between(5 * SECOND, MINUTE);
            self.after(after, Happening::Wish { wish, tries: asked.tries + 1 });
        } else if again {
            self.people.accepting = false;
        }
    }

    fn carried_out(&mut self, wish: &Wish) {
        match wish {
            Wish::Approve(hold, _) => self.note(Fact::Decided(hold.to_string(), "approved")),
            Wish::Reject(hold) => self.note(Fact::Decided(hold.to_string(), "rejected")),
            Wish::Revoke(machine) => self.note(Fact::Revoked(*machine)),
            Wish::Retire(machine) => self.note(Fact::Retired(*machine)),
            Wish::Suspend(_) | Wish::Resume(_) | Wish::Renew(_) | Wish::Rotate(_) | Wish::AcceptRestore => {}
        }
    }

    /// A machine whose token opened nothing gets another one; where there is none left, it asks without.
    pub(super) fn invite(&mut self, host: usize) {
        self.hosts[host].way = match self.people.spare.pop() {
            _ if self.hosts[host].role != Role::Honest => return,
            Some(token) => Way::Token(token),
            None => Way::Request,
        };
    }

    /// Machines are copied, lose their disks, or are claimed by somebody else.
    pub(super) fn mischief(&mut self) {
        if !self.hub.lock().chaos {
            return;
        }
        let next = self.between(20 * MINUTE, 3 * HOUR);
        self.after(next, Happening::Mischief);
        let enrolled: Vec<usize> = (0..self.hosts.len())
            .filter(|host| self.hosts[*host].role == Role::Honest && self.machine_of(*host).is_some())
            .collect();
        if enrolled.is_empty() {
            return;
        }
        let victim = enrolled[self.hub.lock().dice.usize(0..enrolled.len())];
        let known = self.setup().focus.is_some_and(|(step, _)| step == super::steps::Step::KnownHardware);
        let draw = if known { 2 } else { self.hub.lock().dice.u32(0..5) };
        match draw {
            0 if self.people.clones < 2 => self.copy(victim),
            0 | 1 => self.crash(victim),
            2 | 3 => self.reinstall(victim),
            _ => self.claim(victim),
        }
    }

    fn copy(&mut self, victim: usize) {
        self.people.clones += 1;
        let (way, hardware) = (self.hosts[victim].way.clone(), self.hosts[victim].hardware.clone());
        let name = format!("copy-of-{}", self.hosts[victim].name);
        let copy = self.add_host(name, Role::Clone(victim), way, Some(hardware));
        self.hosts[copy].disk = self.hosts[victim].disk.clone();
        self.hosts[copy].keys = self.hosts[victim].keys.clone();
        self.hosts[copy].was_damaged = self.hosts[victim].was_damaged;
        (self.hosts[copy].copied, self.hosts[victim].copied) = (true, true);
        self.spoken.insert(copy);
        self.tell(|world| format!("{} is copied", world.hosts[victim].name));
        self.start(copy);
    }

    fn reinstall(&mut self, victim: usize) {
        self.stop(victim);
        self.begin_again(victim);
        self.hosts[victim].way = Way::Site(self.people.site_key.clone());
        let after = self.between(MINUTE, 10 * MINUTE);
        self.after(after, Happening::Start(victim));
    }

    fn claim(&mut self, victim: usize) {
        let hardware = self.hosts[victim].hardware.clone();
        let name = format!("impostor-of-{}", self.hosts[victim].name);
        let thief =
            self.add_host(name, Role::Impostor, Way::Site(self.people.site_key.clone()), Some(hardware));
        self.start(thief);
    }

    /// Somebody sends a copy of a signed request again.
    pub(super) fn replay(&mut self, call: Call) {
        let seat = self.hub.lock().dice.usize(0..self.replicas.len());
        if !self.replicas[seat].runs() || self.hub.lock().condition != Condition::Well {
            return;
        }
        let request = self.number();
        let (host, kind) = (Some((0, u64::MAX)), Kind::Other);
        let asked = Request { host, by: None, kind, call, tries: 0, since: 0, answer_lost: true };
        self.requests.insert(request, asked);
        self.catch_up(seat);
        self.serve(seat, request);
    }

    /// From now on nothing fails, thieves are gone, and everybody who can gets help.
    pub(super) fn heal(&mut self) {
        {
            let mut inside = self.hub.lock();
            inside.chaos = false;
            inside.condition = Condition::Well;
            for seat in &mut inside.seats {
                (seat.cut, seat.offset) = (false, 0);
            }
        }
        self.tell(|_| "from now on nothing fails".to_owned());
        for host in 0..self.hosts.len() {
            self.hosts[host].offset = 0;
            self.hosts[host].disk.repair();
            if self.hosts[host].role != Role::Honest {
                self.stop(host);
                self.hosts[host].exit = Some(Exit::Over("taken away".to_owned()));
            } else if self.hosts[host].process.is_none() && !self.is_over(host) {
                let after = self.between(SECOND, 5 * MINUTE);
                self.after(after, Happening::Attend(host));
            }
        }
        (0..self.replicas.len()).for_each(|seat| self.stir(seat));
    }

    /// Whether a machine's story is told to its end.
    pub(super) fn is_over(&self, host: usize) -> bool {
        matches!(self.hosts[host].exit, Some(Exit::Over(_)))
            || matches!(self.hosts[host].disk.read(super::disk::ENDED), Ok(Some(Content::Ended(_))))
    }
}
