//! The keys of the stub's one machine, as a server keeps them.

use muster_model::KeyFingerprint;

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    Current,
    Proposed,
    Previous,
    Superseded,
}

/// Keys in the order in which they came, and what an operator would be told of.
#[derive(Debug, Default)]
pub(super) struct Ring {
    pub(super) keys: Vec<(KeyFingerprint, Stands)>,
    pub(super) evidence: Vec<&'static str>,
}

type Answer = Result<(), (u16, &'static str)>;

impl Ring {
    pub(super) fn enroll(&mut self, key: KeyFingerprint) {
        if self.stands(key).is_none() {
            self.keys = vec![(key, Stands::Current)];
        }
    }

    pub(super) fn stands(&self, key: KeyFingerprint) -> Option<Stands> {
        self.keys.iter().find(|(known, _)| *known == key).map(|(_, stands)| *stands)
    }

    pub(super) fn at(&self, stands: Stands) -> Option<KeyFingerprint> {
        self.keys.iter().find(|(_, other)| *other == stands).map(|(key, _)| *key)
    }

    pub(super) fn set(&mut self, key: KeyFingerprint, stands: Stands) {
        self.keys.iter_mut().filter(|(known, _)| *known == key).for_each(|(_, old)| *old = stands);
    }

    fn move_all(&mut self, from: Stands, to: Stands) {
        self.keys.iter_mut().filter(|(_, stands)| *stands == from).for_each(|(_, old)| *old = to);
    }

    /// A key is shown, by a machine that would wake up with `base`.
    pub(super) fn shown(&mut self, key: KeyFingerprint, base: KeyFingerprint) -> Answer {
        match self.stands(key) {
            None => Err((403, "unknown_machine")),
            Some(Stands::Superseded) => Err((403, "superseded")),
            Some(Stands::Previous) => Err((401, "rotation_needed")),
            Some(Stands::Proposed) => {
                self.move_all(Stands::Previous, Stands::Superseded);
                self.move_all(Stands::Current, Stands::Previous);
                self.set(key, Stands::Current);
                if self.at(Stands::Previous) != Some(base) {
                    self.move_all(Stands::Previous, Stands::Superseded);
                }
                Ok(())
            }
            Some(Stands::Current) => {
                if base == key {
                    self.move_all(Stands::Previous, Stands::Superseded);
                }
                Ok(())
            }
        }
    }

    pub(super) fn proposes(&mut self, by: KeyFingerprint, next: KeyFingerprint) -> Answer {
        match self.stands(by) {
            None => return Err((403, "unknown_machine")),
            Some(Stands::Superseded) => return Err((403, "superseded")),
            Some(Stands::Previous) => self.evidence.push("recovery"),
            Some(Stands::Current | Stands::Proposed) => {}
        }
        match self.stands(next) {
            Some(Stands::Proposed) => return Ok(()),
            Some(_) => return Err((409, "key_taken")),
            None => {}
        }
        if self.at(Stands::Proposed).is_some() {
            self.evidence.push("conflict");
            self.move_all(Stands::Proposed, Stands::Superseded);
        }
        self.keys.push((next, Stands::Proposed));
        Ok(())
    }
}
