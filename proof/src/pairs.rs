//! Which kinds of operations came one after the other, and what became of them.

use std::collections::BTreeMap;

use crate::op::{Kind, Op};
use crate::plain::Answer;

/// Counts over many sequences.
#[derive(Debug, Default, Clone)]
pub struct Pairs {
    pairs: BTreeMap<(Kind, Kind), u64>,
    kinds: BTreeMap<Kind, Outcomes>,
}

/// What became of the operations of a kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Outcomes {
    /// Those that had nothing to work on.
    pub nothing: u64,
    /// Those that were done.
    pub done: u64,
    /// Those that were refused, or were no request.
    pub refused: u64,
}

impl Pairs {
    /// Counts a sequence. Operations that had nothing to work on are no part of any pair.
    pub(crate) fn count(&mut self, ops: &[Op], answers: &[Answer]) {
        let mut before = None;
        for (op, answer) in ops.iter().zip(answers) {
            let outcomes = self.kinds.entry(op.kind).or_default();
            match answer {
                Answer::Nothing => outcomes.nothing += 1,
                Answer::Done(_) => outcomes.done += 1,
                Answer::Refused(_) | Answer::Malformed(_) | Answer::Failed(_) => outcomes.refused += 1,
            }
            if *answer == Answer::Nothing {
                continue;
            }
            if let Some(before) = before.replace(op.kind) {
                *self.pairs.entry((before, op.kind)).or_default() += 1;
            }
        }
    }

    /// Takes in what another counted.
    pub(crate) fn add(&mut self, other: Self) {
        for (pair, count) in other.pairs {
            *self.pairs.entry(pair).or_default() += count;
        }
        for (kind, outcomes) in other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            sum.nothing += outcomes.nothing;
            sum.done += outcomes.done;
            sum.refused += outcomes.refused;
        }
    }

    /// The pairs that could have come and never did.
    pub fn missing(&self) -> Vec<(Kind, Kind)> {
        let all = Kind::ALL.iter().flat_map(|first| Kind::ALL.iter().map(move |second| (*first, *second)));
        // A server that has just started holds no channel that could close.
        let could = |pair: &(Kind, Kind)| *pair != (Kind::Restart, Kind::Disconnect);
        all.filter(could).filter(|pair| !self.pairs.contains_key(pair)).collect()
    }

    /// What became of the operations of a kind.
    pub fn outcomes(&self, kind: Kind) -> Outcomes {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }

    /// How many operations were carried out.
    pub fn operations(&self) -> u64 {
        self.kinds.values().map(|outcomes| outcomes.done + outcomes.refused).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_spans_what_had_nothing_to_work_on() {
        let ops = [Kind::Pass, Kind::Approve, Kind::Status].map(|kind| Op { kind, with: [0; 3] });
        let done = || Answer::Done(String::new());
        let mut pairs = Pairs::default();
        pairs.count(&ops, &[done(), Answer::Nothing, done()]);
        let missing = pairs.missing();
        assert_eq!(missing.len(), Kind::ALL.len().pow(2) - 2);
        assert!(!missing.contains(&(Kind::Pass, Kind::Status)));
        assert_eq!(pairs.outcomes(Kind::Approve).nothing, 1);
        assert_eq!(pairs.operations(), 2);
    }
}
