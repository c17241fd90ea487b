//! What was done: the audit log, searched by what, who and when; and one entry with what happened about it.

use askama::Template;
use muster_wire::Page;
use muster_wire::audit::{AuditContext, AuditEntry, AuditQuery};

use crate::frame::{Frame, Place};

/// The audit log.
#[derive(Debug, Template)]
#[template(path = "audit.html")]
pub struct Audit {
    frame: Frame,
    place: Place,
    query: AuditQuery,
    days: Days,
    page: Page<AuditEntry>,
}

/// The days that the log is asked for, as they stand in the address: both of them belong to it.
#[derive(Debug, Clone, Default)]
pub struct Days {
    /// The first, as `2026-11-22`; empty where there is none.
    pub from: String,
    /// The last.
    pub to: String,
}

/// One entry of the log.
#[derive(Debug, Template)]
#[template(path = "entry.html")]
pub struct EntryPage {
    frame: Frame,
    place: Place,
    context: AuditContext,
}

/// Sorts of acts that are often looked for.
const ACTIONS: [&str; 18] = [
    "agent.engage",
    "alarm.acknowledge",
    "credential.issue",
    "grant.create",
    "grant.revoke",
    "hold.approve",
    "hold.open",
    "hold.reject",
    "machine.enroll",
    "machine.forked",
    "machine.reap",
    "machine.retire",
    "machine.revoke",
    "machine.suspend",
    "operator.edit",
    "session.open",
    "session.refused",
    "token.create",
];

impl Audit {
    /// A page of the log, and what it was asked for.
    pub fn new(frame: Frame, query: AuditQuery, days: Days, page: Page<AuditEntry>) -> Self {
        Self { frame, place: Place::Audit, query, days, page }
    }

    fn object(&self) -> &str {
        self.query.object.as_deref().unwrap_or_default()
    }

    fn actor(&self) -> &str {
        self.query.actor.as_deref().unwrap_or_default()
    }

    fn action(&self) -> &str {
        self.query.action.as_deref().unwrap_or_default()
    }

    /// What was asked for, as names and values.
    fn asked(&self) -> Vec<(&'static str, String)> {
        let time = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
        let AuditQuery { object, actor, action, since, until, .. } = &self.query;
        let all = [
            ("object", object.clone()),
            ("actor", actor.clone()),
            ("action", action.clone()),
            ("since", time(*since)),
            ("until", time(*until)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The command that gives all of it.
    fn cli(&self) -> String {
        let options = self.asked().into_iter().map(|(name, value)| format!(" --{name} {value}"));
        format!("muster audit export{} > audit.ndjson", options.collect::<String>())
    }

    /// Where all of it is to be had.
    fn export(&self) -> String {
        let asked = self.asked().into_iter().map(|(name, value)| format!("{name}={value}"));
        let asked = asked.collect::<Vec<_>>().join("&").replace('+', "%2B");
        format!("/v1/audit/export{}{asked}", if asked.is_empty() { "" } else { "?" })
    }

    fn curl(&self) -> String {
        format!("curl --cacert ca.pem -H @token.header \\\n  '{}{}'", self.frame.url, self.export())
    }
}

impl EntryPage {
    /// An entry, and what happened about it.
    pub fn new(frame: Frame, context: AuditContext) -> Self {
        Self { frame, place: Place::Audit, context }
    }

    /// What happened about it, each with what it is.
    fn near(&self) -> [(&'static str, &[AuditEntry]); 3] {
        let AuditContext { object, actor, around, .. } = &self.context;
        [("To the same object", object), ("By the same actor", actor), ("About that time", around)]
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
