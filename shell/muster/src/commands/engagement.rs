//! `muster engagement`: what software agents are to do, and the proof of it.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_app::Ports;
use muster_client::collect;
use muster_issuer::{EngagementClaims, ExpectedEngagement, files, verify_engagement};
use muster_model::PayloadKey;
use muster_wire::ListQuery;
use muster_wire::engagement::{
    Difference, EngagedAgent, EngagementPreview, EngagementQuery, FreeNick, FreedNick, ListedAgent,
    SetEngagement, WrittenEngagement, WrittenQuery,
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::lists::{Listed, Part, or_dash};
use super::machine;
use crate::compose::{SystemPorts, payload_key, unusable};
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, escape, opt_relative, relative, table};

/// A JWS with a document of the largest size is smaller, and so is a JWKS.
const MAX_FILE: u64 = 256 * 1024;

/// Engagements of software agents.
#[derive(Debug, Subcommand)]
pub(crate) enum Engagement {
    /// List software agents.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show what a software agent is to do.
    Show(Show),
    /// Set what a software agent is to do.
    Set(Set),
    /// Check a signed engagement, without a server where the keys are in a file.
    Verify(Verify),
    /// Allow the nick of an agent that was revoked to be registered again.
    Free(Free),
    /// Bring along the key of the signature that older verifiers check. The server must be started anew.
    ImportKey(ImportKey),
    /// Write the key that older verifiers need into a file. Whoever has it can make such signatures.
    ExportKey(ExportKey),
}

/// Which software agents to list.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// How many.
    #[command(flatten)]
    part: Part,
}

/// Whose engagement.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The machine: its identifier or name, which is its nick.
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Whoever is to take it; the deployment's own address where nothing is said.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// Print the JWS and nothing else.
    #[arg(long)]
    jws: bool,
    /// This version as it was written, and what was different from the one before.
    #[arg(long, value_name = "N", conflicts_with_all = ["audience", "jws"])]
    version: Option<u32>,
}

/// What is to be set.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The machine: its identifier or name.
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// A JSON file with what it is to do, and if wished its nick, role, team and skills; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Check it and show what would change; change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What is to be checked.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The file with the JWS; `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A file with the public keys (/.well-known/jwks.json); the server is asked where nothing is said.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Who must have issued it.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// Whom it must be for; its issuer where nothing is said.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
}

/// Which nick.
#[derive(Debug, Args)]
pub(crate) struct Free {
    /// The nick.
    #[arg(value_name = "NICK")]
    nick: String,
}

/// Where the key is.
#[derive(Debug, Args)]
pub(crate) struct ImportKey {
    /// The file with the key as hexadecimal text.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Where the key goes.
#[derive(Debug, Args)]
pub(crate) struct ExportKey {
    /// A file that is not there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What was done with a key.
#[derive(Debug, Serialize)]
struct KeyFile {
    file: String,
}

/// A signed engagement that holds.
#[derive(Debug, Serialize)]
struct Verified {
    valid: bool,
    #[serde(flatten)]
    claims: EngagementClaims,
}

/// Runs `muster engagement`.
pub(crate) async fn run(context: &Context, verb: Engagement) -> Result {
    match verb {
        Engagement::Ls(args) => ls(context, &args.part).await,
        Engagement::Show(args) => show(context, args).await,
        Engagement::Set(args) => set(context, args).await,
        Engagement::Verify(args) => verify(context, args).await,
        Engagement::Free(args) => {
            context.out.show(&context.client().await?.free_nick(&FreeNick { nick: args.nick }).await?)
        }
        Engagement::ImportKey(args) => import_key(context, &args.file),
        Engagement::ExportKey(args) => export_key(context, &args.out),
    }
}

async fn ls(context: &Context, part: &Part) -> Result {
    let client = &context.client().await?;
    let page = collect(part.most(), part.cursor.clone(), |cursor, limit| async move {
        client.engagements(&ListQuery { cursor, limit: Some(limit), ..ListQuery::default() }).await
    });
    context.out.show(&page.await?)
}

async fn set(context: &Context, args: Set) -> Result {
    let text = read(&args.file)?;
    let request: SetEngagement = serde_json::from_str(&text).map_err(|error| unread(&args.file, &error))?;
    let client = context.client().await?;
    let machine = machine::resolve_agent(&client, args.machine).await?;
    match args.dry_run {
        true => context.out.show(&client.preview_engagement(&machine, &request).await?),
        false => context.out.show(&client.set_engagement(&machine, &request).await?),
    }
}

async fn show(context: &Context, args: Show) -> Result {
    let client = context.client().await?;
    let machine = machine::resolve_agent(&client, args.machine).await?;
    if args.version.is_some() {
        let query = WrittenQuery { version: args.version };
        return context.out.show(&client.engagement_written(&machine, &query).await?);
    }
    let shown = client.engagement(&machine, &EngagementQuery { audience: args.audience }).await?;
    match args.jws {
        true => context.out.text(&format!("{}\n", shown.jws)),
        false => context.out.show(&shown),
    }
}

async fn verify(context: &Context, args: Verify) -> Result {
    let jws = read(&args.file)?;
    let keys = match &args.jwks {
        Some(file) => serde_json::from_str(&read(file)?).map_err(|error| unread(file, &error))?,
        None => context.client().await?.jwks().await?,
    };
    let expected = ExpectedEngagement {
        issuer: args.issuer.as_deref(),
        audience: args.audience.as_deref(),
        now: SystemPorts.now(),
    };
    let claims = verify_engagement(jws.trim(), &keys, &expected).map_err(|error| {
        Failure::new(Exit::Failed, format!("{} is no engagement that holds", args.file.display()))
            .because(&error)
    })?;
    context.out.show(&Verified { valid: true, claims })
}

fn import_key(context: &Context, file: &Path) -> Result {
    let text = Zeroizing::new(read(file)?);
    let key: PayloadKey = text.parse().map_err(|error| {
        Failure::new(Exit::Config, format!("{} holds no key", file.display())).because(&error)
    })?;
    let into = payload_key::path(&context.server_dir(&context.config()?.config));
    files::write_new(&into, key.reveal().as_bytes()).map_err(unusable)?;
    context.out.show(&KeyFile { file: into.display().to_string() })
}

fn export_key(context: &Context, out: &Path) -> Result {
    let key = payload_key::present(&context.server_dir(&context.config()?.config))?;
    files::write_new(out, key.reveal().as_bytes()).map_err(unusable)?;
    context.out.show(&KeyFile { file: out.display().to_string() })
}

/// What is in a file, or comes in where it is `-`.
pub(super) fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let outcome = match path == Path::new("-") {
        true => std::io::stdin().take(MAX_FILE).read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text)),
    };
    match outcome {
        Ok(_) => Ok(text),
        Err(error) => Err(unread(path, &error)),
    }
}

