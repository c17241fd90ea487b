//! Reading the audit log.

use muster_store::{AuditFilter, AuditRecord, Lists, Store};
use muster_wire::Page;
use muster_wire::audit::{AuditEntry, AuditQuery};

use crate::App;
use crate::caller::Origin;
use crate::cursor::Binding;
use crate::error::Error;

/// Longer than any identifier.
const LONGEST: usize = 64;

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
            alarms: false,
            limit: page.limit,
        };
        let records = self.reader().await?.audit(tenant, &filter).await?;
        let is_full = records.len() as u64 == u64::from(page.limit) && query.after.is_none();
        let next = records.last().filter(|_| is_full).map(|record| binding.seal(key(record.seq)));
        Ok(Page { items: records.into_iter().map(written).collect(), next })
    }

    fn audit_binding(&self, query: &AuditQuery, origin: &Origin) -> Binding<'_> {
        let AuditQuery { object, actor, .. } = query;
        let query = format!("audit|{}|{object:?}|{actor:?}", origin.caller.actor());
        Binding { pepper: &self.inner.pepper, query }
    }
}

/// The name of an actor or an object: nothing that no entry has, and that a database might stumble over.
fn name(path: &str, given: Option<&str>) -> Result<Option<String>, Error> {
    match given {
        Some(name) if name.len() > LONGEST || !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Err(Error::field(path, "is an identifier, or a word such as anonymous or deployment"))
        }
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
