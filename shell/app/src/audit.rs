//! Reading the audit log.

use muster_model::{Refusal, TenantId};
use muster_store::{AuditFilter, AuditRecord, Lists, Reads, Store, StoreError};
use muster_wire::Page;
use muster_wire::audit::{AuditContext, AuditEntry, AuditQuery};

use crate::App;
use crate::caller::Origin;
use crate::cursor::Binding;
use crate::error::Error;

/// Longer than any identifier.
const LONGEST: usize = 64;
/// Entries before one, and after it, that are shown with it.
const NEAR: u32 = 5;

impl<S: Store> App<S> {
    /// A page of the audit log: the newest first, or what came after a place in it.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong cursor.
    pub async fn audit(&self, query: &AuditQuery, origin: &Origin) -> Result<Page<AuditEntry>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let binding = self.audit_binding(query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let filter = AuditFilter {
            before: page.after.map(seq),
            after: query.after,
            object: name("object", query.object.as_deref())?,
            actor: name("actor", query.actor.as_deref())?,
            action: name("action", query.action.as_deref())?,
            since: query.since,
            until: query.until,
            alarms: false,
            limit: page.limit,
        };
        let records = self.reader().await?.audit(tenant, &filter).await?;
        let is_full = records.len() as u64 == u64::from(page.limit) && query.after.is_none();
        let next = records.last().filter(|_| is_full).map(|record| binding.seal(key(record.seq)));
        Ok(Page { items: records.into_iter().map(written).collect(), next })
    }

    /// One entry, with what happened about it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn audit_entry(&self, seq: u64, origin: &Origin) -> Result<AuditContext, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let mut reads = self.reader().await?;
        let this = AuditFilter { before: seq.checked_add(1), limit: 1, ..AuditFilter::default() };
        let found = reads.audit(tenant, &this).await?.into_iter().find(|record| record.seq == seq);
        let entry = found.ok_or(Refusal::NotFound { what: "entry" })?;
        let of_object = AuditFilter { object: Some(entry.object.clone()), ..AuditFilter::default() };
        let of_actor = AuditFilter { actor: Some(entry.actor.clone()), ..AuditFilter::default() };
        Ok(AuditContext {
            object: near(&mut reads, tenant, &entry, of_object).await?,
            actor: near(&mut reads, tenant, &entry, of_actor).await?,
            around: near(&mut reads, tenant, &entry, AuditFilter::default()).await?,
            entry: written(entry),
        })
    }

    /// Whether what a caller showed still counts: asked again where an answer goes on for long.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`] once it has ended.
    pub async fn still_counts(&self, origin: &Origin) -> Result<(), Error> {
        let caller = origin.caller.operator()?;
        let Some(shown) = caller.token else { return Ok(()) };
        let by = self.reader().await?.acting_by(caller.tenant, shown).await?;
        let now = self.now();
        let counts = by.is_some_and(|(shown, operator)| shown.is_live(now) && operator.is_enabled());
        counts.then_some(()).ok_or_else(|| Refusal::NotAuthenticated { cause: "ended" }.into())
    }

    fn audit_binding(&self, query: &AuditQuery, origin: &Origin) -> Binding<'_> {
        let AuditQuery { object, actor, action, since, until, cursor: _, after: _, limit: _ } = query;
        let asked = format!("{object:?}|{actor:?}|{action:?}|{since:?}|{until:?}");
        Binding { pepper: &self.inner.pepper, query: format!("audit|{}|{asked}", origin.caller.actor()) }
    }
}

/// An entry between those before and after it.
async fn near<L: Lists>(
    reads: &mut L,
    tenant: TenantId,
    entry: &AuditRecord,
    filter: AuditFilter,
) -> Result<Vec<AuditEntry>, StoreError> {
    let filter = AuditFilter { limit: NEAR, ..filter };
    let mut near = reads.audit(tenant, &AuditFilter { after: Some(entry.seq), ..filter.clone() }).await?;
    near.reverse();
    near.push(entry.clone());
    near.extend(reads.audit(tenant, &AuditFilter { before: Some(entry.seq), ..filter }).await?);
    Ok(near.into_iter().map(written).collect())
}

/// The name of an actor, an action or an object: nothing that no entry has, and that a database might stumble over.
fn name(path: &str, given: Option<&str>) -> Result<Option<String>, Error> {
    match given {
        Some(name) if name.len() > LONGEST || !name.bytes().all(|byte| byte.is_ascii_graphic()) => Err(
            Error::field(path, "is an identifier, or a word such as anonymous, deployment or machine.revoke"),
        ),
        given => Ok(given.map(str::to_owned)),
    }
}

/// A place in the log as the key of a cursor.
fn key(seq: u64) -> [u8; 16] {
    u128::from(seq).to_be_bytes()
}

fn seq(key: [u8; 16]) -> u64 {
    u64::try_from(u128::from_be_bytes(key)).unwrap_or(u64::MAX)
}

fn written(record: AuditRecord) -> AuditEntry {
    let AuditRecord { seq, id, at, actor, action, object, reason, source, detail } = record;
    AuditEntry { id, seq, at, actor, action, object, reason, source, detail }
}
