//! The clock and the generator of a world.

use std::sync::Arc;

use muster_app::Ports;
use muster_model::Timestamp;

use crate::{FixedClock, Ids};

/// A clock that stands still, and bytes that count.
pub struct FixedPorts {
    clock: FixedClock,
    ids: Arc<Ids>,
}

impl FixedPorts {
    /// Over a clock and a counter that others may share.
    pub fn new(clock: FixedClock, ids: Arc<Ids>) -> Self {
        Self { clock, ids }
    }
}

impl Ports for FixedPorts {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.ids.fill(bytes);
    }
}
