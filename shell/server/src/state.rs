//! What every handler can reach.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use muster_app::App;
use muster_model::{OperatorId, SiteCode};

use crate::compat::Wires;
use crate::console::Feed;
use crate::limits::{BodyLimits, MAX_KEYS, RateLimiter, RateQuota, TrustedProxies};
use crate::metrics::Metrics;

/// Tokens that open nothing, for one site from one source: so many at once, then one for every second.
const MISSES: RateQuota =
    RateQuota { burst: NonZeroU32::new(60).expect("not zero"), every: Duration::from_secs(1) };

/// Runs of a password hash that one source may cause: so many at once, then one for every so long.
const COSTLY: RateQuota =
    RateQuota { burst: NonZeroU32::new(20).expect("not zero"), every: Duration::from_secs(6) };

/// What an operator configures of the HTTP face.
#[derive(Clone)]
pub struct Config {
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: TrustedProxies,
    /// How many requests a second a source that has shown nothing may make, in the long run.
    pub anonymous_per_second: NonZeroU32,
    /// How many such requests a source may make at once.
    pub anonymous_burst: NonZeroU32,
    /// Bounds of bodies.
    pub body: BodyLimits,
    /// How long a handler may take.
    pub handler_time: Duration,
    /// The user of the operating system, beside root, who is admin over the local socket.
    pub own_uid: u32,
    /// The admin that local callers are.
    pub admin: OperatorId,
    /// Renders the metrics.
    pub metrics: Metrics,
    /// Which existing clients are served.
    pub wires: Wires,
    /// The site that existing clients ask at, which name none; `None`: the only one.
    pub request_site: Option<SiteCode>,
}

/// What every handler can reach.
pub struct ServerState<S> {
    /// The use cases.
    pub app: App<S>,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) anonymous: RateLimiter,
    /// Tokens that opened nothing, by source and by the site that was named.
    pub(crate) misses: RateLimiter,
    /// What costs a password hash, by source.
    pub(crate) costly: RateLimiter,
    /// Whoever has pages open.
    pub(crate) feed: Feed,
}

impl<S> Clone for ServerState<S> {
    fn clone(&self) -> Self {
        Self { app: self.app.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S> ServerState<S> {
    /// The use cases behind this configuration.
    pub fn new(app: App<S>, config: Config) -> Self {
        let every = Duration::from_secs(1) / config.anonymous_per_second.get();
        let quota = RateQuota { burst: config.anonymous_burst, every };
        let anonymous = RateLimiter::new(quota, MAX_KEYS);
        let misses = RateLimiter::new(MISSES, MAX_KEYS);
        let costly = RateLimiter::new(COSTLY, MAX_KEYS);
        Self { app, shared: Arc::new(Shared { config, anonymous, misses, costly, feed: Feed::default() }) }
    }
}
