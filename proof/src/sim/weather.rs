//! What is broken for a while: the store, the way of one replica to it, clocks.

use super::happening::Happening;
use super::hub::{Condition, HOUR, MINUTE, Millis, SECOND, YEAR};
use super::steps::Column;
use super::world::World;

/// Something that will be whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Store,
    Seat(usize),
    SeatClock(usize),
    HostClock(usize),
}

impl World {
    /// Something breaks now and then.
    pub(super) fn weather(&mut self) {
        if !self.hub.lock().chaos {
            return;
        }
        let next = self.between(2 * MINUTE, 40 * MINUTE);
        self.after(next, Happening::Weather);
        let what = self.draw_trouble();
        self.tell(|_| format!("{} begins", what.says()));
        match what {
            Column::StoreDown => self.store_is(Condition::Down),
            Column::DiskFull => self.store_is(Condition::Full),
            Column::ReadOnly => self.store_is(Condition::ReadOnly),
            Column::Failover => self.store_is(Condition::FailingOver),
            Column::Partition => self.cut_off(),
            Column::ClockAhead | Column::ClockBehind => self.clocks(what),
            _ => self.kill_one(),
        }
    }

    fn draw_trouble(&mut self) -> Column {
        const OF: [Column; 9] = [
            Column::StoreDown,
            Column::DiskFull,
            Column::ReadOnly,
            Column::Failover,
            Column::Partition,
            Column::ClockAhead,
            Column::ClockBehind,
            Column::CrashBefore,
            Column::Partition,
        ];
        let mut inside = self.hub.lock();
        let looked_at = OF.into_iter().find(|column| inside.looks_at(*column));
        match looked_at {
            Some(column) if inside.once_in(2) => column,
            _ => OF[inside.dice.usize(0..OF.len())],
        }
    }

    fn store_is(&mut self, condition: Condition) {
        self.hub.lock().condition = condition;
        let after = self.spell();
        self.after(after, Happening::Whole(Trouble::Store));
    }

    /// Mostly short, sometimes long.
    fn spell(&self) -> Millis {
        if self.once_in(6) {
            self.between(10 * MINUTE, 40 * MINUTE)
        } else {
            self.between(SECOND, 5 * MINUTE)
        }
    }

    fn cut_off(&mut self) {
        let seat = self.hub.lock().dice.usize(0..self.replicas.len());
        {
            let mut inside = self.hub.lock();
            inside.seats[seat].cut = true;
            inside.seats[seat].forgotten = true;
        }
        let after = self.spell();
        self.after(after, Happening::Whole(Trouble::Seat(seat)));
    }

    fn clocks(&mut self, column: Column) {
        let by = if self.once_in(3) { YEAR } else { HOUR };
        let by = if column == Column::ClockAhead { by } else { -by };
        let after = self.between(10 * MINUTE, 2 * HOUR);
        if self.once_in(3) {
            // A year ahead is a server nobody would let serve: its looks fail at once, and so it decides nothing.
            let seat = self.hub.lock().dice.usize(0..self.replicas.len());
            self.hub.lock().seats[seat].offset = by;
            self.stir(seat);
            return self.after(after, Happening::Whole(Trouble::SeatClock(seat)));
        }
        let hosts = self.hosts.len();
        for _ in 0..hosts.div_ceil(3) {
            let host = self.hub.lock().dice.usize(0..hosts);
            self.hosts[host].offset = by;
            self.after(after, Happening::Whole(Trouble::HostClock(host)));
        }
    }

    fn kill_one(&mut self) {
        let seat = self.hub.lock().dice.usize(0..self.replicas.len());
        if self.replicas[seat].runs() {
            self.kill(seat);
        }
    }

    /// It is whole again.
    pub(super) fn whole(&mut self, trouble: Trouble) {
        self.tell(|_| format!("{trouble:?} is whole again"));
        match trouble {
            Trouble::Store => self.hub.lock().condition = Condition::Well,
            Trouble::Seat(seat) => self.hub.lock().seats[seat].cut = false,
            Trouble::SeatClock(seat) => self.hub.lock().seats[seat].offset = 0,
            Trouble::HostClock(host) => self.hosts[host].offset = 0,
        }
        (0..self.replicas.len()).for_each(|seat| self.stir(seat));
    }
}
