//! Many callers at once. Each reads, decides and writes; the store makes it as if one came after the other.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use muster_lifecycle::{GrantChange, Plan};
use muster_model::{Grant, GrantId, Machine, Uses};

use super::Fixture;
use super::decisions::{Arrive, Spend, write};
use super::things::{Things, at};
use crate::{AuditFilter, Lists, Reads, SettleError, Store};

const CALLERS: usize = 48;

type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs many callers at once and gives what they got, in the order in which they got it.
pub(super) async fn all<S: Store, T>(
    store: &S,
    things: &Arc<Things>,
    call: impl Fn(S, Arc<Things>) -> Call<T>,
) -> Vec<T> {
    let mut waiting: Vec<Call<T>> = (0..CALLERS).map(|_| call(store.clone(), Arc::clone(things))).collect();
    let mut got = Vec::new();
    poll_fn(|context| {
        waiting.retain_mut(|call| match call.as_mut().poll(context) {
            Poll::Ready(value) => {
                got.push(value);
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    got
}

async fn spend<S: Store>(store: S, things: Arc<Things>, grant: GrantId) -> Result<Plan<()>, SettleError> {
    let (key, entry, tenant) = (things.fingerprint(), things.entry(), things.tenant);
    store.settle(Spend { tenant, grant, key, now: at(1), entry }).await
}

async fn winners<F: Fixture>(fixture: &F, uses: Uses) -> (usize, Uses) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let things = Arc::new(things);
    let grant = Grant { uses, ..things.grant(&site) };
    let id = grant.id;
    write(store, &things, vec![GrantChange::Create(grant).into()]).await;
    let results = all(store, &things, move |store, things| Box::pin(spend(store, things, id))).await;
    for result in &results {
        assert!(matches!(result, Ok(_) | Err(SettleError::Refused(_))), "{result:?}");
    }
    let mut reads = store.reader().await.expect("a reader");
    let filter = AuditFilter { limit: 1000, ..AuditFilter::default() };
    let entries = reads.audit(things.tenant, &filter).await.expect("the log");
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(entries.len(), 2 + won, "one entry for each that won");
    let left = reads.grant(things.tenant, id).await.expect("an answer").expect("the grant");
    (won, left.uses)
}

/// Exactly one of many callers spends a one-time token.
pub async fn i_7_many_callers_spend_a_token_once<F: Fixture>(fixture: &F) {
    let (won, left) = winners(fixture, Uses::Once(None)).await;
    assert_eq!(won, 1);
    assert!(matches!(left, Uses::Once(Some(_))), "{left:?}");
}

/// As many callers as the cap allows, and not one more.
pub async fn many_callers_never_exceed_a_cap<F: Fixture>(fixture: &F) {
    let (won, left) = winners(fixture, Uses::Capped { limit: 17, used: 0 }).await;
    assert_eq!((won, left), (17, Uses::Capped { limit: 17, used: 17 }));
}

/// Many callers of the same hardware: one machine, and everybody is told of it.
pub async fn i_1_many_callers_make_one_machine_of_one_hardware<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let things = Arc::new(things);
    let hardware = things.machine(&site).hardware_id.expect("it has hardware");
    let results = all(store, &things, move |store, things| {
        let machine = Machine { hardware_id: Some(hardware.clone()), ..things.machine(&site) };
        let arrive = Arrive { machine, hardware: hardware.clone(), entry: things.entry() };
        Box::pin(async move { store.settle(arrive).await })
    })
    .await;
    let told: Vec<Machine> =
        results.into_iter().map(|result| result.expect("nobody fails").outcome().clone()).collect();
    assert!(told.iter().all(|machine| *machine == told[0]));
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.machine_counts(things.tenant).await.expect("an answer"), [0, 1, 0, 0]);
}
