//! `muster operator`: the people who work here, and what each may do.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::{Client, collect};
use muster_model::OperatorId;
use muster_wire::ListQuery;
use muster_wire::operator::{
    ChangedOperator, CreateOperator, DisableOperator, EditOperator, Operator as Shape, ResetSecondFactor,
};

use super::lists::{Listed, Part};
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, relative, table};

/// So many are looked through for a name: there are never more.
const MOST: usize = 1000;

/// Operators.
#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// List operators.
    #[command(visible_alias = "list")]
    Ls(Part),
    /// Add an operator. It gets in by a link: muster operator link NAME.
    #[command(alias = "create")]
    Add(Add),
    /// Show one operator.
    Show(One),
    /// Change what an operator is called or may do. With the role, its sessions and login links end.
    Edit(Edit),
    /// Let an operator do nothing any more: its sessions, tokens and login links end.
    Disable(Disable),
    /// Let an operator who was disabled in again. What it had stays ended.
    Enable(One),
    /// Take the second factor away of an operator who lost it and all codes. Its sessions and login links end.
    ResetSecondFactor(Disable),
    /// Make a one-time login link by which an operator gets in.
    Link(One),
}

/// An operator to add.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What people call it. No two have the same name, however it is written.
    #[arg(value_name = "NAME")]
    name: String,
    /// What it may do; viewer where nothing is said.
    #[arg(long, value_parser = ["viewer", "operator", "admin"])]
    role: Option<String>,
}

/// Which operator.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its name or identifier (usr_…).
    #[arg(value_name = "OPERATOR")]
    operator: String,
}

/// What to change.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["name", "role"])]
pub(crate) struct Edit {
    /// Its name or identifier (usr_…).
    #[arg(value_name = "OPERATOR")]
    operator: String,
    /// What people call it from now on.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it may do from now on.
    #[arg(long, value_parser = ["viewer", "operator", "admin"])]
    role: Option<String>,
    /// Only tell what would end.
    #[arg(long)]
    dry_run: bool,
}

/// Whose access is to end, or a part of it.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    /// Its name or identifier (usr_…).
    #[arg(value_name = "OPERATOR")]
    operator: String,
    /// Only tell what would end.
    #[arg(long)]
    dry_run: bool,
}

/// Runs `muster operator`.
pub(crate) async fn run(context: &Context, verb: Operator) -> Result {
    let client = context.client().await?;
    let out = context.out;
    match verb {
        Operator::Ls(part) => {
            let (client, most) = (&client, part.most());
            let page = collect(most, part.cursor, |cursor, limit| async move {
                client.operators(&ListQuery { cursor, limit: Some(limit), ..ListQuery::default() }).await
            });
            out.show(&page.await?)
        }
        Operator::Add(Add { name, role }) => {
            out.show(&client.create_operator(&CreateOperator { name, role }).await?)
        }
        Operator::Show(one) => out.show(&client.operator(&resolve(&client, one.operator).await?).await?),
        Operator::Edit(Edit { operator, name, role, dry_run }) => {
            let id = resolve(&client, operator).await?;
            out.show(&client.edit_operator(&id, &EditOperator { name, role, dry_run }).await?)
        }
        Operator::Disable(Disable { operator, dry_run }) => {
            let id = resolve(&client, operator).await?;
            out.show(&client.disable_operator(&id, &DisableOperator { dry_run }).await?)
        }
        Operator::ResetSecondFactor(Disable { operator, dry_run }) => {
            let id = resolve(&client, operator).await?;
            out.show(&client.reset_second_factor(&id, &ResetSecondFactor { dry_run }).await?)
        }
        Operator::Enable(one) => {
            out.show(&client.enable_operator(&resolve(&client, one.operator).await?).await?)
        }
        Operator::Link(one) => out.show(&client.operator_link(&resolve(&client, one.operator).await?).await?),
    }
}

/// The identifier of the operator of this name, as people tell names apart.
async fn resolve(client: &Client, text: String) -> Result<String> {
    if text.parse::<OperatorId>().is_ok() {
        return Ok(text);
    }
    let query = |cursor, limit| ListQuery { cursor, limit: Some(limit), ..ListQuery::default() };
    let all =
        collect(MOST, None, |cursor, limit| async move { client.operators(&query(cursor, limit)).await });
    let folded = muster_model::access::folded(&text);
    let named = all.await?.items.into_iter().find(|one| muster_model::access::folded(&one.name) == folded);
    named.map(|one| one.id).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no operator {text}"))
            .hint("`muster operator ls` lists all of them")
    })
}

impl Listed for Shape {
    const EMPTY: &'static str = "No operators yet. Add one:\n\n    muster operator add NAME --role operator";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["ID", "NAME", "ROLE", "STATE", "CREATED"];
        table(
            header,
            items.iter().map(|one| {
                let created = relative(now, one.created_at);
                [one.id.clone(), one.name.clone(), one.role.clone(), one.state.clone(), created]
            }),
        )
    }
}

impl Human for Shape {
    fn human(&self, now: Timestamp) -> String {
        let disabled = self.disabled_at.map(|at| relative(now, at)).unwrap_or_default();
        details([
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("role", self.role.clone()),
            ("state", self.state.clone()),
            ("created", relative(now, self.created_at)),
            ("disabled", disabled),
            ("password", if self.has_password { "set" } else { "none" }.to_owned()),
            ("second factor", if self.has_second_factor { "asked for" } else { "none" }.to_owned()),
        ])
    }
}

impl Human for ChangedOperator {
    fn human(&self, now: Timestamp) -> String {
        let Self { sessions, tokens, links, .. } = self;
        let verb = if self.dry_run { "Would end" } else { "Ended" };
        let ended = format!("{verb}: sessions {sessions}, API tokens {tokens}, login links {links}.");
        format!("{}\n\n{ended}", self.operator.human(now))
    }
}
