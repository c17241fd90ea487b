//! Reads that find out which tenant is meant, under the locks of what they find.

use super::*;

impl Unscoped for Guarded<'_> {
    async fn tenants(&mut self) -> Answered<Vec<Tenant>> {
        self.view.tenants().await
    }

    async fn operators(&mut self, tenant: TenantId) -> Answered<Vec<Operator>> {
        under!(self, tenant, Owner::Operators, operators(tenant))
    }

    async fn grant_by_secret(&mut self, secret: SecretId) -> Answered<Option<Grant>> {
        match self.view.grant_by_secret(secret).await? {
            Some(grant) => self.grant(grant.tenant, grant.id).await,
            None => Ok(None),
        }
    }

    async fn access_by_secret(&mut self, secret: SecretId) -> Answered<Option<AccessToken>> {
        match self.view.access_by_secret(secret).await? {
            Some(token) => self.access_token(token.tenant, token.id).await,
            None => Ok(None),
        }
    }

    async fn credential_by_secret(&mut self, secret: SecretId) -> Answered<Option<Credential>> {
        match self.view.credential_by_secret(secret).await? {
            Some(credential) => self.credential(credential.tenant, credential.id).await,
            None => Ok(None),
        }
    }

    async fn keys(&mut self, key: KeyFingerprint) -> Answered<Vec<(TenantId, KeyRecord)>> {
        let mut keys = Vec::new();
        for (tenant, _) in self.view.keys(key).await? {
            keys.extend(self.key(tenant, key).await?.map(|record| (tenant, record)));
        }
        Ok(keys)
    }

    async fn due_accounts(&mut self, now: Timestamp, limit: u32) -> Answered<Vec<Account>> {
        // A list to work off, not a fact to decide by: each is read again when it is settled.
        self.view.due_accounts(now, limit).await
    }

    async fn hold_anywhere(&mut self, id: HoldId) -> Answered<Option<Hold>> {
        match self.view.hold_anywhere(id).await? {
            Some(hold) => self.hold(hold.tenant, id).await,
            None => Ok(None),
        }
    }

    async fn deployment(&mut self) -> Answered<Option<Deployment>> {
        self.view.deployment().await
    }

    async fn ca(&mut self) -> Answered<Option<Ca>> {
        // There is one for all tenants.
        under!(self, TenantId::from_bytes([0; 16]), Owner::Authority, ca())
    }

    async fn bundle_holders(&mut self) -> Answered<Vec<(u64, u64)>> {
        self.view.bundle_holders().await
    }

    async fn behind(&mut self, behind: Behind) -> Answered<u64> {
        self.view.behind(behind).await
    }

    async fn not_rotated_since(&mut self, at: Timestamp) -> Answered<u64> {
        self.view.not_rotated_since(at).await
    }

    async fn newest_entry(&mut self) -> Answered<Option<EntryPlace>> {
        self.view.newest_entry().await
    }

    async fn has_entry(&mut self, place: EntryPlace) -> Answered<bool> {
        self.view.has_entry(place).await
    }

    async fn has_entry_about(&mut self, tenant: TenantId, object: Object, id: AuditId) -> Answered<bool> {
        self.view.has_entry_about(tenant, object, id).await
    }

    async fn replicas(&mut self) -> Answered<Vec<Replica>> {
        self.view.replicas().await
    }
}
