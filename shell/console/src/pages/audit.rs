//! What was done: the audit log, searched by who did it and to what.

use askama::Template;
use muster_wire::Page;
use muster_wire::audit::{AuditEntry, AuditQuery};

use crate::frame::{Frame, Place};

/// The audit log.
#[derive(Debug, Template)]
#[template(path = "audit.html")]
pub struct Audit {
    frame: Frame,
    place: Place,
    query: AuditQuery,
    page: Page<AuditEntry>,
}

impl Audit {
    /// A page of the log.
    pub fn new(frame: Frame, query: AuditQuery, page: Page<AuditEntry>) -> Self {
        Self { frame, place: Place::Audit, query, page }
    }

    fn object(&self) -> &str {
        self.query.object.as_deref().unwrap_or_default()
    }

    fn actor(&self) -> &str {
        self.query.actor.as_deref().unwrap_or_default()
    }

    /// The command that gives the same.
    fn cli(&self) -> String {
        let option = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(" --{name} {value}")).unwrap_or_default()
        };
        let (object, actor) = (option("object", &self.query.object), option("actor", &self.query.actor));
        format!("muster audit ls{object}{actor} --output json")
    }
}

/// Where an object or actor is shown, where it has a page.
fn link(named: &str) -> Option<String> {
    named.starts_with("mch_").then(|| format!("/machines/{named}"))
}

/// The parts of an entry's detail that a line has room for.
fn telling(entry: &AuditEntry) -> String {
    let parts = entry.detail.iter().filter(|(_, value)| value.len() <= 40);
    parts.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(" · ")
}
