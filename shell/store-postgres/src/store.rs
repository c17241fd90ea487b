//! The store as others hold it.

use std::sync::Arc;

use crate::open::{self, OpenError};
use crate::settings::{Dial, Settings};

/// A database that several processes share. Clones share the connections of this process.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dial: Dial,
}

impl PostgresStore {
    /// Makes Muster's schema in an empty database.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where Muster is in it already, [`OpenError::NotOurs`] where somebody else is.
    pub async fn create(settings: Settings) -> Result<Self, OpenError> {
        let dial = Dial::new(&settings)?;
        open::create(&dial).await?;
        Ok(Self::start(dial))
    }

    /// Opens a database that has Muster's schema, and brings that up to this version.
    ///
    /// # Errors
    /// What is empty, of a newer version or not Muster's is refused and left as it is.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        let dial = Dial::new(&settings)?;
        open::open(&dial).await?;
        Ok(Self::start(dial))
    }

    fn start(dial: Dial) -> Self {
        Self { inner: Arc::new(Inner { dial }) }
    }

    /// Which database this is, as people may be shown it.
    pub fn place(&self) -> &str {
        &self.inner.dial.place
    }

    /// Never returns: what is damaged is the server's to tell, and it does so by refusing.
    pub async fn damaged(&self) {
        std::future::pending().await
    }

    /// Finishes what is queued and lets go of the connections. Later writes fail.
    pub async fn close(&self) {}
}
