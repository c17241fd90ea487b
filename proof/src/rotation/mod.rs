//! Rotation, explored exhaustively: the decisions of [`muster_lifecycle::rotate`], as the server calls them, between an agent
//! that may crash between any two durable steps, a network that loses, doubles and reorders what it carries, a store that may
//! lose its second slot, and a thief who copied the first key.
//!
//! What was sent once may arrive at any time, any number of times. The agent's memory is never relied upon: all of its state
//! here is durable. [`Bug`]s can be planted, so that the exploration itself is tested.

mod server;

use std::collections::BTreeSet;

use muster_model::KeyStanding;
use stateright::{Checker, Model, Property};

pub use server::Bug;
use server::Server;

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Keys that the agent may make, with the one it begins with.
    pub keys: u8,
    /// Whether its second slot may be lost at any time.
    pub slot_lost: bool,
    /// Whether somebody may copy its first key at any time.
    pub thief: bool,
}

/// What an exploration found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    /// States that were reached.
    pub states: usize,
    /// The properties that do not hold, each with the shortest way to where it does not.
    pub violations: Vec<(String, String)>,
}

/// Explores everything within the bounds.
pub fn explore(bounds: Bounds, bug: Option<Bug>) -> Explored {
    let rotation = Rotation { bounds, server: Server::new(bounds.keys + 1, bug) };
    let checked = rotation.checker().spawn_bfs().join();
    let violations = checked
        .discoveries()
        .into_iter()
        .map(|(property, path)| (property.to_owned(), format!("{:?}", path.into_actions())))
        .collect();
    Explored { states: checked.unique_state_count(), violations }
}

struct Rotation {
    bounds: Bounds,
    server: Server,
}

/// Everything that is durable, and what is under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    agent: Agent,
    /// How each key stands at the server; nothing for one that it never saw. The last one is the thief's.
    rows: Vec<Option<KeyStanding>>,
    /// Keys that the agent has made.
    made: u8,
    under_way: BTreeSet<Message>,
    thief: Option<Thief>,
    /// Whether an operator was told of something that should not be.
    told: bool,
}

/// The two slots of the agent's store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Agent {
    durable: u8,
    next: Option<u8>,
    /// Whether the next one's certificate lies beside it.
    certified: bool,
}

/// Somebody who has the first key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Thief {
    certified: bool,
}

/// What travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Message {
    Propose { by: u8, key: u8 },
    Certified { by: u8, key: u8 },
    Use { key: u8, base: u8 },
    Used { key: u8 },
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    MakeKey,
    Send(Message),
    Deliver(Message),
    /// The second slot is emptied once the first holds what was in it.
    Clear,
    LoseSlot,
    Steal,
}

impl Model for Rotation {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut rows = vec![None; usize::from(self.bounds.keys) + 1];
        rows[0] = Some(KeyStanding::Current);
        let agent = Agent { durable: 0, next: None, certified: false };
        vec![State { agent, rows, made: 1, under_way: BTreeSet::new(), thief: None, told: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.of_agent(state, actions);
        if self.bounds.thief {
            self.of_thief(state, actions);
        }
        actions.extend(state.under_way.iter().map(|message| Action::Deliver(*message)));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::MakeKey => {
                (state.agent.next, state.agent.certified) = (Some(state.made), false);
                state.made += 1;
            }
            Action::Send(message) => {
                state.under_way.insert(message);
            }
            Action::Deliver(message) => self.deliver(&mut state, message),
            Action::Clear | Action::LoseSlot => {
                (state.agent.next, state.agent.certified) = (None, false);
            }
            Action::Steal => state.thief = Some(Thief { certified: false }),
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("an agent with one intact slot gets back", |_, state| state.gets_back()),
            Property::<Self>::always("at most two keys do normal work", |_, state| state.working() <= 2),
            Property::<Self>::always("one key is current", |_, state| {
                state.standing(KeyStanding::Current) == 1
            }),
            Property::<Self>::always("a thief who became the machine is noticed", |model, state| {
                model.is_noticed(state)
            }),
            Property::<Self>::always(
                "a thief beside a machine that has moved on is noticed",
                |model, state| state.told || !model.waits_beside(state),
            ),
        ]
    }
}

