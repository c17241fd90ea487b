//! `muster`: server, agent and command line in one program.
//!
//! The only place that names a concrete store or issuer, that reads the command line, the configuration and the clock,
//! and that ends the process. Holds no rule of enrollment.

mod cli;
mod clock;
mod commands;
mod compose;
mod config;
mod context;
mod durations;
mod failure;
mod logging;
mod output;
mod paths;

fn main() -> std::process::ExitCode {
    commands::main()
}
