//! Enrolling.

mod crash;
mod csr;
mod race;
mod refused;
mod rekey;
mod token;
