//! What the fleet did, what of it ends when, and what runs on it: one look at everything each.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use muster_model::pulse::day_of;
use muster_model::{
    AccessKind, CredentialKind, CredentialState, Expiring, Expiry, GrantState, MachineState, Pulse,
    SignedDuration, TenantId, Timestamp, VersionUse,
};
use muster_store::PULSES;

use super::tables::{Tables, of};

impl Tables {
    pub(super) fn pulses(
        &self,
        tenant: TenantId,
        (from, until): (Timestamp, Timestamp),
        length: SignedDuration,
    ) -> Vec<Pulse> {
        let length = length.as_millis().max(1);
        let mut stretches: BTreeMap<i128, Pulse> = BTreeMap::new();
        for ((at, owner, _), (present, counted)) in self.pulses.iter() {
            if *owner != tenant || *at < from || *at >= until {
                continue;
            }
            let millis = i128::from(at.as_millisecond());
            let begins = millis - millis.rem_euclid(length);
            let at = Timestamp::from_millisecond(begins as i64).expect("it is before one that is in range");
            let empty = Pulse { at, online: None, machines: None, counted: Default::default() };
            let pulse = stretches.entry(begins).or_insert(empty);
            if let Some(present) = present {
                let (least, most) = pulse.online.unwrap_or((present.online, present.online));
                pulse.online = Some((least.min(present.online), most.max(present.online)));
                pulse.machines = pulse.machines.max(Some(present.machines));
            }
            pulse.counted += *counted;
        }
        stretches.into_values().take(PULSES as usize).collect()
    }

    pub(super) fn expiring(&self, tenant: TenantId, (from, until): (Timestamp, Timestamp)) -> Vec<Expiry> {
        let credentials = of(&self.credentials, tenant)
            .filter(|credential| matches!(credential.state, CredentialState::Issued(_)))
            .map(|credential| match credential.kind {
                CredentialKind::Certificate { .. } => (credential.not_after, Expiring::Certificate),
                CredentialKind::Bearer { .. } | CredentialKind::Refresh { .. } => {
                    (credential.not_after, Expiring::BearerKey)
                }
            });
        let grants = of(&self.grants, tenant)
            .filter(|grant| grant.state == GrantState::Live && grant.has_uses_left())
            .filter_map(|grant| Some((grant.expires_at?, Expiring::Grant)));
        let tokens = of(&self.tokens, tenant)
            .filter(|token| token.kind == AccessKind::Api && token.ended_at.is_none())
            .map(|token| (token.expires_at, Expiring::ApiToken));
        let mut days = BTreeMap::new();
        for (end, what) in credentials.chain(grants).chain(tokens) {
            if from <= end && end < until {
                *days.entry((day_of(end), what)).or_insert(0) += 1;
            }
        }
        days.into_iter().map(|((day, what), count)| Expiry { day, what, count }).collect()
    }

    pub(super) fn versions(&self, tenant: TenantId, limit: u32) -> Vec<VersionUse> {
        let mut versions: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        for machine in of(&self.machines, tenant) {
            if matches!(machine.state, MachineState::Active(_)) {
                let said = ["agent_version", "version"].map(|name| machine.attributes.get(name));
                let said = said.into_iter().flatten().next().filter(|version| !version.is_empty());
                *versions.entry(said).or_default() += 1;
            }
        }
        let mut versions: Vec<_> = versions.into_iter().collect();
        versions.sort_by_key(|(_, machines)| Reverse(*machines));
        let told = |(version, machines): (Option<&str>, u64)| VersionUse {
            version: version.map(str::to_owned),
            machines,
        };
        versions.into_iter().take(limit as usize).map(told).collect()
    }
}
