//! Short JWTs that a machine shows to others, verifiable by anybody through our JWKS.

use muster_issuer::MachineClaims;
use muster_lifecycle::{Context, Plan, machine};
use muster_model::{Machine, MachineState, Object, Refusal, SignedDuration, Timestamp};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::enroll::{MachineToken, TokenRequest};

use crate::App;
use crate::caller::{MachineCaller, Origin};
use crate::error::Error;
use crate::ports::draw;

const LIVES: std::ops::RangeInclusive<u32> = 60..=3600;
const DEFAULT_LIFE: u32 = 300;
const MAX_AUDIENCE: usize = 255;

impl<S: Store> App<S> {
    /// A short JWT for an audience. It leaves an audit entry like any other credential.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an audience or life out of bounds; [`Refusal::Revoked`] and
    /// [`Refusal::MachineSuspended`] for a machine that ended or was paused since it showed who it is.
    pub async fn machine_token(
        &self,
        request: &TokenRequest,
        caller: &MachineCaller,
        origin: &Origin,
    ) -> Result<MachineToken, Error> {
        let life = checked(request)?;
        let now = self.now();
        let expires_at = now + SignedDuration::from_secs(i64::from(life));
        let subject = self.authority().spiffe_id(caller.tenant, caller.machine);
        let claims = self.claims(request, subject, now, expires_at);
        let token = self.authority().tokens().sign(&claims)?;
        // Told before it leaves: no credential works without its entry. An end that was decided meanwhile wins.
        let (caller, context) = (*caller, self.context(origin));
        let decision = MintToken { caller, audience: request.audience.clone(), expires_at, context };
        self.settle(origin, decision).await?;
        Ok(MachineToken { token, expires_at })
    }

    fn claims(&self, request: &TokenRequest, sub: String, now: Timestamp, end: Timestamp) -> MachineClaims {
        let jti: muster_model::AuditId = draw!(&*self.inner.ports);
        MachineClaims {
            iss: self.inner.settings.url.clone(),
            sub,
            aud: request.audience.clone(),
            exp: end.as_second(),
            iat: now.as_second(),
            nbf: now.as_second(),
            jti: jti.to_string(),
        }
    }
}

fn checked(request: &TokenRequest) -> Result<u32, Error> {
    let mut fields = muster_wire::Fields::new();
    let audience = &request.audience;
    if audience.is_empty() || audience.len() > MAX_AUDIENCE || !audience.chars().all(|c| c.is_ascii_graphic())
    {
        fields.wrong("audience", format!("is not 1 to {MAX_AUDIENCE} printable ASCII characters"));
    }
    let life = request.ttl_seconds.unwrap_or(DEFAULT_LIFE);
    if !LIVES.contains(&life) {
        fields.wrong("ttl_seconds", "is not between 60 and 3600");
    }
    fields.finish(Some(life)).map_err(Error::from)
}

struct MintToken {
    caller: MachineCaller,
    audience: String,
    expires_at: Timestamp,
    context: Context,
}

impl Decision for MintToken {
    const NAME: &'static str = "token.mint";
    type Facts = Option<Machine>;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<Machine>, StoreError> {
        reads.machine(self.caller.tenant, self.caller.machine).await
    }

    fn decide(&self, machine: Option<Machine>) -> Result<Plan<()>, Refusal> {
        let machine = machine::still_counts(machine.as_ref(), self.caller.proof.key())?;
        if matches!(machine.state, MachineState::Suspended(_)) {
            return Err(Refusal::MachineSuspended);
        }
        let mut entry = self.context.entry(Self::NAME, Object::Machine(machine.id), "machine_token");
        entry.detail = vec![("audience", self.audience.clone()), ("expires_at", self.expires_at.to_string())];
        Ok(Plan::new((), Vec::new(), entry))
    }
}
