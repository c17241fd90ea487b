//! muster-server

pub mod limits;
pub mod serve;
