//! One file for each kind of row: its columns, how it is parsed, its reads, and the changes that write it.

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod ca;
pub(crate) mod credential;
pub(crate) mod deployment;
pub(crate) mod grant;
pub(crate) mod hold;
pub(crate) mod key;
pub(crate) mod machine;
pub(crate) mod machine_list;
pub(crate) mod memory;
pub(crate) mod presence;
pub(crate) mod pulse;
pub(crate) mod reaper;
pub(crate) mod site;
