//! What is checked where no commit is: answers as they are given, endings as agents believe them, and everything once the
//! world has healed.

use muster_agent_core::{Channel, Rotation, Standing, State};
use muster_model::{HoldState, Machine, MachineState, SuspendCause, Suspended};
use muster_testkit::reference::Snapshot;

use super::host::{Exit, Role};
use super::hub::Fact;
use super::world::World;

impl World {
    /// Nobody is suspected without a reason: two proposals under one base are a copy, or a slot that was lost.
    fn alarms_have_a_cause(&mut self) {
        let moment = self.store.snapshot();
        let suspected: Vec<String> = moment
            .audit_after(0)
            .filter(|entry| entry.action == "key.propose" && entry.reason == "conflict")
            .map(|entry| entry.object.clone())
            .collect();
        for host in 0..self.hosts.len() {
            let machine = self.machine_of(host).map(|machine| machine.to_string());
            let at = &self.hosts[host];
            let has_cause = self.may_be_robbed(host)
                || at.abandoned
                || at.keys.last().is_some_and(|key| self.was_lost(*key, host));
            if at.role == Role::Honest && !has_cause && machine.is_some_and(|id| suspected.contains(&id)) {
                self.wrong(format!("{} is suspected and did nothing but its work", at.name));
            }
        }
    }

    /// Everything, once the world has healed.
    pub(super) fn finish(&mut self) {
        self.facts_are_kept();
        for host in 0..self.hosts.len() {
            if self.hosts[host].role == Role::Honest {
                self.is_back(host);
            }
        }
        self.alarms_have_a_cause();
        self.queues_are_empty();
    }

    /// I-3.
    fn facts_are_kept(&mut self) {
        let facts = self.hub.lock().facts.clone();
        let moment = self.store.snapshot();
        for (_, fact) in facts {
            let is_so = match &fact {
                Fact::Enrolled(machine, key) => {
                    moment.keys().any(|(name, record)| name == key && record.machine == *machine)
                }
                Fact::Revoked(machine) => {
                    moment.keys().any(|(_, record)| record.machine == *machine && !record.standing.counts())
                }
                Fact::Retired(machine) => moment
                    .machine_by_id(*machine)
                    .is_some_and(|machine| matches!(machine.state, MachineState::Retired(_))),
                Fact::Decided(hold, how) => {
                    moment.holds().any(|known| known.id.to_string() == *hold && known.state.as_str() == *how)
                }
            };
            if !is_so {
                self.wrong(format!("{fact:?} was acknowledged and is not so (I-3)"));
            }
        }
    }

    /// I-5: an honest machine is at work, waits for a person, or was ended by one.
    fn is_back(&mut self, host: usize) {
        let at = &self.hosts[host];
        let name = at.name.clone();
        let key = at.keys.last().copied();
        if key.is_some_and(|key| self.was_lost(key, host)) {
            return;
        }
        match (&at.process, &at.exit) {
            (None, Some(Exit::Over(_))) => {}
            (None, exit) => {
                let what = format!("{name} does not run ({exit:?}) (I-5)");
                self.wrong(what);
            }
            (Some(process), _) => {
                let wrong = match process.core.state() {
                    State::Running(running) => {
                        let up = matches!(running.channel, Channel::Up { .. });
                        self.is_at_work(host, up, running.standing)
                    }
                    State::Waiting { hold, .. } => self.is_waiting(hold),
                    State::Enrolling { .. } => Some("still asks".to_owned()),
                    State::Ended(ending) => Some(format!("ended by {ending:?} and runs")),
                };
                if let Some(wrong) = wrong {
                    self.wrong(format!("{name} {wrong} (I-5)"));
                }
            }
        }
    }

    fn is_at_work(&self, host: usize, up: bool, standing: Standing) -> Option<String> {
        let moment = self.store.snapshot();
        let key = self.hosts[host].device().map(|device| device.fingerprint())?;
        let id = self.machine_of(host)?;
        let Some(machine) = moment.machine_by_id(id) else {
            return Some("is at work and unknown".to_owned());
        };
        if !machine.keys_rest() {
            if machine.key != Some(key) && !self.is_rotating(host) {
                return Some(format!("is at work and {id} has another key"));
            }
            if let Some(stuck) = self.is_stuck(host) {
                return Some(stuck);
            }
        }
        let paused = match &machine.state {
            MachineState::Active(_) => Standing::Active,
            MachineState::Suspended(Suspended {
                cause: SuspendCause::Operator(_) | SuspendCause::Probation,
                ..
            }) => Standing::Suspended,
            _ => return Some(format!("is at work and {id} has ended (I-6)")),
        };
        if paused != standing {
            return Some(format!("stands as {standing:?}, and {id} as {paused:?}"));
        }
        if self.live_machines(&moment, host) > 1 {
            return Some("is several machines (I-1)".to_owned());
        }
        // A key that may only vouch opens none, and vouches for nothing while the keys rest.
        let may_only_vouch = machine.keys_rest() && machine.key != Some(key);
        (!up && !may_only_vouch).then(|| "has no channel".to_owned())
    }

    fn rotation_of(&self, host: usize) -> Option<Rotation> {
        match self.hosts[host].process.as_ref()?.core.state() {
            State::Running(running) => Some(running.rotation),
            _ => None,
        }
    }

    /// At this very moment.
    fn is_rotating(&self, host: usize) -> bool {
        matches!(self.rotation_of(host), Some(Rotation::Doing { .. }))
    }

    /// A rotation that does not come to its end, where nothing fails.
    fn is_stuck(&self, host: usize) -> Option<String> {
        match self.rotation_of(host)? {
            Rotation::BackingOff { step, attempt } if attempt > 4 => {
                Some(format!("tries its next key for the {attempt}th time ({})", step.as_str()))
            }
            _ => None,
        }
    }

    fn live_machines(&self, moment: &Snapshot, host: usize) -> usize {
        let own = |machine: &&Machine| machine.key.is_some_and(|key| self.hosts[host].keys.contains(&key));
        let hardware = &self.hosts[host].hardware;
        let is_its =
            |machine: &Machine| machine.hardware_id.as_ref().is_some_and(|id| id.as_str() == hardware);
        // Where somebody else came first under this hardware, persons told the two apart, as often as they were asked.
        if moment.machines().any(|machine| is_its(machine) && !own(&machine)) {
            return 1;
        }
        let live = moment.machines().filter(|machine| matches!(machine.state, MachineState::Active(_)));
        live.filter(own).count()
    }

    fn is_waiting(&self, hold: &str) -> Option<String> {
        let moment = self.store.snapshot();
        let now = super::hub::at(self.now());
        let is_open = moment.holds().any(|known| {
            known.id.to_string() == hold && known.state == HoldState::Open && known.expires_at > now
        });
        (!is_open).then(|| format!("waits for {hold}, which is not open"))
    }

    /// I-14.
    fn queues_are_empty(&mut self) {
        let open = self.requests.len();
        if open > 4 * self.hosts.len() + 40 {
            self.wrong(format!("{open} requests are under way in a world that is at rest (I-14)"));
        }
    }
}
