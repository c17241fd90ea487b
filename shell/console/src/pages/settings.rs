//! The deployment itself: who may do what, the authority, the servers, what it is.

use askama::Template;
use muster_wire::access::Token;
use muster_wire::ca::CaStatus;
use muster_wire::operator::Operator;
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
    add: Act,
    operators: Vec<(Operator, Vec<Act>)>,
    create: Act,
    tokens: Vec<(Token, Option<Act>)>,
    deployment: Deployment,
    steps: Vec<Act>,
}

/// Who may do what: for admins, and nobody else is given any of it.
#[derive(Debug, Default)]
pub struct Access {
    /// Operators.
    pub operators: Vec<Operator>,
    /// Their tokens and sessions.
    pub tokens: Vec<Token>,
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
    /// The settings.
    pub fn new(frame: Frame, access: Access, deployment: Deployment) -> Self {
        let Access { operators, tokens } = access;
        let operators = operators.into_iter().map(|one| (one.clone(), acts(&one))).collect();
        let own = |token: &Token| token.state == "live";
        let tokens =
            tokens.into_iter().map(|token| (token.clone(), own(&token).then(|| end(&token)))).collect();
        let steps = deployment.ca.next.iter().filter_map(|step| self::step(step)).collect();
        Self {
            frame,
            place: Place::Settings,
            add: add(),
            operators,
            create: create(),
            tokens,
            deployment,
            steps,
        }
    }
}

const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

/// The roles to choose from, this one first: it is what nothing chosen says.
fn roles(first: &str) -> Kind {
    let rest = ROLES.into_iter().filter(|role| *role != first);
    Kind::Choice(std::iter::once(first).chain(rest).map(|role| (role.to_owned(), role.to_owned())).collect())
}

fn add() -> Act {
    Act {
        name: "add",
        label: "Add an operator",
        effect: "They get in by a login link, which you make for them once they are there.",
        method: "POST",
        path: "/v1/operators".to_owned(),
        fields: vec![
            Field::new("name", "Name", "", Kind::Text),
            Field::new("role", "Role", "--role", roles("viewer")),
        ],
        command: "operator add".to_owned(),
        ends: false,
        gives: Gives::Nothing,
    }
}

/// What may be done about an operator.
fn acts(operator: &Operator) -> Vec<Act> {
    let id = &operator.id;
    let act = |name, label, effect| Act {
        name,
        label,
        effect,
        method: "POST",
        path: format!("/v1/operators/{id}/{name}"),
        fields: Vec::new(),
        command: format!("operator {name} {id}"),
        ends: false,
        gives: Gives::Nothing,
    };
    let edit = Act {
        method: "PATCH",
        path: format!("/v1/operators/{id}"),
        fields: vec![
            Field::new("name", "Name, where it changes", "--name", Kind::Text),
            Field::new("role", "Role", "--role", roles(&operator.role)),
        ],
        ..act("edit", "Change", "With another role, their sessions and login links end: they log in anew.")
    };
    let link = act("link", "Login link", "Whoever opens it first is in, once and soon. Not for yourself.");
    let link = Act { gives: Gives::Secret("login_url"), ..link };
    let disable = act(
        "disable",
        "Disable",
        "Their sessions, API tokens and login links end at once, and the pages that they have open.",
    );
    let enable = act("enable", "Enable", "They may get in again. What they had stays ended.");
    match operator.state.as_str() {
        "enabled" => vec![edit, link, Act { ends: true, ..disable }],
        _ => vec![edit, enable],
    }
}

fn create() -> Act {
    Act {
        name: "create",
        label: "New API token",
        effect: "For a script. It may do what its role may, until it ends.",
        path: "/v1/tokens".to_owned(),
        fields: vec![
            Field::new("name", "What it is for", "", Kind::Text),
            Field::new("role", "Role", "--role", roles("viewer")),
            Field::new("expires_in", "Good for", "--expires", Kind::Seconds(&LIVES)),
        ],
        command: "token create".to_owned(),
        method: "POST",
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
        method: "POST",
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
        method: "POST",
        ends,
        gives: Gives::Nothing,
    })
}
