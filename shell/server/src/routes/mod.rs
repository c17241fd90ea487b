//! The list of routes: every path that the server answers, with the action it needs.

mod access;
mod account;
mod alarm;
mod audit;
mod ca;
mod caller;
mod channel;
mod engagement;
mod enroll;
mod grant;
mod hold;
mod machine;
mod machine_self;
mod operator;
mod overview;
mod public;
mod reaper;
mod replica;
mod site;

use axum::Router;
use axum::routing::get;
use muster_app::Action::{
    Administer, Operate, Public, Read, Self_, SelfLeave, SelfRenew, SelfRotate, SelfToken,
};
use muster_app::Store;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};

use crate::compat::{self, Compat};
use crate::console;
use crate::route::{COOKIE, Mounted, Routes, wrapped};
use crate::state::ServerState;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Muster",
        description = "Enrollment and credential lifecycle for fleets of machines. \
            Errors are problem documents (RFC 9457); unknown fields are refused; lists are paged with cursors.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(muster_wire::Problem)),
    modifiers(&Credentials)
)]
struct Document;

/// What callers show, under the names that operations refer to.
struct Credentials;

impl utoipa::Modify for Credentials {
    fn modify(&self, document: &mut OpenApi) {
        let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE)));
        let certificate = SecurityScheme::MutualTls {
            description: Some("ALPN muster/1.".to_owned()),
            deprecated: None,
            extensions: None,
        };
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        components.add_security_scheme("session", cookie);
        components.add_security_scheme("certificate", certificate);
        components.add_security_scheme("signature", header(muster_wire::signature::HEADER));
    }
}

/// The router of everything, ready to be served.
pub fn router<S: Store>(state: &ServerState<S>) -> Router {
    let (router, document, _) = routes(Some(state.clone())).finish();
    let json = serde_json::to_string_pretty(&document).expect("a generated document is JSON");
    let router =
        console::mount_files(router).route("/openapi.json", get(move || public::json_text(json.clone())));
    wrapped(Compat::new(state).behind(router), state.clone())
}

/// The router of the existing clients' wires alone, for a listener of their own.
pub fn compat_router<S: Store>(state: &ServerState<S>) -> Router {
    wrapped(Compat::new(state).behind(Router::new()), state.clone())
}

/// The OpenAPI 3.1 document, and what is mounted with which action.
pub fn openapi<S: Store>() -> (OpenApi, Vec<Mounted>) {
    let (_, document, mut mounted) = routes::<S>(None).finish();
    mounted.extend(compat::mounted::<S>());
    (document, mounted)
}

fn routes<S: Store>(state: Option<ServerState<S>>) -> Routes<S> {
    let routes = Routes::new(state, Document::openapi());
    let routes =
        accounts(engagements(access(sites(log(management(machines_themselves(open_to_all(routes))))))));
    console::mount(routes)
}

/// What anybody may ask. A reviewed list: whatever is added here is reachable without any credential.
fn open_to_all<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<enroll::__path_enroll, _, _>(Public, enroll::enroll::<S>)
        .add::<enroll::__path_collect, _, _>(Public, enroll::collect::<S>)
        .add::<public::__path_nonce, _, _>(Public, public::nonce::<S>)
        .add::<public::__path_trust, _, _>(Public, public::trust::<S>)
        .add::<public::__path_join_methods, _, _>(Public, public::join_methods::<S>)
        .add::<public::__path_healthz, _, _>(Public, public::healthz)
        .add::<public::__path_readyz, _, _>(Public, public::readyz::<S>)
        .add::<public::__path_version, _, _>(Public, public::version)
        .add::<public::__path_jwks, _, _>(Public, public::jwks::<S>)
        .add::<public::__path_discovery, _, _>(Public, public::discovery::<S>)
        .add::<public::__path_security_txt, _, _>(Public, public::security_txt::<S>)
        .add::<access::__path_open_session, _, _>(Public, access::open_session::<S>)
        .add::<access::__path_login, _, _>(Public, access::login::<S>)
        .add::<access::__path_close_session, _, _>(Public, access::close_session::<S>)
}

/// What machines ask for themselves.
fn machines_themselves<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<machine_self::__path_show, _, _>(Self_, machine_self::show::<S>)
        .add::<engagement::__path_show_self, _, _>(Self_, engagement::show_self::<S>)
        .add::<engagement::__path_acknowledge, _, _>(Self_, engagement::acknowledge::<S>)
        .add::<machine_self::__path_renew, _, _>(SelfRenew, machine_self::renew::<S>)
        .add::<machine_self::__path_rotate, _, _>(SelfRotate, machine_self::rotate::<S>)
        .add::<machine_self::__path_token, _, _>(SelfToken, machine_self::token::<S>)
        .add::<machine_self::__path_leave, _, _>(SelfLeave, machine_self::leave::<S>)
        .add::<channel::__path_channel, _, _>(Self_, channel::channel::<S>)
}

