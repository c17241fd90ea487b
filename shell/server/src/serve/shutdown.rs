//! The signal that ends serving: one [`Shutdown`] held by whoever decides, any number of [`Draining`] that wait
//! for it. A dropped `Shutdown` counts as triggered, so that nothing serves without somebody able to stop it.

use tokio::sync::watch;

/// The hand on the switch.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<bool>);

/// Sees that draining started. In the extensions of every request, so that long ones (the channel, a poll)
/// can end early and politely.
#[derive(Debug, Clone)]
pub struct Draining(watch::Receiver<bool>);

/// A switch and its first observer.
pub fn shutdown() -> (Shutdown, Draining) {
    let (sender, receiver) = watch::channel(false);
    (Shutdown(sender), Draining(receiver))
}

impl Shutdown {
    /// Starts draining. A second call changes nothing.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// One more observer.
    pub fn observer(&self) -> Draining {
        Draining(self.0.subscribe())
    }
}

impl Draining {
    /// Whether draining started.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Ends when draining starts; at once if it did.
    pub async fn started(&mut self) {
        // An error says that the switch is gone, which means the same.
        if self.0.wait_for(|draining| *draining).await.is_err() {
            tracing::debug!("the shutdown switch was dropped; draining");
        }
    }
}
