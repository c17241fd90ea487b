//! Passwords: set by whom they let in, and shown at the login.
//!
//! Whatever is wrong with a name and a password costs one run of the hash, the same reads and the same write, and gets one
//! answer. What failed is counted in the database, under a MAC: a restart forgets nothing, and a name that somebody typed
//! is kept nowhere.

use std::net::IpAddr;

use muster_lifecycle::lockout::{Counted, Counter};
use muster_lifecycle::password::{self, Known, Login, Proof, Shown};
use muster_lifecycle::second_factor::Code;
use muster_lifecycle::{Context, Plan};
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, Object, Operator, OperatorId, OperatorRole, Password,
    PasswordHash, Refusal, SecretKind, SignedDuration, TenantId, network,
};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::access as wire;

use crate::App;
use crate::access::{NewToken, name};
use crate::caller::Origin;
use crate::error::Error;
use crate::refusals::count;
use crate::second_factor::codes;

/// What is counted, and under which key.
pub(crate) type Keys = Vec<(Counted, [u8; 32])>;

impl<S: Store> App<S> {
    /// Opens a session for who shows a name and its password; the secret of the session goes into a cookie.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`] alike for whatever is wrong; [`Refusal::CodeNeeded`] where the password is right and nothing
    /// was shown beside it; [`Refusal::SlowDown`].
    pub async fn login_by_password(
        &self,
        request: &wire::PasswordLogin,
        origin: &Origin,
    ) -> Result<(String, SignedDuration), Error> {
        self.may_change()?;
        let tenant = self.inner.tenant;
        let folded = muster_model::folded(request.name.trim());
        let keys = self.keys_of_source(&folded, origin.source);
        self.may_try(tenant, &keys, origin, LoginByPassword::NAME).await?;
        let operators = self.reader().await?.operators(tenant).await?;
        let holder = operators.into_iter().find(|operator| operator.folded() == folded);
        let hash = holder.as_ref().filter(|holder| holder.is_enabled()).and_then(|one| one.password.clone());
        let fits = self.password_fits(Password::shown(&request.password), hash, origin).await?;
        // Who does not know the password is not looked at further.
        let proved = holder.as_ref().filter(|_| fits.is_some());
        let code = self.code(proved, request.code.as_deref());
        // Whoever is nobody is looked for again under an identifier of nobody's, at the same cost.
        let holder = holder.map_or(OperatorId::from_bytes([0; 16]), |holder| holder.id);
        let context = self.context(origin);
        let (secret, session) = self.next_session(holder, &context);
        let keys_of_codes = self.keys_of_codes(holder);
        match self
            .settle(origin, LoginByPassword { fits, code, session, keys, keys_of_codes, context })
            .await?
        {
            Shown::In(_) => Ok((secret, self.inner.settings.session_life)),
            Shown::Failed => {
                let refusal = Refusal::NotAuthenticated { cause: "password" };
                count(&refusal);
                Err(refusal.into())
            }
        }
    }

    /// Sets one's own password. The session that asks goes on under another secret, which goes into a cookie.
    ///
    /// # Errors
    /// [`Error::Malformed`] for one that is no good, and where the present one is needed or wrong; [`Refusal::Forbidden`]
    /// for whatever is no session; [`Refusal::SlowDown`].
    pub async fn set_password(
        &self,
        request: &wire::SetPassword,
        origin: &Origin,
    ) -> Result<(String, SignedDuration), Error> {
        self.may_change()?;
        let (operator, session) = self.own_session(origin, SetPassword::NAME).await?;
        let chosen: Password = request.password.parse().map_err(|wrong| Error::field("password", wrong))?;
        let keys = self.keys_of_account(operator);
        let proof = match &request.present {
            Some(present) => Proof::Present(
                self.present_password(present, operator, &keys, origin, SetPassword::NAME).await?,
            ),
            None => self.by_link(&session)?,
        };
        let turn = self.inner.passwords.turn().await?;
        let hash = self.inner.passwords.hash(turn, chosen, self.inner.ports.random()).await?;
        let hash = hash.parse().map_err(|cause| {
            Error::from(StoreError::Invariant { what: "hash a password", cause: Box::new(cause) })
        })?;
        let context = self.context(origin);
        let (secret, renewed) = self.next_session(operator, &context);
        let set = SetPassword { operator, session: session.id, proof, hash, renewed, keys, context };
        let renewed = self.settle(origin, set).await?;
        Ok((secret, renewed.expires_at.duration_since(self.now())))
    }

