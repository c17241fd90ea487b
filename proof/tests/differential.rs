//! Every store answers as the reference does.

use muster_proof::{Cases, Kind, Which, compare_all};

/// So many sequences; more by hand with `cargo xtask differential --cases N`.
const CASES: u64 = 2000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_store_answers_every_sequence_of_operations_as_the_reference_does() {
    let which = Which::ALL.into_iter().filter(|which| which.is_here()).collect();
    let cases = Cases { seed: 0, count: CASES, which, workers: 4 };
    let pairs = match Box::pin(compare_all(cases, |_, _| {})).await {
        Ok(pairs) => pairs,
        Err(finding) => panic!("{finding}"),
    };
    assert_eq!(pairs.missing(), [], "every kind of operation comes after every other");
    for kind in Kind::ALL {
        let outcomes = pairs.outcomes(*kind);
        let enough = if *kind == Kind::EnrollWrongly { outcomes.refused } else { outcomes.done };
        assert!(enough >= 50, "{kind:?} is seldom carried out: {outcomes:?}");
    }
}
