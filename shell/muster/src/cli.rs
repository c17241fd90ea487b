//! The command line: nouns, then verbs. One enum, read by the parser, the man pages, the completions and the
//! generated reference alike.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use muster_wire::invite::CaPin;

use crate::commands;
use crate::output::{ColorChoice, Format};

/// Machines enroll, people approve, credentials renew themselves.
///
/// Muster turns a machine that has just booted into a known, approved, credentialed, living one. One program: the
/// server (`muster up`), the agent on a machine (`muster agent run`) and this command line.
#[derive(Debug, Parser)]
#[command(name = "muster", version, max_term_width = 100, propagate_version = false)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// For the server and for managing it, the server's directory; for `enroll` and `agent`, the agent's own.
    #[arg(long, global = true, value_name = "DIR", env = "MUSTER_DATA_DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The server's address, instead of the socket of the server on this host.
    #[arg(long, global = true, value_name = "URL", env = "MUSTER_SERVER", hide_env_values = true)]
    pub(crate) server: Option<String>,
    /// The pin of the server's CA (sha256:…), as `muster status` and `muster up` show it.
    #[arg(long, global = true, value_name = "PIN", env = "MUSTER_CA_PIN", hide_env_values = true, value_parser = parse_pin)]
    pub(crate) ca_pin: Option<CaPin>,
    /// A file with an API token (or MUSTER_TOKEN in the environment); never the token itself.
    #[arg(long, global = true, value_name = "FILE", env = "MUSTER_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// How results are printed.
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        env = "MUSTER_OUTPUT",
        hide_env_values = true,
        default_value = "table"
    )]
    pub(crate) output: Format,
    /// When messages are colored.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "MUSTER_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Say more; twice, say everything.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a server and this machine's own agent, making everything they need.
    Up(commands::up::Up),
    /// Start a server only.
    Serve(commands::serve::Serve),
    /// Turn this machine into a known one: enroll it and wait until it is let in.
    Enroll(commands::enroll::Enroll),
    /// The agent of this machine.
    #[command(subcommand)]
    Agent(commands::agent::Agent),
    /// Machines: look at them, make them ahead, pause and end them.
    #[command(subcommand)]
    Machine(commands::machine::Machine),
    /// Enrollments that wait for a person.
    #[command(subcommand)]
    Hold(commands::hold::Hold),
    /// Engagements: what software agents are to do, and the proof of it.
    #[command(subcommand)]
    Engagement(commands::engagement::Engagement),
    /// Accounts that machines have in other systems.
    #[command(subcommand)]
    Provision(commands::provision::Provision),
    /// Sites and their enrollment keys.
    #[command(subcommand)]
    Site(commands::site::Site),
    /// Grants: permissions to enroll.
    #[command(subcommand)]
    Grant(commands::grant::Grant),
    /// Invites: address, CA pin and token in one paste.
    #[command(subcommand)]
    Invite(commands::invite::Invite),
    /// Operators: the people who work here, and what each may do.
    #[command(subcommand)]
    Operator(commands::operator::Operator),
    /// API tokens.
    #[command(subcommand)]
    Token(commands::token::Token),
    /// Callers: programs that may call machines that serve others.
    #[command(subcommand)]
    Caller(commands::caller::Caller),
    /// Alarms: signs of copied machines and the like that somebody should look at.
    #[command(subcommand)]
    Alarm(commands::alarm::Alarm),
    /// The audit log: who did what, to what, why, from where.
    #[command(subcommand)]
    Audit(commands::audit::Audit),
    /// The reaper: what is done about machines of which nothing is heard.
    #[command(subcommand)]
    Reaper(commands::reaper::Reaper),
    /// The servers of the deployment, and what a further one needs.
    #[command(subcommand)]
    Replica(commands::replica::Replica),
    /// The database: what it holds, and moving it.
    #[command(subcommand)]
    Db(commands::db::Db),
    /// Going on from a database that was put back to an older day.
    #[command(subcommand)]
    Restore(commands::restore::Restore),
    /// The certificate authority, and changing it while every machine stays.
    #[command(subcommand)]
    Ca(commands::ca::Ca),
    /// The deployment at a glance.
    Status(commands::status::Status),
    /// What the fleet did over time, what of it ends when, and what runs on it.
    Overview(commands::overview::Overview),
    /// Find out what is wrong with the server or agent on this host, and how to mend it.
    Doctor(commands::doctor::Doctor),
    /// The configuration.
    #[command(subcommand)]
    Config(commands::config::ConfigCommand),
    /// Make a one-time login link for a browser.
    #[command(hide = true)]
    LoginLink(commands::login_link::LoginLink),
    /// Print completions for a shell.
    Completions(commands::completions::Completions),
    /// Write the man pages into a directory.
    Man(commands::man::Man),
    /// Print the version.
    Version(commands::version::Version),
    /// Write the generated reference.
    #[command(hide = true)]
    Generate(commands::generate::Generate),
}

fn parse_pin(text: &str) -> Result<CaPin, String> {
    text.parse().map_err(|error: muster_wire::invite::PinError| error.to_string())
}

/// Reads `key=value`.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(format!("{text:?} is not of the form key=value")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_says_what_it_is() {
        fn visit(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
            for arg in command.get_arguments().filter(|a| !a.is_hide_set() && a.get_id() != "help") {
                assert!(arg.get_help().is_some(), "{} {} says nothing", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn q_27_no_argument_takes_a_token_or_an_invite() {
        fn visit(command: &clap::Command) {
            for arg in command.get_arguments() {
                let name = arg.get_id().as_str();
                assert!(
                    !["token", "invite", "secret", "password"].contains(&name),
                    "{} {name}",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }

    #[test]
    fn pairs_need_a_key_and_keep_further_equal_signs() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(parse_pair("a="), Ok(("a".into(), String::new())));
        assert!(parse_pair("a").is_err() && parse_pair("=b").is_err());
    }
}
