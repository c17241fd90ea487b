//! How machines come in: sites with their keys, and grants with what came in by them.

use askama::Template;
use muster_wire::Page;
use muster_wire::grant::Grant;
use muster_wire::site::Site;

use crate::act::{Act, Field, Gives, Kind};
use crate::frame::{Frame, Place};

/// How machines come in.
#[derive(Debug, Template)]
#[template(path = "doors.html")]
pub struct Doors {
    frame: Frame,
    place: Place,
    invite: Act,
    create: Act,
    sites: Vec<(Site, Act)>,
    grants: Vec<(Grant, Option<Act>)>,
    next: Option<String>,
}

const LIVES: [(u32, &str); 4] = [(86_400, "1d"), (3_600, "1h"), (604_800, "7d"), (2_592_000, "30d")];

impl Doors {
    /// The doors with these sites and grants.
    pub fn new(frame: Frame, sites: Vec<Site>, grants: Page<Grant>) -> Self {
        let invite = invite(&sites);
        let sites = sites.into_iter().map(|site| (site.clone(), rotate_key(&site))).collect();
        let with_act = |grant: Grant| {
            let act = (grant.state == "live").then(|| revoke(&grant));
            (grant, act)
        };
        let Page { items, next } = grants;
        let grants = items.into_iter().map(with_act).collect();
        Self { frame, place: Place::Doors, invite, create: create(), sites, grants, next }
    }
}

fn invite(sites: &[Site]) -> Act {
    let sites = sites.iter().map(|site| (site.code.clone(), site.code.clone())).collect();
    Act {
        name: "invite",
        label: "Add machines",
        effect: "An invite holds the address, the pin of the authority and a token. Type it on the machine, or scan it.",
        path: "/v1/invites".to_owned(),
        fields: vec![
            Field::new("site", "Site", "--site", Kind::Choice(sites)),
            Field::new(
                "uses",
                "Machines that may come in by it (empty: one, 0: any number)",
                "--uses",
                Kind::Number,
            ),
            Field::new("expires_in", "Good for", "--expires", Kind::Seconds(&LIVES)),
            Field::new("labels", "Labels to stamp on them, as key=value", "--label", Kind::Pairs),
            Field::new("approval", "A person approves each of them", "--approve", Kind::Check),
        ],
        command: "invite create".to_owned(),
        method: "POST",
        ends: false,
        gives: Gives::Invite,
    }
}

fn create() -> Act {
    let policies = [
        ("keyless_only", "held, but for machines without a key of their own"),
        ("never", "held, always"),
        ("offline_only", "comes back on probation, if it was silent for an hour"),
        ("same_name", "comes back on probation, if it has the same name too"),
    ];
    let policies = policies.map(|(value, name)| (value.to_owned(), name.to_owned())).to_vec();
    Act {
        name: "create",
        label: "New site",
        effect: "A site is a named part of the fleet with rules of its own for who comes in.",
        path: "/v1/sites".to_owned(),
        fields: vec![
            Field::new("code", "Name: letters, digits, - _ .", "", Kind::Text),
            Field::new("approval", "A person approves each new machine", "--approval", Kind::Check),
            Field::new("reimage", "Known hardware under another key is", "--reimage", Kind::Choice(policies)),
            Field::new("seats", "Most machines at once", "--seats", Kind::Number),
        ],
        command: "site create".to_owned(),
        method: "POST",
        ends: false,
        gives: Gives::Nothing,
    }
}

fn rotate_key(site: &Site) -> Act {
    let code = &site.code;
    let (label, effect) = match site.enrollment_key {
        None => {
            ("Make a site key", "A key that any number of machines come in by, until the next one is made.")
        }
        Some(_) => (
            "Rotate key",
            "The next generation begins. By the older ones nobody comes in any more; whoever is in stays in.",
        ),
    };
    Act {
        name: "rotate",
        label,
        effect,
        path: format!("/v1/sites/{code}/rotate-key"),
        fields: Vec::new(),
        command: format!("site rotate-key {code}"),
        method: "POST",
        ends: site.enrollment_key.is_some(),
        gives: Gives::Secret("key"),
    }
}

fn revoke(grant: &Grant) -> Act {
    let id = &grant.id;
    Act {
        name: "revoke",
        label: "Revoke",
        effect: "Nobody comes in by it any more. The machines that did stay in.",
        path: format!("/v1/grants/{id}/revoke"),
        fields: vec![Field::REASON],
        command: format!("grant revoke {id}"),
        method: "POST",
        ends: true,
        gives: Gives::Nothing,
    }
}
