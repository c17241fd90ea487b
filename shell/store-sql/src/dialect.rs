//! What must differ between the databases: the texts of a few statements, and how words, counts and replicas are kept.

use std::future::Future;

use muster_model::{Machine, Replica, SiteId, TenantId};
use muster_store::{Answer, MachineFilter, MachineRow, PageRequest, StoreError};

use crate::engine::Engine;
use crate::words::Words;

/// The statements that give machines with their presence, made by [`texts!`](crate::texts).
#[derive(Debug)]
pub struct Texts {
    /// The presence of a machine: tenant, machine.
    pub presence: &'static str,
    /// One machine as lists show it: tenant, machine.
    pub row: &'static str,
    /// A page of machines: tenant, after, limit.
    pub all: &'static str,
    /// A page of those in a state: tenant, after, limit, state.
    pub of_state: &'static str,
    /// A page of those of a site: tenant, after, limit, site.
    pub of_site: &'static str,
    /// A page of those of a site in a state: tenant, after, limit, state, site.
    pub of_site_and_state: &'static str,
    /// Every machine in a state that came after a number: tenant, state, number.
    pub sift_state: &'static str,
    /// The same, of a site: tenant, state, number, site.
    pub sift_site_and_state: &'static str,
    /// A page of those in a state that nobody heard of since a time: tenant, after, limit, state, time.
    pub quiet: &'static str,
    /// The versions that active machines say they run, the most frequent first: tenant, limit.
    pub versions: &'static str,
}

/// What is read in different ways.
pub trait Dialect: Engine {
    /// The statements.
    const TEXTS: &'static Texts;

    /// A page of the machines in which each of these words begins some word, and one machine more where there is one; in
    /// the order in which the machines came. There is a word at least.
    fn found(
        &mut self,
        tenant: TenantId,
        filter: &MachineFilter,
        page: PageRequest,
        words: &[String],
    ) -> impl Answer<Vec<MachineRow>>;

    /// Every replica that is known, the oldest first.
    fn replicas(&mut self) -> impl Answer<Vec<Replica>>;

    /// Waits for a list. A database that answers within the call gets out of the way of others here.
    fn aside<F: Future + Send>(work: F) -> impl Future<Output = F::Output> + Send {
        work
    }
}

