//! A server that runs: its listeners, its jobs, and how it stops.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use muster_app::{App, Mode, Parts, Settings, StoreError, found};
use muster_lifecycle::Terms;
use muster_model::OperatorId;
use muster_server::console;
use muster_server::limits::{BodyLimits, JsonLimits, TrustedProxies};
use muster_server::metrics::Metrics;
use muster_server::serve::{Draining, Listener, ServeSettings, Shutdown, serve, shutdown};
use muster_server::{Config as HttpConfig, Router, ServerState, compat_router, router};
use rustix::process::{Resource, Rlimit};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::ca_copy::CaCopy;
use super::jobs::{self, Following, Jobs};
use super::own_certificate::{Kept, OwnFiles};
use super::seen::Seen;
use super::store::AnyStore;
use super::{Home, SystemPorts, home, payload_key, provisioners, tls};
use crate::clock;
use crate::config::Config;
use crate::failure::{Exit, Failure, Result};

/// A server that runs.
pub(crate) struct Running {
    /// The use cases.
    pub(crate) app: App<AnyStore>,
    /// Its admin.
    pub(crate) admin: OperatorId,
    /// Where metrics are.
    pub(crate) metrics_url: Option<String>,
    /// Where existing clients are served by themselves.
    pub(crate) compat_url: Option<String>,
    dir: PathBuf,
    store: AnyStore,
    /// Kept to the very end: whoever takes it next finds a closed database.
    _lock: File,
    settings: ServeSettings,
    shutdown: Shutdown,
    tasks: JoinSet<()>,
    watch: Option<JoinHandle<Seen>>,
}

/// Starts a server in its data directory. When this returns, it answers.
pub(crate) async fn start(home: Home, config: &Config) -> Result<Running> {
    if let Some(why) = config.credentials.contradiction().or_else(|| config.reaper.contradiction()) {
        return Err(Failure::new(Exit::Config, why));
    }
    let metrics =
        Metrics::record().map_err(|error| Failure::new(Exit::Failed, "no metrics").because(&error))?;
    let own = OwnFiles::of(&config.compat)?.map(|files| files.keep(clock::now())).transpose()?;
    let listener = remembered(config.server.listen, &home.dir).await?;
    let listen = listener.local_addr().map_err(|error| unbound(config.server.listen, &error))?;
    let seen = Seen::read(&home.dir)?;
    let mut settings = settings(config, listen, &home.dir);
    settings.agents = config
        .compat
        .agents(payload_key::brought(&home.dir)?)
        .map_err(|wrong| Failure::new(Exit::Config, wrong))?;
    let provisioners = provisioners(config)?;
    let founded = found(&home.store, &SystemPorts, &home.pepper, settings.hold_cap)
        .await
        .map_err(|error| home::not_founded(&home.dir, &error))?;
    home.belongs_to(founded.deployment)?;
    let Home { dir, authority, pepper, store, lock, .. } = home;
    let tenant = founded.tenant;
    let ports = Box::new(SystemPorts);
    let app = App::new(Parts { store: store.clone(), authority, pepper, ports, settings, tenant });
    app.provide(provisioners);
    let seen = joined(&app, seen).await?;
    let copy = as_far_as_known(&app, &dir).await?;
    let state = ServerState::new(app.clone(), http(config, founded.admin, metrics.clone())?);
    let mut running = Running {
        app,
        admin: founded.admin,
        metrics_url: None,
        compat_url: None,
        dir,
        store,
        _lock: lock,
        settings: serve_settings(config),
        shutdown: shutdown().0,
        tasks: JoinSet::new(),
        watch: None,
    };
    running.listen(listener, router(&state), config, metrics).await?;
    running.compat_on(config.compat.listen, own, &state).await?;
    running.work(seen, copy);
    let draining = running.draining();
    running.beside(console::follow(state, draining));
    Ok(running)
}

/// Looks whether the database is older than what was seen of it, before anything is written to it, and then joins.
async fn joined(app: &App<AnyStore>, mut seen: Seen) -> Result<Seen> {
    let failed =
        |error: StoreError| Failure::new(Exit::Failed, "the database cannot be worked with").because(&error);
    seen.look(app).await.map_err(failed)?;
    if app.mode() == Mode::Restored {
        tracing::error!(
            fix = "muster restore accept",
            "RESTORED: the database was put back to an older day. This server reads and notes presence, and changes nothing"
        );
    }
    app.join().await.map_err(failed)?;
    Ok(seen)
}

/// Takes the authority as far as it was changed, by the database or by what this directory knows, whichever is further:
/// before anybody is answered.
async fn as_far_as_known(app: &App<AnyStore>, dir: &Path) -> Result<CaCopy> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::Config, "the certificate authority cannot be used as far as it was changed")
            .because(error)
            .hint("is the seal key another one? All servers of a deployment need the same")
    };
    let (mut copy, known) = CaCopy::read(dir)?;
    if let Some(known) = known {
        app.take_ca(&known).map_err(|error| failed(&error))?;
    }
    app.follow_ca().await.map_err(|error| failed(&error))?;
    copy.keep(app).await;
    Ok(copy)
}

