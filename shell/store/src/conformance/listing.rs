//! The other lists.

use muster_lifecycle::{AccessChange, Change, GrantChange, HoldChange, SiteChange};
use muster_model::{AccessKind, Actor, Entry, Hold, HoldState, Object, Reason};

use super::Fixture;
use super::decisions::write;
use super::things::{Things, at};
use crate::{AuditFilter, Listed, Lists, PageRequest, Reads, Store, StoreError};

type Reader<F> = <<F as Fixture>::Store as Store>::Reader;

/// Every page of a list, each of at most `limit`.
async fn pages<S: Store, T>(
    store: &S,
    limit: u32,
    read: impl AsyncFn(&mut S::Reader, PageRequest) -> Result<Listed<T>, StoreError>,
) -> Vec<T> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let mut reads = store.reader().await.expect("a reader");
        let listed = read(&mut reads, PageRequest { after, limit }).await.expect("a page");
        assert!(listed.items.len() <= limit as usize);
        all.extend(listed.items);
        match listed.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// Sites, grants, holds and tokens.
pub async fn pages_of_the_other_lists_neither_skip_nor_repeat<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (_, _) = Things::in_store(store, 2).await;
    let (other, operator) = (things.site(), things.operator());
    let setting =
        vec![SiteChange::Create(other.clone()).into(), AccessChange::CreateOperator(operator.clone()).into()];
    write(store, &things, setting).await;
    let mut grants: Vec<_> = (0..9).map(|i| things.grant(if i % 3 == 0 { &other } else { &site })).collect();
    let mut holds: Vec<_> = (0..9).map(|_| things.hold(&site)).collect();
    let kinds = AccessKind::ALL.into_iter().cycle().take(9);
    let mut tokens: Vec<_> = kinds.map(|kind| things.token(&operator, kind)).collect();
    let mut changes: Vec<Change> = Vec::new();
    changes.extend(grants.iter().map(|grant| GrantChange::Create(grant.clone()).into()));
    changes.extend(holds.iter().map(|hold| HoldChange::Open(hold.clone()).into()));
    changes.extend(tokens.iter().map(|token| AccessChange::CreateToken(token.clone()).into()));
    changes.reverse();
    write(store, &things, changes).await;
    grants.reverse();
    holds.reverse();
    tokens.reverse();
    tokens.retain(|token| token.kind != AccessKind::Login);
    let of_other: Vec<_> = grants.iter().filter(|grant| grant.site == other.id).cloned().collect();
    let tenant = things.tenant;
    for limit in [1, 2, 4, 9, 50] {
        let sites =
            pages(store, limit, async |reads: &mut Reader<F>, page| reads.sites(tenant, page).await).await;
        assert_eq!(sites, [site.clone(), other.clone()]);
        let listed =
            pages(store, limit, async |reads: &mut Reader<F>, page| reads.grants(tenant, None, page).await)
                .await;
        assert_eq!(listed, grants);
        let listed = pages(store, limit, async |reads: &mut Reader<F>, page| {
            reads.grants(tenant, Some(other.id), page).await
        })
        .await;
        assert_eq!(listed, of_other);
        let listed =
            pages(store, limit, async |reads: &mut Reader<F>, page| reads.holds(tenant, None, page).await)
                .await;
        assert_eq!(listed, holds);
        let listed =
            pages(store, limit, async |reads: &mut Reader<F>, page| reads.access_tokens(tenant, page).await)
                .await;
        assert_eq!(listed, tokens);
    }
}

