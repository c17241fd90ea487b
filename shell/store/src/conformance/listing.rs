//! The other lists.

use muster_lifecycle::{AccessChange, Change, GrantChange, HoldChange, SiteChange};
use muster_model::{AccessKind, Actor, Entry, Hold, HoldState, Object, Reason, TenantId};

use super::Fixture;
use super::decisions::write;
use super::things::{Things, at};
use crate::{AuditFilter, AuditRecord, Listed, Lists, PageRequest, Reads, Store, StoreError};

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

/// Newest first before a place, oldest first after one.
pub async fn the_audit_log_reads_both_ways<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let log = Log::told(store).await;
    let all = log.read(store, AuditFilter { limit: 100, ..AuditFilter::default() }).await;
    assert_eq!(all.len(), 13, "its own twelve, and that of its founding");
    assert!(all.is_sorted_by(|a, b| a.seq > b.seq), "newest first");
    let mut forth =
        log.read(store, AuditFilter { after: Some(0), limit: 100, ..AuditFilter::default() }).await;
    forth.reverse();
    assert_eq!(forth, all);
    let (before, after) = (Some(all[3].seq), Some(all[3].seq));
    let older = log.read(store, AuditFilter { before, limit: 2, ..AuditFilter::default() }).await;
    assert_eq!(older, all[4..6]);
    let newer = log.read(store, AuditFilter { after, limit: 2, ..AuditFilter::default() }).await;
    assert_eq!(newer, [all[2].clone(), all[1].clone()]);
    let alarms = |limit| AuditFilter { alarms: true, limit, ..AuditFilter::default() };
    let of_alarms: Vec<_> = all.iter().filter(|record| is_of_alarms(record)).cloned().collect();
    assert_eq!((log.read(store, alarms(100)).await, of_alarms.len()), (of_alarms.clone(), 3));
    let before = Some(of_alarms[0].seq);
    assert_eq!(log.read(store, AuditFilter { before, ..alarms(1) }).await, of_alarms[1..2]);
    let after = Some(of_alarms[1].seq);
    assert_eq!(log.read(store, AuditFilter { after, ..alarms(9) }).await, of_alarms[..1]);
}

/// By object, actor, action and time, alarms alone, and by any of these together.
pub async fn the_audit_log_is_searched_by_what_is_in_it<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let log = Log::told(store).await;
    let all = log.read(store, AuditFilter { limit: 100, ..AuditFilter::default() }).await;
    let (object, actor) = (log.object.to_string(), log.actor.to_string());
    for which in 0..64_u32 {
        let asked = |bit: u32| which & (1 << bit) != 0;
        let filter = AuditFilter {
            object: asked(0).then(|| object.clone()),
            actor: asked(1).then(|| actor.clone()),
            action: asked(2).then(|| "test.read".to_owned()),
            since: asked(3).then(|| at(3)),
            until: asked(4).then(|| at(9)),
            alarms: asked(5),
            limit: 100,
            ..AuditFilter::default()
        };
        let fits = |record: &&AuditRecord| {
            (!asked(0) || record.object == object)
                && (!asked(1) || record.actor == actor)
                && (!asked(2) || record.action == "test.read")
                && (!asked(3) || record.at >= at(3))
                && (!asked(4) || record.at < at(9))
                && (!asked(5) || is_of_alarms(record))
        };
        let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
        assert_eq!(log.read(store, filter.clone()).await, expected);
        let mut forth = log.read(store, AuditFilter { after: Some(0), ..filter }).await;
        forth.reverse();
        assert_eq!(forth, expected);
    }
}

fn is_of_alarms(record: &AuditRecord) -> bool {
    ["alarm", "calm", "acknowledged"].contains(&&*record.reason)
}

/// Twelve entries of one tenant between those of another.
struct Log {
    tenant: TenantId,
    object: Object,
    actor: Actor,
}

impl Log {
    async fn told<S: Store>(store: &S) -> Self {
        let (things, site) = Things::in_store(store, 1).await;
        let (others, _) = Things::in_store(store, 2).await;
        let log = Self {
            tenant: things.tenant,
            object: Object::Site(site.id),
            actor: Actor::Operator(things.id()),
        };
        for i in 0..12 {
            let of_alarms = ["alarm", "calm", "acknowledged"].get(i / 5).filter(|_| i % 5 == 0);
            let entry = Entry {
                reason: Reason(of_alarms.copied().unwrap_or("done")),
                object: if i % 2 == 0 { log.object } else { Object::Deployment },
                actor: if i % 3 == 0 { log.actor } else { Actor::System },
                action: if i % 4 == 0 { "test.read" } else { "test.write" },
                at: at(i64::try_from(i).expect("small")),
                ..things.entry()
            };
            store.tell(vec![entry, others.entry()]).await.expect("told");
        }
        log
    }

    async fn read<S: Store>(&self, store: &S, filter: AuditFilter) -> Vec<AuditRecord> {
        let mut reads = store.reader().await.expect("a reader");
        reads.audit(self.tenant, &filter).await.expect("entries")
    }
}