fn unread(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Exit::Config, format!("{} cannot be read", path.display())).because(error)
}

impl Human for EngagedAgent {
    fn human(&self, now: Timestamp) -> String {
        let engagement = serde_json::to_string_pretty(&self.engagement).unwrap_or_default();
        let head = details([
            ("machine", self.machine.clone()),
            ("nick", self.nick.clone()),
            ("role", self.role.clone()),
            ("team", self.team.clone().unwrap_or_default()),
            ("skills", self.skills.join(", ")),
            ("version", self.version.to_string()),
            ("by", self.author.clone()),
            ("since", relative(now, self.at)),
        ]);
        format!("{head}\n{engagement}")
    }
}

impl Listed for ListedAgent {
    const EMPTY: &'static str = "No software agents. A machine of that kind becomes one by its first engagement:\n\n    muster engagement set MACHINE --file FILE";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header =
            ["NICK", "ROLE", "TEAM", "STATE", "SEEN", "VERSION", "ACKNOWLEDGED", "CHANNELS", "MACHINE"];
        let seen = |agent: &Self| match (agent.online, agent.last_seen) {
            (true, _) => "online".to_owned(),
            (false, Some(at)) => relative(now, at),
            (false, None) => "never".to_owned(),
        };
        table(
            header,
            items.iter().map(|agent| {
                [
                    agent.nick.clone(),
                    agent.role.clone(),
                    or_dash(agent.team.as_deref()),
                    agent.state.clone(),
                    seen(agent),
                    agent.version.to_string(),
                    opt_relative(now, agent.acknowledged_at),
                    agent.engagement.channels.join(" "),
                    agent.machine.clone(),
                ]
            }),
        )
    }
}

impl Human for WrittenEngagement {
    fn human(&self, now: Timestamp) -> String {
        let engagement = serde_json::to_string_pretty(&self.engagement).unwrap_or_default();
        let head = details([
            ("version", self.version.to_string()),
            ("by", self.author.clone()),
            ("written", relative(now, self.at)),
        ]);
        format!("{head}\n{engagement}\n\n{}", differences(&self.differences))
    }
}

impl Human for EngagementPreview {
    fn human(&self, _: Timestamp) -> String {
        if self.differences.is_empty() {
            return format!("It is so already: version {}.", self.version);
        }
        format!("version {} would say:\n{}", self.version, differences(&self.differences))
    }
}

/// As of a patch: what goes, then what comes.
fn differences(parts: &[Difference]) -> String {
    let line = |sign: char, path: &str, entry: &String| format!("{sign} {path}: {}", escape(entry));
    let lines = parts.iter().flat_map(|part| {
        let removed = part.removed.iter().map(|entry| line('-', &part.path, entry));
        removed.chain(part.added.iter().map(|entry| line('+', &part.path, entry)))
    });
    lines.collect::<Vec<_>>().join("\n")
}

impl Human for FreedNick {
    fn human(&self, now: Timestamp) -> String {
        details([
            ("nick", self.nick.clone()),
            ("was held by", self.machine.clone()),
            ("freed", relative(now, self.freed_at)),
        ])
    }
}

impl Human for KeyFile {
    fn human(&self, _: Timestamp) -> String {
        details([("file", self.file.clone())])
    }
}

impl Human for Verified {
    fn human(&self, _: Timestamp) -> String {
        let claims = &self.claims;
        let time = |second| Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default();
        let head = details([
            ("holds", "yes".to_owned()),
            ("issuer", claims.iss.clone()),
            ("audience", claims.aud.clone()),
            ("machine", claims.sub.clone()),
            ("nick", claims.nick.clone()),
            ("role", claims.role.clone()),
            ("team", claims.team.clone().unwrap_or_default()),
            ("version", claims.version.to_string()),
            ("hash", claims.hash.clone()),
            ("until", time(claims.exp)),
        ]);
        format!("{head}\n{}", claims.document)
    }
}
