//! Identifiers and bytes that count.

use std::sync::atomic::{AtomicU64, Ordering};

use muster_model::id::Draw;

/// Gives identifiers that count: each is later than the one before, whatever its kind.
#[derive(Debug, Default)]
pub struct Ids {
    last: AtomicU64,
}

impl Ids {
    /// Starts after a number, so that several makers in one test never give the same.
    pub fn after(last: u64) -> Self {
        Self { last: AtomicU64::new(last) }
    }

    /// The next number.
    pub fn count(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The next identifier, of whichever kind is asked for.
    pub fn next<T: Draw>(&self) -> T {
        let count = self.count();
        T::draw(crate::at(0).as_millisecond().unsigned_abs() + count, counted_bytes(count))
    }

    /// Fills with bytes that come once.
    pub fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.count().to_be_bytes()[8 - chunk.len()..]);
        }
    }
}

/// Bytes that tell a number: two numbers below 2⁶⁴ never give the same ones.
pub fn counted_bytes<const N: usize>(count: u64) -> [u8; N] {
    let count = count.to_be_bytes();
    let mut bytes = [0; N];
    let shown = N.min(8);
    bytes[N - shown..].copy_from_slice(&count[8 - shown..]);
    bytes
}

#[cfg(test)]
mod tests {
    use muster_model::{MachineId, SiteId};

    use super::*;

    #[test]
    fn identifiers_rise_and_never_repeat() {
        let ids = Ids::default();
        let made: Vec<MachineId> = (0..100).map(|_| ids.next()).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        let site: SiteId = ids.next();
        assert!(site.as_bytes() > made[99].as_bytes());
    }

    #[test]
    fn bytes_come_once() {
        let ids = Ids::default();
        let (mut a, mut b) = ([0; 20], [0; 20]);
        ids.fill(&mut a);
        ids.fill(&mut b);
        assert_ne!(a, b);
    }
}
