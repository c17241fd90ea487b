//! Two agents, two replicas, a thief and an operator, explored exhaustively: who may come in by a token and who waits, whom a
//! person takes for whom, how keys are rotated and revoked, and what comes of it when an older database is put back.
//!
//! Every transaction is a real decision of `muster-lifecycle`, over rows of this model. A request is one or more of them, and
//! between two of them anything may happen; what was sent once may arrive at any time, any number of times, or never; a
//! replica may be killed in between; an agent relies on nothing that is not durable. [`Bug`]s can be planted.
//!
//! Two things keep the number of states down, and hide nothing: what an agent could say now is under way at once, since what
//! does not arrive was not said; and a transaction is one step, since one whose facts changed meanwhile is begun anew.
//! [`Bounds::split`] takes the second back, so that the version check itself is explored.

mod bug;
mod known;
mod promises;
mod prove;
mod rows;
mod server;
mod state;

use std::collections::BTreeMap;

use muster_lifecycle::hold::Choice;
use stateright::{Checker, HasDiscoveries, Model, Property};

pub use bug::Bug;
use known::Known;
pub use prove::{ALONE, SMALL, bounds_of, prove};
use server::{Act, Said, Tables};
use state::{Agent, Asks, Broken, Db, Decided, Door, Key, Message, Slot, State, Thief, Work};

/// What is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Keys that each of the two agents may make; one that may make none is not there. The second one is a clone of the first,
    /// on the same hardware.
    pub keys: [u8; 2],
    /// Whether somebody else has the token, and a key, and may copy what the first agent has.
    pub thief: bool,
    /// Replicas that may be at work at once.
    pub replicas: usize,
    /// Whether an agent's second slot may be lost at any time.
    pub slot_lost: bool,
    /// Whether an operator may revoke machines.
    pub revokes: bool,
    /// Whether an older database may be put back, once.
    pub restore: bool,
    /// Whether agents renew their certificates, once in each stretch.
    pub renews: bool,
    /// Whether reading and writing of a transaction are two steps.
    pub split: bool,
}

impl Bounds {
    /// The thief's own key: it comes after those of the agents.
    fn thiefs(&self) -> Key {
        self.keys.iter().sum()
    }
}

/// What an exploration found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// States that were reached.
    pub states: usize,
    /// Whether these are all.
    pub whole: bool,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// The properties that do not hold, each with the shortest way to where it does not.
    pub violations: Vec<(String, Vec<String>)>,
}

/// No exploration goes further: what it has then is not everything.
const MOST: usize = 40_000_000;

