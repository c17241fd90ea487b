//! `muster provision`: accounts that machines have in other systems.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use muster_client::{Client, collect};
use muster_model::AccountId;
use muster_wire::account::{Account, AccountSecret, CreateAccount, Drift, Reconcile, Reconciled};
use muster_wire::{ListQuery, Page};

use super::lists::{Listed, Part, or_dash};
use super::machine;
use crate::context::Context;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Human, details, relative, table};

/// Accounts in other systems.
#[derive(Debug, Subcommand)]
pub(crate) enum Provision {
    /// List accounts.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show an account.
    Show(Which),
    /// Order an account for a machine.
    Create(Create),
    /// Give an account a new passphrase; the one before ends.
    Rotate(Which),
    /// Have what failed tried again.
    Retry(Retry),
    /// Say that the account which stands in the way is the machine's; it gets a passphrase of ours.
    Adopt(Which),
    /// End an account for good.
    #[command(visible_alias = "rm")]
    Remove(Which),
    /// Look at the other systems, and bring back what is not as it is wanted.
    Reconcile(ReconcileArgs),
}

/// Which accounts to list.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only accounts in this state.
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Option<String>,
    /// How many.
    #[command(flatten)]
    part: Part,
}

const STATES: [&str; 6] = ["pending", "live", "locked", "removed", "conflict", "dead"];

/// Which account.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Its identifier (acc_…) or name.
    #[arg(value_name = "ACCOUNT")]
    account: String,
}

/// An account to order.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Whose: the identifier or name of a machine.
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Who makes it: a provisioner of the configuration.
    #[arg(long, value_name = "PROVISIONER")]
    at: String,
    /// What it is called there; as the machine is called where nothing is said.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// What to try again.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// Its identifier (acc_…) or name.
    #[arg(value_name = "ACCOUNT", required_unless_present = "all")]
    account: Option<String>,
    /// All that are dead.
    #[arg(long, conflicts_with = "account")]
    all: bool,
}

/// How to look.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// Only tell what would change.
    #[arg(long)]
    dry_run: bool,
}

/// Runs `muster provision`.
pub(crate) async fn run(context: &Context, verb: Provision) -> Result {
    let client = context.client().await?;
    let out = context.out;
    match verb {
        Provision::Ls(args) => out.show(&listed(&client, args.state.as_deref(), &args.part).await?),
        Provision::Show(args) => out.show(&client.account(&resolve(&client, args.account).await?).await?),
        Provision::Create(args) => out.show(&create(&client, args).await?),
        Provision::Rotate(args) => {
            out.show(&client.rotate_account(&resolve(&client, args.account).await?).await?)
        }
        Provision::Retry(args) => out.show(&retry(&client, args).await?),
        Provision::Adopt(args) => {
            out.show(&client.adopt_account(&resolve(&client, args.account).await?).await?)
        }
        Provision::Remove(args) => {
            out.show(&client.remove_account(&resolve(&client, args.account).await?).await?)
        }
        Provision::Reconcile(args) => out.show(&reconcile(&client, args.dry_run).await?),
    }
}

async fn listed(client: &Client, state: Option<&str>, part: &Part) -> Result<Page<Account>> {
    let page = collect(part.most(), part.cursor.clone(), |cursor, limit| async move {
        let state = state.map(str::to_owned);
        client.accounts(&ListQuery { cursor, limit: Some(limit), state, ..ListQuery::default() }).await
    });
    Ok(page.await?)
}

const ALL: Part = Part { limit: 1_000_000, cursor: None };

/// The identifier of the account that is meant: itself, or the one account of that name which is not removed.
async fn resolve(client: &Client, text: String) -> Result<String> {
    if text.starts_with(AccountId::PREFIX) && text.parse::<AccountId>().is_ok() {
        return Ok(text);
    }
    let mut named = listed(client, None, &ALL).await?.items;
    named.retain(|account| account.wanted != "removed" && account.name.eq_ignore_ascii_case(&text));
    match named.as_slice() {
        [account] => Ok(account.id.clone()),
        [] => Err(Failure::new(Exit::NotFound, format!("there is no account {text}"))
            .hint("`muster provision ls` lists all of them")),
        several => {
            let ids: Vec<&str> = several.iter().map(|account| account.id.as_str()).collect();
            let text = format!("{} accounts are called {text}", several.len());
            Err(Failure::new(Exit::Conflict, text)
                .hint(format!("name one by its identifier: {}", ids.join(" "))))
        }
    }
}

async fn create(client: &Client, args: Create) -> Result<AccountSecret> {
    let id = machine::resolve(client, args.machine).await?;
    let name = match args.name {
        Some(name) => name,
        None => client.machine(&id).await?.machine.name,
    };
    Ok(client.create_account(&id, &CreateAccount { provisioner: args.at, name }).await?)
}

async fn retry(client: &Client, args: Retry) -> Result<Page<Account>> {
    let ids = match args.account {
        Some(account) => vec![resolve(client, account).await?],
        None => {
            listed(client, Some("dead"), &ALL).await?.items.into_iter().map(|account| account.id).collect()
        }
    };
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        items.push(client.retry_account(&id).await?);
    }
    Ok(Page { items, next: None })
}

/// Every page of it, as one answer.
async fn reconcile(client: &Client, dry_run: bool) -> Result<Reconciled> {
    let mut whole = Reconciled { dry_run, ..Reconciled::default() };
    let mut cursor = None;
    loop {
        let page = client.reconcile(&Reconcile { dry_run, cursor }).await?;
        whole.looked_at += page.looked_at;
        whole.drifted.extend(page.drifted);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(whole);
        }
    }
}

