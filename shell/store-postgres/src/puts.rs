//! Writes that wait to be sent with those of others: in the order in which each decision made them, each text once for
//! all that have come as far.

use std::collections::HashMap;

use crate::effects::{Bound, Write};
use crate::values::Owned;

/// What is to be written.
#[derive(Debug, Default)]
pub(crate) struct Puts {
    /// How many writes of each decision wait.
    steps: HashMap<usize, usize>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    step: usize,
    what: &'static str,
    sql: &'static str,
    rows: Vec<Vec<Owned>>,
}

impl Puts {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The next write of a decision.
    pub(crate) fn push(&mut self, who: usize, what: &'static str, sql: &'static str, values: Vec<Owned>) {
        let taken = self.steps.entry(who).or_default();
        let step = *taken;
        *taken += 1;
        match self.groups.iter_mut().find(|group| group.step == step && group.sql == sql) {
            Some(group) => group.rows.push(values),
            None => self.groups.push(Group { step, what, sql, rows: vec![values] }),
        }
    }

    /// Takes what waits, in the order in which it is to be sent.
    pub(crate) fn take(&mut self) -> Vec<Write> {
        self.steps.clear();
        let mut groups = std::mem::take(&mut self.groups);
        groups.sort_by_key(|group| group.step);
        groups.into_iter().map(Group::into_write).collect()
    }
}

impl Group {
    /// Its rows as columns.
    fn into_write(self) -> Write {
        let width = self.rows[0].len();
        let mut columns: Vec<Vec<Owned>> = (0..width).map(|_| Vec::with_capacity(self.rows.len())).collect();
        for row in self.rows {
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
        let values = columns.into_iter().map(Bound::Many).collect();
        Write { what: self.what, sql: self.sql, values, for_many: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_each_decision_is_kept_and_what_is_alike_goes_together() {
        let mut puts = Puts::default();
        for (who, sql) in [(1, "a"), (1, "b"), (2, "b"), (2, "a"), (3, "a"), (3, "b"), (3, "b")] {
            puts.push(who, "write", sql, vec![Owned::Int(who as i64)]);
        }
        let number = |value: &Owned| match value {
            Owned::Int(number) => *number,
            other => panic!("{other:?}"),
        };
        let sent: Vec<(&str, Vec<i64>)> = puts
            .take()
            .iter()
            .map(|write| match &write.values[0] {
                Bound::Many(values) => (write.sql, values.iter().map(number).collect()),
                Bound::One(value) => panic!("{value:?}"),
            })
            .collect();
        let expected = [("a", vec![1, 3]), ("b", vec![2]), ("b", vec![1, 3]), ("a", vec![2]), ("b", vec![3])];
        assert_eq!(sent, expected);
        assert!(puts.is_empty());
    }
}
