//! Accounts in other systems: what operators do with them, the port to those systems, and the work.

mod port;
mod work;

use std::collections::BTreeMap;

use muster_lifecycle::account::{self, NewAccount, Rule, Wish};
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered};
use muster_model::{Account, AccountId, MachineId, Object, ProvisionerName, Refusal};
use muster_store::{AccountFilter, Decision, Lists, PageRequest, Reads, Store, StoreError, Unscoped};
use muster_wire::account as wire;
use muster_wire::{ListQuery, Page};

pub use port::{Doing, Found, Order, Provisioner, Provisioners};
pub use work::Round;

use crate::App;
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::ports::draw;

/// Accounts that one call to reconcile looks at.
const LOOKED_AT: u32 = 50;

impl<S: Store> App<S> {
    /// A page of accounts, the newest first.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong filter or cursor.
    pub async fn accounts(&self, query: &ListQuery, origin: &Origin) -> Result<Page<wire::Account>, Error> {
        let standing = query.state.as_deref().map(|state| {
            AccountFilter::standing_named(state).ok_or_else(|| {
                Error::field("state", "is not one of pending, live, locked, removed, conflict, dead")
            })
        });
        let filter = AccountFilter { machine: None, standing: standing.transpose()? };
        let binding = self.binding("accounts", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let listed = self.reader().await?.accounts(self.tenant_of(&origin.caller), &filter, page).await?;
        let items = listed.items.iter().map(wire::Account::from).collect();
        Ok(Page { items, next: listed.next.map(|after| binding.seal(after)) })
    }

    /// One account.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn account(&self, id: AccountId, origin: &Origin) -> Result<wire::Account, Error> {
        let account = self.reader().await?.account(self.tenant_of(&origin.caller), id).await?;
        Ok(wire::Account::from(&account.ok_or(Refusal::NotFound { what: "account" })?))
    }

    /// Makes an account for a machine, and gives its passphrase. Asking again for the same gives the same.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::NameTaken`], [`Refusal::WrongState`]; a wrong field where there is no such
    /// provisioner.
    pub async fn create_account(
        &self,
        machine: MachineId,
        request: wire::CreateAccount,
        origin: &Origin,
    ) -> Result<wire::AccountSecret, Error> {
        let tenant = self.tenant_of(&origin.caller);
        if self.reader().await?.machine(tenant, machine).await?.is_none() {
            return Err(Refusal::NotFound { what: "machine" }.into());
        }
        let fields = wire::CreateAccountFields::try_from(request)?;
        if self.provisioners().get(&fields.provisioner).is_none() {
            return Err(Error::field("provisioner", "is not in the configuration of this server"));
        }
        let id = draw!(&*self.inner.ports);
        let new = NewAccount { id, machine, provisioner: fields.provisioner, name: fields.name };
        let account = self.settle(origin, Create { new, context: self.context(origin) }).await?;
        Ok(self.with_passphrase(&account))
    }

    /// Gives an account a new passphrase.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`] unless it is to be live.
    pub async fn rotate_account(
        &self,
        id: AccountId,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::AccountSecret, Error> {
        let mark = self.mark(origin, idempotency_key, &format!("account.rotate {id}"));
        let act = AccountAct::new(self, id, origin, "account.rotate", account::rotate);
        let account = self.settle(origin, AccountAct { mark, ..act }).await?;
        Ok(self.with_passphrase(&account))
    }

    /// Has what is behind tried again.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn retry_account(&self, id: AccountId, origin: &Origin) -> Result<wire::Account, Error> {
        Ok((&self.act_on(id, origin, "account.retry", account::retry).await?).into())
    }

