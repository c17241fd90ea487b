//! Many clients at the same moment, at three replicas of one store.

use muster_proof::{Race, Which, race, race_all};

/// So many rounds on each store; more by hand with `cargo xtask races --rounds N`.
const ROUNDS: u64 = 200;

async fn rounds(which: Which) {
    if let Err(fault) = race_all(which, ROUNDS, |_, _| {}).await {
        panic!("{}: {fault}", which.as_str());
    }
}

async fn thousand(which: Which) {
    if let Err(fault) = race(which, Race::OneToken, 1000).await {
        panic!("{}: {fault}", which.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wins_each_race_on_sqlite_and_the_rest_are_told_the_same() {
    Box::pin(rounds(Which::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_05_a_thousand_redemptions_of_one_token_on_sqlite_bind_one_key() {
    Box::pin(thousand(Which::Sqlite)).await;
}
