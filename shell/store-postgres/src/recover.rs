//! After a connection was lost: waiting for the next one, and finding out what became of a commit.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use muster_store::StoreError;

use crate::connection::connect;
use crate::effects::now;
use crate::failure::Failure;
use crate::settings::Dial;

/// How long a server that was just there is waited for.
const LONG: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const PAUSE: u64 = 250;

/// How long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Once,
    Long,
}

/// Tries until it works or the patience ends; then tells why it did not work last.
pub(crate) async fn until<T, F: Future<Output = Result<T, Failure>>>(
    patience: Patience,
    mut work: impl FnMut() -> F,
) -> Result<T, Failure> {
    let mut last = Failure::Late;
    let tries = async {
        for n in 1.. {
            match work().await {
                Ok(done) => return Some(done),
                Err(failure) => last = failure,
            }
            if patience == Patience::Once {
                return None;
            }
            pause(n).await;
        }
        None
    };
    match tokio::time::timeout(LONG, tries).await {
        Ok(Some(done)) => Ok(done),
        Ok(None) | Err(_) => Err(last),
    }
}

/// Waits for longer and longer, and never as long as the others do.
pub(crate) async fn pause(tries: u32) {
    let most = (10_u64 << tries.min(5)).min(PAUSE);
    let drawn = RandomState::new().hash_one(tries) % most;
    tokio::time::sleep(Duration::from_millis(drawn + 1)).await;
}

/// Whether a transaction of a lane was committed.
///
/// Its row is written by every transaction of the lane. To write it, this waits for a server process that may still hold
/// the transaction open; and what this commits is durable, and so is everything that came to light before. The number is
/// raised above that of a transaction which was found not to be committed, so that it cannot be any more; asked twice, it
/// gives the same answer twice.
///
/// # Errors
/// [`StoreError::Unknown`] where nobody answers for too long.
pub(crate) async fn was_committed(dial: Dial, lane: [u8; 16], number: i64) -> Result<bool, StoreError> {
    match until(Patience::Long, || newest(dial.clone(), lane, number)).await {
        Ok(newest) => Ok(newest == number),
        Err(failure) => Err(StoreError::Unknown { what: "commit", cause: Box::new(failure) }),
    }
}

async fn newest(dial: Dial, lane: [u8; 16], number: i64) -> Result<i64, Failure> {
    const BE_THERE: &str = concat!(
        "INSERT INTO lanes (id, batch, at) VALUES ($1, -1, ",
        now!(),
        ") ON CONFLICT (id) DO NOTHING"
    );
    const RAISE: &str = "UPDATE lanes l SET batch = CASE WHEN l.batch = $2 THEN l.batch ELSE $2 + 1 END
        FROM (SELECT id, batch FROM lanes WHERE id = $1 FOR UPDATE) AS before
        WHERE l.id = before.id RETURNING before.batch";
    let connection = connect(&dial).await?;
    let asked = async {
        connection.client.execute(BE_THERE, &[&&lane[..]]).await?;
        Ok(connection.client.query_one(RAISE, &[&&lane[..], &number]).await?)
    };
    Ok(connection.bounded(asked).await?.get(0))
}
