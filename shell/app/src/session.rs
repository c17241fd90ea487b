//! Machines that have no key of their own: they register by an invite, show a short token at each call, and come for the
//! next one by a refresh token.
//!
//! What is issued is a refresh token and, beside it, a session token and a key with its certificate. Of these only the refresh token
//! has a record; the session token names it and counts while it does, and the key is in the answer and nowhere else. All of
//! it is told in the audit log before it leaves.

use muster_issuer::{MadeKey, ServerName, ServingTemplate, SessionClaims};
use muster_lifecycle::enroll::{Facts as EnrollFacts, Outcome as Enrolled};
use muster_lifecycle::refresh::{self, Facts, Outcome, Presented};
use muster_lifecycle::{Context, Plan, Terms, invited};
use muster_model::{
    Credential, CredentialId, CredentialKind, GrantKind, Hold, Machine, MachineId, Object, Refusal, Secret,
    SecretHash, SecretId, SecretKind, TenantId, Verifier,
};
use muster_store::{Decision, Reads, SettleError, Store, StoreError, Unscoped};
use muster_wire::enroll::{EnrollFields, EnrollRequest};
use muster_wire::machine as wire;
use sha2::{Digest, Sha256};

use crate::App;
use crate::caller::{Caller, Origin, Proof};
use crate::certify::serial;
use crate::enroll::{Enroll, Named, Proved, Stepped, parse_evidence};
use crate::error::Error;
use crate::mode::Mode;
use crate::ports::draw;

/// The label by which an operator gives a machine an address that may stand in its certificate.
const ADDRESS: &str = "address";

/// What a machine without a key of its own is given.
#[derive(Debug)]
pub struct Session {
    /// The machine.
    pub machine: wire::Machine,
    /// The session token, a JWT.
    pub token: String,
    /// The refresh token, in the clear.
    pub refresh_token: String,
    /// The key that was made for it, and its certificate.
    pub made: MadeKey,
    /// PEM of the authority that whoever calls the machine shows a certificate of. Machines have none of it.
    pub callers: String,
}

/// What became of a registration.
#[derive(Debug)]
pub enum Registered {
    /// It is in.
    In(Box<Session>),
    /// A person must decide first.
    Held(Box<Hold>),
}

impl<S: Store> App<S> {
    /// A machine registers by its invite. Until it has used what it was given, the same call gives the same refresh token
    /// with everything else made anew: the answer may have been lost.
    ///
    /// # Errors
    /// [`Error::Malformed`], and nothing was spent; what [`invited::decide`] refuses.
    pub async fn register(
        &self,
        invite: &str,
        request: EnrollRequest,
        origin: &Origin,
    ) -> Result<Registered, Error> {
        let fields = EnrollFields::try_from(request)?;
        self.may_change()?;
        let shown = Secret::presented(invite, SecretKind::Enroll);
        let fields = EnrollFields { evidence: muster_wire::enroll::by_token(&shown.reveal()), ..fields };
        let first = self.inner.pepper.derived(SecretKind::Refresh, &shown);
        let claimed = self.claimed(&shown, &fields);
        let enroll = self.invited(fields, claimed, self.refresh_kind(&first), origin).await?;
        let serving = draw!(&*self.inner.ports);
        match self.settle(origin, Register { enroll, serving }).await? {
            Enrolled::Held(hold) => Ok(Registered::Held(hold)),
            Enrolled::Enrolled { machine, credential, .. } => {
                self.beat(machine.tenant, machine.id).await?;
                let session = self.session(&machine, &credential, &first, serving).await?;
                Ok(Registered::In(Box::new(session)))
            }
        }
    }

    /// By what a caller without a key is known again while a person decides: its invite and all that it says of itself. With a
    /// zero byte in it, so that it is no secret that anybody can show in a header.
    fn claimed(&self, shown: &Secret, fields: &EnrollFields) -> Verifier {
        let mut said = Sha256::new().chain_update(shown.reveal());
        for (name, value) in fields.attributes.iter() {
            said = said.chain_update(format!("\0{name}\0{value}"));
        }
        self.inner.pepper.verifier(&said.finalize().into())
    }