/// What operators do.
fn management<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<public::__path_status, _, _>(Read, public::status::<S>)
        .add::<overview::__path_show, _, _>(Read, overview::show::<S>)
        .add::<replica::__path_list, _, _>(Read, replica::list::<S>)
        .add::<replica::__path_accept_restore, _, _>(Administer, replica::accept_restore::<S>)
        .add::<machine::__path_list, _, _>(Read, machine::list::<S>)
        .add::<machine::__path_end, _, _>(Operate, machine::end::<S>)
        .add::<machine::__path_create, _, _>(Operate, machine::create::<S>)
        .add::<machine::__path_show, _, _>(Read, machine::show::<S>)
        .add::<machine::__path_suspend, _, _>(Operate, machine::suspend::<S>)
        .add::<machine::__path_resume, _, _>(Operate, machine::resume::<S>)
        .add::<machine::__path_retire, _, _>(Operate, machine::retire::<S>)
        .add::<machine::__path_renew, _, _>(Operate, machine::renew::<S>)
        .add::<machine::__path_rotate, _, _>(Operate, machine::rotate::<S>)
        .add::<machine::__path_revoke, _, _>(Operate, machine::revoke::<S>)
        .add::<machine::__path_readmit, _, _>(Operate, machine::readmit::<S>)
        .add::<reaper::__path_restore, _, _>(Operate, reaper::restore::<S>)
        .add::<reaper::__path_show, _, _>(Read, reaper::show::<S>)
        .add::<hold::__path_list, _, _>(Read, hold::list::<S>)
        .add::<hold::__path_show, _, _>(Read, hold::show::<S>)
        .add::<hold::__path_approve, _, _>(Operate, hold::approve::<S>)
        .add::<hold::__path_reject, _, _>(Operate, hold::reject::<S>)
        .add::<grant::__path_list, _, _>(Read, grant::list::<S>)
        .add::<grant::__path_create, _, _>(Operate, grant::create::<S>)
        .add::<grant::__path_revoke, _, _>(Operate, grant::revoke::<S>)
        .add::<grant::__path_invite, _, _>(Operate, grant::invite::<S>)
}

/// What was done, and what somebody should look at.
fn log<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<audit::__path_list, _, _>(Read, audit::list::<S>)
        .add::<audit::__path_export, _, _>(Read, audit::export::<S>)
        .add::<audit::__path_show, _, _>(Read, audit::show::<S>)
        .add::<alarm::__path_list, _, _>(Read, alarm::list::<S>)
        .add::<alarm::__path_acknowledge, _, _>(Operate, alarm::acknowledge::<S>)
}

/// Who may do what: operators, their tokens, and those who may call machines.
fn access<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<operator::__path_list, _, _>(Administer, operator::list::<S>)
        .add::<operator::__path_create, _, _>(Administer, operator::create::<S>)
        .add::<operator::__path_show, _, _>(Administer, operator::show::<S>)
        .add::<operator::__path_edit, _, _>(Administer, operator::edit::<S>)
        .add::<operator::__path_disable, _, _>(Administer, operator::disable::<S>)
        .add::<operator::__path_enable, _, _>(Administer, operator::enable::<S>)
        .add::<operator::__path_link, _, _>(Administer, operator::link::<S>)
        .add::<operator::__path_reset_second_factor, _, _>(Administer, operator::reset_second_factor::<S>)
        .add::<access::__path_list, _, _>(Administer, access::list::<S>)
        .add::<access::__path_create, _, _>(Administer, access::create::<S>)
        .add::<access::__path_revoke, _, _>(Administer, access::revoke::<S>)
        .add::<access::__path_set_password, _, _>(Read, access::set_password::<S>)
        .add::<access::__path_propose_second_factor, _, _>(Read, access::propose_second_factor::<S>)
        .add::<access::__path_confirm_second_factor, _, _>(Read, access::confirm_second_factor::<S>)
        .add::<access::__path_remove_second_factor, _, _>(Read, access::remove_second_factor::<S>)
        .add::<access::__path_login_link, _, _>(Administer, access::login_link::<S>)
        .add::<caller::__path_certify, _, _>(Administer, caller::certify::<S>)
        .add::<ca::__path_show, _, _>(Read, ca::show::<S>)
        .add::<ca::__path_prepare, _, _>(Administer, ca::prepare::<S>)
        .add::<ca::__path_publish, _, _>(Administer, ca::publish::<S>)
        .add::<ca::__path_activate, _, _>(Administer, ca::activate::<S>)
        .add::<ca::__path_taint, _, _>(Administer, ca::taint::<S>)
        .add::<ca::__path_remove, _, _>(Administer, ca::remove::<S>)
        .add::<ca::__path_undo, _, _>(Administer, ca::undo::<S>)
}

/// Where machines enroll into.
fn sites<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<site::__path_list, _, _>(Read, site::list::<S>)
        .add::<site::__path_create, _, _>(Administer, site::create::<S>)
        .add::<site::__path_rotate_key, _, _>(Administer, site::rotate_key::<S>)
        .add::<site::__path_import_key, _, _>(Administer, site::import_key::<S>)
}

/// What software agents are to do.
fn engagements<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<engagement::__path_list, _, _>(Read, engagement::list::<S>)
        .add::<engagement::__path_show, _, _>(Read, engagement::show::<S>)
        .add::<engagement::__path_written, _, _>(Read, engagement::written::<S>)
        .add::<engagement::__path_preview, _, _>(Operate, engagement::preview::<S>)
        .add::<engagement::__path_set, _, _>(Operate, engagement::set::<S>)
        .add::<engagement::__path_free, _, _>(Operate, engagement::free::<S>)
}

/// What machines have in other systems. Whoever adopts takes what is perhaps a person's: that is for admins.
fn accounts<S: Store>(routes: Routes<S>) -> Routes<S> {
    routes
        .add::<account::__path_list, _, _>(Read, account::list::<S>)
        .add::<account::__path_show, _, _>(Read, account::show::<S>)
        .add::<account::__path_create, _, _>(Operate, account::create::<S>)
        .add::<account::__path_rotate, _, _>(Operate, account::rotate::<S>)
        .add::<account::__path_retry, _, _>(Operate, account::retry::<S>)
        .add::<account::__path_adopt, _, _>(Administer, account::adopt::<S>)
        .add::<account::__path_remove, _, _>(Operate, account::remove::<S>)
        .add::<account::__path_reconcile, _, _>(Operate, account::reconcile::<S>)
}
