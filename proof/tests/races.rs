//! Many clients at the same moment, at three replicas of one store.

use muster_proof::{Heat, Race, Which, race};

/// So many rounds on each store; more by hand with `cargo xtask races --rounds N`.
const ROUNDS: Heat = Heat::Rounds(200);
const THOUSAND: Heat = Heat::Once(Race::OneToken, 1000);

async fn hold(which: Which, heat: Heat) {
    if !which.is_here() {
        return;
    }
    if let Err(fault) = Box::pin(race(which, heat, |_, _| {})).await {
        panic!("{}: {fault}", which.as_str());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wins_each_race_on_sqlite_and_the_rest_are_told_the_same() {
    hold(Which::Sqlite, ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wins_each_race_on_postgres_and_the_rest_are_told_the_same() {
    hold(Which::Postgres, ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_05_a_thousand_redemptions_of_one_token_on_sqlite_bind_one_key() {
    hold(Which::Sqlite, THOUSAND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn q_05_a_thousand_redemptions_of_one_token_on_postgres_bind_one_key() {
    hold(Which::Postgres, THOUSAND).await;
}
