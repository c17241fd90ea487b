//! Many machines that were there before, put in through the store as decisions, many a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use muster_app::Store;
use muster_lifecycle::{Change, CredentialChange, KeyChange, MachineChange, Plan};
use muster_model::{
    Actor, Credential, CredentialKind, CredentialState, Entry, KeyAlgorithm, KeyRecord, KeyStanding, Machine,
    MachineState, Minted, Object, PublicKey, Reason, Refusal, SignedDuration, Timestamp,
};
use muster_store::{Decision, Reads, StoreError, Unscoped};
use tokio::task::JoinSet;

use crate::fleet::{Fleet, Wave, draw, random};

const AT_ONCE: usize = 256;
/// About the size of a machine's certificate.
const CERTIFICATE: usize = 560;
/// `SubjectPublicKeyInfo` of P-256 before the point (RFC 5480).
const SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// One machine as an enrollment leaves it: itself, its key and its certificate where it has come, and the entry that
/// tells of it.
struct Put {
    machine: Machine,
    shown: Option<(KeyRecord, Credential)>,
    entry: Entry,
}

impl Decision for Put {
    const NAME: &'static str = "bench.fill";
    type Facts = ();
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, _: &mut R) -> Result<(), StoreError> {
        Ok(())
    }

    fn decide(&self, (): ()) -> Result<Plan<()>, Refusal> {
        let mut changes: Vec<Change> = vec![MachineChange::Create(self.machine.clone()).into()];
        if let Some((key, credential)) = &self.shown {
            changes.push(KeyChange::Register(key.clone()).into());
            changes.push(CredentialChange::Reserve(credential.clone()).into());
        }
        Ok(Plan::new((), changes, self.entry.clone()))
    }
}

/// Puts the machines of a wave in.
pub(crate) async fn fill<S: Store>(store: &S, fleet: &Fleet, wave: Wave) -> Result<()> {
    let next = Arc::new(AtomicU64::new(wave.first));
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (store, fleet, next) = (store.clone(), fleet.clone(), Arc::clone(&next));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= wave.end {
                    return anyhow::Ok(());
                }
                store.settle(put(fleet.machine(wave, n)?, fleet.now)).await?;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

fn put(machine: Machine, now: Timestamp) -> Put {
    let mut detail = vec![("method", "token".to_owned())];
    let (machine, shown) = match &machine.state {
        MachineState::Pending(_) => (machine, None),
        _ => shown(machine, now),
    };
    detail.extend(machine.key.map(|key| ("key", key.to_string())));
    let entry = Entry {
        id: draw(now),
        tenant: machine.tenant,
        at: now,
        actor: Actor::System,
        action: "machine.enroll",
        object: Object::Machine(machine.id),
        reason: Reason("admitted"),
        source: None,
        detail,
    };
    Put { machine, shown, entry }
}

/// A machine that came, with its key and its certificate.
fn shown(machine: Machine, now: Timestamp) -> (Machine, Option<(KeyRecord, Credential)>) {
    let point: [u8; 64] = random();
    let key = PublicKey::new(KeyAlgorithm::P256, [SPKI, &point].concat());
    let fingerprint = key.fingerprint();
    let machine = Machine { key: Some(fingerprint), ..machine };
    let credential = Credential {
        id: draw(now),
        tenant: machine.tenant,
        machine: machine.id,
        generation: 1,
        kind: CredentialKind::Certificate { key: fingerprint },
        not_before: now,
        not_after: now + SignedDuration::from_hours(24),
        state: CredentialState::Issued(Minted::Certificate(random::<CERTIFICATE>().to_vec())),
    };
    let key = KeyRecord {
        key,
        machine: machine.id,
        generation: 1,
        standing: KeyStanding::Current,
        ordered_at: None,
    };
    (machine, Some((key, credential)))
}
