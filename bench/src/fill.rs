//! Many machines that were there before, put in through the store as decisions, many a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use data_encoding::HEXLOWER;
use muster_lifecycle::{Change, CredentialChange, KeyChange, MachineChange, Plan};
use muster_model::id::Draw;
use muster_model::{
    Active, Actor, Attributes, Credential, CredentialKind, CredentialState, Entry, KeyAlgorithm, KeyRecord,
    KeyStanding, Labels, Machine, MachineKind, MachineState, Minted, Object, PublicKey, Reason, Refusal,
    SignedDuration, SiteId, TenantId, Timestamp,
};
use muster_store::{Decision, Reads, Store as _, StoreError, Unscoped};
use tokio::task::JoinSet;

use crate::world::World;

const AT_ONCE: usize = 256;
/// About the size of a machine's certificate.
const CERTIFICATE: usize = 560;
/// `SubjectPublicKeyInfo` of P-256 before the point (RFC 5480).
const SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// One machine as an enrollment leaves it: itself, its key, its certificate, and the entry that tells of it.
struct Put {
    machine: Machine,
    key: KeyRecord,
    credential: Credential,
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
        let changes: Vec<Change> = vec![
            MachineChange::Create(self.machine.clone()).into(),
            KeyChange::Register(self.key.clone()).into(),
            CredentialChange::Reserve(self.credential.clone()).into(),
        ];
        Ok(Plan::new((), changes, self.entry.clone()))
    }
}

/// Puts so many machines in.
pub(crate) async fn fill(world: &World, count: u64) -> Result<()> {
    let left = Arc::new(AtomicU64::new(count));
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (store, left) = (world.app.store().clone(), Arc::clone(&left));
        let (tenant, site, now) = (world.tenant, world.site, world.app.now());
        callers.spawn(async move {
            while let Ok(n) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)) {
                store.settle(put(tenant, site, now, n)?).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

fn put(tenant: TenantId, site: SiteId, now: Timestamp, n: u64) -> Result<Put> {
    let machine = machine(tenant, site, now, n)?;
    let point: [u8; 64] = random();
    let key = PublicKey::new(KeyAlgorithm::P256, [SPKI, &point].concat());
    let fingerprint = key.fingerprint();
    let machine = Machine { key: Some(fingerprint), ..machine };
    let credential = Credential {
        id: draw(now),
        tenant,
        machine: machine.id,
        generation: 1,
        kind: CredentialKind::Certificate { key: fingerprint },
        not_before: now,
        not_after: now + SignedDuration::from_hours(24),
        state: CredentialState::Issued(Minted::Certificate(random::<CERTIFICATE>().to_vec())),
    };
    let entry = Entry {
        id: draw(now),
        tenant,
        at: now,
        actor: Actor::System,
        action: "machine.enroll",
        object: Object::Machine(machine.id),
        reason: Reason("admitted"),
        source: None,
        detail: vec![("method", "token".to_owned()), ("key", fingerprint.to_string())],
    };
    let key = KeyRecord { key, machine: machine.id, generation: 1, standing: KeyStanding::Current };
    Ok(Put { machine, key, credential, entry })
}

fn machine(tenant: TenantId, site: SiteId, now: Timestamp, n: u64) -> Result<Machine> {
    Ok(Machine {
        id: draw(now),
        tenant,
        site,
        name: format!("web-{n}").parse()?,
        hostname: Some(format!("web-{n}.example.net").parse()?),
        kind: MachineKind::Host,
        hardware_id: Some(format!("hw_{}", HEXLOWER.encode(&random::<16>())).parse()?),
        key: None,
        generation: 1,
        role: None,
        labels: Labels::default(),
        attributes: Attributes::default(),
        grant: None,
        state: MachineState::Active(Active { since: now }),
        created_at: now,
        enrolled_at: Some(now),
    })
}

fn draw<T: Draw>(now: Timestamp) -> T {
    T::draw(now.as_millisecond().unsigned_abs(), random())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system's generator always answers");
    bytes
}