/// What is written in different ways, within the transaction of a plan.
pub trait WriteDialect: Engine {
    /// The words of a machine are new or others from now on. Its row is there; `known` says that it had words before.
    fn note_words(
        &mut self,
        machine: &Machine,
        words: Words,
        known: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Adds to the count of a site's machines in a state.
    fn keep_count(
        &mut self,
        tenant: TenantId,
        site: SiteId,
        state: &'static str,
        change: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A statement that gives machines as lists show them, for [`machine_row`](crate::machine_row): how tables are joined, the
/// two columns of presence (`last_seen`, `online`) of a row `p` that may be missing, what is joined for them, the tables
/// before (among them `machines m`), and what follows.
#[macro_export]
macro_rules! select_machine_rows {
    ($join:expr, $presence:expr, $with:expr, $from:expr, $tail:expr) => {
        concat!(
            "SELECT ",
            $crate::machine_columns!(),
            ", ",
            $presence,
            ", s.code AS site,
            (SELECT c.not_after FROM credentials c WHERE c.tenant_id = m.tenant_id AND c.machine_id = m.id
                AND c.state = 'issued' ORDER BY c.id DESC LIMIT 1) AS credential_expires,
            (SELECT h.id FROM holds h WHERE h.tenant_id = m.tenant_id AND h.existing = m.id AND h.state = 'open'
                AND (h.fingerprint IS DISTINCT FROM m.key OR h.reason = 'key_mismatch')
                ORDER BY h.id DESC LIMIT 1) AS contested_by,
            (SELECT h.expires_at FROM holds h WHERE h.tenant_id = m.tenant_id AND h.existing = m.id
                AND h.state = 'open' AND (h.fingerprint IS DISTINCT FROM m.key OR h.reason = 'key_mismatch')
                ORDER BY h.id DESC LIMIT 1) AS contested_until, m.n
            FROM ",
            $from,
            " ",
            $join,
            " sites s ON s.tenant_id = m.tenant_id AND s.id = m.site_id
            LEFT JOIN presence p ON p.tenant_id = m.tenant_id AND p.machine_id = m.id ",
            $with,
            " ",
            $tail
        )
    };
}

/// The [`Texts`] of a database: the first three of [`select_machine_rows!`](crate::select_machine_rows), and the attributes in
/// which a machine says its version, those that count first.
#[macro_export]
macro_rules! texts {
    ($join:expr, $presence:expr, $with:expr, $versions:expr) => {
        $crate::Texts {
            presence: concat!(
                "SELECT ",
                $presence,
                ", p.machine_id AS id FROM presence p ",
                $with,
                " WHERE p.tenant_id = ?1 AND p.machine_id = ?2"
            ),
            row: $crate::texts!(@of $join, $presence, $with, "WHERE m.tenant_id = ?1 AND m.id = ?2"),
            all: $crate::texts!(@of $join, $presence, $with,
                "WHERE m.tenant_id = ?1 AND m.id > ?2 ORDER BY m.id LIMIT ?3"),
            of_state: $crate::texts!(@of $join, $presence, $with,
                "WHERE m.tenant_id = ?1 AND m.id > ?2 AND m.state = ?4 ORDER BY m.id LIMIT ?3"),
            // The index has the state before the identifier: four walks, the first rows of each, and of these the first.
            of_site: $crate::select_machine_rows!($join, $presence, $with,
                concat!(
                    "(SELECT n FROM (",
                    $crate::texts!(@walk "pending"), " UNION ALL ", $crate::texts!(@walk "active"), " UNION ALL ",
                    $crate::texts!(@walk "suspended"), " UNION ALL ", $crate::texts!(@walk "retired"),
                    ") AS walked ORDER BY id LIMIT ?3) AS first ", $join, " machines m ON m.n = first.n"
                ),
                "ORDER BY m.id LIMIT ?3"),
            of_site_and_state: $crate::texts!(@of $join, $presence, $with,
                "WHERE m.tenant_id = ?1 AND m.id > ?2 AND m.state = ?4 AND m.site_id = ?5 ORDER BY m.id LIMIT ?3"),
            sift_state: $crate::texts!(@of $join, $presence, $with,
                "WHERE m.tenant_id = ?1 AND m.state = ?2 AND m.n > ?3"),
            sift_site_and_state: $crate::texts!(@of $join, $presence, $with,
                "WHERE m.tenant_id = ?1 AND m.state = ?2 AND m.n > ?3 AND m.site_id = ?4"),
            // Most are online, or were a moment ago: they go before their credentials are looked at.
            quiet: concat!(
                "SELECT * FROM (SELECT ", $crate::machine_columns!(), ", ", $presence,
                ", (SELECT max(c.not_before) FROM credentials c WHERE c.tenant_id = m.tenant_id
                    AND c.machine_id = m.id) AS issued
                FROM machines m LEFT JOIN presence p ON p.tenant_id = m.tenant_id AND p.machine_id = m.id ", $with,
                " WHERE m.tenant_id = ?1 AND m.state = ?4 AND m.id > ?2 AND m.state_since <= ?5
                    AND (m.state = 'active' OR m.state_cause = 'silent')) AS quiet
                WHERE online = 0 AND coalesce(last_seen, 0) <= ?5 AND coalesce(enrolled_at, 0) <= ?5
                    AND coalesce(entered_at, 0) <= ?5 AND coalesce(issued, 0) <= ?5 ORDER BY id LIMIT ?3"
            ),
            versions: concat!(
                "SELECT version, n FROM (SELECT nullif(coalesce(", $versions, "), '') AS version, count(*) AS n
                    FROM machines WHERE tenant_id = ?1 AND state = 'active' GROUP BY 1) AS counted
                ORDER BY n DESC, coalesce(version, '') LIMIT ?2"
            ),
        }
    };
    (@of $join:expr, $presence:expr, $with:expr, $tail:literal) => {
        $crate::select_machine_rows!($join, $presence, $with, "machines m", $tail)
    };
    (@walk $state:literal) => {
        concat!(
            "SELECT * FROM (SELECT n, id FROM machines WHERE tenant_id = ?1 AND site_id = ?4 AND state = '", $state,
            "' AND id > ?2 ORDER BY id LIMIT ?3) AS ", $state
        )
    };
}
