//! The second factor: set up, shown beside the password, removed, and taken away by an admin; on every store.

use muster_app::{Error, Origin};
use muster_model::{OperatorId, Refusal, SignedDuration};
use muster_store::Store;
use muster_testkit::reference::ReferenceStore;
use muster_testkit::world::World;
use muster_testkit::{FixedClock, authenticator};
use muster_wire::access::{
    ConfirmSecondFactor, Login, PasswordLogin, ProposeSecondFactor, RemoveSecondFactor, SetPassword,
};
use muster_wire::operator::ResetSecondFactor;

use crate::password::{GOOD, by_link, from, operator, origin, token, with_password};
use crate::support::{refusal, wrong_fields};

const STEP: SignedDuration = SignedDuration::from_secs(30);

/// An operator who is asked for codes, with what it needs to show them.
struct Ada<S: Store> {
    world: World<S>,
    id: OperatorId,
    session: String,
    key: String,
    recovery: Vec<String>,
}

impl<S: Store> Ada<S> {
    async fn over(world: World<S>) -> Self {
        let (id, session) = with_password(&world, "Ada").await;
        let own = origin(&world, &session).await;
        let key = proposed(&world, &own).await;
        let confirm = ConfirmSecondFactor { code: code(&world, &key) };
        let confirmed =
            world.app.confirm_second_factor(&confirm, &own).await.expect("the first code is right");
        world.clock.advance(STEP);
        Self { world, id, session: confirmed.0, key, recovery: confirmed.2.recovery_codes }
    }

    fn code(&self) -> String {
        code(&self.world, &self.key)
    }

    async fn own(&self) -> Origin {
        origin(&self.world, &self.session).await
    }

    async fn login(&self, password: &str, code: Option<&str>, origin: &Origin) -> Result<String, Error> {
        let shown = PasswordLogin {
            name: "ada".to_owned(),
            password: password.to_owned(),
            code: code.map(str::to_owned),
        };
        self.world.app.login_by_password(&shown, origin).await.map(|(secret, _)| secret)
    }

    async fn shows(&self, code: &str) -> Result<String, Error> {
        self.login(GOOD, Some(code), &from("192.0.2.1")).await
    }
}

fn wrong() -> Refusal {
    Refusal::NotAuthenticated { cause: "password" }
}

/// What an authenticator with this key shows now.
fn code<S: Store>(world: &World<S>, key: &str) -> String {
    authenticator::code(key, world.clock.now())
}

/// A key that was shown.
async fn proposed<S: Store>(world: &World<S>, own: &Origin) -> String {
    let propose = ProposeSecondFactor { present: GOOD.to_owned() };
    let proposed = world.app.propose_second_factor(&propose, own).await.expect("the password is right");
    assert!(proposed.uri.contains(&format!("secret={}&", proposed.key)), "one key in both");
    proposed.key
}

fn removal(present: &str, code: &str) -> RemoveSecondFactor {
    RemoveSecondFactor { present: present.to_owned(), code: code.to_owned() }
}

fn reset(dry_run: bool) -> ResetSecondFactor {
    ResetSecondFactor { dry_run }
}

mod rules {
    use super::*;

    pub(super) async fn a_code_lets_in_once_and_a_recovery_code_too<S: Store>(world: World<S>) {
        let ada = Ada::over(world).await;
        let source = from("192.0.2.1");
        assert_eq!(refusal(ada.login(GOOD, None, &source).await), Refusal::CodeNeeded);
        assert_eq!(refusal(ada.login(GOOD, Some(" "), &source).await), Refusal::CodeNeeded);
        let now = ada.code();
        let spaced = format!(" {} {} ", &now[..3], &now[3..]);
        let opened = ada.shows(&spaced).await.expect("in");
        assert!(ada.world.app.by_secret(&opened).await.is_ok());
        for used in [&now, &spaced] {
            assert_eq!(refusal(ada.shows(used).await), wrong(), "it was used");
        }
        ada.world.clock.advance(STEP);
        assert_eq!(refusal(ada.shows(&now).await), wrong(), "within the tolerance, and used all the same");
        ada.shows(&ada.code()).await.expect("the next one");
        let spare = &ada.recovery[3];
        ada.shows(&spare.to_uppercase().replace('-', " ")).await.expect("in without the device");
        assert_eq!(refusal(ada.shows(spare).await), wrong(), "it was used");
        ada.shows(&ada.recovery[4]).await.expect("each for itself");
        let told: Vec<_> =
            ada.world.audit().await.into_iter().map(|entry| (entry.action, entry.reason)).collect();
        for by in ["password_and_code", "password_and_recovery_code"] {
            let times =
                told.iter().filter(|(action, reason)| action == "session.open" && reason == by).count();
            assert_eq!(times, 2, "{by}: {told:?}");
        }
    }

