//! What becomes of what a replica asks of its store.

use super::call::Kind;
use super::hub::{Condition, Inside, WINDOW};
use super::steps::{Column, Step};

/// What becomes of a store operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Go,
    /// The process is dead: nothing ever returns.
    Dead,
    Unavailable,
    Full,
    /// The process dies before anything is written.
    DieBefore,
    /// It is written, and then the process dies.
    DieAfter,
    /// Nobody can tell; written or not.
    Unknown(bool),
    /// The disk of the store failed to sync: the process stops; written or not.
    Stopped(bool),
    /// A standby takes over that lacks the newest commits, so many.
    Failover(usize),
}

impl Inside {
    /// The kind of request that a replica serves, where it is one kind alone.
    fn kind_at(&self, seat: usize) -> Option<Kind> {
        let mut kinds = self.seats[seat].serving.values();
        let first = *kinds.next()?;
        kinds.all(|kind| *kind == first).then_some(first)
    }

    /// What keeps a replica from its store.
    pub(super) fn obstacle(&self, seat: usize) -> Option<Column> {
        match (self.seats[seat].cut, self.condition) {
            (true, _) => Some(Column::Partition),
            (_, Condition::Down) => Some(Column::StoreDown),
            (_, Condition::FailingOver) => Some(Column::Failover),
            _ => None,
        }
    }

    /// A request meets a replica that may be kept from its store: it may refuse without asking it.
    pub(super) fn meets(&mut self, seat: usize, kind: Kind) {
        if let Some(column) = self.obstacle(seat) {
            self.hit_both(kind, kind.about(), column);
        }
    }

    /// Whether a replica reaches the store to read.
    pub(super) fn reaches(&mut self, seat: usize) -> bool {
        let obstacle = self.obstacle(seat);
        if obstacle.is_some() {
            self.trouble(seat);
        }
        obstacle.is_none()
    }

    fn trouble(&mut self, seat: usize) {
        let serving: Vec<u64> = self.seats[seat].serving.keys().copied().collect();
        self.troubled.extend(serving);
    }

    /// What becomes of a write.
    pub(super) fn judge(&mut self, seat: usize, name: &'static str) -> Fate {
        let fate = self.draw_fate(seat, name);
        if fate != Fate::Go {
            self.trouble(seat);
        }
        fate
    }

    fn draw_fate(&mut self, seat: usize, name: &'static str) -> Fate {
        let at = &self.seats[seat];
        if !at.alive || at.dying {
            return Fate::Dead;
        }
        let (cut, offset) = (at.cut, at.offset);
        let kind = self.kind_at(seat);
        let step = kind.and_then(|kind| kind.served(name));
        let standing = match (cut, self.condition) {
            (true, _) => Some((Column::Partition, Fate::Unavailable)),
            (_, Condition::Down) => Some((Column::StoreDown, Fate::Unavailable)),
            (_, Condition::FailingOver) => Some((Column::Failover, Fate::Unavailable)),
            (_, Condition::Full) => Some((Column::DiskFull, Fate::Full)),
            (_, Condition::ReadOnly) => Some((Column::ReadOnly, Fate::Unavailable)),
            (_, Condition::Well) => None,
        };
        let mut note = |column| {
            if let Some(kind) = kind {
                self.hit_both(kind, step, column);
            }
        };
        match offset {
            0 => {}
            1.. => note(Column::ClockAhead),
            _ => note(Column::ClockBehind),
        }
        if let Some((column, fate)) = standing {
            note(column);
            return fate;
        }
        match step {
            Some(step) if self.chaos => self.draw(kind, step),
            _ => Fate::Go,
        }
    }

    fn draw(&mut self, kind: Option<Kind>, step: Step) -> Fate {
        let committed = self.dice.bool();
        let lossy = self.setup.asynchronous;
        let taken = if lossy { self.dice.usize(1..=WINDOW) } else { 0 };
        let table = [
            (Column::CrashBefore, 150, Fate::DieBefore),
            (Column::CrashAfter, 150, Fate::DieAfter),
            (Column::DiskFull, 250, Fate::Full),
            (Column::ReadOnly, 250, Fate::Unavailable),
            (Column::FsyncError, 250, Fate::Stopped(committed)),
            (Column::StoreDown, 250, Fate::Unavailable),
            (Column::StoreRestart, 120, Fate::Unknown(committed)),
            (Column::Partition, 400, Fate::Unavailable),
            (Column::Failover, self.failover_once_in(step), Fate::Failover(taken)),
        ];
        for (column, once_in, fate) in table {
            if self.strikes(step, column, once_in) {
                if let Some(kind) = kind {
                    self.hit_both(kind, Some(step), column);
                }
                self.tell(|| format!("{} strikes {}", column.says(), step.says()));
                return fate;
            }
        }
        Fate::Go
    }

    fn failover_once_in(&self, step: Step) -> u32 {
        match self.setup.focus {
            // What is taken back then is a certificate that its machine may have: that one is to be adopted.
            Some((Step::Adopt, _)) if step == Step::Sign => 8,
            Some((Step::Adopt, _)) => 40,
            _ if self.setup.asynchronous => 150,
            _ => 250,
        }
    }
}
