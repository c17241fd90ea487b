//! The deployment itself: who may do what, the authority, the servers, what it is.

use askama::Template;
use muster_wire::access::Token;
use muster_wire::ca::CaStatus;
use muster_wire::reaper::Reaper;
use muster_wire::replica::Replica;
use muster_wire::status::Status;

use crate::act::{Act, Field, Gives, Kind};
use crate::frame::{Frame, Place};

/// The deployment itself.
#[derive(Debug, Template)]
#[template(path = "settings.html")]
pub struct Settings {
    frame: Frame,
    place: Place,
    create: Act,
    tokens: Vec<(Token, Option<Act>)>,
    deployment: Deployment,
    steps: Vec<Act>,
}

/// What a deployment says of itself.
#[derive(Debug)]
pub struct Deployment {
    /// At a glance.
    pub status: Status,
    /// Its authority.
    pub ca: CaStatus,
    /// What it does about silence.
    pub reaper: Reaper,
    /// Its servers.
    pub replicas: Vec<Replica>,
}

const LIVES: [(u32, &str); 4] = [(86_400, "1d"), (604_800, "7d"), (2_592_000, "30d"), (31_536_000, "365d")];

impl Settings {
    /// The settings. Tokens are for admins: nobody else is given any.
    pub fn new(frame: Frame, tokens: Vec<Token>, deployment: Deployment) -> Self {
        let own = |token: &Token| token.state == "live";
        let tokens =
            tokens.into_iter().map(|token| (token.clone(), own(&token).then(|| end(&token)))).collect();
        let steps = deployment.ca.next.iter().filter_map(|step| self::step(step)).collect();
        Self { frame, place: Place::Settings, create: create(), tokens, deployment, steps }
    }
}

fn create() -> Act {
    let roles = ["viewer", "operator", "admin"].map(|role| (role.to_owned(), role.to_owned())).to_vec();
    Act {
        name: "create",
        label: "New API token",
        effect: "For a script. It may do what its role may, until it ends.",
        path: "/v1/tokens".to_owned(),
        fields: vec![
            Field::new("name", "What it is for", "", Kind::Text),
            Field::new("role", "Role", "--role", Kind::Choice(roles)),
            Field::new("expires_in", "Good for", "--expires", Kind::Seconds(&LIVES)),
        ],
        command: "token create".to_owned(),
        ends: false,
        gives: Gives::Secret("secret"),
    }
}

fn end(token: &Token) -> Act {
    let id = &token.id;
    Act {
        name: "revoke",
        label: "End",
        effect: "Whoever shows it is refused from now on, and what they have open ends.",
        path: format!("/v1/tokens/{id}/revoke"),
        fields: Vec::new(),
        command: format!("token revoke {id}"),
        ends: true,
        gives: Gives::Nothing,
    }
}

/// A step of the change of the authority.
fn step(name: &str) -> Option<Act> {
    let (name, label, effect, ends) = match name {
        "prepare" => {
            ("prepare", "Prepare the next", "The next authority is made. Nobody sees it yet.", false)
        }
        "publish" => {
            ("publish", "Publish", "Every machine is given its roots, beside the present ones.", false)
        }
        "activate" => ("activate", "Activate", "It signs from now on. Machines renew as they go.", false),
        "taint" => (
            "taint",
            "Taint the one before",
            "Nothing that it signed proves anything from now on: machines show their keys, and all of them change these.",
            true,
        ),
        "remove" => (
            "remove",
            "Remove the one before",
            "Its roots leave everybody's bundle. It is not taken back.",
            true,
        ),
        "undo" => ("undo", "Take the last step back", "It stands as before that step.", false),
        _ => return None,
    };
    Some(Act {
        name,
        label,
        effect,
        path: format!("/v1/ca/{name}"),
        fields: Vec::new(),
        command: format!("ca {name}"),
        ends,
        gives: Gives::Nothing,
    })
}