    /// Says that the account which stands in the way is this machine's.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn adopt_account(&self, id: AccountId, origin: &Origin) -> Result<wire::AccountSecret, Error> {
        let account = self.act_on(id, origin, "account.adopt", account::adopt).await?;
        Ok(self.with_passphrase(&account))
    }

    /// Ends an account for good.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn remove_account(&self, id: AccountId, origin: &Origin) -> Result<wire::Account, Error> {
        Ok((&self.act_on(id, origin, "account.remove", account::remove).await?).into())
    }

    /// Looks at some accounts that should be as they are wanted, and has those that are not brought back; or only tells.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong cursor.
    pub async fn reconcile(
        &self,
        request: &wire::Reconcile,
        origin: &Origin,
    ) -> Result<wire::Reconciled, Error> {
        self.may_change()?;
        let binding = self.binding("reconcile", &ListQuery::default(), origin);
        let page = binding.page(request.cursor.as_deref(), Some(LOOKED_AT))?;
        let listed = self.to_look_at(origin, page).await?;
        let mut answer = wire::Reconciled { dry_run: request.dry_run, ..Default::default() };
        let mut gone = BTreeMap::new();
        for account in &listed.items {
            if let Some(drift) = self.look_into(account, request.dry_run, &mut gone, origin).await? {
                answer.drifted.push(drift);
            }
        }
        answer.looked_at = u32::try_from(listed.items.len()).unwrap_or(u32::MAX);
        answer.next = listed.next.map(|after| binding.seal(after));
        Ok(answer)
    }

    async fn to_look_at(
        &self,
        origin: &Origin,
        page: PageRequest,
    ) -> Result<muster_store::Listed<Account>, Error> {
        let filter = AccountFilter::default();
        let tenant = self.tenant_of(&origin.caller);
        Ok(self.reader().await?.accounts(tenant, &filter, page).await?)
    }

    /// What is not as it is wanted. What is due or waits for an operator is no drift. Who was not reached once is not asked
    /// again for the others.
    async fn look_into(
        &self,
        account: &Account,
        dry_run: bool,
        gone: &mut BTreeMap<ProvisionerName, &'static str>,
        origin: &Origin,
    ) -> Result<Option<wire::Drift>, Error> {
        if !matches!(account.standing(), "live" | "locked") || !account.provenance.is_ours() {
            return Ok(None);
        }
        let Some(provisioner) = self.provisioners().get(&account.provisioner) else { return Ok(None) };
        let found = match gone.get(&account.provisioner) {
            Some(found) => *found,
            None => match provisioner.look(&self.order(account)).await {
                Ok(Found::AsWanted) => return Ok(None),
                Ok(Found::Otherwise(found)) => found,
                Ok(Found::Untold) => "not_told",
                Err(mishap) => {
                    gone.insert(account.provisioner.clone(), mishap.kind.as_str());
                    mishap.kind.as_str()
                }
            },
        };
        let mended = wire::is_mended(found) && !dry_run;
        if mended {
            let seen = account.version;
            self.act_on(account.id, origin, "account.drift", move |account, context| {
                account::drifted(account, seen, context)
            })
            .await?;
        }
        Ok(Some(wire::Drift { account: account.into(), found: found.to_owned(), mended }))
    }

    /// The accounts that a machine may have from now on without anybody ordering them.
    pub(crate) fn wishes(&self) -> Vec<Wish> {
        let wish = |rule: &Rule| Wish { rule: rule.clone(), account: draw!(&*self.inner.ports) };
        self.provisioners().rules().map(wish).collect()
    }

    /// The passphrase that a software agent with these accounts is told, if one of them has a connector.
    pub(crate) fn told_passphrase(&self, accounts: &[Account]) -> Option<String> {
        let of = |name: &ProvisionerName| accounts.iter().find(|account| account.provisioner == *name);
        let account = self.provisioners().names().find_map(of)?;
        Some(account.passphrase(&self.inner.pepper).reveal().to_owned())
    }

    /// The account with its passphrase, which is the same whenever it is asked for.
    fn with_passphrase(&self, account: &Account) -> wire::AccountSecret {
        let passphrase = account.passphrase(&self.inner.pepper).reveal().to_owned();
        wire::AccountSecret { account: account.into(), passphrase }
    }

    async fn act_on<F>(
        &self,
        id: AccountId,
        origin: &Origin,
        action: &'static str,
        decide: F,
    ) -> Result<Account, Error>
    where
        F: Fn(Option<Account>, &Context) -> Result<Plan<Account>, Refusal> + Send + Sync + 'static,
    {
        self.settle(origin, AccountAct::new(self, id, origin, action, decide)).await
    }
}

struct Create {
    new: NewAccount,
    context: Context,
}

impl Decision for Create {
    const NAME: &'static str = "account.create";
    type Facts = (Option<muster_model::Machine>, Option<Account>);
    type Outcome = Account;

    fn object(&self) -> Object {
        Object::Machine(self.new.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let (tenant, new) = (self.context.tenant, &self.new);
        let machine = reads.machine(tenant, new.machine).await?;
        Ok((machine, reads.account_named(tenant, &new.provisioner, &new.name).await?))
    }

    fn decide(&self, (machine, named): Self::Facts) -> Result<Plan<Account>, Refusal> {
        account::create(self.new.clone(), machine.as_ref(), named, &self.context)
    }
}

/// An act on one account, by a plain function of what is known of it.
struct AccountAct<F> {
    action: &'static str,
    account: AccountId,
    /// Of an act that does something anew each time, unless it is recognised as a repetition.
    mark: Option<Mark>,
    context: Context,
    decide: F,
}

impl<F> AccountAct<F>
where
    F: Fn(Option<Account>, &Context) -> Result<Plan<Account>, Refusal> + Send + Sync + 'static,
{
    fn new<S: Store>(
        app: &App<S>,
        account: AccountId,
        origin: &Origin,
        action: &'static str,
        decide: F,
    ) -> Self {
        Self { action, account, mark: None, context: app.context(origin), decide }
    }
}

impl<F> Decision for AccountAct<F>
where
    F: Fn(Option<Account>, &Context) -> Result<Plan<Account>, Refusal> + Send + Sync + 'static,
{
    const NAME: &'static str = "account.act";
    type Facts = (Option<Remembered>, Option<Account>);
    type Outcome = Account;

    fn action(&self) -> &'static str {
        self.action
    }

    fn object(&self) -> Object {
        Object::Account(self.account)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let remembered = recalled(reads, tenant, self.mark.as_ref(), None).await?;
        Ok((remembered, reads.account(tenant, self.account).await?))
    }

    fn decide(&self, (remembered, account): Self::Facts) -> Result<Plan<Account>, Refusal> {
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return account.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "account" });
        }
        let plan = (self.decide)(account, &self.context)?;
        Ok(repeat::remember(plan, self.mark.as_ref(), self.account.to_string(), &self.context))
    }
}
