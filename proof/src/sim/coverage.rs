//! How often each step was struck by each fault.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use super::steps::{Cell, Column, Step};

/// How often each step was struck by each fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<Cell, u64>);

impl Coverage {
    pub(super) fn hit(&mut self, step: Step, column: Column) {
        *self.0.entry((step, column)).or_default() += 1;
    }

    /// How often.
    pub fn count(&self, cell: Cell) -> u64 {
        self.0.get(&cell).copied().unwrap_or_default()
    }

    /// Adds what another run covered.
    pub fn add(&mut self, other: &Self) {
        for (cell, count) in &other.0 {
            *self.0.entry(*cell).or_default() += count;
        }
    }

    /// Every pair that there is.
    pub fn cells() -> Vec<Cell> {
        let of = |step: Step| step.struck_by().iter().map(move |column| (step, *column));
        Step::ALL.into_iter().flat_map(of).collect()
    }

    /// The pair that a seed looks at: each in turn, and now and then one that comes seldom.
    pub(super) fn looked_at(seed: u64) -> Cell {
        const RARE_EVERY: u64 = 50;
        const LAST: u64 = RARE_EVERY - 1;
        let cells = Self::cells();
        let (rare, others): (Vec<Cell>, Vec<Cell>) =
            cells.into_iter().partition(|cell| cell.0 == Step::Adopt);
        let (from, at) = match seed % RARE_EVERY {
            LAST => (rare, seed / RARE_EVERY),
            _ => (others, seed - seed / RARE_EVERY),
        };
        from[usize::try_from(at % from.len() as u64).unwrap_or_default()]
    }

    /// Pairs that there are and that never came.
    pub fn missing(&self) -> Vec<Cell> {
        Self::cells().into_iter().filter(|cell| self.count(*cell) == 0).collect()
    }
}

impl Display for Coverage {
    /// The table: a row for a step, a column for a fault; `-` where the fault cannot strike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:36}", "step \\ fault")?;
        (1..=Column::ALL.len()).try_for_each(|number| write!(f, "{number:>7}"))?;
        for step in Step::ALL {
            write!(f, "\n{:36}", step.says())?;
            for column in Column::ALL {
                match step.struck_by().contains(&column) {
                    true => write!(f, "{:>7}", self.count((step, column)))?,
                    false => write!(f, "{:>7}", "-")?,
                }
            }
        }
        let names = Column::ALL.iter().enumerate();
        let names: Vec<String> = names.map(|(at, column)| format!("{} {}", at + 1, column.says())).collect();
        write!(f, "\n{}", names.join(", "))
    }
}