impl Listed for Account {
    const EMPTY: &'static str = "No accounts. Machines have some where a provisioner is configured; or order one:\n\n    muster provision create MACHINE --at PROVISIONER";

    fn table(items: &[Self], now: Timestamp) -> String {
        let header = ["ID", "NAME", "AT", "STATE", "MACHINE", "ERROR", "NEXT TRY", "CREATED"];
        table(
            header,
            items.iter().map(|account| {
                let is_due = account.state == "pending";
                let next = is_due.then(|| relative(now, account.at));
                [
                    account.id.clone(),
                    account.name.clone(),
                    account.provisioner.clone(),
                    account.state.clone(),
                    account.machine.clone(),
                    or_dash(account.error.as_deref()),
                    or_dash(next.as_deref()),
                    relative(now, account.created_at),
                ]
            }),
        )
    }
}

/// The accounts of one machine.
pub(super) fn short_table(accounts: &[Account]) -> String {
    let row = |account: &Account| {
        [account.id.clone(), account.name.clone(), account.provisioner.clone(), account.state.clone()]
    };
    table(["ACCOUNT", "NAME", "AT", "STATE"], accounts.iter().map(row))
}

impl Human for Account {
    fn human(&self, now: Timestamp) -> String {
        let at = if self.state == "pending" { "next try" } else { "since" };
        let facts = details([
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("at", self.provisioner.clone()),
            ("machine", self.machine.clone()),
            ("state", self.state.clone()),
            (at, relative(now, self.at)),
            ("wanted", self.wanted.clone()),
            ("made by", self.provenance.clone()),
            ("version", self.version.to_string()),
            ("attempts", self.attempts.map(|attempts| attempts.to_string()).unwrap_or_default()),
            ("error", self.error.clone().unwrap_or_default()),
            ("said", self.error_text.clone().unwrap_or_default()),
            ("created", relative(now, self.created_at)),
        ]);
        match advice(self) {
            Some(advice) => format!("{facts}\n\n{advice}"),
            None => facts,
        }
    }
}

/// What an operator can do about an account that waits for one.
fn advice(account: &Account) -> Option<String> {
    let id = crate::output::escape(&account.id);
    match account.state.as_str() {
        "conflict" => Some(format!(
            "There is an account of that name which Muster did not make. If it is this machine's:\n\n    muster provision adopt {id}\n\nIf it was renamed or removed there:\n\n    muster provision retry {id}"
        )),
        "dead" => Some(format!("Once the cause is mended:\n\n    muster provision retry {id}")),
        _ => None,
    }
}

impl Human for AccountSecret {
    fn human(&self, now: Timestamp) -> String {
        let secret = details([("passphrase", self.passphrase.clone())]);
        format!("{}\n{secret}\n\nIt works there as soon as the account is live.", self.account.human(now))
    }
}

impl Human for Reconciled {
    fn human(&self, _: Timestamp) -> String {
        let looked_at = format!("{} accounts were looked at", self.looked_at);
        if self.drifted.is_empty() {
            return format!("{looked_at}: all that can be seen is as it is wanted.");
        }
        let row = |drift: &Drift| {
            let done = match (drift.mended, self.dry_run) {
                (true, _) => "being brought back",
                (false, true) if muster_wire::account::is_mended(&drift.found) => "would be brought back",
                (false, _) => "–",
            };
            let account = &drift.account;
            [
                account.id.clone(),
                account.name.clone(),
                account.provisioner.clone(),
                account.state.clone(),
                drift.found.clone(),
                done.to_owned(),
            ]
        };
        let rows = table(["ID", "NAME", "AT", "STATE", "FOUND", "DONE"], self.drifted.iter().map(row));
        format!("{looked_at}; not as they are wanted:\n\n{rows}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(state: &str) -> Account {
        serde_json::from_value(serde_json::json!({
            "id": "acc_1", "machine": "mch_1", "provisioner": "irc", "name": "w-two", "wanted": "live",
            "state": state, "version": 2, "provenance": "unknown", "error": "failed", "error_text": "no\u{1b}[2J",
            "at": "2026-11-01T00:00:00Z", "created_at": "2026-11-01T00:00:00Z",
        }))
        .expect("the wire's shape")
    }

    #[test]
    fn what_waits_for_an_operator_says_what_to_do() {
        let text = |state| account(state).human(Timestamp::UNIX_EPOCH);
        assert!(text("conflict").contains("muster provision adopt acc_1"));
        assert!(text("dead").contains("muster provision retry acc_1"));
        assert!(!text("live").contains("muster provision"));
    }

    #[test]
    fn a_dry_run_tells_what_would_be_brought_back() {
        let drift = |found: &str| Drift { account: account("live"), found: found.to_owned(), mended: false };
        let drifted = vec![drift("passphrase"), drift("unreachable")];
        let found = Reconciled { looked_at: 2, drifted, dry_run: true, next: None };
        let text = found.human(Timestamp::UNIX_EPOCH);
        assert_eq!(text.matches("would be brought back").count(), 1, "{text}");
    }

    #[test]
    fn q_34_another_system_cannot_drive_the_terminal() {
        assert!(!account("dead").human(Timestamp::UNIX_EPOCH).contains('\u{1b}'));
    }
}
