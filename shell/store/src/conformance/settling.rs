//! All or nothing: what a settled, a refused and a failed decision leave behind.

use muster_lifecycle::{GrantChange, MachineChange, SiteChange};
use muster_model::{Entry, Refusal};

use super::Fixture;
use super::decisions::{Panic, Refuse, Write, write, write_wrong};
use super::things::{Things, created, updated};
use crate::{AuditFilter, AuditRecord, Lists, Reads, SettleError, Store, StoreError};

async fn log<S: Store>(store: &S, things: &Things) -> Vec<AuditRecord> {
    let filter = AuditFilter { after: Some(0), limit: 1000, ..AuditFilter::default() };
    let mut reads = store.reader().await.expect("a reader");
    reads.audit(things.tenant, &filter).await.expect("the log")
}

/// A plan with changes and entries: each of them is there.
pub async fn changes_and_entries_are_written_together<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let before = log(store, &things).await.len();
    let machine = things.machine(&site);
    let entries = vec![things.entry(), things.entry()];
    let ids: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
    store.settle(Write { changes: vec![created(&machine)], entries }).await.expect("settled");
    let told: Vec<String> = log(store, &things).await.into_iter().skip(before).map(|r| r.id).collect();
    assert_eq!(told, ids);
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.machine(things.tenant, machine.id).await.expect("an answer"), Some(machine));
}

/// A refusal: its entry, or nothing at all.
pub async fn a_refusal_writes_nothing_but_what_it_tells<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let before = log(store, &things).await;
    let settled = store.settle(Refuse { told: None }).await;
    assert!(matches!(settled, Err(SettleError::Refused(Refusal::UnknownMachine))), "{settled:?}");
    assert_eq!(log(store, &things).await, before);
    let entry = things.entry();
    let settled = store.settle(Refuse { told: Some(entry.clone()) }).await;
    assert!(matches!(settled, Err(SettleError::Refused(Refusal::UnknownMachine))), "{settled:?}");
    let after = log(store, &things).await;
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()..].iter().map(|r| &*r.id).collect::<Vec<_>>(), [entry.id.to_string()]);
}

/// A plan whose last change cannot be: neither the first one nor the entry is there, and the next plan is.
pub async fn q_48_what_cannot_be_applied_writes_nothing_not_even_its_entry<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let before = log(store, &things).await;
    let (machine, absent) = (things.machine(&site), things.machine(&site));
    write_wrong(store, &things, vec![created(&machine), updated(&absent)]).await;
    assert_eq!(log(store, &things).await, before);
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.machine(things.tenant, machine.id).await.expect("an answer"), None);
    assert_eq!(reads.machine_counts(things.tenant).await.expect("an answer"), [0; 4]);
    drop(reads);
    write(store, &things, vec![created(&machine)]).await;
    assert_eq!(log(store, &things).await.len(), before.len() + 1);
}

/// A plan that reaches into another tenant, or tells of two, is our mistake and changes nothing.
pub async fn a_plan_writes_in_one_tenant_alone<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, other_site) = Things::in_store(store, 2).await;
    let grant = others.grant(&other_site);
    write(store, &others, vec![GrantChange::Create(grant.clone()).into()]).await;
    let uses = grant.drawn(None, grant.created_at).expect("it is not spent");
    write_wrong(store, &things, vec![SiteChange::Create(others.site()).into()]).await;
    write_wrong(store, &things, vec![created(&others.machine(&other_site))]).await;
    write_wrong(store, &things, vec![created(&things.machine(&other_site))]).await;
    write_wrong(store, &things, vec![GrantChange::Draw { grant: grant.id, uses }.into()]).await;
    let entries = vec![things.entry(), Entry { tenant: others.tenant, ..others.entry() }];
    let changes = vec![MachineChange::Create(things.machine(&site)).into()];
    let settled = store.settle(Write { changes, entries }).await;
    assert!(matches!(settled, Err(SettleError::Store(StoreError::Invariant { .. }))), "{settled:?}");
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.grant(others.tenant, grant.id).await.expect("an answer"), Some(grant));
    assert_eq!(reads.machine_counts(things.tenant).await.expect("an answer"), [0; 4]);
    assert_eq!(reads.machine_counts(others.tenant).await.expect("an answer"), [0; 4]);
}

/// A plan without changes and entries.
pub async fn an_unchanged_plan_writes_nothing<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let before = log(store, &things).await;
    let plan = store.settle(Write { changes: Vec::new(), entries: Vec::new() }).await.expect("settled");
    assert!(plan.is_unchanged());
    assert_eq!(log(store, &things).await, before);
}

/// What is written after a reader's first look is not seen by it.
pub async fn a_reader_sees_one_moment<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machine = things.machine(&site);
    let mut early = store.reader().await.expect("a reader");
    assert_eq!(early.machine_counts(things.tenant).await.expect("an answer"), [0; 4]);
    write(store, &things, vec![created(&machine)]).await;
    assert_eq!(early.machine(things.tenant, machine.id).await.expect("an answer"), None);
    assert_eq!(early.machine_counts(things.tenant).await.expect("an answer"), [0; 4]);
    drop(early);
    let mut late = store.reader().await.expect("a reader");
    assert_eq!(late.machine_counts(things.tenant).await.expect("an answer"), [0, 1, 0, 0]);
}

/// A decision with a bug takes nobody with it.
pub async fn a_panic_in_a_decision_fails_that_decision_alone<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let settled = store.settle(Panic).await;
    assert!(matches!(settled, Err(SettleError::Store(StoreError::Invariant { .. }))), "{settled:?}");
    write(store, &things, vec![created(&things.machine(&site))]).await;
    store.check().await.expect("it works on");
}
