//! What a person says of an alarm: that it was looked at.
//!
//! Alarms are entries of the audit log with the reason [`ALARM`]. One stands until somebody has looked, or what it told of is over;
//! both are entries, too, so that the log alone says what is open and who closed it. Nothing else is ended by that: whoever was
//! paused stays paused.

use muster_model::{Machine, Object, ReasonText, Timestamp};

use crate::plan::{Context, MachineChange, Plan};

/// The reason of an entry that somebody should look at.
pub const ALARM: &str = "alarm";
/// The reason of an entry by which an alarm ended by itself.
pub const CALM: &str = "calm";
/// The reason of an entry by which somebody has looked at what was told until then.
pub const ACKNOWLEDGED: &str = "acknowledged";

/// Somebody has looked at what was told of an object until this time. What is told afterwards is told anew.
pub fn acknowledge(
    object: Object,
    machine: Option<Machine>,
    until: Timestamp,
    said: Option<ReasonText>,
    context: &Context,
) -> Plan<()> {
    let until = until.min(context.now);
    let mut entry = context.entry("alarm.acknowledge", object, ACKNOWLEDGED);
    entry.detail = vec![("until", until.to_string())];
    entry.detail.extend(machine.as_ref().map(|machine| ("name", machine.name.to_string())));
    entry.detail.extend(said.map(|said| ("said", said.to_string())));
    let seen = machine.filter(|machine| machine.alarm.is_some_and(|alarm| alarm.at <= until));
    let changes = seen.map(|machine| MachineChange::Update(Machine { alarm: None, ..machine }).into());
    Plan::new((), changes.into_iter().collect(), entry)
}

#[cfg(test)]
mod tests {
    use muster_model::{Alarm, Evidence, SignedDuration};

    use super::*;
    use crate::plan::Change;
    use crate::tests::fixtures::*;

    fn alarmed(at: Timestamp) -> Machine {
        Machine { alarm: Some(Alarm { at, evidence: Evidence::Conflict }), ..machine(1) }
    }

    #[test]
    fn what_was_looked_at_is_put_aside_and_what_came_afterwards_is_not() {
        let object = Object::Machine(machine(1).id);
        let (earlier, now) = (ago(HOUR), by_operator().now);
        let plan = acknowledge(object, Some(alarmed(earlier)), earlier, None, &by_operator());
        let Some(Change::Machine(MachineChange::Update(after))) = plan.changes().first() else {
            panic!("its record is written")
        };
        assert_eq!((after.alarm, &after.state), (None, &machine(1).state));
        assert_eq!(
            (plan.entries()[0].action, plan.entries()[0].reason.0),
            ("alarm.acknowledge", ACKNOWLEDGED)
        );
        let newer = acknowledge(object, Some(alarmed(now)), earlier, None, &by_operator());
        assert!(newer.changes().is_empty(), "what is told since stays");
    }

    #[test]
    fn nobody_has_looked_at_what_is_still_to_come() {
        let ahead = by_operator().now + SignedDuration::from_hours(24);
        let plan = acknowledge(Object::Deployment, None, ahead, None, &by_operator());
        assert_eq!(plan.entries()[0].detail, [("until", by_operator().now.to_string())]);
        assert!(plan.changes().is_empty());
    }
}
