//! The machine's clock and generator, as the use cases ask for them.

use muster_app::Ports;
use muster_model::Timestamp;

/// The machine's clock and generator.
pub(crate) struct SystemPorts;

impl Ports for SystemPorts {
    fn now(&self) -> Timestamp {
        crate::clock::now()
    }

    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system's generator always answers");
    }
}
