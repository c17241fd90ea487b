//! Every route over the router, and what only sockets can show over real TLS. No rule is tested here that the use
//! cases' own tests hold: only that nothing reaches them that should not, and how answers look.

mod access;
mod audit;
mod body;
mod channel;
mod console;
mod engagement;
mod enroll;
mod errors;
mod face;
mod guruconnect;
mod headers;
mod identifiers;
mod matrix;
mod metrics;
mod mode;
mod openapi;
mod operations;
mod principals;
mod replicas;
mod scuttlebot;
mod studio_worker;
mod tls;
mod wires;
mod wrenn;
