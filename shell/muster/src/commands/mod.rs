//! The commands, a file per noun. Each reads its arguments, calls the API once or a few times, and prints.

mod adopt;
pub(crate) mod agent;
pub(crate) mod alarm;
pub(crate) mod audit;
pub(crate) mod ca;
pub(crate) mod caller;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod db;
pub(crate) mod doctor;
pub(crate) mod ending;
pub(crate) mod engagement;
pub(crate) mod enroll;
pub(crate) mod generate;
pub(crate) mod grant;
pub(crate) mod hold;
pub(crate) mod invite;
mod join;
mod lists;
pub(crate) mod login_link;
pub(crate) mod machine;
pub(crate) mod man;
pub(crate) mod operator;
pub(crate) mod overview;
mod progress;
pub(crate) mod provision;
pub(crate) mod reaper;
pub(crate) mod replica;
pub(crate) mod restore;
mod rotate;
pub(crate) mod serve;
pub(crate) mod site;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod version;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{Command as Definition, CommandFactory, FromArgMatches};

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::logging;

/// Runs what the command line asks for.
pub(crate) fn main() -> ExitCode {
    let mut matches =
        without_empty(Cli::command(), |name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
            .get_matches();
    let cli = Cli::from_arg_matches_mut(&mut matches)
        .unwrap_or_else(|error| error.format(&mut Cli::command()).exit());
    let context = Context::new(cli.global);
    match run(&context, cli.command) {
        Ok(code) => code,
        Err(failure) => failure.report(context.out.color),
    }
}

/// A variable that is set to nothing counts as one that is not set: nothing is no directory, and no server.
fn without_empty(definition: Definition, is_empty: impl Fn(&OsStr) -> bool) -> Definition {
    definition.mut_args(|arg| match arg.get_env().is_some_and(&is_empty) {
        true => arg.env(Resettable::Reset),
        false => arg,
    })
}

fn run(context: &Context, command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(context, args)?,
        Command::Serve(args) => serve::run(context, args)?,
        Command::Enroll(args) => return enroll::run(context, args),
        Command::Agent(verb) => return agent::run(context, verb),
        Command::Machine(verb) => ask(context, machine::run(context, verb))?,
        Command::Hold(verb) => ask(context, hold::run(context, verb))?,
        Command::Engagement(verb) => ask(context, engagement::run(context, verb))?,
        Command::Provision(verb) => ask(context, provision::run(context, verb))?,
        Command::Site(verb) => ask(context, site::run(context, verb))?,
        Command::Grant(verb) => ask(context, grant::run(context, verb))?,
        Command::Invite(verb) => ask(context, invite::run(context, verb))?,
        Command::Operator(verb) => ask(context, operator::run(context, verb))?,
        Command::Token(verb) => ask(context, token::run(context, verb))?,
        Command::Caller(verb) => ask(context, caller::run(context, verb))?,
        Command::Alarm(verb) => ask(context, alarm::run(context, verb))?,
        Command::Audit(verb) => ask(context, audit::run(context, verb))?,
        Command::Reaper(verb) => ask(context, reaper::run(context, verb))?,
        Command::Replica(verb) => ask(context, replica::run(context, verb))?,
        Command::Restore(verb) => ask(context, restore::run(context, verb))?,
        Command::Ca(verb) => ask(context, ca::run(context, verb))?,
        Command::Db(verb) => db::run(context, verb)?,
        Command::Status(args) => ask(context, status::run(context, args))?,
        Command::Overview(args) => ask(context, overview::run(context, args))?,
        Command::Doctor(args) => return ask(context, doctor::run(context, args)),
        Command::LoginLink(args) => ask(context, login_link::run(context, args))?,
        Command::Config(verb) => config::run(context, verb)?,
        Command::Completions(args) => completions::run(context, args)?,
        Command::Man(args) => man::run(context, args)?,
        Command::Version(args) => version::run(context, args)?,
        Command::Generate(args) => generate::run(context, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a command that asks a server: one thread is enough, and it speaks only when told to.
fn ask<T>(context: &Context, future: impl Future<Output = Result<T>>) -> Result<T> {
    logging::of_command(context.global.verbose, context.out.color);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| no_runtime(&error))?.block_on(future)
}

/// The failure of a machine that gives us no threads or timers.
pub(crate) fn no_runtime(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, "the runtime cannot be started").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_set_to_nothing_counts_as_unset() {
        let read = |definition: &Definition| -> Vec<String> {
            let names = definition.get_arguments().filter_map(|arg| arg.get_env());
            names.map(|name| name.to_string_lossy().into_owned()).collect()
        };
        let all = read(&Cli::command());
        assert!(all.contains(&"MUSTER_DATA_DIR".to_owned()) && all.contains(&"MUSTER_SERVER".to_owned()));
        let left = read(&without_empty(Cli::command(), |name| name == "MUSTER_DATA_DIR"));
        assert_eq!(left.len(), all.len() - 1);
        assert!(!left.contains(&"MUSTER_DATA_DIR".to_owned()));
    }
}
