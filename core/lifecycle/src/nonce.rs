//! Which nonces a key has used, in one row: later ones than the last are good, whatever clock gave it out.
//!
//! A nonce's place in the order is a time of the server that gave it out. A clock that is ahead gives out places that no
//! right one reaches for long. Whatever clock sees a last one that lies in its future keeps that stretch apart: so it neither
//! shuts out what comes until then, nor is good again when its time comes.

/// Stretches that are kept apart. Of more than so many, neighbours become one: nothing that was used is ever forgotten.
const MOST: usize = 8;

/// Which nonces a key has used. Places are those of the order in which nonces are given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedNonces {
    /// The last one.
    pub last: u64,
    /// The last one before the order made a leap; 0 where there was none.
    pub before: u64,
    /// The first one after it.
    pub since: u64,
    /// Stretches in which others were used, the first and the last of each, the earliest first.
    pub apart: Vec<(u64, u64)>,
}

/// A moment, by the places of the nonces that are given out then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// No right clock has given out a later place by now.
    pub horizon: u64,
    /// How far the places of two nonces that are good at the same time can be apart.
    pub life: u64,
}

impl UsedNonces {
    /// The first one.
    pub fn first(nonce: u64) -> Self {
        Self { last: nonce, before: 0, since: nonce, apart: Vec::new() }
    }

    /// What is known once this one was used; `None` where it was used before, or one after it.
    #[must_use]
    pub fn and(mut self, nonce: u64, moment: Moment) -> Option<Self> {
        if self.last > moment.horizon {
            self.keep_apart(moment.life);
            // Back to before the leap. Where that is in the future, too, it is kept apart since it was left.
            let back = if self.before > moment.horizon { 0 } else { self.before };
            (self.last, self.before, self.since) = (back, 0, back);
        }
        let is_void = |&(first, last): &(u64, u64)| (first..=last).contains(&nonce);
        if nonce <= self.last || self.apart.iter().any(is_void) {
            return None;
        }
        if nonce - self.last > moment.life {
            self.keep_apart(moment.life);
            (self.before, self.since) = (self.last, nonce);
        }
        self.join_neighbours(nonce);
        Some(Self { last: nonce, ..self })
    }

    /// Keeps the present stretch apart, as one with what the same clock gave out before: clocks that take turns leave
    /// one each, however often they do.
    fn keep_apart(&mut self, life: u64) {
        if self.last == 0 {
            return;
        }
        let (mut first, mut last) = (self.since, self.last);
        self.apart.retain(|&(from, to)| {
            let is_near = from <= last.saturating_add(life) && first <= to.saturating_add(life);
            if is_near {
                (first, last) = (first.min(from), last.max(to));
            }
            !is_near
        });
        let place = self.apart.partition_point(|&(from, _)| from < first);
        self.apart.insert(place, (first, last));
    }

