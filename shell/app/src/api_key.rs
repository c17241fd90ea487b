//! API tokens that are confined to scopes and to a team, as the wire of software agents knows them.
//!
//! The role of such a token is the least that its scopes need, so that one that may only look changes nothing anywhere.

use muster_lifecycle::repeat::{self, Mark};
use muster_lifecycle::{Context, Plan, Remembered, access};
use muster_model::text::{DisplayName, Team};
use muster_model::{
    AccessKind, AccessToken, AccessTokenId, Object, Refusal, Scopes, SecretHash, SecretId, SecretKind,
    SignedDuration, TokenScope,
};
use muster_store::{Decision, Lists, PageRequest, Reads, Store, StoreError, Unscoped};

use crate::App;
use crate::access::{CreateToken, EndToken};
use crate::act::recalled;
use crate::caller::Origin;
use crate::error::Error;
use crate::ports::draw;

/// So many tokens are read at a time.
const PAGE: u32 = 1000;

/// A confined token to be made, checked.
#[derive(Debug, Clone)]
pub struct ConfinedToken {
    /// What it is for.
    pub name: DisplayName,
    /// What it may do.
    pub scopes: Scopes,
    /// The team whose agents alone it reaches.
    pub team: Option<Team>,
    /// How long it is good for, in seconds.
    pub expires_in: u32,
}

impl<S: Store> App<S> {
    /// Makes a confined token, and gives it in the clear.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] for scopes above the maker's role, [`Refusal::IdempotencyMismatch`]; a wrong field where two
    /// teams would share channels.
    pub async fn create_confined_token(
        &self,
        wished: ConfinedToken,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<(AccessToken, String), Error> {
        let mark: Option<Mark> = self.mark(origin, idempotency_key, &format!("token.create {wished:?}"));
        let maker = origin.caller.operator()?.clone();
        if let Some(team) = &wished.team {
            self.stands_apart(team, origin).await?;
        }
        let operator = self.acting(origin).await?;
        let secret = self.secret(SecretKind::Api, mark.as_ref());
        let context = self.context(origin);
        let ConfinedToken { name, scopes, team, expires_in } = wished;
        let token = AccessToken {
            id: draw!(&*self.inner.ports),
            tenant: context.tenant,
            operator,
            kind: AccessKind::Api,
            name,
            role: scopes.role(),
            secret: secret.id(),
            hash: self.inner.pepper.hash(&secret),
            created_at: context.now,
            expires_at: context.now + SignedDuration::from_secs(i64::from(expires_in)),
            ended_at: None,
            scope: Some(TokenScope { scopes, team }),
            entrance: None,
        };
        let token = self.settle(origin, CreateToken { token, maker: maker.role, mark, context }).await?;
        Ok((token, secret.reveal()))
    }

    /// Whether a team has its channels for itself: `#team-red-blue-x` would be the channel of `red` as well.
    async fn stands_apart(&self, team: &Team, origin: &Origin) -> Result<(), Error> {
        let now = self.now();
        let others = self.confined_tokens(origin).await?;
        let others =
            others.iter().filter(|token| token.is_live(now)).filter_map(|token| token.scope.as_ref());
        match others.filter_map(|scope| scope.team.as_ref()).find(|other| other.overlaps(team)) {
            Some(other) => Err(Error::field("team", format!("would share channels with the team {other}"))),
            None => Ok(()),
        }
    }

    /// Every confined token, the newest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn confined_tokens(&self, origin: &Origin) -> Result<Vec<AccessToken>, Error> {
        let tenant = self.tenant_of(&origin.caller);
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest { after, limit: PAGE };
            let listed = self.reader().await?.access_tokens(tenant, page).await?;
            all.extend(listed.items.into_iter().filter(|token| token.scope.is_some()));
            after = listed.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Gives a confined token another secret, in the clear; the one before ends with it.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for one that is not there, not confined, or has ended; [`Refusal::IdempotencyMismatch`].
    pub async fn rotate_confined_token(
        &self,
        id: AccessTokenId,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<(AccessToken, String), Error> {
        let mark = self.mark(origin, idempotency_key, &format!("token.rotate {id}"));
        let secret = self.secret(SecretKind::Api, mark.as_ref());
        let hash = self.inner.pepper.hash(&secret);
        let rotate = RotateToken { id, secret: secret.id(), hash, mark, context: self.context(origin) };
        let token = self.settle(origin, rotate).await?;
        Ok((token, secret.reveal()))
    }

    /// Ends a confined token.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] for one that is not there or not confined.
    pub async fn revoke_confined_token(&self, id: AccessTokenId, origin: &Origin) -> Result<(), Error> {
        let end = EndToken { id, confined: true, context: self.context(origin) };
        self.settle(origin, end).await.map(drop)
    }
}

struct RotateToken {
    id: AccessTokenId,
    secret: SecretId,
    hash: SecretHash,
    mark: Option<Mark>,
    context: Context,
}

impl Decision for RotateToken {
    const NAME: &'static str = "token.rotate";
    type Facts = (Option<Remembered>, Option<AccessToken>);
    type Outcome = AccessToken;

    fn object(&self) -> Object {
        Object::AccessToken(self.id)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        let remembered = recalled(reads, tenant, self.mark.as_ref(), Some(self.secret)).await?;
        Ok((remembered, reads.access_token(tenant, self.id).await?))
    }

    fn decide(&self, (remembered, token): Self::Facts) -> Result<Plan<AccessToken>, Refusal> {
        let token = access::confined(token);
        // Asked first also of a repetition: its answer holds the secret.
        let plan = access::rotate_token(token.clone(), self.secret, self.hash, &self.context)?;
        if repeat::earlier(self.mark.as_ref(), remembered.as_ref())?.is_some() {
            return token.map(Plan::unchanged).ok_or(Refusal::NotFound { what: "token" });
        }
        Ok(repeat::remember(plan, self.mark.as_ref(), self.id.to_string(), &self.context))
    }
}
