//! Operators: made, changed, disabled, and let in by a link.

use muster_lifecycle::operator::{self, Changed, Edit, Live};
use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered};
use muster_model::second_factor::SecondFactor;
use muster_model::{AccessKind, Object, Operator, OperatorId, OperatorRole, Refusal, SecretKind};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::operator as wire;
use muster_wire::{ListQuery, Page};

use crate::App;
use crate::access::{CreateToken, NewToken, name};
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::ports::draw;

impl<S: Store> App<S> {
    /// Makes an operator.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NameTaken`], [`Refusal::IdempotencyMismatch`], [`Refusal::Forbidden`] for a confined
    /// token, here as below.
    pub async fn create_operator(
        &self,
        request: wire::CreateOperator,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<wire::Operator, Error> {
        self.unconfined(origin, CreateOperator::NAME).await?;
        let mark = self.mark(origin, idempotency_key, &format!("operator.create {request:?}"));
        let wire::CreateOperatorFields { name, role } = request.try_into()?;
        let context = self.context(origin);
        let (id, tenant) = (draw!(&*self.inner.ports), context.tenant);
        let operator = Operator {
            id,
            tenant,
            name,
            role,
            created_at: context.now,
            disabled_at: None,
            password: None,
            second: None,
        };
        let made = self.settle(origin, CreateOperator { operator, mark, context }).await?;
        Ok(view(&made))
    }

    /// A page of operators, the newest first.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong cursor.
    pub async fn operators(&self, query: &ListQuery, origin: &Origin) -> Result<Page<wire::Operator>, Error> {
        let binding = self.binding("operators", query, origin);
        let page = binding.page(query.cursor.as_deref(), query.limit)?;
        let is_enabled = query.state.as_deref().map(standing).transpose()?;
        let word = query.search.as_deref().map(str::to_lowercase);
        if query.site.is_some() {
            return Err(Error::field("site", "is not for operators: they are of no site"));
        }
        // There are few: a page is cut from all of them.
        let all = self.reader().await?.operators(self.tenant_of(&origin.caller)).await?;
        let is_on = |one: &&Operator| {
            page.after.is_none_or(|after| *one.id.as_bytes() < after)
                && is_enabled.is_none_or(|wanted| one.is_enabled() == wanted)
                && word.as_ref().is_none_or(|word| one.name.as_str().to_lowercase().contains(word))
        };
        let mut rest = all.iter().rev().filter(is_on).peekable();
        let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let shown: Vec<&Operator> = rest.by_ref().take(most).collect();
        let last = shown.last().filter(|_| rest.peek().is_some());
        let next = last.map(|last| binding.seal(*last.id.as_bytes()));
        Ok(Page { items: shown.into_iter().map(view).collect(), next })
    }

    /// One operator.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn operator(&self, id: OperatorId, origin: &Origin) -> Result<wire::Operator, Error> {
        let found = self.reader().await?.operator(self.tenant_of(&origin.caller), id).await?;
        Ok(view(&found.ok_or(Refusal::NotFound { what: "operator" })?))
    }

    /// Changes the name and the role of an operator.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Refusal::NotFound`], [`Refusal::NameTaken`], [`Refusal::LastAdmin`].
    pub async fn edit_operator(
        &self,
        id: OperatorId,
        request: wire::EditOperator,
        origin: &Origin,
    ) -> Result<wire::ChangedOperator, Error> {
        let wire::EditOperatorFields { name, role, dry_run } = request.try_into()?;
        let act = Act::Edit(Edit { name, role });
        self.change_operator(id, act, dry_run, origin).await
    }

    /// Disables an operator, and ends what it has.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::LastAdmin`].
    pub async fn disable_operator(
        &self,
        id: OperatorId,
        request: &wire::DisableOperator,
        origin: &Origin,
    ) -> Result<wire::ChangedOperator, Error> {
        self.change_operator(id, Act::Disable, request.dry_run, origin).await
    }

