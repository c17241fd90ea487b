//! Short JWTs that a machine shows to others, verifiable by anybody through our JWKS.

use muster_issuer::MachineClaims;
use muster_model::{Object, Refusal, SignedDuration, Timestamp};
use muster_store::{Reads, Store};
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
    /// [`Error::Malformed`] for an audience or life out of bounds.
    pub async fn machine_token(
        &self,
        request: &TokenRequest,
        caller: &MachineCaller,
        origin: &Origin,
    ) -> Result<MachineToken, Error> {
        let life = checked(request)?;
        let machine = self.inner.store.reader().await?.machine(caller.tenant, caller.machine).await?;
        let machine = machine.ok_or(Refusal::UnknownMachine)?;
        let now = self.now();
        let expires_at = now + SignedDuration::from_secs(i64::from(life));
        let subject = self.inner.authority.spiffe_id(machine.tenant, machine.id);
        let claims = self.claims(request, subject, now, expires_at);
        let mut entry =
            self.context(origin).entry("token.mint", Object::Machine(machine.id), "machine_token");
        entry.detail = vec![("audience", request.audience.clone()), ("expires_at", expires_at.to_string())];
        let token = self.inner.authority.tokens().sign(&claims)?;
        // Told before it leaves: no credential works without its entry.
        self.inner.store.tell(vec![entry]).await?;
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