    /// The decision about somebody who is to have this credential.
    async fn invited(
        &self,
        fields: EnrollFields,
        claimed: Verifier,
        credential: CredentialKind,
        origin: &Origin,
    ) -> Result<Enroll<S>, Error> {
        let evidence = parse_evidence(&fields)?;
        let Stepped { tenant, claim, shut } = self.claim(&evidence).await?;
        let proved = Proved { tenant, claim, shut, key: None, verifier: Some(claimed), vouched_by: None };
        let mut enroll = self.enrollment(fields, proved, Named::default(), origin);
        enroll.request.credential = credential;
        Ok(enroll)
    }

    /// The next tokens for a refresh token.
    ///
    /// # Errors
    /// What [`refresh::refresh`] refuses; [`Refusal::Revoked`] for a token that was copied.
    pub async fn refresh(&self, shown: &str, origin: &Origin) -> Result<Session, Error> {
        // A token that is not known to an older database may be a good one: nothing is said of it.
        self.may_change()?;
        let secret = Secret::presented(shown, SecretKind::Refresh);
        let known = self.reader().await?.credential_by_secret(secret.id()).await?;
        let Some(known) = known else { return Err(self.unknown_session().await) };
        self.heard_by_refresh(&known, &secret).await?;
        let next = self.inner.pepper.derived(SecretKind::Refresh, &secret);
        let presented = Presented {
            hash: self.inner.pepper.hash(&secret),
            successor: self.refresh_kind(&next),
            id: draw!(&*self.inner.ports),
        };
        let context = Context { tenant: known.tenant, ..self.context(origin) };
        let serving = draw!(&*self.inner.ports);
        let decision = Refresh { shown: secret.id(), presented, serving, context, terms: self.terms() };
        match self.settle(origin, decision).await? {
            Outcome::Refreshed { machine, token } => self.session(&machine, &token, &next, serving).await,
            Outcome::Copied => Err(self.refuse(origin, Refresh::NAME, Refusal::Revoked).await),
        }
    }

