//! Who is heard of by calls of its own, without a channel. Kept in memory; only comings and goings are written, many at
//! once.
//!
//! A machine may call at any replica. What its row says is read with each call, and written by whoever finds it wrong:
//! where it says offline, or where what it says is older than [`TAKE_OVER`] and not this replica's own word. So some
//! replica that hears of the machine has the row long before the one that had it last falls silent, and says so: that one's
//! word is then of no effect. A machine that stays with one replica, as behind a balancer that knows it, costs no write; one
//! that goes round costs two a minute at most.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use muster_model::{MachineId, Presence, SignedDuration, TenantId, Timestamp};
use muster_store::PresenceNote;

/// Whoever was not heard of for so long is offline: three calls in a row are missing.
pub(crate) const SILENCE: SignedDuration = SignedDuration::from_secs(90);
/// Two calls before another replica's word would lapse.
const TAKE_OVER: SignedDuration = SignedDuration::from_secs(45);

/// Who is heard of by calls of its own.
#[derive(Default)]
pub(crate) struct Beats(Mutex<HashMap<MachineId, Beat>>);

struct Beat {
    tenant: TenantId,
    heard: Timestamp,
    /// What this replica last wrote, as the row shows it; `None` where it had no reason to write.
    noted: Option<Timestamp>,
}

impl Beats {
    /// A machine was heard of. Gives what is to be written, if what is written is not so.
    pub(crate) fn hear(
        &self,
        (tenant, machine): (TenantId, MachineId),
        written: Presence,
        now: Timestamp,
    ) -> Option<PresenceNote> {
        let mut beats = self.lock();
        let beat = beats.entry(machine).or_insert(Beat { tenant, heard: now, noted: None });
        beat.heard = beat.heard.max(now);
        let is_young = |seen: Timestamp| now.duration_since(seen) < TAKE_OVER;
        let is_ours = beat.noted.is_some() && beat.noted == written.last_seen;
        if written.online && (is_ours || written.last_seen.is_some_and(is_young)) {
            // Whoever else has the row says so if it falls silent.
            beat.noted = beat.noted.filter(|_| is_ours);
            return None;
        }
        beat.noted = Some(whole_millisecond(now));
        Some(PresenceNote { tenant, machine, last_seen: now, online: true, bundle: None })
    }

    /// When a machine was heard of, if that was not too long ago.
    pub(crate) fn heard(&self, machine: MachineId, now: Timestamp) -> Option<Timestamp> {
        let heard = self.lock().get(&machine)?.heard;
        (now.duration_since(heard) < SILENCE).then_some(heard)
    }

    /// What is so of a machine that this replica has written of.
    pub(crate) fn note(&self, machine: MachineId) -> Option<PresenceNote> {
        let beats = self.lock();
        let beat = beats.get(&machine)?;
        beat.noted.map(|_| beat.note(machine, true))
    }

    /// Lets go of those who fell silent, and gives what is to be written of them.
    pub(crate) fn expire(&self, now: Timestamp) -> Vec<PresenceNote> {
        let mut gone = Vec::new();
        self.lock().retain(|machine, beat| {
            let stays = now.duration_since(beat.heard) < SILENCE;
            if !stays && beat.noted.is_some() {
                gone.push(beat.note(*machine, false));
            }
            stays
        });
        gone
    }

    /// Lets go of a machine that has ended.
    pub(crate) fn forget(&self, machine: MachineId) -> Option<PresenceNote> {
        self.lock().remove(&machine).map(|beat| beat.note(machine, false))
    }

