//! Alarms that nobody has looked at yet, folded from the audit log, and looking at them.

use std::collections::HashMap;

use muster_lifecycle::{Context, Plan, alarm};
use muster_model::{Machine, MachineId, Object, ReasonText, Refusal, SignedDuration, TenantId, Timestamp};
use muster_store::{AuditFilter, AuditRecord, Decision, Lists, Reads, Store, StoreError, Unscoped};
use muster_wire::Page;
use muster_wire::alarm as wire;
use muster_wire::machine::reason;

use crate::App;
use crate::caller::Origin;
use crate::error::Error;

/// What is older was told long enough.
const LATELY: SignedDuration = SignedDuration::from_hours(24 * 7);
/// So many entries are looked through.
const MOST: u32 = 1000;

impl<S: Store> App<S> {
    /// What somebody should look at, what was told last first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn alarms(&self, origin: &Origin) -> Result<Page<wire::Alarm>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let filter = AuditFilter { alarms: true, limit: MOST, ..AuditFilter::default() };
        let mut reads = self.reader().await?;
        let mut items = open(reads.audit(tenant, &filter).await?, self.now() - LATELY);
        for alarm in &mut items {
            if let Ok(id) = alarm.object.parse::<MachineId>() {
                alarm.name = reads.machine(tenant, id).await?.map(|machine| machine.name.to_string());
            }
        }
        Ok(Page { items, next: None })
    }

    /// Somebody has looked at what was told of an object. What is still open afterwards.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NotFound`] for a machine that is not there.
    pub async fn acknowledge(
        &self,
        request: &wire::Acknowledge,
        origin: &Origin,
    ) -> Result<Page<wire::Alarm>, Error> {
        let object = self.alarming(&request.object, origin)?;
        let said = reason(request.reason.as_deref())?;
        let context = self.context(origin);
        self.settle(origin, Acknowledge { object, until: request.until, said, context }).await?;
        self.alarms(origin).await
    }

    /// What alarms are about.
    fn alarming(&self, object: &str, origin: &Origin) -> Result<Object, Error> {
        if object == Object::Deployment.to_string() {
            return Ok(Object::Deployment);
        }
        if let Ok(machine) = object.parse() {
            return Ok(Object::Machine(machine));
        }
        let tenant: Option<TenantId> = object.parse().ok();
        match tenant.filter(|tenant| *tenant == self.tenant_of(&origin.caller)) {
            Some(tenant) => Ok(Object::Tenant(tenant)),
            None => Err(Error::field("object", "is no machine, not the tenant and not deployment")),
        }
    }
}

/// What is still open of these entries, which are the newest first.
fn open(records: Vec<AuditRecord>, since: Timestamp) -> Vec<wire::Alarm> {
    let mut looked_at: HashMap<String, Timestamp> = HashMap::new();
    let mut open: Vec<wire::Alarm> = Vec::new();
    for record in records.into_iter().take_while(|record| record.at >= since) {
        let AuditRecord { object, action, at, reason, mut detail, .. } = record;
        if reason != alarm::ALARM {
            let until = detail.get("until").and_then(|until| until.parse().ok()).unwrap_or(at);
            let known = looked_at.entry(object).or_insert(until);
            *known = until.max(*known);
            continue;
        }
        if looked_at.get(&object).is_some_and(|until| at <= *until) {
            continue;
        }
        match open.iter_mut().find(|known| (&known.object, &known.action) == (&object, &action)) {
            Some(known) => (known.times, known.first_at) = (known.times + 1, at),
            None => {
                let cause = detail.remove("cause");
                open.push(wire::Alarm {
                    object,
                    name: None,
                    action,
                    cause,
                    times: 1,
                    first_at: at,
                    last_at: at,
                    detail,
                });
            }
        }
    }
    open
}

struct Acknowledge {
    object: Object,
    until: Timestamp,
    said: Option<ReasonText>,
    context: Context,
}

impl Decision for Acknowledge {
    const NAME: &'static str = "alarm.acknowledge";
    type Facts = Option<Machine>;
    type Outcome = ();

    fn object(&self) -> Object {
        self.object
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Machine>, StoreError> {
        match self.object {
            Object::Machine(machine) => reads.machine(self.context.tenant, machine).await,
            _ => Ok(None),
        }
    }

    fn decide(&self, machine: Option<Machine>) -> Result<Plan<()>, Refusal> {
        if matches!(self.object, Object::Machine(_)) && machine.is_none() {
            return Err(Refusal::NotFound { what: "machine" });
        }
        Ok(alarm::acknowledge(self.object, machine, self.until, self.said.clone(), &self.context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn told(second: i64, object: &str, reason: &str, detail: &[(&str, &str)]) -> AuditRecord {
        AuditRecord {
            seq: second.unsigned_abs(),
            id: String::new(),
            at: at(second),
            actor: "system".to_owned(),
            action: "machine.forked".to_owned(),
            object: object.to_owned(),
            reason: reason.to_owned(),
            source: None,
            detail: detail.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn what_is_told_often_is_one_alarm_until_somebody_has_looked() {
        let (until, later) = (at(20).to_string(), at(90).to_string());
        let log = [
            told(60, "mch_b", "alarm", &[("cause", "counter")]),
            told(50, "mch_a", "alarm", &[("cause", "conflict")]),
            told(40, "mch_c", "acknowledged", &[("until", &later)]),
            told(35, "mch_a", "acknowledged", &[("until", &until)]),
            told(30, "mch_a", "alarm", &[]),
            told(30, "mch_c", "alarm", &[]),
            told(20, "mch_a", "alarm", &[]),
            told(1, "mch_b", "alarm", &[]),
        ];
        let open = open(log.to_vec(), at(10));
        let short: Vec<_> =
            open.iter().map(|one| (&*one.object, one.times, one.first_at, one.last_at)).collect();
        assert_eq!(short, [("mch_b", 1, at(60), at(60)), ("mch_a", 2, at(30), at(50))]);
        assert_eq!(open[0].cause.as_deref(), Some("counter"));
    }

    #[test]
    fn what_is_over_by_itself_is_open_no_more() {
        let log = [told(50, "tnt_a", "calm", &[]), told(40, "tnt_a", "alarm", &[])];
        assert_eq!(open(log.to_vec(), at(0)), []);
    }
}
