//! What must hold in every state that can be reached.

use muster_model::KeyStanding;
use stateright::Property;

use super::Fleet;
use super::server::{Said, Tables};
use super::state::{Agent, Asks, Broken, Db, Door, Key, Slot, State};

/// What must hold in every state, by the names that the invariants have.
pub(super) fn all() -> Vec<Property<Fleet>> {
    fn never(name: &'static str, which: fn(&Fleet, &State) -> bool) -> Property<Fleet> {
        Property::<Fleet>::always(name, which)
    }
    vec![
        never("I-1 one machine for a key and for a hardware id", |_, s| !s.broken.has(Broken::TWO_MACHINES)),
        never("I-2 no certificate without the row of its key", |fleet, s| fleet.db(s).has_no_orphan()),
        never("I-3 what was acknowledged is there", |fleet, s| fleet.is_remembered(s)),
        never("I-4 at most two keys work, and one is current", |fleet, s| fleet.db(s).has_few_keys()),
        never("I-5 an agent with one intact slot gets back", |fleet, s| fleet.gets_back(s)),
        never("I-5 a lost answer burns no token", |fleet, s| fleet.collects(s)),
        never("I-6 no key that ended is served", |_, s| !s.broken.has(Broken::DEAD_KEY_SERVED)),
        never("I-7 a token is spent by one key", |fleet, s| fleet.db(s).drew.count_ones() <= 1),
        never("I-9 no change without its entry", |_, s| !s.broken.has(Broken::UNTOLD_CHANGE)),
        never("I-11 who waits has no certificate", |fleet, s| fleet.db(s).who_waits_has_none()),
        never("I-13 generations never fall", |_, s| !s.broken.has(Broken::GENERATION_FELL)),
        never("no request without its key changes a machine", |_, s| {
            !s.broken.has(Broken::TAKEN_BY_STRANGER)
        }),
        never("a hold touches nothing", |_, s| !s.broken.has(Broken::HOLD_TOUCHED)),
        never("a thief who became the machine is noticed", |fleet, s| fleet.is_noticed(s)),
        never("a thief beside a machine that moved on is noticed", |fleet, s| {
            s.told || !fleet.waits_beside(s)
        }),
    ]
}

/// What the properties ask.
impl Fleet {
    /// Agents that were let in and that no operator ended or took for somebody else since, with their machine.
    fn at_home<'a>(&self, state: &'a State) -> impl Iterator<Item = (&'a Agent, Key, Db)> + use<'a> {
        let db = self.db(state);
        let is_restored = state.is_restored;
        state.agents.iter().filter_map(move |agent| {
            let machine = agent.machine?;
            match db.machines[usize::from(machine)] {
                _ if db.merged >> machine & 1 == 1 => None,
                Some(row) if row.is_ended => None,
                // It came after the backup: it is told so, and comes again where somebody lets it.
                None if is_restored => None,
                _ => Some((agent, machine, db)),
            }
        })
    }

    fn is_remembered(&self, state: &State) -> bool {
        self.at_home(state).all(|(_, machine, db)| db.machines[usize::from(machine)].is_some())
    }

    fn gets_back(&self, state: &State) -> bool {
        let is_back = |agent: &Agent, machine: Key, db: Db| {
            let next = agent.next.filter(|next| next.drawn.is_some());
            [Some(agent.durable), next].into_iter().flatten().any(|slot| {
                let counts = db.keys[usize::from(slot.key)].is_some_and(|row| row.standing.counts());
                counts || self.is_adopted(state, db, slot, machine)
            })
        };
        // One whose thief became the machine comes back by a person.
        state.thief.is_some_and(|thief| thief.copied.is_some())
            || self.at_home(state).all(|(agent, machine, db)| is_back(agent, machine, db))
    }

    fn is_adopted(&self, state: &State, db: Db, slot: Slot, machine: Key) -> bool {
        let tables = Tables { read: db, written: db, epoch: state.epoch };
        slot.drawn.is_some_and(|drawn| self.known.is_adopted(tables, (slot.key, machine, drawn)))
    }

    /// Whose key the database knows, and who has no certificate yet, gets one by asking again.
    fn collects(&self, state: &State) -> bool {
        let db = self.db(state);
        let tables = Tables { read: db, written: db, epoch: state.epoch };
        state
            .agents
            .iter()
            .enumerate()
            .filter(|(_, agent)| agent.made > 0 && agent.durable.drawn.is_none())
            .all(|(at, agent)| {
                let key = agent.durable.key;
                let door = if at == 0 { Door::Token } else { Door::Site };
                let Some(row) = db.keys[usize::from(key)] else { return true };
                let is_its = row.standing == KeyStanding::Current
                    && db.machines[usize::from(row.machine)].is_some_and(|machine| !machine.is_ended);
                !is_its || self.known.asked(tables, Asks::Enroll { key, door }, 0).said != Said::Refused
            })
    }

    /// Where the thief's key is the first agent's machine's and nobody was told, that machine's next word tells it.
    fn is_noticed(&self, state: &State) -> bool {
        let Some(machine) = state.agents[0].machine else { return true };
        let db = self.db(state);
        let at = |key: Key| db.keys[usize::from(key)].filter(|row| row.machine == machine);
        let is_thiefs = at(self.bounds.thiefs()).is_some_and(|row| row.standing == KeyStanding::Current);
        let works = |slot: Slot| {
            at(slot.key)
                .is_some_and(|row| matches!(row.standing, KeyStanding::Current | KeyStanding::Proposed))
        };
        let next = state.agents[0].next.filter(|next| next.drawn.is_some());
        let own = [Some(state.agents[0].durable), next];
        !is_thiefs || state.told || db.merged >> machine & 1 == 1 || !own.into_iter().flatten().any(works)
    }

    /// Whether the thief's key is the next one of a machine that is done with an earlier rotation.
    fn waits_beside(&self, state: &State) -> bool {
        let Some(machine) = state.agents[0].machine else { return false };
        let db = self.db(state);
        let standing =
            |key: Key| db.keys[usize::from(key)].filter(|row| row.machine == machine).map(|row| row.standing);
        let durable = state.agents[0].durable.key;
        let has_previous = db
            .keys
            .iter()
            .flatten()
            .any(|row| row.machine == machine && row.standing == KeyStanding::Previous);
        let copied = state.thief.and_then(|thief| thief.copied).map(|(slot, _)| slot.key);
        let is_settled = standing(durable) == Some(KeyStanding::Current) && !has_previous;
        is_settled
            && copied.is_some_and(|copied| copied != durable)
            && standing(self.bounds.thiefs()) == Some(KeyStanding::Proposed)
    }
}
