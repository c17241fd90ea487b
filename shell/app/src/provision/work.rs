//! Carries out what is wanted in other systems: reads what is due, asks the connector, notes what came of it.
//!
//! No transaction stands while another system is asked, and nobody waits for it but whoever has ordered something of the same
//! connector. One replica does this at a time; should a second one do so for a moment, what each comes back with counts for
//! the version that it carried out, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_lifecycle::account::{self, Outcome, Retry};
use muster_lifecycle::{Context, Plan};
use muster_model::{Account, Actor, Delivery, Mishap, MishapKind, Object, Refusal, SignedDuration, Wanted};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::port::{Order, Provisioner, Provisioners};
use crate::App;
use crate::caller::{Caller, Origin};
use crate::error::Error;
use crate::ports::draw;

const JOB: &str = "provision";
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// A round ends well within its lease. What it was doing then is given up, and done again later: it is the same twice.
const WITHIN: Duration = Duration::from_secs(50);
/// A connector bounds each of its calls; this bounds all of an order's together.
const WHOLE: Duration = Duration::from_secs(25);
const BATCH: u32 = 64;
/// So long whoever is told a passphrase waits for it to open something.
const AT_ONCE: Duration = Duration::from_secs(2);
/// So often, and so many times, it is looked whether another replica has carried something out.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 20;
/// So many passphrases of answers that were lost are tried on an account whose maker is unknown.
const EARLIER: u32 = 16;

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Accounts whose other system was brought up to date.
    pub reached: u32,
    /// Accounts for which it was tried in vain.
    pub failed: u32,
}

impl<S: Store> App<S> {
    /// Gives the connectors, once, before any work.
    pub fn provide(&self, provisioners: Provisioners) {
        if self.inner.provisioners.set(provisioners).is_err() {
            tracing::error!("connectors were given twice: the first ones stay");
        }
    }

    pub(crate) fn provisioners(&self) -> &Provisioners {
        self.inner.provisioners.get_or_init(Provisioners::default)
    }

    /// Carries out what is due, if nobody else does so now.
    ///
    /// # Errors
    /// What the store says. What another system says is noted with the account.
    pub async fn provision(&self) -> Result<Round, Error> {
        if self.may_change().is_err() {
            return Ok(Round::default());
        }
        let due = self.reader().await?.due_accounts(self.now(), BATCH).await?;
        // The right is asked for only where there is something to do: nothing is written while all is quiet.
        if due.is_empty() || self.inner.store.lease(JOB, LEASE).await?.is_none() {
            return Ok(Round::default());
        }
        let mut chains = JoinSet::new();
        for chain in chains_of(due) {
            let app = self.clone();
            chains.spawn(async move { app.deliver_all(chain).await });
        }
        let mut round = Round::default();
        match timeout(WITHIN, gather(&mut chains, &mut round)).await {
            Ok(gathered) => gathered.map(|()| round),
            Err(_) => Ok(round),
        }
    }

    /// Has what was just ordered carried out at once, and waits a little for it: whoever is told a passphrase shows it in the
    /// next moment, and clients that are turned away then give up. What takes longer, the job carries out.
    pub(crate) async fn provision_at_once(&self, accounts: &[Account]) {
        let now = self.now();
        let due: Vec<Account> = accounts.iter().filter(|account| account.is_due(now)).cloned().collect();
        if due.is_empty() {
            return;
        }
        let app = self.clone();
        // In a task of its own: what was begun is not broken off.
        let work = tokio::spawn(async move { app.carry_out(due).await });
        if let Ok(Ok(Err(error))) = timeout(AT_ONCE, work).await {
            tracing::warn!(%error, "an account is made later");
        }
    }

    async fn carry_out(&self, ordered: Vec<Account>) -> Result<(), Error> {
        let is_mine = self.inner.store.lease(JOB, LEASE).await?.is_some();
        let due = self.reader().await?.due_accounts(self.now(), BATCH).await?;
        let mut chains = JoinSet::new();
        for account in ordered {
            // One that is to be removed under the same name goes first: the job knows the order.
            let is_alone = !due.iter().any(|other| other.id != account.id && other.is_called_alike(&account));
            let app = self.clone();
            chains.spawn(async move {
                match is_mine && is_alone {
                    true => app.deliver_all(vec![account]).await,
                    false => app.see_done(&account).await.map(|()| Round::default()),
                }
            });
        }
        gather(&mut chains, &mut Round::default()).await
    }