    /// Whoever changes something of their own, and the session by which they do. Anything else is refused before any password
    /// is tried: a token is handed to programs, and would be told which one is right.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub(crate) async fn own_session(
        &self,
        origin: &Origin,
        action: &'static str,
    ) -> Result<(OperatorId, AccessToken), Error> {
        let caller = origin.caller.operator()?;
        let shown = match caller.token {
            Some(token) => self.reader().await?.access_token(caller.tenant, token).await?,
            None => None,
        };
        match shown.filter(|token| token.kind == AccessKind::Session) {
            Some(session) => Ok((caller.operator, session)),
            None => Err(self.refuse(origin, action, Refusal::Forbidden { action }).await),
        }
    }

    /// A session that is to be opened, and its secret. What it may do is said where it is decided.
    pub(crate) fn next_session(&self, operator: OperatorId, context: &Context) -> (String, AccessToken) {
        let secret = self.secret(SecretKind::Session, None);
        let (role, life) = (OperatorRole::Viewer, self.inner.settings.session_life);
        let new = NewToken { kind: AccessKind::Session, name: name("browser session"), role, life };
        (secret.reveal(), self.new_token(new, operator, &secret, context))
    }

    /// The hash of the present password, for whoever shows it. Only who has a session can fail at this, so that it is counted
    /// for the account.
    pub(crate) async fn present_password(
        &self,
        present: &str,
        operator: OperatorId,
        keys: &Keys,
        origin: &Origin,
        action: &'static str,
    ) -> Result<PasswordHash, Error> {
        let context = self.context(origin);
        self.may_try(context.tenant, keys, origin, action).await?;
        let holder = self.reader().await?.operator(context.tenant, operator).await?;
        let hash = holder.and_then(|holder| holder.password);
        if let Some(hash) = self.password_fits(Password::shown(present), hash, origin).await? {
            return Ok(hash);
        }
        self.settle(origin, CountFailure { operator, keys: keys.clone(), context }).await?;
        Err(Error::field("present", "is not the present password"))
    }

    fn by_link(&self, session: &AccessToken) -> Result<Proof, Error> {
        match password::is_by_link(session, self.now()) {
            true => Ok(Proof::Link),
            false => {
                let why = "is needed, but for ten minutes after a one-time link: that is the way where it is \
                           forgotten, or where there is none yet";
                Err(Error::field("present", why))
            }
        }
    }

    /// The hash, where the password fits it. Without a hash nothing fits, at the same cost.
    async fn password_fits(
        &self,
        shown: Password,
        hash: Option<PasswordHash>,
        origin: &Origin,
    ) -> Result<Option<PasswordHash>, Error> {
        let pool = &self.inner.passwords;
        let turn = match pool.turn().await {
            Ok(turn) => turn,
            Err(full) => return Err(self.refuse(origin, LoginByPassword::NAME, full).await),
        };
        let fits = pool.fits(turn, shown, hash.as_ref().map(|hash| hash.phc().clone())).await?;
        Ok(hash.filter(|_| fits))
    }

    async fn may_try(
        &self,
        tenant: TenantId,
        keys: &Keys,
        origin: &Origin,
        action: &'static str,
    ) -> Result<(), Error> {
        let counters = counters(&mut self.reader().await?, tenant, keys).await?;
        match password::may_try(&counters, &self.context(origin)) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.refuse(origin, action, refusal).await),
        }
    }

    /// One name from one source, and the source. The server's own host is counted as such, over the socket too.
    fn keys_of_source(&self, folded: &str, source: Option<IpAddr>) -> Keys {
        // Whichever of its own addresses it takes: it has millions.
        let abroad = source.map(|source| source.to_canonical()).filter(|source| !source.is_loopback());
        let text = abroad.map_or_else(|| "host".to_owned(), |source| network(source).to_string());
        let key =
            |what: &[u8], name: &[u8]| self.inner.pepper.mac(&[b"failures", what, text.as_bytes(), name]).0;
        let own = (Counted::Name, key(b"name", folded.as_bytes()));
        let counted = if abroad.is_some() { Counted::Source } else { Counted::Host };
        vec![own, (counted, key(b"source", b""))]
    }

    pub(crate) fn keys_of_account(&self, operator: OperatorId) -> Keys {
        let key = self.inner.pepper.mac(&[b"failures", b"account", operator.as_bytes()]).0;
        vec![(Counted::Account, key)]
    }
}

