//! `muster grant`: permissions to enroll.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::collect;
use muster_wire::grant::{CreateGrant, CreatedGrant, Grant as Shape};

use super::lists::{Filter, Listed};
use super::site::yes;
use crate::cli::parse_pair;
use crate::context::Context;
use crate::durations::parse_seconds;
use crate::failure::Result;
use crate::output::{Human, details, opt_relative, pairs, relative, table};

/// Grants.
#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    /// List grants.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Make a grant and its token.
    Create(Terms),
    /// End a grant: nobody enrolls by it from now on, enrolled machines stay.
    Revoke(Revoke),
}

/// Which grants to list.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only grants in this state.
    #[arg(long, value_name = "STATE", value_parser = ["live", "spent", "expired", "rotated_out", "revoked"])]
    state: Option<String>,
    /// Which ones, and how many.
    #[command(flatten)]
    filter: Filter,
}

/// A grant to make.
#[derive(Debug, Clone, Args)]
pub(crate) struct Terms {
    /// How often it may be used; 0 for as often as anybody likes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// How long it is good for (15m, 24h, 7d); a day where nothing is said.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    expires: Option<u32>,
    /// A label to stamp on its machines; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// A role to stamp on its machines.
    #[arg(long)]
    role: Option<String>,
    /// Its site's code; the only site where nothing is said.
    #[arg(long, value_name = "CODE")]
    site: Option<String>,
    /// The only kind of machine to admit.
    #[arg(long, value_parser = ["host", "worker", "software_agent"])]
    kind: Option<String>,
    /// A person must approve each of its machines.
    #[arg(long, visible_alias = "approval")]
    approve: bool,
}

/// Which grant to end, and why.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Its identifier (grt_…).
    #[arg(value_name = "GRANT")]
    grant: String,
    /// Why, for the audit log.
    #[arg(long)]
    reason: Option<String>,
}

/// Runs `muster grant`.
pub(crate) async fn run(context: &Context, verb: Grant) -> Result {
    let client = context.client().await?;
    let out = context.out;
    match verb {
        Grant::Ls(args) => {
            let (filter, state, client) = (&args.filter, args.state.as_deref(), &client);
            let page = collect(filter.part.most(), filter.part.cursor.clone(), |cursor, limit| async move {
                client.grants(&filter.query(state, cursor, limit)).await
            });
            out.show(&page.await?)
        }
        Grant::Create(args) => out.show(&client.create_grant(&args.into()).await?),
        Grant::Revoke(args) => out.show(&client.revoke_grant(&args.grant, args.reason).await?),
    }
}

impl From<Terms> for CreateGrant {
    fn from(args: Terms) -> Self {
        Self {
            site: args.site,
            uses: Some(args.uses),
            expires_in: args.expires,
            labels: BTreeMap::from_iter(args.labels),
            role: args.role,
            machine_kind: args.kind,
            approval: args.approve,
        }
    }
}

impl Listed for Shape {
    const EMPTY: &'static str = "No grants yet. Make an invite for one machine:\n\n    muster invite create";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["ID", "KIND", "SITE", "STATE", "USED", "APPROVAL", "EXPIRES", "STAMPS"];
        table(
            header,
            items.iter().map(|grant| {
                [
                    grant.id.clone(),
                    kind(grant),
                    grant.site.clone(),
                    grant.state.clone(),
                    used(grant),
                    yes(grant.approval),
                    opt_relative(now, grant.expires_at),
                    stamps(grant),
                ]
            }),
        )
    }
}

fn kind(grant: &Shape) -> String {
    let more = grant.generation.as_ref().or(grant.machine.as_ref());
    more.map_or_else(|| grant.kind.clone(), |more| format!("{} {more}", grant.kind))
}

fn used(grant: &Shape) -> String {
    match (grant.used, grant.uses) {
        (Some(used), Some(uses)) => format!("{used} of {uses}"),
        (None, Some(uses)) => format!("at most {uses}"),
        (_, None) => "unlimited".to_owned(),
    }
}

fn stamps(grant: &Shape) -> String {
    let role = grant.role.as_ref().map(|role| format!("role={role} ")).unwrap_or_default();
    format!("{role}{}", pairs(&grant.labels)).trim_end().to_owned()
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        details([
            ("id", self.id.clone()),
            ("kind", kind(self)),
            ("site", self.site.clone()),
            ("state", self.state.clone()),
            ("used", used(self)),
            ("approval", yes(self.approval)),
            ("admits", self.machine_kind.clone().unwrap_or_default()),
            ("stamps", stamps(self)),
            ("expires", opt_relative(now, self.expires_at)),
            ("created", relative(now, self.created_at)),
        ])
    }
}

impl Human for CreatedGrant {
    fn human(&self, now: Timestamp) -> String {
        let secrets = details([("token", self.token.clone()), ("invite", self.invite.clone())]);
        let next = super::invite::next_command(&self.invite);
        format!("{}\n{secrets}\n\nShown this once. On the machine:\n\n{next}", self.grant.human(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn the_flags_become_the_requests_fields() {
        let line =
            "muster grant create --uses 5 --expires 7d --label a=b --label c=d --role r --site s --approve";
        let Command::Grant(Grant::Create(args)) =
            Cli::try_parse_from(line.split(' ')).expect("well formed").command
        else {
            panic!("another command")
        };
        let json = serde_json::to_value(CreateGrant::from(args)).expect("the wire's shape");
        let expected = serde_json::json!({"site": "s", "uses": 5, "expires_in": 604_800, "labels": {"a": "b", "c": "d"},
            "role": "r", "approval": true});
        assert_eq!(json, expected);
    }
}