    /// Enables an operator again. What it had stays ended.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub async fn enable_operator(
        &self,
        id: OperatorId,
        origin: &Origin,
    ) -> Result<wire::ChangedOperator, Error> {
        self.change_operator(id, Act::Enable, false, origin).await
    }

    /// Takes an operator's second factor away, for whoever lost it and all their codes.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]; [`Refusal::Forbidden`] for one's own, but on the server's own host: that takes password and code.
    pub async fn reset_second_factor(
        &self,
        id: OperatorId,
        request: &wire::ResetSecondFactor,
        origin: &Origin,
    ) -> Result<wire::ChangedOperator, Error> {
        let caller = origin.caller.operator()?;
        if !caller.local && caller.operator == id {
            let action = ResetSecondFactor::NAME;
            return Err(self.refuse(origin, action, Refusal::Forbidden { action }).await);
        }
        self.change_operator(id, Act::ResetSecondFactor, request.dry_run, origin).await
    }

    async fn change_operator(
        &self,
        id: OperatorId,
        act: Act,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<wire::ChangedOperator, Error> {
        self.unconfined(origin, act.name()).await?;
        let context = self.context(origin);
        let changed = match act {
            Act::Edit(edit) => {
                self.settle_or_rehearse(EditOperator(Change { id, act: edit, context }), dry_run, origin)
                    .await
            }
            Act::Disable => {
                self.settle_or_rehearse(DisableOperator(Change { id, act: (), context }), dry_run, origin)
                    .await
            }
            Act::ResetSecondFactor => {
                self.settle_or_rehearse(ResetSecondFactor(Change { id, act: (), context }), dry_run, origin)
                    .await
            }
            Act::Enable => {
                self.settle_or_rehearse(EnableOperator(Change { id, act: (), context }), dry_run, origin)
                    .await
            }
        }?;
        Ok(wire::ChangedOperator {
            operator: view(&changed.operator),
            sessions: changed.ended.sessions,
            tokens: changed.ended.tokens,
            links: changed.ended.links,
            dry_run,
        })
    }

    async fn settle_or_rehearse<D: Decision>(
        &self,
        decision: D,
        dry_run: bool,
        origin: &Origin,
    ) -> Result<D::Outcome, Error> {
        if dry_run { self.rehearse(&decision).await } else { self.settle(origin, decision).await }
    }

    /// Makes a one-time login link by which an operator gets in.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] for one's own, but on the server's own host: it would outlive what its maker has shown; and
    /// for a token that is confined. [`Refusal::NotFound`], [`Refusal::WrongState`] for one who is disabled.
    pub async fn operator_link(&self, id: OperatorId, origin: &Origin) -> Result<String, Error> {
        const ACT: &str = "login_link.create";
        self.unconfined(origin, ACT).await?;
        let maker = origin.caller.operator()?;
        if !maker.local && maker.operator == id {
            return Err(self.refuse(origin, ACT, Refusal::Forbidden { action: ACT }).await);
        }
        let role = maker.role;
        self.link(id, role, origin).await
    }

    /// Whether nothing confines the caller. What is confined is handed to programs: people that it let in, and tokens that
    /// are not confined, would outlive it and do more.
    pub(crate) async fn unconfined(&self, origin: &Origin, action: &'static str) -> Result<(), Error> {
        match origin.caller.operator()?.scope {
            None => Ok(()),
            Some(_) => Err(self.refuse(origin, action, Refusal::Forbidden { action }).await),
        }
    }

    pub(crate) async fn link(
        &self,
        operator: OperatorId,
        role: OperatorRole,
        origin: &Origin,
    ) -> Result<String, Error> {
        let context = self.context(origin);
        let secret = self.secret(SecretKind::Login, None);
        let life = self.inner.settings.login_life;
        let new = NewToken { kind: AccessKind::Login, name: name("login link"), role, life };
        let token = self.new_token(new, operator, &secret, &context);
        self.settle(origin, CreateToken { token, maker: role, mark: None, context }).await?;
        Ok(format!("{}/login#{}", self.inner.settings.url, secret.reveal()))
    }

    /// As whom somebody on the server's own host makes tokens: whoever the server took for its admin may be disabled since.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn acting(&self, origin: &Origin) -> Result<OperatorId, Error> {
        let caller = origin.caller.operator()?;
        if !caller.local {
            return Ok(caller.operator);
        }
        let all = self.reader().await?.operators(caller.tenant).await?;
        let administers = |one: &&Operator| one.is_enabled() && one.role == OperatorRole::Admin;
        let mut admins = all.iter().filter(administers).map(|one| one.id);
        let first = admins.next().unwrap_or(caller.operator);
        let is_still = first == caller.operator || admins.any(|id| id == caller.operator);
        Ok(if is_still { caller.operator } else { first })
    }
}

