//! A whole server of Muster on a real directory, put together as the binary does it: a store with full durability, the
//! issuer, the use cases, the routes and the TLS port.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use muster_app::{Acceptance, App, Origin, Parts, Ports, Settings, Store, found};
use muster_issuer::{Authority, NewAuthority, SealKey, ServerCertificate};
use muster_model::{Pepper, SignedDuration, SiteId, TenantId, Timestamp};
use muster_server::console::follow;
use muster_server::limits::{BodyLimits, TrustedProxies};
use muster_server::metrics::Metrics;
use muster_server::serve::{
    Draining, Listener, ServeSettings, SharedTls, Shutdown, TlsConfigs, TlsMaterial, serve, shutdown,
};
use muster_server::{Config, ServerState, Wires, router};
use muster_store::Reads as _;
use muster_store_sqlite::SqliteStore;
use muster_wire::grant::CreateGrant;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::http::Place;
use crate::kept::{Home as _, Kept};
use crate::{tls, upkeep};

const PEPPER: [u8; 32] = [7; 32];

/// The machine's clock, which can be set ahead, and its generator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    /// Sets the server's clock ahead, or back where the duration is negative.
    pub(crate) fn ahead(&self, by: SignedDuration) {
        self.0.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

impl Ports for Clock {
    #[expect(clippy::disallowed_methods, reason = "the clock of the servers that are measured")]
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system's generator always answers");
    }
}

/// A server of Muster that runs.
pub(crate) struct World<S = SqliteStore> {
    pub(crate) app: App<S>,
    pub(crate) clock: Clock,
    pub(crate) tenant: TenantId,
    pub(crate) site: SiteId,
    /// Where it listens, for clients without a certificate.
    pub(crate) place: Place,
    pub(crate) admin: Origin,
    tls: SharedTls,
    switch: Shutdown,
    tasks: JoinSet<()>,
}

/// Something else behind the same sockets and the same TLS. Ends when it is dropped.
pub(crate) struct Beside {
    pub(crate) place: Place,
    _switch: Shutdown,
}

impl<S: Kept> World<S> {
    /// Starts a server, founding the deployment where there is nothing. Several may run on one database.
    pub(crate) async fn open(home: &S::Home, metrics: &Metrics) -> Result<Self> {
        let clock = Clock::default();
        let ca = home.dir().join("ca");
        let is_new = !ca.exists();
        let authority = match is_new {
            true => {
                let new = NewAuthority { trust_domain: "bench.muster.internal".parse()?, now: clock.now() };
                Authority::create(&ca, &SealKey::Beside, &new)?
            }
            false => Authority::open(&ca, &SealKey::Beside)?,
        };
        let store = S::open(home, is_new).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let settings = Settings::at(format!("https://{}", listener.local_addr()?));
        let pepper = Pepper::new(PEPPER);
        let founded = found(&store, &clock, &pepper, settings.hold_cap).await?;
        let (ports, tenant) = (Box::new(clock.clone()), founded.tenant);
        let app = App::new(Parts { store, authority, pepper, ports, settings, tenant });
        let mark = app.look(None).await?;
        app.join().await?;
        let mut reads = app.store().reader().await?;
        let site = reads.site_by_code(tenant, &"default".parse()?).await?;
        let site = site.context("it was founded with one")?.id;
        drop(reads);
        let admin = Origin { caller: app.local_admin(founded.admin), source: None };
        let tls = material(&app)?.shared();
        let place = Place { address: listener.local_addr()?, tls: tls::client(&app.authority())? };
        let (switch, draining) = shutdown();
        let mut tasks = JoinSet::new();
        let config = config(founded.admin, metrics);
        let state = ServerState::new(app.clone(), config);
        let routes = router(&state);
        tasks.spawn(follow(state, draining.clone()));
        tasks.spawn(served(Listener::tls(listener, tls.clone()), routes, draining.clone()));
        upkeep::start(&mut tasks, &app, mark, metrics, &draining);
        Ok(Self { app, clock, tenant, site, place, admin, tls, switch, tasks })
    }

    /// Serves other routes on a port of their own, with this server's TLS and serve loop.
    pub(crate) async fn beside(&self, routes: Router) -> Result<Beside> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let place = Place { address: listener.local_addr()?, ..self.place.clone() };
        let (switch, draining) = shutdown();
        tokio::spawn(served(Listener::tls(listener, self.tls.clone()), routes, draining));
        Ok(Beside { place, _switch: switch })
    }

    /// A token that admits as many machines as like to come.
    pub(crate) async fn token(&self) -> Result<String> {
        let request = CreateGrant { uses: Some(0), ..CreateGrant::default() };
        Ok(self.app.create_grant(request, None, &self.admin).await?.token)
    }

    /// Stops in good order.
    pub(crate) async fn close(mut self) {
        self.switch.trigger();
        while self.tasks.join_next().await.is_some() {}
        self.app.store().finish().await;
    }
}

async fn served(listener: Listener, routes: Router, draining: Draining) {
    // How many connections were cut says nothing here: the clients are gone.
    serve(listener, routes, Acceptance::default(), ServeSettings::default(), draining).await;
}

fn config(admin: muster_model::OperatorId, metrics: &Metrics) -> Config {
    let body = BodyLimits::default();
    Config {
        trusted_proxies: TrustedProxies::default(),
        anonymous_per_second: 100.try_into().expect("not zero"),
        anonymous_burst: 1_000.try_into().expect("not zero"),
        handler_time: body.time + Duration::from_secs(10),
        body,
        own_uid: rustix::process::geteuid().as_raw(),
        admin,
        metrics: metrics.clone(),
        wires: Wires::default(),
        request_site: None,
    }
}

/// The server's own certificate, made as the binary makes it.
fn material<S: Store>(app: &App<S>) -> Result<TlsConfigs> {
    let authority = app.authority();
    let names = [tls::NAME.try_into()?];
    let ServerCertificate { chain, key, .. } = authority.server_certificate(&names, app.now())?;
    let roots = authority.roots_der().into_iter().cloned().collect();
    let trust_domain = authority.trust_domain().to_string();
    Ok(TlsConfigs::new(TlsMaterial { chain, key, roots, trust_domain })?)
}
