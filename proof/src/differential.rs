//! The same sequence of operations over several stores: every answer is compared, and in the end everything that can be
//! read.

use std::fmt;
use std::sync::Arc;

use muster_store::Store;
use muster_testkit::reference::ReferenceStore;

use crate::fold::fold;
use crate::ground::Ground;
use crate::op::Op;
use crate::plain::Answer;
use crate::player::{Player, join};
use crate::side::Sides;

/// What a store made of a sequence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// What each operation was answered.
    pub(crate) answers: Vec<Answer>,
    /// Everything that could be read in the end.
    pub(crate) fold: Vec<String>,
}

/// Two stores do not answer the same, or one of them failed.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Which store differs from the reference.
    pub side: String,
    /// What they differ in.
    pub what: String,
    /// What the reference has.
    pub expected: String,
    /// What the store has.
    pub found: String,
}

/// A difference, and the shortest sequence that was found to show it.
#[derive(Debug)]
pub struct Finding {
    /// The seed of the whole sequence.
    pub seed: u64,
    /// The operations that are left.
    pub ops: Vec<Op>,
    /// The difference that they show.
    pub difference: Difference,
}

/// Plays a sequence over a store that may hold anything.
pub(crate) async fn play<S: Store>(store: S, ground: &Arc<Ground>, run: u64, ops: &[Op]) -> Transcript {
    let mut player = match Player::new(store, ground, run).await {
        Ok(player) => player,
        Err(error) => return failed(Vec::new(), format!("{error:?}")),
    };
    let mut answers = Vec::with_capacity(ops.len());
    for op in ops {
        answers.push(player.perform(*op).await);
    }
    match fold(&player).await {
        Ok(fold) => Transcript { answers, fold },
        Err(error) => failed(answers, format!("{error:?}")),
    }
}

fn failed(mut answers: Vec<Answer>, error: String) -> Transcript {
    answers.push(Answer::Failed(error));
    Transcript { answers, fold: Vec::new() }
}

impl Transcript {
    /// Where another store differs from this one.
    fn difference(&self, other: &Self, ops: &[Op]) -> Option<(String, String, String)> {
        let answers = self.answers.iter().zip(&other.answers).enumerate();
        for (at, (expected, found)) in answers {
            let broken = matches!(expected, Answer::Failed(_));
            if expected != found || broken {
                let what = format!("the answer of operation {at}, {:?}", ops.get(at));
                return Some((what, format!("{expected:?}"), format!("{found:?}")));
            }
        }
        let lines = self.fold.iter().zip(&other.fold).find(|(expected, found)| expected != found);
        if let Some((expected, found)) = lines {
            return Some(("what can be read".to_owned(), expected.clone(), found.clone()));
        }
        let lengths =
            [self, other].map(|one| format!("{} answers, {} lines", one.answers.len(), one.fold.len()));
        let [expected, found] = lengths;
        (expected != found).then(|| ("how much can be read".to_owned(), expected, found))
    }
}

/// Plays a sequence over every side, and gives what the reference made of it.
///
/// # Errors
/// The first difference.
pub(crate) async fn compare(sides: &mut Sides, ops: &[Op]) -> Result<Transcript, Difference> {
    let run = sides.next_run().await;
    let reference = ReferenceStore::default();
    join(&reference, 0).await.expect("the reference takes everybody");
    let expected = play(reference, &sides.ground, run, ops).await;
    for (side, found) in sides.play(run, ops).await {
        if let Some((what, expected, found)) = expected.difference(&found, ops) {
            return Err(Difference { side: side.to_owned(), what, expected, found });
        }
    }
    match expected.answers.iter().find(|answer| matches!(answer, Answer::Failed(_))) {
        None => Ok(expected),
        Some(failed) => Err(Difference {
            side: "reference".to_owned(),
            what: "a failure".to_owned(),
            expected: "none".to_owned(),
            found: format!("{failed:?}"),
        }),
    }
}

