//! Inputs made of those that are kept: the same seed makes the same ones.
//!
//! Nothing here looks at what an input reaches. It is what every run of the tests has time for; the search is
//! [`guided`](crate::guided)'s.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Target;

/// Bytes that have a meaning to somebody.
const TELLING: [&[u8]; 20] = [
    b"\0",
    b"\xff",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b";",
    b"_",
    b"=",
    b"\r\n",
    b"\n\n",
    b"\xe2\x80\xae",
    b"9223372036854775807",
    b"-1",
    b"null",
    b"1e400",
    b"..%2f",
];

/// An input that broke a promise.
#[derive(Debug)]
pub struct Broken {
    /// The input.
    pub input: Vec<u8>,
    /// Its number.
    pub number: u64,
}

/// Tries so many inputs. `kept` is what they are made of.
///
/// # Errors
/// The first one that breaks a promise.
pub fn tries(target: &Target, kept: &[Vec<u8>], seed: u64, count: u64) -> Result<(), Broken> {
    let mut draw = Draw(seed ^ 0x9e37_79b9_7f4a_7c15);
    for number in 0..count {
        let input = made(&mut draw, kept);
        // What the target keeps between two inputs is dropped with the process that found this one.
        if catch_unwind(AssertUnwindSafe(|| (target.check)(&input))).is_err() {
            return Err(Broken { input, number });
        }
    }
    Ok(())
}

/// One that is kept, changed a few times.
fn made(draw: &mut Draw, kept: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = draw.one(kept).cloned().unwrap_or_default();
    for _ in 0..=draw.below(4) {
        change(draw, &mut bytes, kept);
    }
    bytes.truncate(64 * 1024);
    bytes
}

fn change(draw: &mut Draw, bytes: &mut Vec<u8>, kept: &[Vec<u8>]) {
    let place = draw.below(bytes.len() as u64 + 1) as usize;
    let end = place + draw.below((bytes.len() - place) as u64 + 1).min(32) as usize;
    match draw.below(7) {
        0 => bytes.truncate(place),
        1 => drop(bytes.drain(place..end)),
        2 => bytes.insert(place, draw.below(256) as u8),
        3 => {
            let telling = draw.one(&TELLING).copied().unwrap_or_default();
            bytes.splice(place..place, telling.iter().copied());
        }
        4 => {
            let part = bytes[place..end].to_vec();
            bytes.splice(place..place, part);
        }
        5 => {
            let other = draw.one(kept).cloned().unwrap_or_default();
            let from = draw.below(other.len() as u64 + 1) as usize;
            bytes.splice(place.., other[from..].iter().copied());
        }
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << draw.below(8);
            }
        }
    }
}

/// Numbers out of a seed (SplitMix64): the same ones for ever.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static SEEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    fn noted(bytes: &[u8]) {
        SEEN.lock().expect("not poisoned").push(bytes.to_vec());
    }

    fn breaks(bytes: &[u8]) {
        assert!(bytes.len() < 9, "too long");
    }

    fn of(check: fn(&[u8])) -> Target {
        Target { name: "x", reads: "x", check, small: 1 }
    }

    #[test]
    fn the_same_seed_tries_the_same_inputs_and_another_one_others() {
        let kept = [b"abc".to_vec(), b"0123456789".to_vec()];
        let run = |seed| {
            tries(&of(noted), &kept, seed, 100).expect("nothing is promised");
            std::mem::take(&mut *SEEN.lock().expect("not poisoned"))
        };
        let first = run(1);
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
        assert!(first.iter().collect::<std::collections::BTreeSet<_>>().len() > 50, "they differ");
    }

    #[test]
    fn what_breaks_a_promise_is_given_back() {
        let broken = tries(&of(breaks), &[b"12345678".to_vec()], 1, 1_000).expect_err("it grows");
        assert!(broken.input.len() >= 9 && broken.number < 1_000);
    }
}
