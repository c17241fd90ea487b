//! The fleet, as a list that is searched.

use askama::Template;
use muster_wire::machine::Machine;
use muster_wire::site::Site;
use muster_wire::{ListQuery, Page};

use crate::frame::{Frame, Place};

/// The fleet, or what of it was searched for.
#[derive(Debug, Template)]
#[template(path = "machines.html")]
pub struct Machines {
    frame: Frame,
    place: Place,
    query: ListQuery,
    sites: Vec<Site>,
    page: Page<Machine>,
    /// What is wrong with the search.
    wrong: Option<String>,
}

/// The states that are offered, with what people call them.
const STATES: [(&str, &str); 5] = [
    ("", "any state"),
    ("active", "active"),
    ("suspended", "suspended"),
    ("pending", "pending"),
    ("retired", "retired"),
];

/// What a search may name, as the page teaches it: a term that a click puts into the search, and what it means.
const FIELDS: [(&str, &str); 12] = [
    ("online:no", "not there now; or yes"),
    ("state:suspended", "where it stands"),
    ("site:lab", "the site's code"),
    ("label:ring=canary", "a label and its value"),
    ("label:ring", "a label, whatever its value"),
    ("version:1.2*", "its agent; * for what begins so"),
    ("os:\"debian gnu*\"", "blanks belong in quotes"),
    ("address:192.0.2.*", "from where it enrolled"),
    ("grant:grt_01*", "what it came in by"),
    ("kind:worker", "or host, software_agent"),
    ("role:gpu", "what its grant stamped on it"),
    ("\"label:ring\"", "in quotes: words, and no field"),
];

impl Machines {
    /// A page of the list, and what is wrong with what was searched for.
    pub fn new(
        frame: Frame,
        query: ListQuery,
        sites: Vec<Site>,
        page: Page<Machine>,
        wrong: Option<String>,
    ) -> Self {
        Self { frame, place: Place::Machines, query, sites, page, wrong }
    }

    fn search(&self) -> &str {
        self.query.search.as_deref().unwrap_or_default()
    }

    fn is_state(&self, one: &str) -> bool {
        self.query.state.as_deref().unwrap_or_default() == one
    }

    fn is_site(&self, one: &str) -> bool {
        self.query.site.as_deref().unwrap_or_default() == one
    }

    fn is_searched(&self) -> bool {
        self.query.search.is_some() || self.query.state.is_some() || self.query.site.is_some()
    }

    /// Whether this page ends a list whose earlier pages are shown already.
    fn is_continued(&self) -> bool {
        self.query.cursor.is_some()
    }
}
