//! What was seen before, by numbers: databases, messages, and what a transaction makes of a database. Decisions are pure,
//! so each is made once, however many states ask for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use muster_model::KeyStanding;

use super::bug::Bug;
use super::server::{Act, Done, Said, Server, Tables};
use super::state::{Asks, Db, Decided, Epoch, Key, Message};

pub(super) struct Known {
    server: Server,
    databases: RwLock<Numbered<Db>>,
    messages: RwLock<Numbered<Message>>,
    done: RwLock<HashMap<Question, Done>>,
}

/// What is asked of a database: by a request in one of its stages, or by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    read: Db,
    written: Db,
    epoch: Epoch,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Asked(Asks, u8),
    Acted(Act),
    Adopted(Key, Key, Epoch),
}

#[derive(Debug)]
struct Numbered<T> {
    all: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T: Copy + Eq + Hash> Numbered<T> {
    fn of(known: &RwLock<Self>, value: T) -> u32 {
        if let Some(number) = known.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&value) {
            return *number;
        }
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        let next = known.all.len() as u32;
        let number = *known.numbers.entry(value).or_insert(next);
        if number == next {
            known.all.push(value);
        }
        number
    }

    fn new() -> RwLock<Self> {
        RwLock::new(Self { all: Vec::new(), numbers: HashMap::new() })
    }
}

impl Known {
    pub(super) fn new(bug: Option<Bug>, thiefs: Key) -> Self {
        let (databases, messages) = (Numbered::new(), Numbered::new());
        Self { server: Server::new(bug, thiefs), databases, messages, done: RwLock::default() }
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.server.has(bug)
    }

    pub(super) fn number(&self, db: Db) -> u32 {
        Numbered::of(&self.databases, db)
    }

    pub(super) fn db(&self, number: u32) -> Db {
        self.databases.read().unwrap_or_else(PoisonError::into_inner).all[number as usize]
    }

    /// A message as one bit of a set.
    pub(super) fn bit(&self, message: Message) -> u128 {
        let number = Numbered::of(&self.messages, message);
        assert!(number < u128::BITS, "more kinds of messages than a set has room for");
        1 << number
    }

    /// The messages of a set.
    pub(super) fn messages(&self, set: u128) -> impl Iterator<Item = Message> {
        let known = self.messages.read().unwrap_or_else(PoisonError::into_inner);
        let here: Vec<Message> = known
            .all
            .iter()
            .enumerate()
            .filter(|(at, _)| set >> at & 1 == 1)
            .map(|(_, message)| *message)
            .collect();
        here.into_iter()
    }

    pub(super) fn asked(&self, tables: Tables, asks: Asks, stage: u8) -> Done {
        self.known(tables, What::Asked(asks, stage))
    }

    pub(super) fn acted(&self, tables: Tables, act: Act) -> Done {
        self.known(tables, What::Acted(act))
    }

    pub(super) fn is_adopted(&self, tables: Tables, (key, machine, drawn): (Key, Key, Epoch)) -> bool {
        self.known(tables, What::Adopted(key, machine, drawn)).said != Said::Refused
    }

    fn known(&self, tables: Tables, what: What) -> Done {
        let Tables { read, written, epoch } = tables;
        let question = Question { read, written, epoch, what };
        if let Some(done) = self.done.read().unwrap_or_else(PoisonError::into_inner).get(&question) {
            return *done;
        }
        let done = match what {
            What::Asked(asks, stage) => self.server.asked(tables, asks, stage),
            What::Acted(act) => self.server.acted(tables, act),
            What::Adopted(key, machine, drawn) => {
                let refused =
                    Done { db: written, said: Said::Refused, told: false, broken: Default::default() };
                self.server.adopt(tables, (key, machine, drawn), key).unwrap_or(refused)
            }
        };
        self.done.write().unwrap_or_else(PoisonError::into_inner).insert(question, done);
        done
    }
}

/// What the properties ask of the rows alone.
impl Db {
    pub(super) fn has_no_orphan(&self) -> bool {
        self.certificates
            .iter()
            .zip(&self.keys)
            .all(|(certificate, key)| certificate.is_none() || key.is_some())
    }

    pub(super) fn has_few_keys(&self) -> bool {
        (0..self.machines.len()).all(|machine| {
            let its = |standing| {
                let rows = self.keys.iter().flatten().filter(|row| usize::from(row.machine) == machine);
                rows.filter(|row| row.standing == standing).count()
            };
            let has_one = self.machines[machine].is_some_and(|row| row.key.is_some() && !row.is_revoked);
            (usize::from(has_one)..=1).contains(&its(KeyStanding::Current))
                && its(KeyStanding::Proposed) <= 1
                && its(KeyStanding::Previous) <= 1
        })
    }

    pub(super) fn who_waits_has_none(&self) -> bool {
        let waits = |hold: &Decided| matches!(hold, Decided::Open | Decided::Rejected);
        self.holds.iter().zip(&self.certificates).zip(&self.keys).all(|((hold, certificate), key)| {
            !hold.is_some_and(|hold| waits(&hold.state)) || key.is_some() || certificate.is_none()
        })
    }
}