pub(crate) async fn counters<R: Reads>(
    reads: &mut R,
    tenant: TenantId,
    keys: &Keys,
) -> Result<Vec<Counter>, StoreError> {
    let mut counters = Vec::with_capacity(keys.len());
    for (counted, key) in keys {
        let failures = reads.failures(tenant, key).await?;
        counters.push(Counter { counted: *counted, key: *key, failures });
    }
    Ok(counters)
}

/// What there is of an operator who changes something of its own, by this session.
pub(crate) async fn known_of<R: Reads + Unscoped>(
    reads: &mut R,
    operator: OperatorId,
    session: AccessTokenId,
    keys: &Keys,
    context: &Context,
) -> Result<Known, StoreError> {
    let Context { tenant, now, .. } = *context;
    Ok(Known {
        holder: reads.operator(tenant, operator).await?,
        live: reads.live_access_of(tenant, operator, now).await?,
        session: reads.access_token(tenant, session).await?,
        counters: counters(reads, tenant, keys).await?,
    })
}

struct LoginByPassword {
    fits: Option<PasswordHash>,
    code: Code,
    session: AccessToken,
    keys: Keys,
    keys_of_codes: Keys,
    context: Context,
}

impl Decision for LoginByPassword {
    const NAME: &'static str = "session.open";
    type Facts = (Option<Operator>, Vec<Counter>, Counter);
    type Outcome = Shown;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let holder = reads.operator(tenant, self.session.operator).await?;
        let counted = counters(reads, tenant, &self.keys).await?;
        Ok((holder, counted, codes(reads, &self.keys_of_codes, &self.context).await?))
    }

    fn decide(&self, (holder, counters, codes): Self::Facts) -> Result<Plan<Shown>, Refusal> {
        let Self { fits, code, session, .. } = self;
        let (holder, fits) = (holder.as_ref(), fits.as_ref());
        let shown = Login { holder, fits, code, counters: &counters, codes };
        password::login(&shown, session.clone(), &self.context)
    }
}

struct SetPassword {
    operator: OperatorId,
    session: AccessTokenId,
    proof: Proof,
    hash: PasswordHash,
    renewed: AccessToken,
    keys: Keys,
    context: Context,
}

impl Decision for SetPassword {
    const NAME: &'static str = "password.set";
    type Facts = Known;
    type Outcome = AccessToken;

    fn object(&self) -> Object {
        Object::Operator(self.operator)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Known, StoreError> {
        known_of(reads, self.operator, self.session, &self.keys, &self.context).await
    }

    fn decide(&self, known: Known) -> Result<Plan<AccessToken>, Refusal> {
        password::set(&known, &self.proof, &self.hash, self.renewed.clone(), &self.context)
    }
}

struct CountFailure {
    operator: OperatorId,
    keys: Keys,
    context: Context,
}

impl Decision for CountFailure {
    const NAME: &'static str = "password.refused";
    type Facts = Vec<Counter>;
    type Outcome = ();

    fn object(&self) -> Object {
        Object::Operator(self.operator)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Vec<Counter>, StoreError> {
        counters(reads, self.context.tenant, &self.keys).await
    }

    fn decide(&self, counters: Vec<Counter>) -> Result<Plan<()>, Refusal> {
        password::may_try(&counters, &self.context)?;
        Ok(password::failed(Self::NAME, "password_wrong", self.object(), &counters, &self.context))
    }
}