    pub(super) async fn one_code_shown_many_times_at_once_lets_one_in<S: Store>(world: World<S>) {
        let ada = Ada::over(world).await;
        for code in [ada.code(), ada.recovery[0].clone()] {
            let (one, two, three) = tokio::join!(ada.shows(&code), ada.shows(&code), ada.shows(&code));
            let let_in = [one, two, three].into_iter().filter(Result::is_ok).count();
            assert_eq!(let_in, 1, "by {code}");
        }
    }

    pub(super) async fn q_10_codes_are_counted_for_the_account_and_by_nobody_but_who_shows_its_password<
        S: Store,
    >(
        world: World<S>,
    ) {
        let ada = Ada::over(world).await;
        for n in 0..5 {
            let source = from(&format!("198.51.100.{n}"));
            assert_eq!(refusal(ada.login(GOOD, Some("12 34 56 7"), &source).await), wrong(), "{n}");
        }
        let slow = Refusal::SlowDown { retry_after: 5 };
        assert_eq!(refusal(ada.shows(&ada.code()).await), slow, "wherever the right one comes from");
        assert_eq!(refusal(ada.shows(&ada.recovery[0]).await), slow);
        ada.world.clock.advance(SignedDuration::from_secs(5));
        ada.shows(&ada.recovery[0]).await.expect("a delay is no lock");
        ada.shows(&ada.recovery[1]).await.expect("who got in begins anew");
        // Who does not know the password tries no code.
        for n in 0..5 {
            let source = from(&format!("198.51.100.{}", 100 + n));
            let refused = ada.login("wrong horse battery", Some("123456"), &source).await;
            assert_eq!(refusal(refused), wrong(), "{n}");
        }
        ada.shows(&ada.recovery[2]).await.expect("nobody shut the owner out");
        by_link(&ada.world, ada.id).await;
    }

