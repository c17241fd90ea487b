//! Mounting routes. Each declares the action it needs and its documentation, or it does not mount.
//!
//! Before a handler runs, the caller is authenticated and asked whether it may; after it, errors become problem
//! documents with the request's id. Nothing else authenticates, and nothing else writes an error.

mod guard;
mod input;
mod proving;
mod wrap;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};
use muster_app::Action;
use muster_app::Store;
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Components, OpenApi};

pub(crate) use guard::{COOKIE, bearer, is_loopback, of_our_origin, session, signed_header, stated};
pub(crate) use input::{Body, Key, LongBody, Named, NoBody, OptionalBody, Params, Place, wrong_field};
pub(crate) use proving::Proving;
pub(crate) use wrap::wrapped;

use crate::state::ServerState;

/// What is mounted: for the authorization matrix and the reviewed list of public routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Method, upper case.
    pub method: String,
    /// Path, with `{names}`.
    pub path: String,
    /// What a caller must be allowed to do.
    pub action: Action,
    /// The existing clients' wire that it belongs to, as metrics call it.
    pub wire: Option<&'static str>,
    /// Whether it is a page, for people in browsers.
    pub page: bool,
}

/// How a route is entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entrance {
    /// What a caller must be allowed to do.
    action: Action,
    /// How a caller is known here.
    known: Known,
}

/// How a caller is known at a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// By whatever it shows.
    Shown,
    /// By what is proved in the body.
    InBody,
    /// By its browser session alone: it is a page, and what goes wrong is told as one.
    BySession,
}

/// Routes under construction.
pub(crate) struct Routes<S> {
    /// Where there is none, routes are documented and not mounted.
    state: Option<ServerState<S>>,
    router: Router<ServerState<S>>,
    document: OpenApi,
    mounted: Vec<Mounted>,
}

impl<S: Store> Routes<S> {
    pub(crate) fn new(state: Option<ServerState<S>>, document: OpenApi) -> Self {
        Self { state, router: Router::new(), document, mounted: Vec::new() }
    }

    /// Mounts a handler at the path of its documentation, for callers who may do this.
    pub(crate) fn add<P, H, T>(self, action: Action, handler: H) -> Self
    where
        P: utoipa::Path + utoipa::__dev::SchemaReferences,
        H: Handler<T, ServerState<S>>,
        T: 'static,
    {
        self.mount::<P, H, T>(Entrance { action, known: Known::Shown }, handler)
    }

    /// Mounts a handler for anybody who proves something in the body. It is not counted against its source beforehand:
    /// what holds is never refused for what others try. [`Proving`] makes those pay whose proof does not hold.
    pub(crate) fn add_proving<P, H, T>(self, handler: H) -> Self
    where
        P: utoipa::Path + utoipa::__dev::SchemaReferences,
        H: Handler<T, ServerState<S>>,
        T: 'static,
    {
        self.mount::<P, H, T>(Entrance { action: Action::Public, known: Known::InBody }, handler)
    }

    /// Mounts a page for operators who may do this. Pages only show: what changes something is the API.
    pub(crate) fn page<H, T>(self, path: &str, action: Action, handler: H) -> Self
    where
        H: Handler<T, ServerState<S>>,
        T: 'static,
    {
        self.shown(HttpMethod::Get, path, action, handler)
    }

    /// The same for something that is drawn from a secret: that is sent in a body, and stands in no address.
    pub(crate) fn drawing<H, T>(self, path: &str, action: Action, handler: H) -> Self
    where
        H: Handler<T, ServerState<S>>,
        T: 'static,
    {
        self.shown(HttpMethod::Post, path, action, handler)
    }

    fn shown<H, T>(mut self, method: HttpMethod, path: &str, action: Action, handler: H) -> Self
    where
        H: Handler<T, ServerState<S>>,
        T: 'static,
    {
        if let Some(state) = &self.state {
            let entrance = Entrance { action, known: Known::BySession };
            let guard = from_fn_with_state((state.clone(), entrance), guard::guard::<S>);
            self.router = self.router.route(path, on(filter(&method), handler).route_layer(guard));
        }
        let (method, path) = (name_of(&method).to_owned(), path.to_owned());
        self.mounted.push(Mounted { method, path, action, wire: None, page: true });
        self
    }

    fn mount<P, H, T>(mut self, entrance: Entrance, handler: H) -> Self
    where
        P: utoipa::Path + utoipa::__dev::SchemaReferences,
        H: Handler<T, ServerState<S>>,
        T: 'static,
    {
        let Entrance { action, .. } = entrance;
        let path = P::path();
        for method in P::methods() {
            if let Some(state) = &self.state {
                let guard = from_fn_with_state((state.clone(), entrance), guard::guard::<S>);
                let route = on(filter(&method), handler.clone()).route_layer(guard);
                self.router = self.router.route(&path, route);
            }
            let mounted = Mounted {
                method: name_of(&method).to_owned(),
                path: path.clone(),
                action,
                wire: None,
                page: false,
            };
            self.mounted.push(mounted);
            let operation = described(P::operation(), &method, &path, action);
            self.document.paths.add_path_operation(&path, vec![method], operation);
        }
        let mut schemas = Vec::new();
        P::schemas(&mut schemas);
        self.document.components.get_or_insert_with(Components::new).schemas.extend(schemas);
        self
    }

    pub(crate) fn finish(self) -> (Router<ServerState<S>>, OpenApi, Vec<Mounted>) {
        (self.router, self.document, self.mounted)
    }
}

/// The operation under a name of its own, with what a caller must show.
fn described(mut operation: Operation, method: &HttpMethod, path: &str, action: Action) -> Operation {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name: Vec<&str> = words.collect();
    operation.operation_id = Some(format!("{}_{}", name_of(method).to_lowercase(), name.join("_")));
    let shown: &[&str] = match action {
        Action::Public => &[],
        Action::Read
        | Action::Operate
        | Action::Administer
        | Action::Introspect
        | Action::Agents
        | Action::AgentChat
        | Action::AgentKeys
        | Action::AgentStatus => &["token", "session"],
        Action::Self_
        | Action::SelfBeat
        | Action::SelfLeave
        | Action::SelfRenew
        | Action::SelfRotate
        | Action::SelfToken => &["certificate", "signature", "token"],
    };
    let required: Vec<_> = shown.iter().map(|one| SecurityRequirement::new(*one, [""; 0])).collect();
    operation.security = (!required.is_empty()).then_some(required);
    operation
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Trace => MethodFilter::TRACE,
    }
}

fn name_of(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Head => "HEAD",
        HttpMethod::Trace => "TRACE",
    }
}