/// Leaves out operations as long as a difference is left, the larger pieces first.
pub(crate) async fn shrink(sides: &mut Sides, seed: u64, ops: Vec<Op>, difference: Difference) -> Finding {
    let mut finding = Finding { seed, ops, difference };
    let mut size = finding.ops.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < finding.ops.len() {
            let end = (start + size).min(finding.ops.len());
            let mut fewer = finding.ops.clone();
            fewer.drain(start..end);
            match compare(sides, &fewer).await {
                Err(difference) => finding = Finding { seed, ops: fewer, difference },
                Ok(_) => start = end,
            }
        }
        size /= 2;
    }
    finding
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, ops, difference } = self;
        writeln!(f, "{} differs from the reference in {}", difference.side, difference.what)?;
        writeln!(f, "  expected {}", difference.expected)?;
        writeln!(f, "  found    {}", difference.found)?;
        writeln!(f, "the shortest sequence that shows it, of the one of seed {seed}:")?;
        for (at, op) in ops.iter().enumerate() {
            writeln!(f, "  {at:2} {:?} {:?}", op.kind, op.with)?;
        }
        write!(f, "again: cargo xtask differential --cases 1 --seed {seed}")
    }
}

#[cfg(test)]
mod tests {
    use muster_lifecycle::Plan;
    use muster_lifecycle::reap::Watched;
    use muster_model::{Entry, SignedDuration};
    use muster_store::{
        Decision, Fence, Joining, PresenceNote, Prune, PulseNote, SettleError, Signal, Standing, StoreError,
    };

    use super::*;
    use crate::op::{Kind, sequence};
    use crate::side::Kept;

    /// The reference, but that nothing of it ever goes.
    #[derive(Clone, Default)]
    struct Hoarder(ReferenceStore);

    impl Store for Hoarder {
        type Reader = <ReferenceStore as Store>::Reader;

        async fn reader(&self) -> Result<Self::Reader, StoreError> {
            self.0.reader().await
        }

        async fn settle<D: Decision>(&self, decision: D) -> Result<Plan<D::Outcome>, SettleError> {
            self.0.settle(decision).await
        }

        async fn note_presence(&self, notes: Vec<PresenceNote>) -> Result<(), StoreError> {
            self.0.note_presence(notes).await
        }

        async fn note_pulse(&self, notes: Vec<PulseNote>) -> Result<(), StoreError> {
            self.0.note_pulse(notes).await
        }

        async fn tell(&self, entries: Vec<Entry>) -> Result<(), StoreError> {
            self.0.tell(entries).await
        }

        async fn check(&self) -> Result<(), StoreError> {
            self.0.check().await
        }

        async fn join(&self, joining: Joining) -> Result<(), StoreError> {
            self.0.join(joining).await
        }

        async fn alive(&self, channels: u64) -> Result<Standing, StoreError> {
            self.0.alive(channels).await
        }

        async fn signals(&self) -> Result<Vec<Signal>, StoreError> {
            self.0.signals().await
        }

        async fn stirred(&self) {
            self.0.stirred().await;
        }

        async fn lease(&self, job: &'static str, span: SignedDuration) -> Result<Option<Fence>, StoreError> {
            self.0.lease(job, span).await
        }

        async fn note_watched(&self, fence: Fence, watched: Watched) -> Result<(), StoreError> {
            self.0.note_watched(fence, watched).await
        }

        async fn prune(&self, _: Fence, _: Prune) -> Result<u64, StoreError> {
            Ok(0)
        }
    }

    #[tokio::test]
    async fn a_store_that_differs_is_found_out_by_a_short_sequence() {
        let store = Hoarder::default();
        join(&store, 1).await.expect("joined");
        let side = Kept { name: "hoarder", store, _home: Box::new(()) };
        let mut sides = Sides::of(&Arc::new(Ground::new()), vec![Box::new(side)]);
        for seed in 0..100 {
            let ops = sequence(seed);
            let Err(difference) = compare(&mut sides, &ops).await else { continue };
            let finding = shrink(&mut sides, seed, ops, difference).await;
            let kinds: Vec<Kind> = finding.ops.iter().map(|op| op.kind).collect();
            assert!(kinds.len() <= 4 && kinds.contains(&Kind::Prune), "{finding}");
            assert!(finding.to_string().contains(&format!("--seed {seed}")), "{finding}");
            return;
        }
        panic!("a hundred sequences did not show it");
    }
}
