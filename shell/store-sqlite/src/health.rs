//! Whether the store may still be written to, and how often it was.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use muster_store::StoreError;
use tokio::sync::watch;

use crate::failure::{is_damage, told};

#[derive(Debug)]
pub(crate) struct Health {
    damage: OnceLock<Arc<StoreError>>,
    damaged: watch::Sender<bool>,
    full: AtomicBool,
    writes: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            damage: OnceLock::new(),
            damaged: watch::Sender::new(false),
            full: AtomicBool::new(false),
            writes: AtomicU64::new(0),
        }
    }
}

impl Health {
    /// Takes note of a failure. Damage is for ever: only a new start, which looks at the file anew, ends it.
    pub(crate) fn note(&self, error: &Arc<StoreError>) {
        if matches!(**error, StoreError::Full { .. }) {
            self.full.store(true, Ordering::Relaxed);
        }
        if is_damage(error) {
            self.condemn(Arc::clone(error));
        }
    }

    /// Ends all writing.
    pub(crate) fn condemn(&self, error: Arc<StoreError>) {
        tracing::error!(error = ?error, "the database is damaged or its disk failed: it takes no more writes");
        if self.damage.set(error).is_ok() {
            self.damaged.send_replace(true);
        }
    }

    /// Takes note of a commit that wrote.
    pub(crate) fn wrote(&self) {
        self.full.store(false, Ordering::Relaxed);
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Fails once the store is damaged.
    pub(crate) fn sound(&self) -> Result<(), StoreError> {
        self.damage.get().map_or(Ok(()), |error| Err(told(error)))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Returns once the store is damaged.
    pub(crate) async fn damaged(&self) {
        let mut damaged = self.damaged.subscribe();
        if damaged.wait_for(|damaged| *damaged).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
