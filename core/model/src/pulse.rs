//! What a fleet did, slot by slot: who was there, who came in, who was refused, who ended; and what ends when.
//!
//! A pulse is a fact for people to look at. Nothing is decided by one, and none names a machine.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How long a slot is. Slots begin at whole multiples of it since 1970.
pub const SLOT: SignedDuration = SignedDuration::from_mins(5);

/// What happened in a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Machines that were let in, newly or anew.
    pub enrolled: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Machines that were ended.
    pub ended: u64,
}

/// Who was there in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Machines that held a channel, at whichever server.
    pub online: u64,
    /// Machines that were active or suspended.
    pub machines: u64,
}

/// One slot, or several that follow each other as one, by what every server noted of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// When it begins.
    pub at: Timestamp,
    /// The fewest and the most that held a channel; `None` where nobody looked.
    pub online: Option<(u64, u64)>,
    /// The most machines that were active or suspended; `None` where nobody looked.
    pub machines: Option<u64>,
    /// What happened.
    pub counted: Counted,
}

/// Something that ends at a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiring {
    /// The certificate of a machine.
    Certificate,
    /// The bearer key, or refresh token, of a machine.
    BearerKey,
    /// A grant that may be drawn on still.
    Grant,
    /// An API token of an operator.
    ApiToken,
}

/// How many of a kind end on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The day, in UTC.
    pub day: Date,
    /// What.
    pub what: Expiring,
    /// How many.
    pub count: u64,
}

/// How many machines run a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionUse {
    /// The version; `None` for machines that say none.
    pub version: Option<String>,
    /// Active machines.
    pub machines: u64,
}

impl Counted {
    /// Whether nothing happened.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.enrolled = self.enrolled.saturating_add(other.enrolled);
        self.refused = self.refused.saturating_add(other.refused);
        self.ended = self.ended.saturating_add(other.ended);
    }
}

impl Expiring {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Certificate, Self::BearerKey, Self::Grant, Self::ApiToken];

    /// The name in wires and statements.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::BearerKey => "bearer_key",
            Self::Grant => "grant",
            Self::ApiToken => "api_token",
        }
    }
}

/// The beginning of the stretch of this length that a time lies in.
pub fn slot_of(at: Timestamp, length: SignedDuration) -> Timestamp {
    let (seconds, length) = (at.as_second(), length.as_secs().max(1));
    Timestamp::from_second(seconds - seconds.rem_euclid(length)).unwrap_or(at)
}

/// The day of a time, in UTC.
pub fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn slots_begin_at_whole_multiples_of_their_length() {
        assert_eq!(slot_of(at("2026-11-23T14:33:59.9Z"), SLOT), at("2026-11-23T14:30:00Z"));
        assert_eq!(slot_of(at("2026-11-23T14:30:00Z"), SLOT), at("2026-11-23T14:30:00Z"));
        let eight = SignedDuration::from_hours(8);
        assert_eq!(slot_of(at("2026-11-23T14:33:00Z"), eight), at("2026-11-23T08:00:00Z"));
        assert_eq!(slot_of(at("1969-12-31T23:59:59Z"), SLOT), at("1969-12-31T23:55:00Z"));
    }

    #[test]
    fn a_day_is_one_of_utc() {
        assert_eq!(day_of(at("2026-11-23T23:59:59.999Z")).to_string(), "2026-11-23");
        assert_eq!(day_of(at("2026-11-24T00:00:00Z")).to_string(), "2026-11-24");
    }

    #[test]
    fn counts_add_up_and_never_turn_over() {
        let mut counted = Counted { enrolled: 1, refused: u64::MAX, ended: 0 };
        counted += Counted { enrolled: 2, refused: 1, ended: 3 };
        assert_eq!(counted, Counted { enrolled: 3, refused: u64::MAX, ended: 3 });
        assert!(!counted.is_nothing() && Counted::default().is_nothing());
    }
}
