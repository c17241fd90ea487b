//! The clock and the generator, as the use cases see them.

use muster_model::Timestamp;

/// The clock and the generator.
pub trait Ports: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Fills with unpredictable bytes of the operating system's generator.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Ports {
    /// Unpredictable bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// The time as identifiers carry it: milliseconds since the Unix epoch.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.now().as_millisecond()).unwrap_or(0)
    }
}

/// Draws an identifier.
macro_rules! draw {
    ($ports:expr) => {{
        let ports: &dyn $crate::ports::Ports = $ports;
        muster_model::id::Draw::draw(ports.millis(), ports.random())
    }};
}
pub(crate) use draw;