/// Explores everything within the bounds; with a mistake planted, as far as the first property that does not hold.
pub fn explore(bounds: Bounds, bug: Option<Bug>) -> Explored {
    let fleet = Fleet { bounds, known: Known::new(bug, bounds.thiefs()) };
    let checker = fleet.checker().target_state_count(MOST);
    // One thread goes through states in the order of their distance.
    let checker = match bug {
        None => checker.threads(threads()),
        Some(_) => checker.threads(1).finish_when(HasDiscoveries::Any),
    };
    let checked = checker.spawn_bfs().join();
    let found: BTreeMap<_, _> = checked.discoveries().into_iter().collect();
    let way = |path: stateright::Path<State, Action>| {
        path.into_actions().iter().map(|action| format!("{action:?}")).collect()
    };
    Explored {
        states: checked.unique_state_count(),
        whole: checked.state_count() < MOST,
        depth: checked.max_depth(),
        violations: found.into_iter().map(|(name, path)| (name.to_owned(), way(path))).collect(),
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

struct Fleet {
    bounds: Bounds,
    known: Known,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    MakeKey(usize),
    Arrives(Message),
    /// A replica begins with a request.
    Take(Asks),
    /// A replica carries out the next transaction of what it is at work on.
    GoOn(Work),
    /// It is killed instead.
    Kill(Work),
    Act(Act),
    /// The second slot is emptied once the first holds what was in it.
    Clear(usize),
    LoseSlot(usize),
    Steal,
    BackUp,
    Restore,
}

impl Model for Fleet {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let first = |at: usize| {
            let durable = Slot { key: self.first_key(at), drawn: None };
            // One that may make no key is not there.
            Agent { durable, made: self.bounds.keys[at].min(1), ..Agent::default() }
        };
        let mut state = State {
            db: self.known.number(Db::default()),
            backup: None,
            is_restored: false,
            epoch: 0,
            agents: [first(0), first(1)],
            thief: self.bounds.thief.then_some(Thief { copied: None, own: None }),
            under_way: 0,
            replicas: [None; 2],
            told: false,
            broken: Broken::default(),
        };
        self.say(&mut state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for message in self.known.messages(state.under_way) {
            actions.push(match message {
                Message::Asks(asks) if state.replicas[..self.bounds.replicas].contains(&None) => {
                    Action::Take(asks)
                }
                Message::Asks(_) => continue,
                answer => Action::Arrives(answer),
            });
        }
        for work in state.replicas.into_iter().flatten() {
            actions.extend([Action::GoOn(work), Action::Kill(work)]);
        }
        for (at, agent) in state.agents.iter().enumerate() {
            self.of_agent(at, agent, actions);
        }
        if state.thief.is_some_and(|thief| thief.copied.is_none()) && state.agents[0].durable.drawn.is_some()
        {
            actions.push(Action::Steal);
        }
        self.of_operator(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::MakeKey(at) => {
                let agent = &mut state.agents[at];
                agent.next = Some(Slot { key: self.first_key(at) + agent.made, drawn: None });
                agent.made += 1;
            }
            Action::Arrives(message) => self.arrives(&mut state, message),
            Action::Take(asks) => self.take(&mut state, asks),
            Action::GoOn(work) => self.go_on(&mut state, work),
            Action::Kill(work) => self.freed(&mut state, work),
            Action::Act(act) => self.act(&mut state, act),
            Action::Clear(at) | Action::LoseSlot(at) => state.agents[at].next = None,
            Action::Steal => {
                let (agent, thief) = (state.agents[0], state.thief.as_mut()?);
                thief.copied = agent.machine.map(|machine| (agent.durable, machine));
            }
            Action::BackUp => {
                state.backup = Some(state.db);
                state.epoch += 1;
            }
            Action::Restore => self.restore(&mut state),
        }
        self.say(&mut state);
        state.replicas.sort();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Fleet {
    fn first_key(&self, at: usize) -> Key {
        self.bounds.keys[..at].iter().sum()
    }

    fn db(&self, state: &State) -> Db {
        self.known.db(state.db)
    }

    fn of_agent(&self, at: usize, agent: &Agent, actions: &mut Vec<Action>) {
        match agent.next {
            None if agent.durable.drawn.is_some() && agent.made < self.bounds.keys[at] => {
                actions.push(Action::MakeKey(at));
            }
            None => {}
            Some(next) if next.key == agent.durable.key => actions.push(Action::Clear(at)),
            Some(_) if self.bounds.slot_lost => actions.push(Action::LoseSlot(at)),
            Some(_) => {}
        }
    }

    fn of_operator(&self, state: &State, actions: &mut Vec<Action>) {
        let db = self.db(state);
        for (key, hold) in db.holds.iter().enumerate() {
            if hold.is_some_and(|hold| hold.state == Decided::Open) {
                let key = key as Key;
                let acts =
                    [Act::Approve(key, Choice::Same), Act::Approve(key, Choice::New), Act::Reject(key)];
                actions.extend(acts.map(Action::Act));
            }
        }
        for (number, row) in db.machines.iter().enumerate() {
            if self.bounds.revokes && row.is_some_and(|row| !row.is_ended) {
                actions.push(Action::Act(Act::Revoke(number as Key)));
            }
        }
        match state.backup {
            _ if !self.bounds.restore || state.is_restored => {}
            None => actions.push(Action::BackUp),
            Some(_) => actions.push(Action::Restore),
        }
    }

    /// Whatever can be said now is under way.
    fn say(&self, state: &mut State) {
        let mut said = state.under_way;
        let mut ask = |asks: Asks| said |= self.known.bit(Message::Asks(asks));
        for (at, agent) in state.agents.iter().enumerate().filter(|(_, agent)| agent.made > 0) {
            let Slot { key, drawn } = agent.durable;
            let door = if at == 0 { Door::Token } else { Door::Site };
            match drawn.zip(agent.machine) {
                None => {
                    ask(Asks::Enroll { key, door });
                    if agent.is_held {
                        ask(Asks::Collect { key });
                    }
                }
                Some((drawn, machine)) => {
                    ask(Asks::Use { key, machine, drawn, base: key });
                    // A renewal and a rotation are never under way together.
                    if self.bounds.renews && drawn < state.epoch && agent.next.is_none() {
                        ask(Asks::Renew { key, machine, drawn });
                    }
                }
            }
            match (agent.next.filter(|next| next.key != key), agent.machine) {
                (Some(Slot { key: next, drawn: Some(drawn) }), Some(machine)) => {
                    ask(Asks::Use { key: next, machine, drawn, base: key });
                }
                (Some(Slot { key: next, drawn: None }), _) => ask(Asks::Propose { by: key, key: next }),
                _ => {}
            }
        }
        if let Some(thief) = state.thief {
            self.said_by_thief(thief, &mut ask);
        }
        state.under_way = said;
    }

    fn said_by_thief(&self, thief: Thief, ask: &mut impl FnMut(Asks)) {
        let own = self.bounds.thiefs();
        if thief.own.is_none() {
            [Door::Token, Door::Site].into_iter().for_each(|door| ask(Asks::Enroll { key: own, door }));
            ask(Asks::Collect { key: own });
        }
        if let Some((Slot { key, drawn }, machine)) = thief.copied {
            let drawn = drawn.unwrap_or_default();
            ask(Asks::Use { key, machine, drawn, base: key });
            match thief.own {
                None => ask(Asks::Propose { by: key, key: own }),
                Some((drawn, machine)) => ask(Asks::Use { key: own, machine, drawn, base: key }),
            }
        }
        if let Some((drawn, machine)) = thief.own {
            ask(Asks::Use { key: own, machine, drawn, base: own });
        }
    }

    fn tables(&self, state: &State, seen: u32) -> Tables {
        let written = self.db(state);
        let read = if self.known.has(Bug::CommitsStale) { self.known.db(seen) } else { written };
        Tables { read, written, epoch: state.epoch }
    }

    fn take(&self, state: &mut State, asks: Asks) {
        let work = Work { asks, stage: 0, seen: state.db };
        if self.bounds.split {
            return self.keep(state, work);
        }
        self.carry_out(state, work);
    }

    fn keep(&self, state: &mut State, work: Work) {
        if let Some(free) = state.replicas.iter_mut().find(|replica| replica.is_none()) {
            *free = Some(work);
        }
    }

    fn freed(&self, state: &mut State, work: Work) {
        if let Some(replica) = state.replicas.iter_mut().find(|replica| **replica == Some(work)) {
            *replica = None;
        }
    }

    fn go_on(&self, state: &mut State, work: Work) {
        self.freed(state, work);
        // The version check: what changed since it was read is read again.
        if self.bounds.split && work.seen != state.db && !self.known.has(Bug::CommitsStale) {
            return self.keep(state, Work { seen: state.db, ..work });
        }
        self.carry_out(state, work);
    }

    fn carry_out(&self, state: &mut State, work: Work) {
        let Work { asks, stage, seen } = work;
        let done = self.known.asked(self.tables(state, seen), asks, stage);
        state.db = self.known.number(done.db);
        state.told |= done.told;
        state.broken = state.broken.and(done.broken);
        let answer = match (done.said, asks) {
            (Said::Refused, _) => return,
            (Said::GoesOn, _) => {
                // What stands between two transactions is no part of what is read.
                let seen = if self.bounds.split { state.db } else { 0 };
                return self.keep(state, Work { asks, stage: stage + 1, seen });
            }
            (Said::Certified { drawn } | Said::Admitted { drawn, .. }, Asks::Propose { by, key }) => {
                Message::Certified { by, key, drawn }
            }
            (Said::Admitted { machine, drawn }, Asks::Enroll { key, .. } | Asks::Collect { key }) => {
                Message::Admitted { key, drawn, machine }
            }
            (Said::Held, Asks::Enroll { key, .. }) => Message::Held { key },
            (Said::Certified { drawn } | Said::Admitted { drawn, .. }, Asks::Renew { key, .. }) => {
                Message::Renewed { key, drawn }
            }
            (Said::Used, Asks::Use { key, .. }) => Message::Used { key },
            _ => return,
        };
        state.under_way |= self.known.bit(answer);
    }

    fn act(&self, state: &mut State, act: Act) {
        let db = self.db(state);
        let done = self.known.acted(Tables { read: db, written: db, epoch: state.epoch }, act);
        state.db = self.known.number(done.db);
        state.broken = state.broken.and(done.broken);
    }

    /// Yesterday's database, accepted by an operator. Requests of before are refused: their nonces are of before.
    fn restore(&self, state: &mut State) {
        let Some(backup) = state.backup else { return };
        state.epoch += 1;
        let accepted = Some(state.epoch);
        // What a person decided meanwhile is forgotten, and the model remembers that somebody did.
        let db = Db { accepted, merged: self.db(state).merged, ..self.known.db(backup) };
        state.db = self.known.number(db);
        (state.is_restored, state.backup, state.replicas) = (true, None, [None; 2]);
        let is_kept = |message: &Message| match message {
            // Whoever enrolls so late comes in as another machine: none that the properties ask about.
            Message::Asks(Asks::Enroll { .. } | Asks::Collect { .. }) => false,
            Message::Asks(_) => self.known.has(Bug::HearsBefore),
            _ => true,
        };
        let kept = self.known.messages(state.under_way).filter(is_kept);
        state.under_way = kept.map(|message| self.known.bit(message)).fold(0, |all, bit| all | bit);
    }

    fn arrives(&self, state: &mut State, message: Message) {
        match message {
            Message::Asks(_) => {}
            Message::Admitted { key, drawn, machine } => {
                for agent in
                    state.agents.iter_mut().filter(|agent| agent.durable == Slot { key, drawn: None })
                {
                    (agent.durable.drawn, agent.machine, agent.is_held) = (Some(drawn), Some(machine), false);
                }
                self.given(state, key, (drawn, machine));
            }
            Message::Held { key } => {
                let waiting =
                    |agent: &&mut Agent| agent.made > 0 && agent.durable == Slot { key, drawn: None };
                state.agents.iter_mut().filter(waiting).for_each(|agent| agent.is_held = true);
            }
            Message::Certified { by, key, drawn } => {
                let asked = |agent: &&mut Agent| {
                    agent.durable.key == by && agent.next == Some(Slot { key, drawn: None })
                };
                state
                    .agents
                    .iter_mut()
                    .filter(asked)
                    .for_each(|agent| agent.next = Some(Slot { key, drawn: Some(drawn) }));
                if let Some((_, machine)) = state.thief.and_then(|thief| thief.copied) {
                    self.given(state, key, (drawn, machine));
                }
            }
            Message::Renewed { key, drawn } => {
                let older =
                    |agent: &&mut Agent| agent.durable.key == key && agent.durable.drawn < Some(drawn);
                state.agents.iter_mut().filter(older).for_each(|agent| agent.durable.drawn = Some(drawn));
            }
            Message::Used { key } => {
                for agent in &mut state.agents {
                    if let Some(next) = agent.next.filter(|next| next.key == key && next.drawn.is_some()) {
                        agent.durable = next;
                    }
                }
            }
        }
    }

    /// What the thief's own key was given.
    fn given(&self, state: &mut State, key: Key, certificate: (state::Epoch, Key)) {
        if let Some(thief) =
            state.thief.as_mut().filter(|thief| key == self.bounds.thiefs() && thief.own.is_none())
        {
            thief.own = Some(certificate);
        }
    }
}
