//! The one place that runs a password hash: for passwords, and for keys that another server knew by such a hash alone.
//!
//! A run takes 19 MiB and tens of milliseconds of a core, so there is one at a time of each, off the workers that serve requests,
//! and a bounded number of callers waits for it. Who may ask at all is decided before, by whoever knows the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Argon2, Params};
use muster_model::{ImportedHash, Refusal};
use muster_store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// How many may wait for their turn.
const WAITING: usize = 32;
/// When to come again where too many wait, in seconds: by then all of them are through.
const COME_AGAIN: u32 = 5;

/// The pool of one.
pub(crate) struct Kdf {
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
    runs: AtomicU64,
    /// The name under which its runs are counted.
    metric: &'static str,
}

/// The right to run it once. It is given back when the run is over, also where nobody waits for its end any more.
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Kdf {
    pub(crate) fn new(metric: &'static str) -> Self {
        let (places, turn) = (Arc::new(Semaphore::new(WAITING + 1)), Arc::new(Semaphore::new(1)));
        Self { places, turn, runs: AtomicU64::new(0), metric }
    }

    /// How often it was run.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Waits for a turn, where not too many do.
    pub(crate) async fn turn(&self) -> Result<Turn, Refusal> {
        let full = Refusal::SlowDown { retry_after: COME_AGAIN };
        let place = Arc::clone(&self.places).try_acquire_owned().or(Err(full))?;
        let turn = Arc::clone(&self.turn).acquire_owned().await.expect("it is never closed");
        Ok(Turn { _place: place, _turn: turn })
    }

    /// Whether a text fits a hash. Without a hash it fits nothing, at the same cost.
    pub(crate) async fn fits(
        &self,
        turn: Turn,
        text: impl AsRef<[u8]> + Send + 'static,
        hash: Option<ImportedHash>,
    ) -> Result<bool, Error> {
        let run = move || {
            let fits = verify(text.as_ref(), &hash.clone().unwrap_or_else(ImportedHash::stand_in));
            fits && hash.is_some()
        };
        self.run(turn, "check a password hash", run).await
    }

    /// The hash of a text under this salt.
    pub(crate) async fn hash(
        &self,
        turn: Turn,
        text: impl AsRef<[u8]> + Send + 'static,
        salt: [u8; 16],
    ) -> Result<String, Error> {
        let run = move || {
            let salt = SaltString::encode_b64(&salt).expect("sixteen bytes are a salt");
            let hash = Argon2::default().hash_password(text.as_ref(), &salt);
            hash.expect("text, salt and parameters are within their bounds").to_string()
        };
        self.run(turn, "hash a password", run).await
    }

    async fn run<T: Send + 'static>(
        &self,
        turn: Turn,
        what: &'static str,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(self.metric).increment(1);
        let run = tokio::task::spawn_blocking(move || {
            let done = run();
            drop(turn);
            done
        });
        run.await.map_err(|ended| StoreError::Invariant { what, cause: Box::new(ended) }.into())
    }
}

/// Whether the library that will check it can read a hash, as it must before it is kept.
pub(crate) fn is_readable(hash: &ImportedHash) -> bool {
    PasswordHash::new(hash.as_str())
        .is_ok_and(|parsed| Params::try_from(&parsed).is_ok() && parsed.hash.is_some())
}

fn verify(text: &[u8], hash: &ImportedHash) -> bool {
    let parsed = PasswordHash::new(hash.as_str());
    parsed.is_ok_and(|hash| Argon2::default().verify_password(text, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use muster_model::{Secret, SecretForm, SecretKind};

    use super::*;

    fn key(n: u8) -> Secret {
        Secret::formed(SecretForm::Prefixed, SecretKind::Enroll, [0; 10], [n; 32])
    }

    fn hash_of(key: &Secret) -> ImportedHash {
        let salt = SaltString::encode_b64(&[7; 16]).expect("a salt");
        let hash = Argon2::default().hash_password(key.reveal().as_bytes(), &salt).expect("a hash");
        hash.to_string().parse().expect("the parameters of the other server are the library's own")
    }

    #[tokio::test]
    async fn a_key_fits_its_own_hash_alone_and_the_stand_in_fits_none() {
        let kdf = Kdf::new("muster_test_total");
        let stand_in = ImportedHash::stand_in();
        assert!(is_readable(&stand_in) && is_readable(&hash_of(&key(1))));
        let cases = [
            (Some(hash_of(&key(1))), true),
            (Some(hash_of(&key(2))), false),
            (Some(stand_in), false),
            (None, false),
        ];
        for (n, (hash, fits)) in cases.into_iter().enumerate() {
            let turn = kdf.turn().await.expect("nobody waits");
            assert_eq!(kdf.fits(turn, key(1).reveal(), hash).await.expect("it ran"), fits, "{n}");
        }
        assert_eq!(kdf.runs(), 4);
    }

    #[tokio::test]
    async fn what_it_hashes_is_of_the_one_form_and_fits_alone_what_it_was_made_of() {
        let kdf = Kdf::new("muster_test_total");
        let turn = kdf.turn().await.expect("nobody waits");
        let hash = kdf.hash(turn, "correct horse", [7; 16]).await.expect("it ran");
        let hash: ImportedHash = hash.parse().expect("the one cost that is taken");
        for (text, fits) in [("correct horse", true), ("Correct horse", false), ("", false)] {
            let turn = kdf.turn().await.expect("nobody waits");
            assert_eq!(kdf.fits(turn, text, Some(hash.clone())).await.expect("it ran"), fits, "{text}");
        }
    }

    /// Argon2id ran inline on the workers, as often as anybody asked.
    #[tokio::test]
    async fn one_runs_at_a_time_a_bounded_number_waits_and_the_rest_is_sent_away() {
        let kdf = Kdf::new("muster_test_total");
        let first = kdf.turn().await.expect("the first");
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(kdf.turn())).collect();
        for turn in &mut waiting {
            assert!(now(turn.as_mut()).is_none(), "it waits");
        }
        assert_eq!(kdf.turn().await.err(), Some(Refusal::SlowDown { retry_after: COME_AGAIN }));
        drop(first);
        let next = now(waiting[0].as_mut());
        assert!(next.is_some(), "the next has its turn");
        assert!(now(waiting[1].as_mut()).is_none());
        drop((waiting, next));
        assert!(kdf.turn().await.is_ok(), "who hung up holds nothing");
    }

    /// What a future has come to by now.
    fn now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
