use muster_model::{AccessTokenId, Entrance, OperatorId, OperatorRole};

use super::*;
use crate::tests::fixtures::*;
use crate::tests::people::{counter, holder, password_hash as hash, token};

/// Who shows this much, and no code.
fn shown<'a>(
    holder: Option<&'a Operator>,
    fits: Option<&'a PasswordHash>,
    counters: &'a [Counter],
) -> Login<'a> {
    Login { holder, fits, code: &Code::Absent, counters, codes: counter(Counted::Account, 0) }
}

#[test]
fn q_33_with_a_password_every_other_session_and_link_ends_and_the_own_one_gets_another_id() {
    let by_link = AccessToken { entrance: Some(Entrance::Link), ..token(1, AccessKind::Session) };
    let (own, new) = (by_link, token(9, AccessKind::Session));
    let live = Live { sessions: 2, links: 1, tokens: 1 };
    let ada = holder(Some(hash(1)));
    let proof = Proof::Present(hash(1));
    let counters = vec![counter(Counted::Account, 3)];
    let known = Known { holder: Some(ada), session: Some(own.clone()), live, counters };
    let plan = set(&known, &proof, &hash(2), new, &by_operator()).expect("proved");
    let forgiven = MemoryChange::Failures { key: [3; 32], failures: Failures { count: 0, at: now() } };
    assert_eq!(plan.changes().last(), Some(&forgiven.into()));
    let renewed = plan.outcome();
    assert_eq!((renewed.id, renewed.expires_at), (AccessTokenId::from_bytes([9; 16]), own.expires_at));
    assert_eq!(renewed.created_at, own.created_at, "it grows no younger");
    assert_eq!(renewed.entrance, Some(Entrance::Password), "and what a link was good for is spent");
    let [_, Change::Access(ended), Change::Access(AccessChange::CreateToken(_)), ..] = plan.changes() else {
        panic!("what it had ends before it goes on under another secret: {:?}", plan.changes())
    };
    let kinds = &[AccessKind::Login, AccessKind::Session];
    let operator = OperatorId::from_bytes([1; 16]);
    assert_eq!(*ended, AccessChange::EndAllOf { operator, kinds, at: now() }, "but not its API tokens");
    assert_eq!(plan.entries()[0].detail, [("ended", "3".to_owned())]);
    let Some(Change::Access(AccessChange::UpdateOperator(after))) = plan.changes().first() else { panic!() };
    assert_eq!(*after, holder(Some(hash(2))));
    assert!(!format!("{:?}", plan.entries()).contains("argon2"));
}

#[test]
fn without_the_present_one_a_session_must_be_fresh_and_by_a_link_and_nothing_but_a_live_session_sets_any() {
    let by = |entrance| AccessToken { entrance, created_at: now(), ..token(1, AccessKind::Session) };
    let fresh = by(Some(Entrance::Link));
    let (by_password, of_before) = (by(Some(Entrance::Password)), by(None));
    let stale = AccessToken { created_at: ago(HOUR), ..fresh.clone() };
    let ended = AccessToken { ended_at: Some(now()), ..fresh.clone() };
    let api = AccessToken { kind: AccessKind::Api, ..fresh.clone() };
    let foreign = AccessToken { operator: OperatorId::from_bytes([7; 16]), ..fresh.clone() };
    let gone = Operator { disabled_at: Some(now()), ..holder(None) };
    let (none, some) = (holder(None), holder(Some(hash(1))));
    let wrong = Proof::Present(hash(3));
    let cases = [
        (&none, &Proof::Link, Some(&fresh), true),
        (&some, &Proof::Link, Some(&fresh), true),
        (&some, &Proof::Link, Some(&stale), false),
        (&none, &Proof::Link, Some(&stale), false),
        (&some, &Proof::Link, Some(&by_password), false),
        (&some, &Proof::Link, Some(&of_before), false),
        (&some, &wrong, Some(&fresh), false),
        (&none, &wrong, Some(&fresh), false),
        (&none, &Proof::Link, Some(&ended), false),
        (&none, &Proof::Link, Some(&api), false),
        (&none, &Proof::Link, Some(&foreign), false),
        (&gone, &Proof::Link, Some(&fresh), false),
        (&none, &Proof::Link, None, false),
    ];
    for (n, (holder, proof, session, may)) in cases.into_iter().enumerate() {
        let new = token(9, AccessKind::Session);
        let known = Known { holder: Some(holder.clone()), session: session.cloned(), ..Known::default() };
        let plan = set(&known, proof, &hash(2), new, &by_operator());
        assert_eq!(plan.is_ok(), may, "{n}");
    }
}

#[test]
fn q_10_what_fails_is_counted_alike_whoever_it_was() {
    let counters = [counter(Counted::Name, 2), counter(Counted::Source, 7)];
    let gone = Operator { disabled_at: Some(now()), ..holder(Some(hash(1))) };
    let (silent, asked) = (holder(None), Some(crate::tests::people::asked_for_codes()));
    let ada = Operator { second: asked, ..holder(Some(hash(1))) };
    let fits = hash(1);
    let cases = [
        (None, None),
        (Some(&gone), Some(&fits)),
        (Some(&silent), None),
        (Some(&silent), Some(&fits)),
        (Some(&ada), None),
    ];
    let plans = cases.map(|(holder, fits)| {
        let shown = shown(holder, fits, &counters);
        login(&shown, token(1, AccessKind::Session), &by_operator()).expect("counted")
    });
    for plan in &plans {
        assert_eq!(plan, &plans[0]);
        assert_eq!(plan.outcome(), &Shown::Failed);
        let counts: Vec<_> = plan
            .changes()
            .iter()
            .map(|change| match change {
                Change::Memory(MemoryChange::Failures { failures, .. }) => failures.count,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(counts, [3, 8]);
    }
}

#[test]
fn who_shows_the_password_is_in_and_its_own_counter_begins_anew_but_not_that_of_the_source() {
    let counters = [counter(Counted::Name, 4), counter(Counted::Source, 7)];
    let fits = hash(1);
    let session = AccessToken { role: OperatorRole::Admin, ..token(1, AccessKind::Session) };
    let ada = holder(Some(hash(1)));
    let plan =
        login(&shown(Some(&ada), Some(&fits), &counters), session.clone(), &by_operator()).expect("in");
    let Shown::In(opened) = plan.outcome() else { panic!("not in") };
    assert_eq!((opened.operator, opened.role), (ada.id, OperatorRole::Operator), "what the operator may");
    assert_eq!(opened.entrance, Some(Entrance::Password));
    let forgiven = MemoryChange::Failures { key: [4; 32], failures: Failures { count: 0, at: now() } };
    assert_eq!(plan.changes().last(), Some(&forgiven.into()));
    assert_eq!(plan.changes().len(), 2);
    // Not even the right one, while it is to wait.
    let counters = [counter(Counted::Name, 5)];
    let slow = login(&shown(Some(&ada), Some(&fits), &counters), session, &by_operator());
    assert_eq!(slow.err(), Some(Refusal::SlowDown { retry_after: 5 }));
}
