//! Operators who come and go: each under a name of its own, and what one has is found while it is good for something.

use std::sync::Arc;

use muster_lifecycle::lockout::{Counted, Counter};
use muster_lifecycle::operator::{self, Changed, Live};
use muster_lifecycle::password::{self, Login, Shown};
use muster_lifecycle::second_factor::Code;
use muster_lifecycle::{AccessChange, Context, Plan};
use muster_model::second_factor::{FactorSalt, SecondFactor};
use muster_model::{
    AccessKind, AccessToken, Actor, ImportedHash, Operator, OperatorId, OperatorRole, PasswordHash, Refusal,
    SecretHash,
};

use super::Fixture;
use super::decisions::{write, write_wrong};
use super::races::all;
use super::things::{Things, at, text};
use crate::{Decision, Reads, SettleError, Store, StoreError, Unscoped};

fn named(things: &Things, name: &str) -> Operator {
    Operator { name: text(name), ..things.operator() }
}

fn made(operator: &Operator) -> muster_lifecycle::Change {
    AccessChange::CreateOperator(operator.clone()).into()
}

fn updated(operator: Operator) -> muster_lifecycle::Change {
    AccessChange::UpdateOperator(operator).into()
}

/// A name is one name however it is written, and another one in another tenant.
pub async fn q_10_a_name_has_one_operator_however_it_is_written<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let (others, _) = Things::in_store(store, 2).await;
    let (ada, ben) = (named(&things, "Zo\u{eb}"), named(&things, "ben"));
    write(store, &things, vec![made(&ada), made(&ben)]).await;
    for alike in ["zo\u{eb}", "ZOE\u{308}", "\u{ff3a}o\u{eb}"] {
        write_wrong(store, &things, vec![made(&named(&things, alike))]).await;
        write_wrong(store, &things, vec![updated(Operator { name: text(alike), ..ben.clone() })]).await;
    }
    write(store, &others, vec![made(&named(&others, "zo\u{eb}"))]).await;
    write(store, &things, vec![updated(Operator { name: text("zoe\u{308}"), ..ada.clone() })]).await;
    write_wrong(store, &others, vec![updated(Operator { tenant: others.tenant, ..ada })]).await;
}

/// What is told of an operator changes, and what it has is told while it is good for something.
pub async fn what_an_operator_has_is_told_while_it_is_good<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let (ada, ben) = (named(&things, "ada"), named(&things, "ben"));
    let live = AccessKind::ALL.map(|kind| things.token(&ada, kind));
    let over = AccessToken { expires_at: at(1), ..things.token(&ada, AccessKind::Session) };
    let ended = things.token(&ada, AccessKind::Api);
    let theirs = things.token(&ben, AccessKind::Api);
    let tokens = live.iter().chain([&over, &ended, &theirs]);
    let mut changes = vec![made(&ada), made(&ben)];
    changes.extend(tokens.map(|token| AccessChange::CreateToken(token.clone()).into()));
    changes.push(AccessChange::EndToken { token: ended.id, at: at(0) }.into());
    write(store, &things, changes).await;
    let after =
        Operator { name: text("Ada L."), role: OperatorRole::Viewer, disabled_at: Some(at(7)), ..ada };
    let hash: PasswordHash = text(ImportedHash::stand_in().as_str());
    let after = Operator { password: Some(hash), second: Some(confirmed()), ..after };
    write(store, &things, vec![updated(after.clone())]).await;
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.operator(things.tenant, after.id).await.expect("an answer"), Some(after.clone()));
    let one_each = Live { tokens: 1, links: 1, sessions: 1 };
    assert_eq!(reads.live_access_of(things.tenant, after.id, at(1)).await.expect("an answer"), one_each);
    let one_token = Live { tokens: 1, ..Live::default() };
    assert_eq!(reads.live_access_of(things.tenant, ben.id, at(1)).await.expect("an answer"), one_token);
    let nobody = reads.live_access_of(things.tenant, things.id(), at(1)).await.expect("an answer");
    assert_eq!(nobody, Live::default());
    drop(reads);

    let kinds: &[AccessKind] = &[AccessKind::Login, AccessKind::Session];
    let end = AccessChange::EndAllOf { operator: after.id, kinds, at: at(1) };
    write(store, &things, vec![end.into()]).await;
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.live_access_of(things.tenant, after.id, at(1)).await.expect("an answer"), one_token);
    assert_eq!(reads.live_access_of(things.tenant, ben.id, at(1)).await.expect("an answer"), one_token);
    for (token, ended_at) in [(&live[0], None), (&live[1], Some(at(1))), (&over, None), (&ended, Some(at(0)))]
    {
        let found = reads.access_token(things.tenant, token.id).await.expect("an answer").expect("there");
        assert_eq!(found.ended_at, ended_at, "{:?}", token.kind);
    }
    let by = reads.acting_by(things.tenant, theirs.id).await.expect("an answer").expect("there");
    assert_eq!((by.0.id, by.1.id), (theirs.id, ben.id));
    assert_eq!(reads.acting_by(things.tenant, things.id()).await.expect("an answer"), None);
}

