//! Accounts in other systems: what is wanted there follows the machine, and what came of it is noted by version.
//!
//! Nothing here talks to another system. Each act changes what is wanted, under a higher version; whoever carries it out
//! comes back with the version that it carried out ([`settled`]). An account that Muster did not make is never due: an
//! operator adopts it, or has the making of it tried again.

use muster_model::{
    Account, AccountId, AccountName, Delivery, Machine, MachineId, MachineState, Mishap, MishapKind, Object,
    Provenance, ProvisionerName, Refusal, SignedDuration, SuspendCause, Suspended, Timestamp, Wanted,
};

use crate::plan::{AccountChange, Change, Context, Plan};

mod auto;

pub use auto::{Candidate, Rule, Wish};
pub(crate) use auto::{of_agent, on_admission};

/// The longest wait between two tries.
const LONGEST: i64 = 300_000;

/// An account to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Its identifier.
    pub id: AccountId,
    /// Whose it will be.
    pub machine: MachineId,
    /// Who makes it.
    pub provisioner: ProvisionerName,
    /// What it will be called.
    pub name: AccountName,
}

/// What became of the one delivery of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What is wanted is there.
    Reached {
        /// Whether there is an account that is ours; nothing may be there where none was wanted.
        ours: bool,
    },
    /// The account that is there is ours, which was not known; what is wanted is not there yet. It is noted before what could
    /// not be recognised afterwards is done.
    Recognised,
    /// There is an account of that name which is not ours. It was not touched.
    Foreign,
    /// It was not reached, and what the other system did is perhaps unknown.
    Failed(Mishap),
}

/// How a try that failed is repeated.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// After so many tries in vain nobody tries any more.
    pub attempts: u32,
    /// Drawn beforehand, for the length of the wait.
    pub random: u64,
}

/// The account of a machine that is there.
///
/// # Errors
/// [`Refusal::WrongState`] for a machine that is pending or retired.
pub fn made(new: NewAccount, machine: &Machine, context: &Context) -> Result<Account, Refusal> {
    match &machine.state {
        MachineState::Active(_) | MachineState::Suspended(_) => {}
        MachineState::Pending(_) | MachineState::Retired(_) => {
            return Err(Refusal::WrongState { verb: "provision", state: machine.state.as_str() });
        }
    }
    Ok(Account {
        id: new.id,
        tenant: context.tenant,
        machine: machine.id,
        provisioner: new.provisioner,
        name: new.name,
        wanted: wanted_for(&machine.state),
        version: 1,
        secret: 1,
        provenance: Provenance::Unknown,
        delivery: due(context.now),
        created_at: context.now,
    })
}

/// Makes an account for a machine. Asking again for the same gives the same.
///
/// # Errors
/// [`Refusal::NotFound`] for the machine, [`Refusal::NameTaken`] where another account has the name,
/// [`Refusal::WrongState`] for a machine that is pending or retired.
pub fn create(
    new: NewAccount,
    machine: Option<&Machine>,
    named: Option<Account>,
    context: &Context,
) -> Result<Plan<Account>, Refusal> {
    let machine = machine.ok_or(Refusal::NotFound { what: "machine" })?;
    match named {
        Some(account) if account.machine == machine.id => return Ok(Plan::unchanged(account)),
        Some(_) => return Err(Refusal::NameTaken { what: "account" }),
        None => {}
    }
    let account = made(new, machine, context)?;
    let mut entry = context.entry("account.create", Object::Account(account.id), account.wanted.as_str());
    entry.detail = described(&account);
    Ok(Plan::new(account.clone(), vec![AccountChange::Create(account).into()], entry))
}

/// What a machine's accounts become when the machine moves to this state. Where its credentials end, so do the
/// passphrases: whoever held one must not get in with it when the machine is let in again.
pub fn follow(
    accounts: &[Account],
    state: &MachineState,
    credentials_end: bool,
    now: Timestamp,
) -> Vec<Change> {
    moved(accounts, state, credentials_end, now).into_iter().map(Change::from).collect()
}

/// The accounts of a machine in this state, each under a new passphrase.
pub(crate) fn turned(accounts: &[Account], state: &MachineState, now: Timestamp) -> Vec<AccountChange> {
    moved(accounts, state, true, now)
}

fn moved(
    accounts: &[Account],
    state: &MachineState,
    credentials_end: bool,
    now: Timestamp,
) -> Vec<AccountChange> {
    let wanted = wanted_for(state);
    let change = |account: &Account| {
        let stays = account.wanted == wanted && !credentials_end;
        if account.wanted == Wanted::Removed || stays {
            return None;
        }
        let secret = account.secret + u32::from(credentials_end);
        Some(AccountChange::Update(again(Account { wanted, secret, ..account.clone() }, now)))
    };
    accounts.iter().filter_map(change).collect()
}

/// Whether this state of a machine is one that ended its credentials. An end for silence did not: it can be undone.
pub(crate) fn ends_passphrases(state: &MachineState) -> bool {
    match state {
        MachineState::Retired(_) => state.undone_until().is_none(),
        MachineState::Suspended(Suspended { cause, .. }) => matches!(cause, SuspendCause::Revoked(_)),
        MachineState::Pending(_) | MachineState::Active(_) => false,
    }
}