    pub(super) async fn q_33_with_the_first_code_other_sessions_and_links_end_and_the_own_one_goes_on<
        S: Store,
    >(
        world: World<S>,
    ) {
        let (id, session) = with_password(&world, "Ada").await;
        let other = by_link(&world, id).await;
        let link = world.app.operator_link(id, &world.admin()).await.expect("a link");
        let own = origin(&world, &session).await;
        let first = proposed(&world, &own).await;
        let key = proposed(&world, &own).await;
        assert_ne!(first, key, "none is shown twice");
        let with = |code: String| ConfirmSecondFactor { code };
        let gone = world.app.confirm_second_factor(&with(code(&world, &first)), &own).await;
        assert_eq!(wrong_fields(gone), ["code"], "the newer one took its place");
        assert!(world.app.by_secret(&other).await.is_ok(), "nothing has ended so far");
        let confirmed = world.app.confirm_second_factor(&with(code(&world, &key)), &own).await;
        let (renewed, life, codes) = confirmed.expect("confirmed");
        assert!(life > SignedDuration::ZERO && renewed != session);
        assert_ne!(world.app.csrf(&renewed), world.app.csrf(&session));
        assert!(world.app.by_secret(&renewed).await.is_ok());
        for ended in [&session, &other] {
            assert!(world.app.by_secret(ended).await.is_err(), "it has ended");
        }
        let link = Login { login: link.split_once('#').expect("a fragment").1.to_owned() };
        assert!(world.app.login(&link, &world.stranger()).await.is_err(), "it has ended");
        let mut codes = codes.recovery_codes;
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), 10);
        let told = world.audit().await.into_iter().find(|entry| entry.action == "second_factor.confirm");
        assert_eq!(told.expect("told").detail.get("ended").map(String::as_str), Some("3"));
        let ada = world.app.operator(id, &world.admin()).await.expect("there");
        assert!(ada.has_second_factor && ada.has_password);
    }

    pub(super) async fn what_was_shown_and_never_confirmed_is_asked_of_nobody<S: Store>(world: World<S>) {
        let (id, session) = with_password(&world, "Ada").await;
        let own = origin(&world, &session).await;
        let key = proposed(&world, &own).await;
        assert!(!world.app.operator(id, &world.admin()).await.expect("there").has_second_factor);
        let shown = PasswordLogin { name: "ada".to_owned(), password: GOOD.to_owned(), code: None };
        world.app.login_by_password(&shown, &from("192.0.2.1")).await.expect("by the password alone");
        world.clock.advance(SignedDuration::from_hours(1));
        let late = ConfirmSecondFactor { code: code(&world, &key) };
        let late = refusal(world.app.confirm_second_factor(&late, &own).await);
        assert!(matches!(late, Refusal::WrongState { .. }), "{late:?}");
        let wrong = ProposeSecondFactor { present: "wrong horse battery".to_owned() };
        assert_eq!(wrong_fields(world.app.propose_second_factor(&wrong, &own).await), ["present"]);
    }

    pub(super) async fn it_is_removed_by_password_and_code_alone<S: Store>(world: World<S>) {
        let ada = Ada::over(world).await;
        let (app, own) = (&ada.world.app, ada.own().await);
        let again = ProposeSecondFactor { present: GOOD.to_owned() };
        let again = refusal(app.propose_second_factor(&again, &own).await);
        assert!(matches!(again, Refusal::WrongState { .. }), "not while there is one: {again:?}");
        let now = ada.code();
        let by_wrong = app.remove_second_factor(&removal("wrong horse battery", &now), &own).await;
        assert_eq!(wrong_fields(by_wrong), ["present"]);
        for code in ["123 45", &ada.key, ""] {
            assert_eq!(wrong_fields(app.remove_second_factor(&removal(GOOD, code), &own).await), ["code"]);
        }
        let other = ada.shows(&now).await.expect("in");
        let used = app.remove_second_factor(&removal(GOOD, &now), &own).await;
        assert_eq!(wrong_fields(used), ["code"], "it was used to log in");
        let (renewed, _) =
            app.remove_second_factor(&removal(GOOD, &ada.recovery[9]), &own).await.expect("removed");
        assert!(app.by_secret(&renewed).await.is_ok());
        for ended in [&ada.session, &other] {
            assert!(app.by_secret(ended).await.is_err(), "it has ended");
        }
        ada.login(GOOD, None, &from("192.0.2.1")).await.expect("the password alone");
        let again = origin(&ada.world, &renewed).await;
        let gone = refusal(app.remove_second_factor(&removal(GOOD, &ada.recovery[8]), &again).await);
        assert!(matches!(gone, Refusal::WrongState { .. }), "{gone:?}");
        assert_ne!(proposed(&ada.world, &again).await, ada.key);
    }

    pub(super) async fn a_password_by_a_link_leaves_the_second_factor<S: Store>(world: World<S>) {
        let ada = Ada::over(world).await;
        let own = origin(&ada.world, &by_link(&ada.world, ada.id).await).await;
        let next = SetPassword { password: "another one entirely".to_owned(), present: None };
        ada.world.app.set_password(&next, &own).await.expect("by a link");
        let source = from("192.0.2.1");
        assert_eq!(refusal(ada.login(&next.password, None, &source).await), Refusal::CodeNeeded);
        ada.login(&next.password, Some(&ada.code()), &source).await.expect("in by both");
    }

    pub(super) async fn an_admin_takes_it_away_and_what_is_told_beforehand_is_what_ends<S: Store>(
        world: World<S>,
    ) {
        let ada = Ada::over(world).await;
        let (app, admin) = (&ada.world.app, ada.world.admin());
        ada.shows(&ada.recovery[0]).await.expect("a second session");
        app.operator_link(ada.id, &admin).await.expect("a link");
        let told = app.reset_second_factor(ada.id, &reset(true), &admin).await.expect("told");
        assert_eq!((told.sessions, told.links, told.tokens, told.dry_run), (2, 1, 0, true));
        assert!(app.by_secret(&ada.session).await.is_ok(), "nothing was done");
        assert_eq!(refusal(ada.login(GOOD, None, &from("192.0.2.1")).await), Refusal::CodeNeeded);
        let done = app.reset_second_factor(ada.id, &reset(false), &admin).await.expect("done");
        assert_eq!((done.sessions, done.links, done.tokens, done.dry_run), (2, 1, 0, false));
        assert!(!done.operator.has_second_factor && done.operator.has_password);
        let told = ada.world.audit().await.pop().expect("an entry");
        assert_eq!((told.action.as_str(), told.object), ("operator.reset_second_factor", ada.id.to_string()));
        assert_eq!(told.detail.get("ended").map(String::as_str), Some("3"));
        assert!(app.by_secret(&ada.session).await.is_err());
        ada.login(GOOD, None, &from("192.0.2.1")).await.expect("the password alone");
        let entries = ada.world.audit().await.len();
        let nothing = app.reset_second_factor(ada.id, &reset(false), &admin).await.expect("nothing to do");
        assert_eq!((nothing.sessions, ada.world.audit().await.len()), (0, entries), "and nothing ended");
    }

    pub(super) async fn nobody_takes_away_their_own_and_no_confined_token_anybodys<S: Store>(
        world: World<S>,
    ) {
        let ada = operator(&world, "Ada").await;
        let admin = world.founded.admin;
        let own = origin(&world, &token(&world, "admin", &[]).await).await;
        let forbidden = Refusal::Forbidden { action: "operator.reset_second_factor" };
        let refused = world.app.reset_second_factor(admin, &reset(false), &own).await;
        assert_eq!(refusal(refused), forbidden);
        world.app.reset_second_factor(ada, &reset(false), &own).await.expect("somebody else's");
        world.app.reset_second_factor(admin, &reset(false), &world.admin()).await.expect("on the host");
        let confined = origin(&world, &token(&world, "admin", &["admin"]).await).await;
        let refused = world.app.reset_second_factor(ada, &reset(true), &confined).await;
        assert_eq!(refusal(refused), forbidden);
    }

    pub(super) async fn a_token_changes_no_second_factor_and_tries_no_password<S: Store>(world: World<S>) {
        let own = origin(&world, &token(&world, "admin", &[]).await).await;
        let runs = world.app.password_hashes_run();
        for origin in [&own, &world.admin()] {
            let propose = ProposeSecondFactor { present: GOOD.to_owned() };
            let refused = refusal(world.app.propose_second_factor(&propose, origin).await);
            assert_eq!(refused, Refusal::Forbidden { action: "second_factor.propose" });
            let confirm = ConfirmSecondFactor { code: "123456".to_owned() };
            let refused = refusal(world.app.confirm_second_factor(&confirm, origin).await);
            assert_eq!(refused, Refusal::Forbidden { action: "second_factor.confirm" });
            let refused = refusal(world.app.remove_second_factor(&removal(GOOD, "123456"), origin).await);
            assert_eq!(refused, Refusal::Forbidden { action: "second_factor.remove" });
        }
        assert_eq!(world.app.password_hashes_run(), runs);
    }

    pub(super) async fn q_28_no_key_and_no_code_is_in_the_log<S: Store>(world: World<S>) {
        let ada = Ada::over(world).await;
        let now = ada.code();
        ada.shows(&ada.recovery[0]).await.expect("in");
        ada.shows(&now).await.expect("in");
        assert_eq!(refusal(ada.shows(&now).await), wrong());
        let own = ada.own().await;
        ada.world.app.remove_second_factor(&removal(GOOD, &ada.recovery[1]), &own).await.expect("removed");
        let log = serde_json::to_string(&ada.world.audit().await).expect("JSON").to_lowercase();
        assert!(log.contains("second_factor.remove"), "{log}");
        for secret in [&ada.key, &now, &ada.recovery[0], &ada.recovery[1]] {
            assert!(!log.contains(&secret.to_lowercase()), "{secret}");
        }
    }
}