impl Rotation {
    fn of_agent(&self, state: &State, actions: &mut Vec<Action>) {
        let Agent { durable, next, certified } = state.agent;
        actions.push(Action::Send(Message::Use { key: durable, base: durable }));
        match next {
            None if state.made < self.bounds.keys => actions.push(Action::MakeKey),
            None => {}
            Some(next) if next == durable => actions.push(Action::Clear),
            Some(next) => {
                actions.push(Action::Send(match certified {
                    true => Message::Use { key: next, base: durable },
                    false => Message::Propose { by: durable, key: next },
                }));
                if self.bounds.slot_lost {
                    actions.push(Action::LoseSlot);
                }
            }
        }
    }

    fn of_thief(&self, state: &State, actions: &mut Vec<Action>) {
        let own = self.bounds.keys;
        let Some(thief) = &state.thief else { return actions.push(Action::Steal) };
        actions.push(Action::Send(Message::Use { key: 0, base: 0 }));
        match thief.certified {
            true => {
                actions.extend([0, own].map(|base| Action::Send(Message::Use { key: own, base })));
            }
            false => actions.push(Action::Send(Message::Propose { by: 0, key: own })),
        }
    }

    fn deliver(&self, state: &mut State, message: Message) {
        match message {
            Message::Propose { by, key } => {
                let (answered, told) = self.server.propose(&mut state.rows, by, key);
                state.told |= told;
                if answered {
                    state.under_way.insert(Message::Certified { by, key });
                }
            }
            Message::Use { key, base } => {
                let (answered, told) = self.server.used(&mut state.rows, key, base);
                state.told |= told;
                if answered {
                    state.under_way.insert(Message::Used { key });
                }
            }
            Message::Certified { by, key } => {
                let agent = &mut state.agent;
                if by == agent.durable && agent.next == Some(key) {
                    agent.certified = true;
                }
                if let Some(thief) = state.thief.as_mut().filter(|_| key == self.bounds.keys) {
                    thief.certified = true;
                }
            }
            Message::Used { key } => {
                let agent = &mut state.agent;
                if agent.certified && agent.next == Some(key) {
                    agent.durable = key;
                }
            }
        }
    }

    /// Where the thief's key is the machine's and nobody was told, the machine's next word tells it: no key of its own works.
    fn is_noticed(&self, state: &State) -> bool {
        let is_thiefs = state.rows[usize::from(self.bounds.keys)] == Some(KeyStanding::Current);
        !is_thiefs || state.told || !state.own_keys().any(|key| state.works(key))
    }

    /// Whether the thief's key is the next one of a machine that is done with an earlier rotation.
    fn waits_beside(&self, state: &State) -> bool {
        let at = |key: u8| state.rows[usize::from(key)];
        let is_settled = at(state.agent.durable) == Some(KeyStanding::Current)
            && state.agent.durable > 0
            && state.standing(KeyStanding::Previous) == 0;
        is_settled && at(self.bounds.keys) == Some(KeyStanding::Proposed)
    }
}

impl State {
    /// Keys that the agent can show.
    fn own_keys(&self) -> impl Iterator<Item = u8> {
        let next = self.agent.next.filter(|_| self.agent.certified);
        [Some(self.agent.durable), next].into_iter().flatten()
    }

    fn works(&self, key: u8) -> bool {
        matches!(self.rows[usize::from(key)], Some(KeyStanding::Current | KeyStanding::Proposed))
    }

    /// By a key that works, or by the right to ask for a rotation. One whose thief became the machine comes back by a person.
    fn gets_back(&self) -> bool {
        let counts = |key: u8| self.rows[usize::from(key)].is_some_and(KeyStanding::counts);
        self.own_keys().any(counts) || self.thief.is_some()
    }

    fn working(&self) -> usize {
        self.standing(KeyStanding::Current) + self.standing(KeyStanding::Proposed)
    }

    fn standing(&self, standing: KeyStanding) -> usize {
        self.rows.iter().filter(|row| **row == Some(standing)).count()
    }
}