    /// A machine that comes for its next token is heard of, where the one that it shows counts but for its pause.
    async fn heard_by_refresh(&self, known: &Credential, shown: &Secret) -> Result<(), Error> {
        let machine = self.reader().await?.machine(known.tenant, known.machine).await?;
        let counts = refresh::counts(Some(known), machine.as_ref(), self.now());
        let is_shown = known.kind.hash() == Some(self.inner.pepper.hash(shown));
        match (counts.err(), machine) {
            (Some(Refusal::MachineSuspended), Some(machine)) if is_shown => {
                self.heard_again(machine).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Somebody showed a credential at a door that did not take it. A refresh token that was copied shows there too.
    pub(crate) async fn shown_elsewhere(&self, secret: &Secret, origin: &Origin) -> Result<(), Error> {
        if secret.kind() != SecretKind::Refresh {
            return Ok(());
        }
        let known = self.reader().await?.credential_by_secret(secret.id()).await?;
        let Some(known) = known else { return Ok(()) };
        let context = Context { tenant: known.tenant, ..self.context(origin) };
        let hash = self.inner.pepper.hash(secret);
        match self.settle_and_follow(ShownElsewhere { shown: secret.id(), hash, context }).await {
            Ok(()) | Err(SettleError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The machine that shows a session token. The first time, that is noted.
    ///
    /// # Errors
    /// [`Refusal::NotAuthenticated`]; [`Refusal::CredentialExpired`] where a refresh gets the next; what
    /// [`refresh::counts`] refuses.
    pub async fn by_session(&self, token: &str, origin: &Origin) -> Result<Caller, Error> {
        let shown = self.named_by(token).ok_or(Refusal::NotAuthenticated { cause: "session_token" })?;
        let Facts { token, mut machine, .. } = shown.facts(&mut self.reader().await?).await?;
        // Its token counts but for the pause.
        if let Err(Refusal::MachineSuspended) = refresh::counts(token.as_ref(), machine.as_ref(), self.now())
            && let Some(paused) = machine.take()
        {
            machine = Some(self.heard_again(paused).await?);
        }
        if machine.is_none() || token.is_none() {
            return Err(self.unknown_session().await);
        }
        let now = self.now();
        let counts = refresh::counts(token.as_ref(), machine.as_ref(), now);
        let expired = matches!(counts, Err(Refusal::CredentialExpired)) || now.as_second() >= shown.exp;
        let machine = match counts {
            // Whoever is told so comes for the next, and gives up where there is none: not while nothing can be changed.
            Ok(_) | Err(Refusal::CredentialExpired) if expired => {
                self.may_change()?;
                return Err(Refusal::CredentialExpired.into());
            }
            Ok(machine) => machine,
            Err(refusal) => return Err(refusal.into()),
        };
        if token.as_ref().is_some_and(refresh::is_unused) {
            let context = Context { tenant: shown.tenant, ..self.context(origin) };
            self.settle(origin, FirstUse { shown, context }).await?;
        }
        Ok(Caller::Machine(crate::MachineCaller {
            right: muster_lifecycle::rotate::Right::Everything,
            nonce: None,
            slot: None,
            tenant: machine.tenant,
            machine: machine.id,
            proof: Proof::Secret(shown.credential),
            expired: false,
            suspended: false,
        }))
    }

    /// Who a token of ours names. Whether it counts is another question.
    fn named_by(&self, token: &str) -> Option<Shown> {
        let claims = self.authority().tokens().verify_session(token, &self.inner.settings.url).ok()?;
        let (tenant, machine) = (claims.tenant.parse().ok()?, claims.host_id.parse().ok()?);
        Some(Shown { tenant, machine, credential: claims.jti.parse().ok()?, exp: claims.exp })
    }

    /// What is said of a token of ours whose record is not there: the database may be older than it.
    async fn unknown_session(&self) -> Error {
        match self.look_again().await {
            Ok(Mode::Restored) => Error::Restored,
            Ok(Mode::Normal | Mode::Stale) => Refusal::NotAuthenticated { cause: "session_unknown" }.into(),
            Err(error) => error.into(),
        }
    }

    /// Another invite for a machine that is still to come, or that comes back and has no key. Earlier ones end.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], [`Refusal::WrongState`].
    pub async fn invite_machine(
        &self,
        id: MachineId,
        expires_in: u32,
        origin: &Origin,
    ) -> Result<(wire::Machine, Secret), Error> {
        let tenant = self.tenant_of(&origin.caller);
        let mut reads = self.reader().await?;
        let machine = reads.machine(tenant, id).await?.ok_or(Refusal::NotFound { what: "machine" })?;
        let site = reads.site(tenant, machine.site).await?;
        drop(reads);
        let secret = self.secret(SecretKind::Enroll, None);
        let new = self.machine_grant(GrantKind::Machine(id), machine.kind, &secret, expires_in);
        let act =
            crate::machine::MachineAct::new(self, id, origin, "machine.invite", move |facts, context| {
                muster_lifecycle::machine::invite(facts, site.clone(), new.clone(), context)
            });
        let (machine, _) = self.settle(origin, act).await?;
        Ok((self.machine_view(tenant, machine.id).await?, secret))
    }

    /// Makes a machine ahead of the real one, with the token that only it can register by.
    ///
    /// # Errors
    /// Those of [`App::create_machine`].
    pub async fn create_invited(
        &self,
        request: wire::CreateMachine,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<(wire::Machine, Secret), Error> {
        let (created, token) = self.create_with_token(request, idempotency_key, origin).await?;
        Ok((created.machine, token))
    }

    /// A machine that names another one. It is told so, and it is written down.
    pub async fn mismatch(&self, origin: &Origin) -> Error {
        self.refuse(origin, "machine.beat", Refusal::IdentityMismatch).await
    }

    /// Everything that goes with a refresh token.
    async fn session(
        &self,
        machine: &Machine,
        token: &Credential,
        secret: &Secret,
        serving: CredentialId,
    ) -> Result<Session, Error> {
        let (now, terms) = (self.now(), self.terms());
        let authority = self.authority();
        let claims = SessionClaims {
            typ: "host".to_owned(),
            host_id: machine.id.to_string(),
            sub: machine.id.to_string(),
            tenant: machine.tenant.to_string(),
            exp: (now + terms.session_life).min(token.not_after).as_second(),
            iat: now.as_second(),
            iss: self.inner.settings.url.clone(),
            jti: token.id.to_string(),
        };
        let template = ServingTemplate {
            serial: serving,
            machine: machine.id,
            address: address(machine),
            now,
            not_after: now + terms.serving_life,
        };
        Ok(Session {
            machine: self.machine_view(machine.tenant, machine.id).await?,
            token: authority.tokens().sign_session(&claims)?,
            refresh_token: secret.reveal(),
            made: authority.make_key(&template)?,
            callers: authority.callers_pem(),
        })
    }

    fn refresh_kind(&self, secret: &Secret) -> CredentialKind {
        CredentialKind::Refresh { secret: secret.id(), hash: self.inner.pepper.hash(secret) }
    }
}

/// The address that an operator gave a machine. What the machine says of itself stands in no certificate.
fn address(machine: &Machine) -> Option<String> {
    let given = machine.labels.get(ADDRESS)?;
    ServerName::try_from(given).is_ok().then(|| given.to_owned())
}

/// By what name the audit log knows the certificate that goes with an answer.
const SERVING: &str = "serving_serial";

struct Register<S> {
    enroll: Enroll<S>,
    /// The serial number of the certificate that goes with the answer.
    serving: CredentialId,
}

impl<S: Store> Decision for Register<S> {
    const NAME: &'static str = "machine.enroll";
    type Facts = (EnrollFacts, Vec<Credential>);
    type Outcome = Enrolled;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let facts = self.enroll.load(reads).await?;
        let open = match &facts.pending {
            Some(machine) => reads.open_credentials(machine.tenant, machine.id).await?,
            None => Vec::new(),
        };
        Ok((facts, open))
    }

    fn decide(&self, (facts, open): Self::Facts) -> Result<Plan<Enrolled>, Refusal> {
        let decided = invited::decide(&self.enroll.request, facts, &open, &self.enroll.fresh);
        if let Some(refusal) = &self.enroll.shut {
            return Err(refusal.clone());
        }
        let plan = decided?;
        let is_in = matches!(plan.outcome(), Enrolled::Enrolled { .. });
        Ok(if is_in { plan.saying(SERVING, serial(self.serving)) } else { plan })
    }
}

struct Refresh {
    shown: SecretId,
    presented: Presented,
    /// The serial number of the certificate that goes with the answer.
    serving: CredentialId,
    context: Context,
    terms: Terms,
}

impl Decision for Refresh {
    const NAME: &'static str = "credential.refresh";
    type Facts = Facts;
    type Outcome = Outcome;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        selected(self.shown, reads).await
    }

    fn decide(&self, facts: Facts) -> Result<Plan<Outcome>, Refusal> {
        let plan = refresh::refresh(facts, &self.presented, &self.context, &self.terms)?;
        let is_given = matches!(plan.outcome(), Outcome::Refreshed { .. });
        Ok(if is_given { plan.saying(SERVING, serial(self.serving)) } else { plan })
    }
}

struct ShownElsewhere {
    shown: SecretId,
    hash: SecretHash,
    context: Context,
}

impl Decision for ShownElsewhere {
    const NAME: &'static str = "credential.shown";
    type Facts = Facts;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        selected(self.shown, reads).await
    }

    fn decide(&self, facts: Facts) -> Result<Plan<()>, Refusal> {
        refresh::shown_elsewhere(&facts, &self.hash, &self.context)
    }
}

/// A session token that we signed.
#[derive(Debug, Clone, Copy)]
struct Shown {
    tenant: TenantId,
    machine: MachineId,
    credential: CredentialId,
    exp: i64,
}

impl Shown {
    async fn facts<R: Reads>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        let token = reads.credential(self.tenant, self.credential).await?;
        let machine = reads.machine(self.tenant, self.machine).await?;
        Ok(Facts { token, machine, open: Vec::new() })
    }
}

struct FirstUse {
    shown: Shown,
    context: Context,
}

impl Decision for FirstUse {
    const NAME: &'static str = "credential.use";
    type Facts = Facts;
    type Outcome = ();

    fn object(&self) -> Object {
        Object::Machine(self.shown.machine)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Facts, StoreError> {
        match reads.credential(self.shown.tenant, self.shown.credential).await? {
            Some(token) => around(token, reads).await,
            None => self.shown.facts(reads).await,
        }
    }

    fn decide(&self, facts: Facts) -> Result<Plan<()>, Refusal> {
        refresh::first_use(&facts, &self.context)
    }
}

/// What must be known of the token that a secret selects.
async fn selected<R: Reads + Unscoped>(shown: SecretId, reads: &mut R) -> Result<Facts, StoreError> {
    match reads.credential_by_secret(shown).await? {
        Some(token) => around(token, reads).await,
        None => Ok(Facts::default()),
    }
}

/// What must be known of a token.
async fn around<R: Reads>(token: Credential, reads: &mut R) -> Result<Facts, StoreError> {
    let machine = reads.machine(token.tenant, token.machine).await?;
    let open = reads.open_credentials(token.tenant, token.machine).await?;
    Ok(Facts { token: Some(token), machine, open })
}
