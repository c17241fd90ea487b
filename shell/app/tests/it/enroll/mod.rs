//! Enrolling.

mod crash;
mod csr;
mod keyless;
mod race;
mod refused;
mod rekey;
mod token;
