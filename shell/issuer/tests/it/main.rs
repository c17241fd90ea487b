//! The issuer from outside: requests in, certificates and tokens out, and what a TLS library says of them.

mod authority;
mod chain;
mod request;
mod rollover;
mod support;
mod token;
