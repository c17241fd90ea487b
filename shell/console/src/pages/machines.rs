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
}

/// The states that are offered, with what people call them.
const STATES: [(&str, &str); 5] = [
    ("", "any state"),
    ("active", "active"),
    ("suspended", "suspended"),
    ("pending", "pending"),
    ("retired", "retired"),
];

impl Machines {
    /// A page of the list.
    pub fn new(frame: Frame, query: ListQuery, sites: Vec<Site>, page: Page<Machine>) -> Self {
        Self { frame, place: Place::Machines, query, sites, page }
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
}