    /// Of too many stretches, the two with the least between them become one, and what lies between is void with them. Never
    /// those around the present: its clock gives out what lies between.
    fn join_neighbours(&mut self, present: u64) {
        while self.apart.len() > MOST {
            let between = |pair: &[(u64, u64)]| (pair[0].1, pair[1].0);
            let gaps = self.apart.windows(2).map(between).enumerate();
            let elsewhere = gaps.filter(|&(_, (from, to))| !(from..=to).contains(&present));
            let Some((at, _)) = elsewhere.rev().min_by_key(|&(_, (from, to))| to - from) else { return };
            let (_, last) = self.apart.remove(at + 1);
            self.apart[at].1 = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFE: u64 = 60;

    fn at(now: u64) -> Moment {
        Moment { horizon: now + LIFE, life: LIFE }
    }

    /// Uses each nonce at its own time.
    fn after(used: &[u64]) -> UsedNonces {
        let (first, others) = used.split_first().expect("one at least");
        others.iter().fold(UsedNonces::first(*first), |known, nonce| {
            known.and(*nonce, at(*nonce)).expect("each is new")
        })
    }

    #[test]
    fn only_later_nonces_are_good() {
        let known = after(&[100, 105]);
        for (nonce, good) in [(100, false), (103, false), (105, false), (106, true)] {
            assert_eq!(known.clone().and(nonce, at(106)).is_some(), good, "{nonce}");
        }
    }

    #[test]
    fn q_16_a_clock_that_was_ahead_for_a_year_shuts_nobody_out() {
        for ahead in [100 + 3_600, 100 + 31_536_000] {
            let known = after(&[100, ahead, ahead + 5]).and(110, at(110)).expect("the right clock's");
            assert!(known.and(115, at(115)).is_some());
            let first_of_all = after(&[ahead]).and(110, at(110));
            assert!(first_of_all.is_some(), "also where it was the first");
        }
    }

    #[test]
    fn q_06_what_was_used_is_never_good_again_whichever_clock_comes_to_its_time() {
        let ahead = 100 + 3_600;
        let known = after(&[100, ahead, ahead + 5]).and(110, at(110)).expect("the right clock's");
        for replayed in [100, 110, ahead, ahead + 5] {
            assert_eq!(known.clone().and(replayed, at(replayed)), None, "{replayed}");
        }
        let there = known.and(ahead + 6, at(ahead + 6)).expect("the time has come");
        assert_eq!(there.and(ahead + 5, at(ahead + 6)), None);
    }

    #[test]
    fn q_06_nothing_of_a_clock_is_good_again_however_often_others_that_are_wrong_come_between() {
        let (right, behind, ahead) = (10_000, 1_000, 90_000);
        let leapt = after(&[right, right + 5, ahead, right + 10, behind]);
        let mut turns = vec![right];
        turns.extend((1..8).flat_map(|n| [behind + n, right + n]));
        for known in [leapt, after(&turns)] {
            for replayed in [right, right + 5] {
                assert_eq!(known.clone().and(replayed, at(right + 12)), None, "{replayed}: {known:?}");
            }
            assert!(known.apart.len() <= 3, "one for each clock: {known:?}");
            assert!(known.and(right + 12, at(right + 12)).is_some());
        }
    }

    #[test]
    fn q_06_what_was_used_is_known_however_many_clocks_were_wrong() {
        let (right, year) = (100_000, 31_636_000);
        // Each of them leaves a stretch of its own.
        let others: Vec<u64> = (1..40).map(|n| right + n * 3_600).collect();
        let used: Vec<u64> = [right].into_iter().chain(others).chain([year, right + 60]).collect();
        let known = after(&used);
        assert!(known.apart.len() <= MOST, "{known:?}");
        for replayed in used {
            assert_eq!(known.clone().and(replayed, at(replayed + 25)), None, "{replayed}: {known:?}");
        }
        assert!(known.and(right + 70, at(right + 70)).is_some(), "the right clock goes on");
    }

    proptest! {
        /// Four clocks, one right, two ahead and one behind by far, used in any order, at any pace.
        #[test]
        fn q_06_no_nonce_of_four_clocks_is_taken_twice_and_new_ones_always_are(
            steps in prop::collection::vec((0usize..4, 1u64..400), 1..40), slowly in 1u64..30,
            ahead in 20_000u64..100_000, behind in 20_000u64..100_000, far in 200_000u64..30_000_000,
        ) {
            let mut now = 1_000_000u64;
            let mut known: Option<UsedNonces> = None;
            let mut taken = Vec::new();
            for (which, passed) in steps {
                // Many within the life of one, or few.
                now += passed.div_ceil(slowly);
                let clock = [now, now + ahead, now - behind, now + far][which];
                known = match known {
                    None => Some(UsedNonces::first(clock)),
                    Some(known) => known.and(clock, at(clock)),
                };
                prop_assert!(known.is_some(), "one that was never used, at its own time");
                taken.push(clock);
                // What was given out a moment ago by that clock is offered again.
                for now in [now, now + ahead, now - behind, now + far] {
                    for replayed in taken.iter().filter(|used| used.abs_diff(now) <= LIFE) {
                        prop_assert_eq!(known.clone().and_then(|known| known.and(*replayed, at(now))), None);
                    }
                }
            }
        }
    }
}