/// A hold is open while it is undecided and its end has not come.
pub async fn open_holds_are_those_that_wait<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (soon, late, decided) = (things.hold(&site), things.hold(&site), things.hold(&site));
    let soon = Hold { expires_at: at(10), ..soon };
    let late = Hold { expires_at: at(20), ..late };
    let state = HoldState::Rejected { at: at(1), by: Actor::System, reason: None };
    let decision = HoldChange::Decide { hold: decided.id, state }.into();
    let mut changes: Vec<Change> =
        [&soon, &late, &decided].map(|hold| HoldChange::Open(hold.clone()).into()).to_vec();
    changes.push(decision);
    write(store, &things, changes).await;
    let tenant = things.tenant;
    for (now, open) in [(9, vec![late.clone(), soon]), (10, vec![late]), (20, vec![])] {
        let listed = pages(store, 1, async |reads: &mut Reader<F>, page| {
            reads.holds(tenant, Some(at(now)), page).await
        })
        .await;
        assert_eq!(listed, open, "at {now}");
        let mut reads = store.reader().await.expect("a reader");
        let count = open.len() as u64;
        assert_eq!(reads.open_holds(tenant, at(now)).await.expect("an answer"), count);
        let used = reads.site_use(tenant, site.id, at(now)).await.expect("an answer");
        assert_eq!(used.open_holds, count);
    }
}

/// Newest first before a place, oldest first after one, and by object and actor.
pub async fn the_audit_log_reads_both_ways_and_by_object_and_actor<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, _) = Things::in_store(store, 2).await;
    let (object, actor) = (Object::Site(site.id), Actor::Operator(things.id()));
    let entries: Vec<Entry> = (0..12)
        .map(|i| Entry {
            reason: if i % 5 == 0 {
                Reason(["alarm", "calm", "acknowledged"][i / 5])
            } else {
                Reason("done")
            },
            object: if i % 2 == 0 { object } else { Object::Deployment },
            actor: if i % 3 == 0 { actor } else { Actor::System },
            ..things.entry()
        })
        .collect();
    for entry in &entries {
        store.tell(vec![entry.clone(), others.entry()]).await.expect("told");
    }
    let read = async |filter: AuditFilter| {
        let mut reads = store.reader().await.expect("a reader");
        reads.audit(things.tenant, &filter).await.expect("entries")
    };
    let all = read(AuditFilter { limit: 100, ..AuditFilter::default() }).await;
    assert_eq!(all.len(), 13, "its own twelve, and that of its founding");
    assert!(all.is_sorted_by(|a, b| a.seq > b.seq), "newest first");
    let mut forth = read(AuditFilter { after: Some(0), limit: 100, ..AuditFilter::default() }).await;
    forth.reverse();
    assert_eq!(forth, all);
    let older = read(AuditFilter { before: Some(all[3].seq), limit: 2, ..AuditFilter::default() }).await;
    assert_eq!(older, all[4..6]);
    let newer = read(AuditFilter { after: Some(all[3].seq), limit: 2, ..AuditFilter::default() }).await;
    assert_eq!(newer, [all[2].clone(), all[1].clone()]);
    let alarms = |limit| AuditFilter { alarms: true, limit, ..AuditFilter::default() };
    let of_alarms: Vec<_> = all
        .iter()
        .filter(|record| ["alarm", "calm", "acknowledged"].contains(&&*record.reason))
        .cloned()
        .collect();
    assert_eq!((read(alarms(100)).await, of_alarms.len()), (of_alarms.clone(), 3));
    assert_eq!(read(AuditFilter { before: Some(of_alarms[0].seq), ..alarms(1) }).await, of_alarms[1..2]);
    assert_eq!(read(AuditFilter { after: Some(of_alarms[1].seq), ..alarms(9) }).await, of_alarms[..1]);
    let (of_object, of_actor) = (object.to_string(), actor.to_string());
    for (object, actor) in [(true, false), (false, true), (true, true)] {
        let fits = |record: &&crate::AuditRecord| {
            (!object || record.object == of_object) && (!actor || record.actor == of_actor)
        };
        let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
        let filter = AuditFilter {
            object: object.then(|| of_object.clone()),
            actor: actor.then(|| of_actor.clone()),
            limit: 100,
            ..AuditFilter::default()
        };
        assert_eq!(read(filter.clone()).await, expected);
        let mut forth = read(AuditFilter { after: Some(0), ..filter }).await;
        forth.reverse();
        assert_eq!(forth, expected);
    }
}