/// One whose codes are asked for.
pub(super) fn confirmed() -> SecondFactor {
    let recovery = vec![SecretHash([1; 32]), SecretHash([2; 32])];
    SecondFactor::Confirmed { salt: FactorSalt([3; 16]), since: at(8), step: 60_000_000, recovery }
}

/// As far as it has come, and back.
pub async fn a_second_factor_reads_back_as_far_as_it_has_come<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let ada = named(&things, "ada");
    write(store, &things, vec![made(&ada)]).await;
    let SecondFactor::Confirmed { salt, since, step, .. } = confirmed() else { panic!("confirmed") };
    let proposed = SecondFactor::Proposed { salt, at: at(7) };
    let spent = SecondFactor::Confirmed { salt, since, step: step + 1, recovery: Vec::new() };
    for second in [Some(proposed), Some(confirmed()), Some(spent), None] {
        let after = Operator { second, ..ada.clone() };
        write(store, &things, vec![updated(after.clone())]).await;
        let mut reads = store.reader().await.expect("a reader");
        assert_eq!(reads.operator(things.tenant, ada.id).await.expect("an answer"), Some(after));
    }
    let SecondFactor::Confirmed { recovery, .. } = confirmed() else { panic!("confirmed") };
    let beyond = SecondFactor::Confirmed { salt, since, step: u64::MAX, recovery };
    write_wrong(store, &things, vec![updated(Operator { second: Some(beyond), ..ada })]).await;
}

/// Somebody who shows the right password and a code.
struct LoginByCode {
    session: AccessToken,
    code: Code,
    context: Context,
}

impl Decision for LoginByCode {
    const NAME: &'static str = "test.login";
    type Facts = Option<Operator>;
    type Outcome = Shown;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        reads.operator(self.context.tenant, self.session.operator).await
    }

    fn decide(&self, holder: Self::Facts) -> Result<Plan<Shown>, Refusal> {
        let (holder, fits) = (holder.as_ref(), holder.as_ref().and_then(|holder| holder.password.as_ref()));
        // What is counted is no matter here: nobody is to wait.
        let codes = Counter { counted: Counted::Account, key: [9; 32], failures: None };
        let shown = Login { holder, fits, code: &self.code, counters: &[], codes };
        password::login(&shown, self.session.clone(), &self.context)
    }
}

