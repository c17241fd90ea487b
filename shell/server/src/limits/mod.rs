//! What a caller may use before and while it is served: whose address counts ([`source_of`]), how often
//! ([`RateLimiter`]), how much ([`read_json`]). Decides nothing about rights, and keeps no client value longer
//! than its bound.

mod body;
mod prescan;
mod rate;
mod source;

pub use body::{BodyError, BodyLimits, check_media_type, parse_json, read_body, read_json};
pub use muster_model::{Cidr, CidrError};
pub use prescan::{JsonBreach, JsonLimits};
pub use rate::{MAX_KEYS, RateLimiter, RateQuota, RetryAfter};
pub use source::{Bucket, Source, TrustedProxies, source_of};
