//! `muster token`: API tokens for people and scripts that are not on the server's host.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::collect;
use muster_wire::access::{CreateToken, CreatedToken, Token as Shape};

use super::lists::{Filter, Listed};
use crate::context::Context;
use crate::durations::parse_seconds;
use crate::failure::Result;
use crate::output::{Human, details, relative, table};

/// API tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// List API tokens.
    #[command(visible_alias = "list")]
    Ls(Filter),
    /// Make an API token.
    Create(Create),
    /// End an API token.
    Revoke(Revoke),
}

/// A token to make.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What it is for.
    #[arg(value_name = "NAME", default_value = "cli")]
    name: String,
    /// What it is for.
    #[arg(long = "name", id = "named", value_name = "NAME", hide = true)]
    named: Option<String>,
    /// What it may do.
    #[arg(long, value_parser = ["viewer", "operator", "admin"])]
    role: Option<String>,
    /// What alone it may do, instead of a role: introspect for a relay that machines show their keys to.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',', conflicts_with = "role",
        value_parser = ["introspect", "read", "agents", "chat", "channels", "topology", "bots", "config", "admin"])]
    scopes: Vec<String>,
    /// How long it is good for (15m, 24h, 7d); a day where nothing is said.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    expires: Option<u32>,
}

/// Which token to end.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Its identifier (tok_…).
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs `muster token`.
pub(crate) async fn run(context: &Context, verb: Token) -> Result {
    let client = context.client().await?;
    let out = context.out;
    match verb {
        Token::Ls(filter) => {
            let (most, start) = (filter.part.most(), filter.part.cursor.clone());
            let (client, filter) = (&client, &filter);
            let page = collect(most, start, |cursor, limit| async move {
                client.tokens(&filter.query(None, cursor, limit)).await
            });
            out.show(&page.await?)
        }
        Token::Create(args) => {
            let name = args.named.unwrap_or(args.name);
            let request =
                CreateToken { name, role: args.role, scopes: args.scopes, expires_in: args.expires };
            out.show(&client.create_token(&request).await?)
        }
        Token::Revoke(args) => out.show(&client.revoke_token(&args.id).await?),
    }
}

impl Listed for Shape {
    const EMPTY: &'static str =
        "No API tokens yet. Make one:\n\n    muster token create NAME --role operator --expires 7d";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["ID", "NAME", "KIND", "ROLE", "STATE", "EXPIRES", "CREATED"];
        table(
            header,
            items.iter().map(|token| {
                [
                    token.id.clone(),
                    token.name.clone(),
                    token.kind.clone(),
                    token.role.clone(),
                    token.state.clone(),
                    relative(now, token.expires_at),
                    relative(now, token.created_at),
                ]
            }),
        )
    }
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        details([
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("kind", self.kind.clone()),
            ("role", self.role.clone()),
            ("scopes", self.scopes.join(" ")),
            ("operator", self.operator.clone()),
            ("state", self.state.clone()),
            ("expires", relative(now, self.expires_at)),
        ])
    }
}

impl Human for CreatedToken {
    fn human(&self, now: Timestamp) -> String {
        let secret = details([("secret", self.secret.clone())]);
        format!(
            "{}\n{secret}\n\nShown this once. Keep it in a file of mode 0600 and use it with --token-file.",
            self.token.human(now)
        )
    }
}