impl Running {
    /// Opens every listener and starts the jobs.
    async fn listen(
        &mut self,
        listener: TcpListener,
        routes: Router,
        config: &Config,
        metrics: Metrics,
    ) -> Result {
        let listen = listener.local_addr().map_err(|error| unbound(config.server.listen, &error))?;
        let names = tls::names(listen, &config.server.names, config.server.url.as_deref())?;
        let (configs, renew_at) = tls::configs(&self.app, &names)?;
        let shared = configs.shared();
        self.serve(Listener::tls(listener, shared.clone()), routes.clone());
        let path = self.dir.join("muster.sock");
        let socket = Listener::bind_unix(&path, 0o600).map_err(|error| {
            Failure::new(Exit::Config, format!("{} cannot be made", path.display())).because(&error)
        })?;
        self.serve(socket, routes.merge(metrics.router()));
        self.metrics_on(config.server.metrics_listen, &metrics).await?;
        let jobs = Jobs { app: self.app.clone(), metrics, tls: shared, names, renew_at };
        self.tasks.spawn(jobs.work(self.draining()));
        Ok(())
    }

    /// Starts what keeps this server one of several, each on its own: none waits for another.
    fn work(&mut self, seen: Seen, copy: CaCopy) {
        let following = Following { app: self.app.clone(), copy };
        self.tasks.spawn(jobs::follow_ca(following, self.draining()));
        self.tasks.spawn(jobs::keep_alive(self.app.clone(), self.draining()));
        self.watch = Some(tokio::spawn(jobs::watch(self.app.clone(), seen, self.draining())));
        self.tasks.spawn(jobs::heed(self.app.clone(), self.draining()));
        self.tasks.spawn(jobs::prune(self.app.clone(), self.draining()));
        self.tasks.spawn(jobs::provision(self.app.clone(), self.draining()));
        self.tasks.spawn(jobs::reap(self.app.clone(), self.draining()));
    }

    /// Metrics on a listener of their own, over plain HTTP.
    async fn metrics_on(&mut self, address: Option<SocketAddr>, metrics: &Metrics) -> Result {
        let Some(address) = address else { return Ok(()) };
        let listener = bind(address).await?;
        let bound = listener.local_addr().map_err(|error| unbound(address, &error))?;
        self.metrics_url = Some(format!("http://{bound}/metrics"));
        self.serve(Listener::plain(listener), metrics.router());
        Ok(())
    }

    /// Existing clients on a listener of their own: by the operator's own certificate, or over plain HTTP.
    async fn compat_on(
        &mut self,
        address: Option<SocketAddr>,
        own: Option<Kept>,
        state: &ServerState<AnyStore>,
    ) -> Result {
        let Some(address) = address else {
            if own.is_some() {
                tracing::warn!(
                    "compat.certificate is for a listener that there is none of: set compat.listen"
                );
            }
            return Ok(());
        };
        let listener = bind(address).await?;
        let bound = listener.local_addr().map_err(|error| unbound(address, &error))?;
        let Some(own) = own else {
            if !bound.ip().is_loopback() {
                tracing::warn!(%bound, "existing clients are served without TLS on other than this host: their secrets can be read on the way");
            }
            self.compat_url = Some(format!("http://{bound}"));
            self.serve(Listener::plain(listener), compat_router(state));
            return Ok(());
        };
        self.compat_url = Some(format!("https://{bound}"));
        self.serve(Listener::tls(listener, own.shared()), compat_router(state));
        self.tasks.spawn(jobs::keep_own(self.app.clone(), own, self.draining()));
        Ok(())
    }

    fn serve(&mut self, listener: Listener, router: Router) {
        let acceptance = self.app.acceptance().clone();
        let task = serve(listener, router, acceptance, self.settings.clone(), self.draining());
        self.tasks.spawn(async move {
            let drained = task.await;
            if drained.cut > 0 {
                tracing::warn!(connections = drained.cut, "cut at the end of the time to drain");
            }
        });
    }

    /// Its data directory.
    pub(crate) fn home(&self) -> &Path {
        &self.dir
    }

    /// Runs something beside the server, until the server stops.
    pub(crate) fn beside(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Tells whoever runs beside the server that it stops.
    pub(crate) fn draining(&self) -> Draining {
        self.shutdown.observer()
    }

    /// Returns when the disk under the database fails: nothing can be promised from then on.
    pub(crate) async fn damaged(&self) {
        self.store.damaged().await;
    }

    /// Stops: takes nothing new, finishes what is in flight, writes what was counted, notes how far the database was
    /// seen, closes it.
    pub(crate) async fn stop(mut self) {
        self.shutdown.trigger();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the server failed");
            }
        }
        self.look_last().await;
        self.store.close().await;
    }

    /// What was acknowledged up to now was seen.
    async fn look_last(&mut self) {
        let Some(watch) = self.watch.take() else { return };
        match watch.await {
            Ok(mut seen) => {
                jobs::told("cannot look at the database", seen.look(&self.app).await);
                seen.keep().await;
            }
            Err(error) => tracing::error!(%error, "a part of the server failed"),
        }
    }
}

