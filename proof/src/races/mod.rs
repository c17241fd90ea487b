//! Many clients at the same moment, at three replicas of one store: one wins, and the rest are told the same.

mod arena;
mod deciding;
mod entering;
#[cfg(test)]
mod hasty;

use muster_store::Store;

use crate::ground::Ground;
use crate::op::Draws;
use crate::side::{Which, postgres, postgres_database, sqlite};
use arena::{Arena, Fault};

/// Connections of a replica, to write and to read.
const CONNECTIONS: [usize; 2] = [4, 8];

/// Clients of a round.
const CLIENTS: usize = 64;

/// What they race for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Race {
    /// A token that is good once, by many keys.
    OneToken,
    /// A token that is good a few times.
    CappedToken,
    /// One piece of hardware, by many keys.
    OneHardware,
    /// One key, many times.
    OneKey,
    /// The last seats of a site.
    Seats,
    /// The invite of a pending machine.
    Invite,
    /// Approving and rejecting one hold.
    OneHold,
    /// Approving a hold while the one who waits asks.
    Waiting,
    /// Revoking a machine while it renews.
    Revoke,
    /// Rotating a site's key while machines enroll by it.
    Rotate,
    /// One request under one idempotency key.
    OneRequest,
    /// The code of a site.
    OneCode,
    /// A login link.
    OneLink,
}

impl Race {
    /// Every race.
    pub const ALL: [Self; 13] = [
        Self::OneToken,
        Self::OneHardware,
        Self::OneHold,
        Self::Waiting,
        Self::Revoke,
        Self::Rotate,
        Self::CappedToken,
        Self::OneKey,
        Self::Seats,
        Self::Invite,
        Self::OneRequest,
        Self::OneCode,
        Self::OneLink,
    ];
}

/// What is raced: rounds of each race in turn, or one race by as many clients as it says.
#[derive(Debug, Clone, Copy)]
pub enum Heat {
    /// So many rounds.
    Rounds(u64),
    /// One round of this race by so many clients.
    Once(Race, usize),
}

/// Races over three replicas of a store.
///
/// # Errors
/// What did not hold, with the race and its round.
///
/// # Panics
/// Where a database cannot be made.
pub async fn race(which: Which, heat: Heat, tell: fn(u64, u64)) -> Result<(), Fault> {
    match which {
        Which::Sqlite => {
            // A file belongs to one process: its replicas share the store.
            let kept = sqlite().await;
            let stores: [_; 3] = std::array::from_fn(|_| kept.store.clone());
            Box::pin(heated(&stores, heat, tell)).await
        }
        Which::Postgres => {
            let database = postgres_database().await;
            let stores = [
                postgres(&database, 1, CONNECTIONS).await,
                postgres(&database, 2, CONNECTIONS).await,
                postgres(&database, 3, CONNECTIONS).await,
            ];
            Box::pin(heated(&stores, heat, tell)).await
        }
    }
}

async fn heated<S: Store>(stores: &[S; 3], heat: Heat, tell: fn(u64, u64)) -> Result<(), Fault> {
    let ground = Ground::new();
    match heat {
        Heat::Rounds(count) => rounds(stores, &ground, count, tell).await,
        Heat::Once(race, clients) => run(stores, &ground, 1, race, clients).await,
    }
}

/// Rounds of each race in turn.
async fn rounds<S: Store>(
    stores: &[S],
    ground: &Ground,
    count: u64,
    tell: fn(u64, u64),
) -> Result<(), Fault> {
    for round in 0..count {
        let race = Race::ALL[(round % Race::ALL.len() as u64) as usize];
        let held = Box::pin(run(stores, ground, 1 + round, race, CLIENTS)).await;
        held.map_err(|fault| format!("{race:?}, round {round}: {fault}"))?;
        tell(round + 1, count);
    }
    Ok(())
}

/// One round of one race. No two runs on a store share a number.
async fn run<S: Store>(
    stores: &[S],
    ground: &Ground,
    run: u64,
    race: Race,
    clients: usize,
) -> Result<(), Fault> {
    let arena = Arena::new(stores, ground, run).await?;
    let few = 1 + u32::try_from(Draws::new(run).below(16)).unwrap_or(0);
    match race {
        Race::OneToken => entering::one_token(&arena, clients).await?,
        Race::CappedToken => entering::capped_token(&arena, clients, 1 + few).await?,
        Race::OneHardware => entering::one_hardware(&arena, clients).await?,
        Race::OneKey => entering::one_key(&arena, clients).await?,
        Race::Seats => entering::seats(&arena, clients, few).await?,
        Race::Invite => entering::invite(&arena, clients).await?,
        Race::OneHold => deciding::one_hold(&arena, clients).await?,
        Race::Waiting => deciding::waiting(&arena, clients).await?,
        Race::Revoke => deciding::revoke(&arena, clients).await?,
        Race::Rotate => deciding::rotate(&arena, clients).await?,
        Race::OneRequest => deciding::one_request(&arena, clients).await?,
        Race::OneCode => deciding::one_code(&arena, clients).await?,
        Race::OneLink => deciding::one_link(&arena, clients).await?,
    }
    arena.sound().await
}