/// Many who show one code at once: one gets in, whether it is of a moment or for the day on which the device is lost.
pub async fn one_code_lets_one_in<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let hash: PasswordHash = text(ImportedHash::stand_in().as_str());
    let ada = Operator { password: Some(hash), second: Some(confirmed()), ..things.operator() };
    write(store, &things, vec![made(&ada)]).await;
    let things = Arc::new(things);
    let salt = confirmed().salt();
    for code in [Code::Step { salt, step: 60_000_001 }, Code::Recovery(SecretHash([2; 32]))] {
        let results = all(store, &things, |store, things| {
            let (session, code) = (things.token(&ada, AccessKind::Session), code.clone());
            let (tenant, entry) = (things.tenant, things.id());
            let context = Context { tenant, actor: Actor::System, source: None, now: at(1), entry };
            Box::pin(async move { store.settle(LoginByCode { session, code, context }).await })
        })
        .await;
        let mut let_in = 0;
        for result in &results {
            match result.as_ref().expect("settled").outcome() {
                Shown::In(_) => let_in += 1,
                Shown::Failed => {}
            }
        }
        assert!(let_in == 1 && results.len() > 1, "{let_in} of {} by {code:?}", results.len());
    }
    let mut reads = store.reader().await.expect("a reader");
    let left = reads.operator(things.tenant, ada.id).await.expect("an answer").and_then(|left| left.second);
    let Some(SecondFactor::Confirmed { step, recovery, .. }) = left else { panic!("{left:?}") };
    assert_eq!((step, recovery), (60_000_001, vec![SecretHash([1; 32])]));
    let live = reads.live_access_of(things.tenant, ada.id, at(1)).await.expect("an answer");
    assert_eq!(live.sessions, 2);
}

/// However many an operator has, all of them end.
pub async fn thousands_of_tokens_end_with_their_operator<F: Fixture>(fixture: &F) {
    const MANY: u64 = 1_500;
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let ada = named(&things, "ada");
    let tokens = (0..MANY).map(|_| AccessChange::CreateToken(things.token(&ada, AccessKind::Api)).into());
    write(store, &things, std::iter::once(made(&ada)).chain(tokens).collect()).await;
    let live = store.reader().await.expect("a reader").live_access_of(things.tenant, ada.id, at(1)).await;
    assert_eq!(live.expect("an answer").tokens, MANY);
    let end = AccessChange::EndAllOf { operator: ada.id, kinds: &AccessKind::ALL, at: at(1) };
    write(store, &things, vec![end.into()]).await;
    let live = store.reader().await.expect("a reader").live_access_of(things.tenant, ada.id, at(1)).await;
    assert_eq!(live.expect("an answer"), Live::default());
}

struct Disable {
    id: OperatorId,
    context: Context,
}

impl Decision for Disable {
    const NAME: &'static str = "test.disable";
    type Facts = (Vec<Operator>, Live);
    type Outcome = Changed;

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Self::Facts, StoreError> {
        let tenant = self.context.tenant;
        Ok((reads.operators(tenant).await?, reads.live_access_of(tenant, self.id, self.context.now).await?))
    }

    fn decide(&self, (operators, live): Self::Facts) -> Result<Plan<Changed>, Refusal> {
        operator::disable(self.id, &operators, live, &self.context)
    }
}

/// Many admins who disable each other at once leave one.
pub async fn many_who_disable_each_other_leave_one_admin<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let things = Arc::new(things);
    let admins: Vec<Operator> =
        (0..8).map(|_| Operator { role: OperatorRole::Admin, ..things.operator() }).collect();
    write(store, &things, admins.iter().map(made).collect()).await;
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let ids: Vec<OperatorId> = admins.iter().map(|admin| admin.id).collect();
    let results = all(store, &things, |store, things| {
        let id = ids[turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % ids.len()];
        let context = Context {
            tenant: things.tenant,
            actor: Actor::System,
            source: None,
            now: at(1),
            entry: things.id(),
        };
        Box::pin(async move { store.settle(Disable { id, context }).await })
    })
    .await;
    for result in &results {
        let fine = matches!(result, Ok(_) | Err(SettleError::Refused(Refusal::LastAdmin)));
        assert!(fine, "{result:?}");
    }
    let mut reads = store.reader().await.expect("a reader");
    let left = reads.operators(things.tenant).await.expect("an answer");
    assert_eq!(left.iter().filter(|one| one.is_enabled()).count(), 1);
}