macro_rules! on_both {
    ($($name:ident)+) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                rules::$name(World::new().await).await;
            }

            #[tokio::test]
            async fn on_the_reference() {
                rules::$name(World::over(ReferenceStore::default(), FixedClock::default(), |_| {}).await).await;
            }
        }
    )+};
}

on_both! {
    a_code_lets_in_once_and_a_recovery_code_too
    one_code_shown_many_times_at_once_lets_one_in
    q_10_codes_are_counted_for_the_account_and_by_nobody_but_who_shows_its_password
    q_33_with_the_first_code_other_sessions_and_links_end_and_the_own_one_goes_on
    what_was_shown_and_never_confirmed_is_asked_of_nobody
    it_is_removed_by_password_and_code_alone
    a_password_by_a_link_leaves_the_second_factor
    an_admin_takes_it_away_and_what_is_told_beforehand_is_what_ends
    nobody_takes_away_their_own_and_no_confined_token_anybodys
    a_token_changes_no_second_factor_and_tries_no_password
    q_28_no_key_and_no_code_is_in_the_log
}

/// Whatever is wrong before the password is known to be right costs the same, whoever is asked for a code.
#[tokio::test]
async fn a_wrong_password_is_refused_alike_whether_a_code_would_be_asked_for() {
    let ada = Ada::over(World::new().await).await;
    with_password(&ada.world, "Eve").await;
    let mut cases = Vec::new();
    for (n, name) in ["ada", "eve", "nobody"].into_iter().enumerate() {
        for code in [None, Some("123456")] {
            let app = &ada.world.app;
            let (runs, writes) = (app.password_hashes_run(), ada.world.writes());
            let shown = PasswordLogin {
                name: name.to_owned(),
                password: "wrong horse battery".to_owned(),
                code: code.map(str::to_owned),
            };
            let refused = refusal(app.login_by_password(&shown, &from(&format!("192.0.2.{n}"))).await);
            cases.push((refused, app.password_hashes_run() - runs, ada.world.writes() - writes));
        }
    }
    assert!(cases.iter().all(|case| *case == (wrong(), 1, 1)), "{cases:?}");
}