/// Whether those are meant who are enabled.
fn standing(state: &str) -> Result<bool, Error> {
    match state {
        "enabled" => Ok(true),
        "disabled" => Ok(false),
        _ => Err(Error::field("state", "is not one of enabled, disabled")),
    }
}

fn view(operator: &Operator) -> wire::Operator {
    wire::Operator {
        id: operator.id.to_string(),
        name: operator.name.to_string(),
        role: operator.role.as_str().to_owned(),
        state: if operator.is_enabled() { "enabled" } else { "disabled" }.to_owned(),
        created_at: operator.created_at,
        disabled_at: operator.disabled_at,
        has_password: operator.password.is_some(),
        has_second_factor: operator.second.as_ref().is_some_and(SecondFactor::is_confirmed),
    }
}

struct CreateOperator {
    operator: Operator,
    mark: Option<Mark>,
    context: Context,
}

impl Decision for CreateOperator {
    const NAME: &'static str = "operator.create";
    type Facts = (Option<Remembered>, Vec<Operator>);
    type Outcome = Operator;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let remembered = recalled(reads, tenant, self.mark.as_ref(), None).await?;
        Ok((remembered, reads.operators(tenant).await?))
    }

    fn decide(&self, (remembered, operators): Self::Facts) -> Result<Plan<Operator>, Refusal> {
        if let Some(earlier) = repeat::earlier(self.mark.as_ref(), remembered.as_ref())? {
            let made = operators.into_iter().find(|operator| operator.id.to_string() == *earlier);
            return made.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "operator" });
        }
        let plan = operator::create(self.operator.clone(), &operators, &self.context)?;
        Ok(repeat::remember(plan, self.mark.as_ref(), self.operator.id.to_string(), &self.context))
    }
}

/// What is done to an operator.
enum Act {
    Edit(Edit),
    Disable,
    Enable,
    ResetSecondFactor,
}

impl Act {
    fn name(&self) -> &'static str {
        match self {
            Self::Edit(_) => EditOperator::NAME,
            Self::Disable => DisableOperator::NAME,
            Self::Enable => EnableOperator::NAME,
            Self::ResetSecondFactor => ResetSecondFactor::NAME,
        }
    }
}

struct Change<A> {
    id: OperatorId,
    act: A,
    context: Context,
}

struct EditOperator(Change<Edit>);
struct DisableOperator(Change<()>);
struct EnableOperator(Change<()>);
struct ResetSecondFactor(Change<()>);

impl<A: Sync> Change<A> {
    /// Who there is, and what this one has that is good for something.
    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Known, StoreError> {
        let tenant = self.context.tenant;
        let operators = reads.operators(tenant).await?;
        let live = reads.live_access_of(tenant, self.id, self.context.now).await?;
        Ok((operators, live))
    }
}

type Known = (Vec<Operator>, Live);

macro_rules! changes {
    ($($decision:ident, $name:literal, |$own:ident, $operators:ident, $live:ident| $decide:expr;)+) => {$(
        impl Decision for $decision {
            const NAME: &'static str = $name;
            type Facts = Known;
            type Outcome = Changed;

            fn object(&self) -> Object {
                Object::Operator(self.0.id)
            }

            async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Known, StoreError> {
                self.0.load(reads).await
            }

            fn decide(&self, ($operators, $live): Known) -> Result<Plan<Changed>, Refusal> {
                let $own = &self.0;
                $decide
            }
        }
    )+};
}

changes! {
    EditOperator, "operator.edit", |own, operators, live|
        operator::edit(own.id, &own.act, &operators, live, &own.context);
    DisableOperator, "operator.disable", |own, operators, live|
        operator::disable(own.id, &operators, live, &own.context);
    EnableOperator, "operator.enable", |own, operators, live|
        operator::enable(own.id, &operators, live, &own.context);
    ResetSecondFactor, "operator.reset_second_factor", |own, operators, live|
        operator::reset_second_factor(own.id, &operators, live, &own.context);
}
