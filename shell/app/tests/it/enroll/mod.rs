//! Enrolling.

mod crash;
mod csr;
mod imported;
mod keyless;
mod race;
mod refused;
mod rekey;
mod token;