/// Binds. Where any port will do, the one of the last start is taken if it is free: machines know it.
async fn remembered(address: SocketAddr, dir: &Path) -> Result<TcpListener> {
    let note = dir.join("listen");
    let last = std::fs::read_to_string(&note).ok().and_then(|text| text.trim().parse::<SocketAddr>().ok());
    let again = last.filter(|last| address.port() == 0 && last.ip() == address.ip());
    let listener = match again {
        Some(last) => match TcpListener::bind(last).await {
            Ok(listener) => listener,
            Err(_taken) => bind(address).await?,
        },
        None => bind(address).await?,
    };
    let bound = listener.local_addr().map_err(|error| unbound(address, &error))?;
    if last != Some(bound) {
        // A convenience: without it the next start takes another port.
        let open = File::options().create(true).write(true).truncate(true).mode(0o600).open(&note);
        if let Err(error) = open.and_then(|mut file| writeln!(file, "{bound}")) {
            tracing::warn!(%error, path = %note.display(), "the address cannot be noted");
        }
    }
    Ok(listener)
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| unbound(address, &error))
}

fn unbound(address: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::new(Exit::Config, format!("cannot listen on {address}")).because(error);
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            failure.hint("another program listens there: stop it, or choose another with --listen")
        }
        std::io::ErrorKind::PermissionDenied => {
            failure.hint("ports below 1024 need root: choose another with --listen")
        }
        _ => failure.hint("choose an address of this host with --listen"),
    }
}

fn settings(config: &Config, listen: SocketAddr, dir: &Path) -> Settings {
    let credentials = &config.credentials;
    let url = config.server.url.clone().unwrap_or_else(|| tls::url(listen, &config.server.names));
    Settings {
        terms: Terms {
            certificate_life: credentials.certificate_life.signed(),
            bearer_life: credentials.bearer_life.signed(),
            refresh_life: credentials.refresh_life.signed(),
            session_life: credentials.token_life.signed(),
            serving_life: credentials.serving_life.signed(),
            hold_life: config.limits.hold_life.signed(),
            backdate: credentials.backdate.signed(),
            renew_grace: credentials.renew_grace.signed(),
            key_life: credentials.key_life.signed(),
            ..Terms::default()
        },
        on_copy: credentials.on_copy.into(),
        patience: config.reaper.patience(),
        login_life: credentials.login_life.signed(),
        session_life: credentials.session_life.signed(),
        hold_cap: config.limits.max_holds_per_site.get(),
        data_dir: Some(dir.display().to_string()),
        ..Settings::at(url.trim_end_matches('/'))
    }
}

fn http(config: &Config, admin: OperatorId, metrics: Metrics) -> Result<HttpConfig> {
    let limits = &config.limits;
    let count = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
    Ok(HttpConfig {
        trusted_proxies: trusted(&config.server.trusted_proxies)?,
        anonymous_per_second: count(limits.anonymous_per_second.get()),
        anonymous_burst: count(limits.anonymous_burst.get()),
        body: BodyLimits {
            bytes: limits.max_body_bytes.get(),
            time: limits.body_timeout.get(),
            json: JsonLimits { depth: limits.max_json_depth.get(), ..JsonLimits::default() },
        },
        handler_time: limits.body_timeout.get() + std::time::Duration::from_secs(10),
        own_uid: rustix::process::geteuid().as_raw(),
        admin,
        metrics,
        wires: config.compat.wires(),
        request_site: config.compat.site()?,
    })
}

fn trusted(proxies: &[String]) -> Result<TrustedProxies> {
    let parse = |text: &String| {
        text.parse().map_err(|error| {
            Failure::new(Exit::Config, format!("{text:?} under trusted_proxies is not a network"))
                .because(&error)
        })
    };
    proxies.iter().map(parse).collect::<Result<Vec<_>>>().map(TrustedProxies::new)
}

/// File handles that are not for connections: the database, its readers, the log, hooks.
const RESERVE: usize = 128;

/// As many file handles as this process may have.
fn handles() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let raised =
        rustix::process::setrlimit(Resource::Nofile, raised).map_or(limit.current, |()| limit.maximum);
    raised.map_or(usize::MAX, |handles| usize::try_from(handles).unwrap_or(usize::MAX))
}

/// The bounds of connections. A flood must find an end before the file handles do: the local socket and the database
/// need some too.
fn serve_settings(config: &Config) -> ServeSettings {
    let limits = &config.limits;
    let most = limits.max_connections.get::<usize>();
    let max_connections = most.min(handles().saturating_sub(RESERVE).max(64));
    if max_connections < most {
        tracing::warn!(max_connections, "fewer connections than configured: raise the limit of open files");
    }
    ServeSettings {
        tls_timeout: limits.tls_timeout.get(),
        header_timeout: limits.header_timeout.get(),
        idle_timeout: limits.idle_timeout.get(),
        drain_timeout: limits.drain_timeout.get(),
        max_connections,
        max_per_source: limits.max_connections_per_source.get(),
        max_per_loopback: limits.max_connections_per_loopback.get(),
        max_header_bytes: limits.max_header_bytes.get(),
        ..ServeSettings::default()
    }
}