/// The account whose passphrase a software agent is told: the first one in this order of provisioners.
///
/// # Errors
/// [`Refusal::AccountForeign`] where somebody else's account stands in its way: its passphrase would open nothing.
pub(crate) fn shown<'a>(
    accounts: &'a [Account],
    order: &[ProvisionerName],
) -> Result<Option<&'a Account>, Refusal> {
    let of = |name: &ProvisionerName| {
        accounts.iter().find(|account| account.provisioner == *name && account.wanted != Wanted::Removed)
    };
    match order.iter().find_map(of) {
        Some(Account { delivery: Delivery::Conflict { .. }, .. }) => Err(Refusal::AccountForeign),
        shown => Ok(shown),
    }
}

/// Gives an account a new passphrase; the one before ends.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::WrongState`] unless it is to be live.
pub fn rotate(account: Option<Account>, context: &Context) -> Result<Plan<Account>, Refusal> {
    let account = found(account)?;
    if account.wanted != Wanted::Live {
        return Err(Refusal::WrongState { verb: "rotate", state: account.wanted.as_str() });
    }
    let secret = account.secret + 1;
    Ok(told(again(Account { secret, ..account }, context.now), "account.rotate", "rotated", context))
}

/// Ends an account for good. Its name is free from then on, though the other system may keep it.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn remove(account: Option<Account>, context: &Context) -> Result<Plan<Account>, Refusal> {
    let account = found(account)?;
    if account.wanted == Wanted::Removed {
        return Ok(Plan::unchanged(account));
    }
    let foreign = matches!(account.delivery, Delivery::Conflict { .. });
    let mut account = again(Account { wanted: Wanted::Removed, ..account }, context.now);
    if foreign {
        // What stands there is not ours: there is nothing to do.
        account.delivery = Delivery::Done { at: context.now };
    }
    Ok(told(account, "account.remove", "removed", context))
}

/// Says that the account which stands in the way is this machine's. It gets the passphrase that Muster knows.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::WrongState`] unless there is a conflict.
pub fn adopt(account: Option<Account>, context: &Context) -> Result<Plan<Account>, Refusal> {
    let account = found(account)?;
    match account.delivery {
        Delivery::Conflict { .. } => {}
        _ if account.provenance == Provenance::Adopted => return Ok(Plan::unchanged(account)),
        _ => return Err(Refusal::WrongState { verb: "adopt", state: account.standing() }),
    }
    let account = Account {
        provenance: Provenance::Adopted,
        version: account.version + 1,
        delivery: due(context.now),
        ..account
    };
    Ok(told(account, "account.adopt", "adopted", context))
}

/// Has what is behind tried again, from the beginning. Of an account in conflict it is the making: nothing of another's is
/// changed by that.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::WrongState`] where nothing is behind.
pub fn retry(account: Option<Account>, context: &Context) -> Result<Plan<Account>, Refusal> {
    let account = found(account)?;
    match &account.delivery {
        Delivery::Done { .. } => Err(Refusal::WrongState { verb: "retry", state: account.standing() }),
        Delivery::Due { .. } | Delivery::Conflict { .. } | Delivery::Dead { .. } => {
            let account = Account { delivery: due(context.now), ..account };
            Ok(told(account, "account.retry", "retried", context))
        }
    }
}

/// The other system was looked at, and is not as it was left: it is brought back to what is wanted.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn drifted(account: Option<Account>, seen: u32, context: &Context) -> Result<Plan<Account>, Refusal> {
    let account = found(account)?;
    if account.version != seen || !matches!(account.delivery, Delivery::Done { .. }) {
        return Ok(Plan::unchanged(account));
    }
    let account = Account { delivery: due(context.now), ..account };
    Ok(told(account, "account.drift", "found_otherwise", context))
}

