//! The verbs of Muster: pure decisions over what was read.
//!
//! Each verb is a plain function from a request, facts, and values drawn beforehand (identifiers, the time) to a
//! [`Plan`] or a [`Refusal`](muster_model::Refusal). Nothing here does I/O, reads a clock or draws a random number, so
//! every rule of Muster can be tested by calling a function.

pub mod access;
pub mod account;
pub mod agent;
pub mod alarm;
pub mod ca;
pub mod credential;
pub mod deployment;
pub mod ending;
pub mod enroll;
pub mod fork;
pub mod grant;
pub mod hold;
mod identity;
pub mod invited;
pub mod lockout;
pub mod machine;
pub mod nonce;
pub mod operator;
pub mod order;
pub mod password;
pub mod plan;
pub mod pulse;
pub mod readmit;
pub mod reap;
pub mod refresh;
pub mod repeat;
pub mod rotate;
pub mod second_factor;
pub mod site;
pub mod terms;
#[cfg(test)]
mod tests;

pub use plan::{
    AccessChange, AccountChange, AgentChange, Change, Context, CredentialChange, DeploymentChange,
    GrantChange, HoldChange, KeyChange, MachineChange, MachineOrder, MemoryChange, Plan, Remembered,
    SiteChange, TenantChange,
};
pub use terms::Terms;