    /// Has each machine written of anew at its next call: the others gave this replica up meanwhile.
    pub(crate) fn note_again(&self) {
        self.lock().values_mut().for_each(|beat| beat.noted = None);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Beat>> {
        // The map is whole at every point where a panic could have happened.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    fn note(&self, machine: MachineId, online: bool) -> PresenceNote {
        PresenceNote { tenant: self.tenant, machine, last_seen: self.heard, online, bundle: None }
    }
}

/// As rows show it.
fn whole_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas and the row that they share, as a store keeps it: whoever comes has it, and only who has it ends it.
    struct World {
        replicas: Vec<Beats>,
        row: Presence,
        holder: Option<usize>,
        writes: usize,
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("in range")
    }

    fn machine() -> (TenantId, MachineId) {
        (TenantId::new(1, [0; 10]), MachineId::new(1, [1; 10]))
    }

    impl World {
        fn of(replicas: usize) -> Self {
            let replicas = (0..replicas).map(|_| Beats::default()).collect();
            Self { replicas, row: Presence::default(), holder: None, writes: 0 }
        }

        fn write(&mut self, replica: usize, note: &PresenceNote) {
            self.writes += 1;
            self.row.last_seen = self.row.last_seen.max(Some(note.last_seen));
            if note.online || self.holder.is_none_or(|holder| holder == replica) {
                self.row.online = note.online;
                self.holder = note.online.then_some(replica);
            }
        }

        fn beat(&mut self, replica: usize, second: i64) {
            let note = self.replicas[replica].hear(machine(), self.row, at(second));
            if let Some(note) = note {
                self.write(replica, &note);
            }
        }

        /// As every few seconds.
        fn flush(&mut self, second: i64) {
            for replica in 0..self.replicas.len() {
                for note in self.replicas[replica].expire(at(second)) {
                    self.write(replica, &note);
                }
            }
        }
    }

    #[test]
    fn a_machine_that_stays_with_one_replica_costs_a_write_when_it_comes_and_one_when_it_goes() {
        let mut world = World::of(2);
        for second in (0..3600).step_by(5) {
            if second % 30 == 0 {
                world.beat(0, second);
            }
            world.flush(second);
            assert!(world.row.online, "{second}");
        }
        assert_eq!(world.writes, 1);
        world.flush(3570 + 89);
        assert!(world.row.online);
        world.flush(3570 + 90);
        assert_eq!((world.row.online, world.row.last_seen, world.writes), (false, Some(at(3570)), 2));
    }

    #[test]
    fn a_machine_that_goes_round_is_never_offline_and_costs_two_writes_a_minute_at_most() {
        // Every way in which calls may fall on three replicas, repeated: 3^6 of them.
        for way in 0..729usize {
            let mut world = World::of(3);
            for second in (0..1800).step_by(5) {
                if second % 30 == 0 {
                    let turn = u32::try_from(second / 30 % 6).expect("small");
                    world.beat(way / 3usize.pow(turn) % 3, second);
                }
                world.flush(second);
                assert!(world.row.online, "way {way}, second {second}");
            }
            assert!(world.writes <= 1 + 2 * 1800 / 60, "way {way}: {} writes", world.writes);
            (1800..1900).for_each(|second| world.flush(second));
            assert!(!world.row.online, "way {way}: it stays online for ever");
        }
    }

    #[test]
    fn a_row_that_was_ended_by_others_is_written_anew_at_the_next_call() {
        let mut world = World::of(1);
        world.beat(0, 0);
        world.row.online = false;
        world.beat(0, 30);
        assert!(world.row.online);
        world.replicas[0].note_again();
        world.beat(0, 90);
        assert_eq!(world.writes, 3);
    }

    #[test]
    fn who_is_forgotten_is_gone_at_once() {
        let beats = Beats::default();
        let (tenant, machine) = machine();
        beats.hear((tenant, machine), Presence::default(), at(0)).expect("it came");
        assert_eq!(beats.heard(machine, at(89)), Some(at(0)));
        assert_eq!(beats.heard(machine, at(90)), None);
        assert_eq!(beats.forget(machine).map(|note| note.online), Some(false));
        assert_eq!((beats.heard(machine, at(1)), beats.forget(machine)), (None, None));
    }
}