/// Somebody tried to bring the other system to a version, and this came of it.
///
/// What came of an older version counts for nothing, but for whose the account is. Where a newer one was reached meanwhile,
/// that is done once more: whoever comes late may have undone it.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn settled(
    account: Option<Account>,
    version: u32,
    outcome: &Outcome,
    retry: Retry,
    context: &Context,
) -> Result<Plan<Account>, Refusal> {
    let account = found(account)?;
    let provenance = match outcome {
        Outcome::Reached { ours: true } | Outcome::Recognised
            if account.provenance == Provenance::Unknown =>
        {
            Provenance::Made
        }
        Outcome::Reached { .. } | Outcome::Recognised | Outcome::Foreign | Outcome::Failed(_) => {
            account.provenance
        }
    };
    let learned = provenance != account.provenance;
    let account = Account { provenance, ..account };
    if account.version != version {
        return Ok(late(account, learned, context));
    }
    let now = context.now;
    match (outcome, &account.delivery) {
        (Outcome::Reached { .. }, Delivery::Done { .. }) if !learned => Ok(Plan::unchanged(account)),
        (Outcome::Reached { .. }, _) => {
            let reason = account.wanted.as_str();
            let account = Account { delivery: Delivery::Done { at: now }, ..account };
            Ok(told(account, "account.deliver", reason, context))
        }
        (Outcome::Recognised, _) if learned => {
            let account = Account { delivery: due(now), ..account };
            Ok(told(account, "account.recognise", "ours", context))
        }
        (_, Delivery::Done { .. } | Delivery::Conflict { .. } | Delivery::Dead { .. }) => {
            Ok(Plan::unchanged(account))
        }
        (Outcome::Recognised, Delivery::Due { attempts, .. }) => {
            let mishap = Mishap { kind: MishapKind::Failed, text: None };
            Ok(failed(account.clone(), attempts.saturating_add(1), mishap, retry, context))
        }
        (Outcome::Foreign, Delivery::Due { attempts, .. }) if provenance.is_ours() => {
            let attempts = attempts.saturating_add(1);
            let mishap =
                Mishap { kind: MishapKind::Failed, text: "there is another account now".parse().ok() };
            Ok(failed(account, attempts, mishap, retry, context))
        }
        (Outcome::Foreign, Delivery::Due { .. }) => {
            let account = Account { delivery: Delivery::Conflict { at: now }, ..account };
            Ok(told(account, "account.conflict", "not_ours", context))
        }
        (Outcome::Failed(mishap), Delivery::Due { attempts, .. }) => {
            let attempts = attempts.saturating_add(1);
            Ok(failed(account, attempts, mishap.clone(), retry, context))
        }
    }
}

fn late(account: Account, learned: bool, context: &Context) -> Plan<Account> {
    let is_done = matches!(account.delivery, Delivery::Done { .. });
    let delivery = if is_done { due(context.now) } else { account.delivery.clone() };
    match is_done || learned {
        true => told(Account { delivery, ..account }, "account.late", "overtaken", context),
        false => Plan::unchanged(account),
    }
}

fn failed(account: Account, attempts: u32, mishap: Mishap, retry: Retry, context: &Context) -> Plan<Account> {
    let (kind, said) = (mishap.kind, mishap.text.clone());
    // What is to be locked is still open there, so that is tried for as long as it takes; and a replica that knows nothing of a
    // provisioner must not end the orders for the others that do.
    let goes_on = account.wanted != Wanted::Live || kind == MishapKind::NotConfigured;
    let gives_up = kind == MishapKind::Refused || (attempts >= retry.attempts && !goes_on);
    let (action, delivery) = match gives_up {
        true => ("account.dead", Delivery::Dead { at: context.now, attempts, last: mishap }),
        false => {
            let at = context.now + backoff(attempts, retry.random);
            ("account.fail", Delivery::Due { at, attempts, last: Some(mishap) })
        }
    };
    let account = Account { delivery, ..account };
    let mut entry = context.entry(action, Object::Account(account.id), kind.as_str());
    entry.detail = described(&account);
    entry.detail.push(("attempts", attempts.to_string()));
    entry.detail.extend(said.map(|said| ("said", said.to_string())));
    Plan::new(account.clone(), vec![AccountChange::Update(account).into()], entry)
}

/// How long to wait after so many tries in vain: full jitter, a second at the least, five minutes at the most.
pub fn backoff(attempts: u32, random: u64) -> SignedDuration {
    let cap = 1_000_i64.checked_shl(attempts.min(16)).unwrap_or(LONGEST).min(LONGEST);
    let spread = u64::try_from(cap - 1_000).unwrap_or(0) + 1;
    let drawn = i64::try_from(random % spread).unwrap_or(0);
    SignedDuration::from_millis(1_000 + drawn)
}

/// What a machine in this state is to have.
fn wanted_for(state: &MachineState) -> Wanted {
    match state {
        MachineState::Active(_) => Wanted::Live,
        MachineState::Pending(_) | MachineState::Suspended(_) | MachineState::Retired(_) => Wanted::Locked,
    }
}

/// The same under the next version. What was found to be another's stays untouched.
fn again(account: Account, now: Timestamp) -> Account {
    let delivery = match account.delivery {
        Delivery::Conflict { at } => Delivery::Conflict { at },
        Delivery::Due { .. } | Delivery::Done { .. } | Delivery::Dead { .. } => due(now),
    };
    Account { version: account.version + 1, delivery, ..account }
}

fn due(now: Timestamp) -> Delivery {
    Delivery::Due { at: now, attempts: 0, last: None }
}

fn found(account: Option<Account>) -> Result<Account, Refusal> {
    account.ok_or(Refusal::NotFound { what: "account" })
}

fn told(account: Account, action: &'static str, reason: &'static str, context: &Context) -> Plan<Account> {
    let mut entry = context.entry(action, Object::Account(account.id), reason);
    entry.detail = described(&account);
    Plan::new(account.clone(), vec![AccountChange::Update(account).into()], entry)
}

fn described(account: &Account) -> Vec<(&'static str, String)> {
    vec![
        ("machine", account.machine.to_string()),
        ("provisioner", account.provisioner.to_string()),
        ("name", account.name.to_string()),
        ("version", account.version.to_string()),
    ]
}

#[cfg(test)]
mod tests;