    /// Waits until somebody else has carried something out.
    async fn see_done(&self, account: &Account) -> Result<(), Error> {
        let mut ticks = tokio::time::interval(LOOK);
        for _ in 0..LOOKS {
            ticks.tick().await;
            if self.still_due(account).await?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// The account as it is now, if there is something to do still.
    async fn still_due(&self, account: &Account) -> Result<Option<Account>, Error> {
        let now = self.now();
        let account = self.reader().await?.account(account.tenant, account.id).await?;
        Ok(account.filter(|account| account.is_due(now)))
    }

    /// The accounts of one provisioner, one after the other. One that is not reached is not asked for the others either.
    async fn deliver_all(&self, accounts: Vec<Account>) -> Result<Round, Error> {
        let mut round = Round::default();
        let Some(first) = accounts.first() else { return Ok(round) };
        let turn = self.provisioners().turn(&first.provisioner);
        for account in accounts {
            // Taken anew for each, so that whoever waits for one passphrase is not behind all the others; and not waited for
            // long, so that nothing piles up behind a system that hangs.
            let Ok(_turn) = timeout(AT_ONCE, turn.lock()).await else { break };
            // It may have been done meanwhile, or something newer be wanted.
            let Some(account) = self.still_due(&account).await? else { continue };
            let outcome = self.deliver(&account).await;
            let gone = is_gone(&outcome);
            match &outcome {
                Outcome::Reached { .. } | Outcome::Recognised => round.reached += 1,
                Outcome::Foreign | Outcome::Failed(_) => round.failed += 1,
            }
            self.settle_outcome(&account, outcome).await?;
            if gone {
                break;
            }
        }
        Ok(round)
    }

    async fn deliver(&self, account: &Account) -> Outcome {
        let Some(provisioner) = self.provisioners().get(&account.provisioner) else {
            return Outcome::Failed(Mishap { kind: MishapKind::NotConfigured, text: None });
        };
        let outcome = asked(provisioner, &self.order(account)).await;
        let word = match &outcome {
            Outcome::Reached { .. } => "reached",
            Outcome::Recognised => "recognised",
            Outcome::Foreign => "foreign",
            Outcome::Failed(mishap) => mishap.kind.as_str(),
        };
        metrics::counter!("muster_provision_total", "provisioner" => account.provisioner.to_string(), "outcome" => word)
            .increment(1);
        outcome
    }

    /// What a connector is told.
    pub(crate) fn order(&self, account: &Account) -> Order {
        let pepper = &self.inner.pepper;
        let lost = match account.provenance.is_ours() {
            true => 0,
            false => account.secret.saturating_sub(1).min(EARLIER),
        };
        let earlier = (1..=lost).map(|back| account.passphrase_numbered(pepper, account.secret - back));
        Order {
            account: account.id,
            machine: account.machine,
            name: account.name.clone(),
            wanted: account.wanted,
            version: account.version,
            ours: account.provenance.is_ours(),
            passphrase: account.passphrase(pepper),
            earlier: earlier.collect(),
            nobodys: account.nobodys_passphrase(pepper),
            at: self.now(),
        }
    }

    async fn settle_outcome(&self, account: &Account, outcome: Outcome) -> Result<(), Error> {
        let random = u64::from_be_bytes(self.inner.ports.random());
        let limit = self.provisioners().attempts(&account.provisioner);
        let decision = Settled {
            account: account.clone(),
            outcome,
            retry: Retry { attempts: limit, random },
            context: Context {
                tenant: account.tenant,
                actor: Actor::System,
                source: None,
                now: self.now(),
                entry: draw!(&*self.inner.ports),
            },
        };
        let origin = Origin { caller: Caller::Anonymous, source: None };
        let settled = self.settle(&origin, decision).await?;
        let tried = matches!(&settled.delivery, Delivery::Due { attempts, .. } if *attempts >= limit);
        if tried || matches!(settled.standing(), "conflict" | "dead") {
            tracing::warn!(
                account = %settled.id, provisioner = %settled.provisioner, name = %settled.name,
                standing = settled.standing(), "an account waits for an operator: muster provision ls"
            );
        }
        Ok(())
    }
}

async fn gather(chains: &mut JoinSet<Result<Round, Error>>, round: &mut Round) -> Result<(), Error> {
    while let Some(done) = chains.join_next().await {
        let done = done.map_err(|ended| StoreError::Invariant { what: JOB, cause: Box::new(ended) })??;
        round.reached += done.reached;
        round.failed += done.failed;
    }
    Ok(())
}

/// Asks a connector, which has so long for everything.
async fn asked(provisioner: &Arc<dyn Provisioner>, order: &Order) -> Outcome {
    let late = "it took too long".parse().ok();
    match timeout(WHOLE, provisioner.deliver(order)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failed(Mishap { kind: MishapKind::Unreachable, text: late }),
    }
}

fn is_gone(outcome: &Outcome) -> bool {
    let kind = match outcome {
        Outcome::Failed(mishap) => mishap.kind,
        Outcome::Reached { .. } | Outcome::Recognised | Outcome::Foreign => return false,
    };
    matches!(kind, MishapKind::Unreachable | MishapKind::Unauthorized)
}

/// One chain for each provisioner; of accounts with one name, the one that is to be removed first, and the others in a
/// later round.
fn chains_of(due: Vec<Account>) -> Vec<Vec<Account>> {
    let mut chains: BTreeMap<String, Vec<Account>> = BTreeMap::new();
    let (removed, rest): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|account| account.wanted == Wanted::Removed);
    let mut named = BTreeSet::new();
    for account in removed.into_iter().chain(rest) {
        if named.insert((account.provisioner.to_string(), account.name.folded())) {
            chains.entry(account.provisioner.to_string()).or_default().push(account);
        }
    }
    chains.into_values().collect()
}

struct Settled {
    account: Account,
    outcome: Outcome,
    retry: Retry,
    context: Context,
}

impl Decision for Settled {
    const NAME: &'static str = "account.settle";
    type Facts = Option<Account>;
    type Outcome = Account;

    fn object(&self) -> Object {
        Object::Account(self.account.id)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Account>, StoreError> {
        reads.account(self.account.tenant, self.account.id).await
    }

    fn decide(&self, facts: Option<Account>) -> Result<Plan<Account>, Refusal> {
        account::settled(facts, self.account.version, &self.outcome, self.retry, &self.context)
    }
}
