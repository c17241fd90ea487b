use muster_model::{AccessKind, AccessTokenId, Entrance, OperatorId};
use proptest::prelude::*;

use super::*;
use crate::lockout::{Counted, Failures};
use crate::operator::Live;
use crate::password::{Login, Shown, login};
use crate::plan::{Change, MemoryChange};
use crate::tests::fixtures::*;
use crate::tests::people::{SALT, asked_for_codes, counter, holder, password_hash, token};

const OTHER: FactorSalt = FactorSalt([8; 16]);

fn step(step: u64) -> Code {
    Code::Step { salt: SALT, step }
}

fn spare(n: u8) -> Code {
    Code::Recovery(SecretHash([n; 32]))
}

fn ada(second: Option<SecondFactor>) -> Operator {
    Operator { second, ..holder(Some(password_hash(1))) }
}

fn proposed(at: muster_model::Timestamp) -> Option<SecondFactor> {
    Some(SecondFactor::Proposed { salt: SALT, at })
}

/// An operator who asks by a session of theirs, having two more and a link.
fn known(second: Option<SecondFactor>, failures: u32) -> Known {
    Known {
        holder: Some(ada(second)),
        session: Some(token(1, AccessKind::Session)),
        live: Live { sessions: 3, links: 1, tokens: 1 },
        counters: vec![counter(Counted::Account, failures)],
    }
}

fn renewed() -> AccessToken {
    token(9, AccessKind::Session)
}

/// What becomes of somebody who shows the right password and this code.
fn login_with(second: Option<SecondFactor>, code: &Code, failures: u32) -> Result<Plan<Shown>, Refusal> {
    let (holder, fits) = (ada(second), password_hash(1));
    let counters = [counter(Counted::Name, 2), counter(Counted::Source, 7)];
    let codes = counter(Counted::Account, failures);
    let shown = Login { holder: Some(&holder), fits: Some(&fits), code, counters: &counters, codes };
    login(&shown, token(1, AccessKind::Session), &by_operator())
}

/// What is counted now, as the plan writes it.
fn counts<O>(plan: &Plan<O>) -> Vec<u32> {
    let count = |change: &Change| match change {
        Change::Memory(MemoryChange::Failures { failures, .. }) => failures.count,
        other => panic!("{other:?}"),
    };
    plan.changes().iter().map(count).collect()
}

/// The second factor that the plan leaves with the operator.
fn left<O>(plan: &Plan<O>) -> Option<SecondFactor> {
    let updated = plan.changes().iter().find_map(|change| match change {
        Change::Access(AccessChange::UpdateOperator(after)) => Some(after.second.clone()),
        _ => None,
    });
    updated.expect("the operator is written")
}

#[test]
fn who_is_asked_for_a_code_gets_in_by_password_and_code_and_the_step_is_kept() {
    let plan = login_with(Some(asked_for_codes()), &step(101), 3).expect("in");
    assert!(matches!(plan.outcome(), Shown::In(_)));
    assert_eq!(told(&plan), ("session.open", "password_and_code"));
    let Some(SecondFactor::Confirmed { step: newest, recovery, .. }) = left(&plan) else { panic!() };
    assert_eq!((newest, recovery.len()), (101, 2));
    let forgiven = MemoryChange::Failures { key: [3; 32], failures: Failures { count: 0, at: now() } };
    assert!(plan.changes().contains(&forgiven.into()), "what was counted of codes begins anew");
    let plan = login_with(Some(asked_for_codes()), &spare(2), 0).expect("in");
    assert_eq!(told(&plan), ("session.open", "password_and_recovery_code"));
    let Some(SecondFactor::Confirmed { step: newest, recovery, .. }) = left(&plan) else { panic!() };
    assert_eq!((newest, recovery), (100, vec![SecretHash([1; 32])]));
}

#[test]
fn a_code_that_was_used_or_is_of_another_key_is_wrong() {
    let wrong = [
        Code::Wrong,
        step(100),
        step(99),
        step(0),
        Code::Step { salt: OTHER, step: 101 },
        spare(3),
        Code::Recovery(SecretHash([0; 32])),
    ];
    for code in wrong {
        let plan = login_with(Some(asked_for_codes()), &code, 3).expect("counted");
        assert_eq!(plan.outcome(), &Shown::Failed, "{code:?}");
        assert_eq!(told(&plan), ("session.refused", "code_wrong"), "{code:?}");
        assert_eq!(counts(&plan), [3, 8, 4], "for name, source and account: {code:?}");
    }
}

#[test]
fn without_a_code_the_right_password_is_told_that_one_is_needed_and_nothing_is_written() {
    assert_eq!(login_with(Some(asked_for_codes()), &Code::Absent, 0).err(), Some(Refusal::CodeNeeded));
    // Even while codes wait: that is told to who tries one.
    assert_eq!(login_with(Some(asked_for_codes()), &Code::Absent, 5).err(), Some(Refusal::CodeNeeded));
    for second in [None, proposed(now())] {
        for code in [Code::Absent, Code::Wrong, step(101)] {
            let plan = login_with(second.clone(), &code, 5).expect("in");
            assert_eq!(told(&plan), ("session.open", "password"), "nobody is asked: {second:?} {code:?}");
        }
    }
}

#[test]
fn q_10_wrong_codes_are_counted_for_the_account_whose_password_was_shown() {
    for code in [step(101), spare(1), Code::Wrong] {
        let slow = login_with(Some(asked_for_codes()), &code, 5).err();
        assert_eq!(slow, Some(Refusal::SlowDown { retry_after: 5 }), "not even the right one: {code:?}");
    }
    // Who does not know the password counts nothing of codes and is not slowed down by what is counted of them.
    let (holder, counters) = (ada(Some(asked_for_codes())), [counter(Counted::Name, 0)]);
    let code = step(101);
    for failures in [0, 5] {
        let codes = counter(Counted::Account, failures);
        let shown = Login { holder: Some(&holder), fits: None, code: &code, counters: &counters, codes };
        let plan = login(&shown, token(1, AccessKind::Session), &by_operator()).expect("counted");
        assert_eq!((told(&plan), counts(&plan)), (("session.refused", "password_wrong"), vec![1]));
    }
}

#[test]
fn a_key_is_shown_to_who_shows_the_password_and_nobody_is_asked_for_its_codes() {
    let shown = password_hash(1);
    for before in [None, Some(SecondFactor::Proposed { salt: OTHER, at: ago(HOUR) })] {
        let plan = propose(&known(before, 2), &shown, SALT, &by_operator()).expect("shown");
        assert_eq!((left(&plan), told(&plan)), (proposed(now()), ("second_factor.propose", "password")));
        assert_eq!(rows(&plan).len(), 2, "nothing ends by that: {:?}", rows(&plan));
    }
    let there = propose(&known(Some(asked_for_codes()), 0), &shown, SALT, &by_operator()).err();
    assert!(matches!(there, Some(Refusal::WrongState { .. })), "{there:?}");
    let stranger = propose(&known(None, 0), &password_hash(2), SALT, &by_operator()).err();
    assert_eq!(stranger, Some(Refusal::Forbidden { action: "second_factor.propose" }));
}

#[test]
fn q_33_with_the_first_code_every_other_session_and_link_ends_and_the_own_one_gets_another_id() {
    let hashes = vec![SecretHash([4; 32])];
    let plan = confirm(&known(proposed(now()), 2), &step(50), hashes.clone(), renewed(), &by_operator());
    let plan = plan.expect("confirmed");
    let second = SecondFactor::Confirmed { salt: SALT, since: now(), step: 50, recovery: hashes };
    assert_eq!(left(&plan), Some(second), "and that code counts no more");
    renews_and_ends(&plan, "second_factor.confirm");
}

#[test]
fn q_33_without_a_second_factor_every_other_session_and_link_ends_too() {
    for code in [step(101), spare(1)] {
        let known = known(Some(asked_for_codes()), 2);
        let plan = remove(&known, &password_hash(1), &code, renewed(), &by_operator()).expect("removed");
        assert_eq!(left(&plan), None);
        renews_and_ends(&plan, "second_factor.remove");
    }
}

fn renews_and_ends(plan: &Plan<Confirmed>, act: &str) {
    let own = token(1, AccessKind::Session);
    let Confirmed::In(session) = plan.outcome() else { panic!("{plan:?}") };
    assert_eq!(
        (session.id, session.entrance),
        (AccessTokenId::from_bytes([9; 16]), Some(Entrance::Password))
    );
    assert_eq!((session.created_at, session.expires_at), (own.created_at, own.expires_at), "no younger");
    let kinds = &[AccessKind::Login, AccessKind::Session];
    let operator = OperatorId::from_bytes([1; 16]);
    let ended = AccessChange::EndAllOf { operator, kinds, at: now() };
    let created = AccessChange::CreateToken(session.clone());
    let forgiven = MemoryChange::Failures { key: [2; 32], failures: Failures { count: 0, at: now() } };
    assert_eq!(plan.changes()[1..], [ended.into(), created.into(), forgiven.into()]);
    assert_eq!(told(plan), (act, "code"));
    assert_eq!(plan.entries()[0].detail, [("ended", "4".to_owned())]);
}

#[test]
fn a_wrong_code_changes_nothing_and_is_counted() {
    let wrong = [Code::Absent, Code::Wrong, spare(1), Code::Step { salt: OTHER, step: 101 }];
    for code in &wrong {
        let plan = confirm(&known(proposed(now()), 3), code, Vec::new(), renewed(), &by_operator());
        is_counted(&plan.expect("counted"));
    }
    for code in [Code::Absent, Code::Wrong, step(100), spare(3)] {
        let known = known(Some(asked_for_codes()), 3);
        let plan = remove(&known, &password_hash(1), &code, renewed(), &by_operator());
        is_counted(&plan.expect("counted"));
    }
    let slow = Some(Refusal::SlowDown { retry_after: 5 });
    let confirmed = confirm(&known(proposed(now()), 5), &step(1), Vec::new(), renewed(), &by_operator());
    assert_eq!(confirmed.err(), slow);
    let known = known(Some(asked_for_codes()), 5);
    assert_eq!(remove(&known, &password_hash(1), &step(101), renewed(), &by_operator()).err(), slow);
}

fn is_counted(plan: &Plan<Confirmed>) {
    assert_eq!((plan.outcome(), counts(plan)), (&Confirmed::Failed, vec![4]));
    assert_eq!(told(plan), ("second_factor.refused", "code_wrong"));
}

#[test]
fn each_is_done_only_from_where_it_leads_on() {
    let over = now() - PROPOSED_FOR;
    for second in [None, Some(asked_for_codes()), proposed(over)] {
        let known = known(second, 0);
        let refused = confirm(&known, &step(101), Vec::new(), renewed(), &by_operator()).err();
        assert!(matches!(refused, Some(Refusal::WrongState { .. })), "{known:?}");
    }
    for second in [None, proposed(now())] {
        let known = known(second, 0);
        let refused = remove(&known, &password_hash(1), &step(101), renewed(), &by_operator()).err();
        assert!(matches!(refused, Some(Refusal::WrongState { .. })), "{known:?}");
    }
    let known = known(Some(asked_for_codes()), 0);
    let refused = remove(&known, &password_hash(2), &step(101), renewed(), &by_operator()).err();
    assert_eq!(refused, Some(Refusal::Forbidden { action: "second_factor.remove" }));
}

/// A token, a session that ended, one of somebody else, that of an operator who is disabled, or none at all.
#[test]
fn nothing_but_a_live_session_of_its_operator_changes_a_second_factor() {
    let session = token(1, AccessKind::Session);
    let api = AccessToken { kind: AccessKind::Api, ..session.clone() };
    let ended = AccessToken { ended_at: Some(now()), ..session.clone() };
    let over = AccessToken { expires_at: now(), ..session.clone() };
    let foreign = AccessToken { operator: OperatorId::from_bytes([7; 16]), ..session.clone() };
    let by = |second, session: Option<&AccessToken>| Known { session: session.cloned(), ..known(second, 0) };
    for shown in [Some(&api), Some(&ended), Some(&over), Some(&foreign), None] {
        let forbidden = |action| Some(Refusal::Forbidden { action });
        let refused = propose(&by(None, shown), &password_hash(1), SALT, &by_operator()).err();
        assert_eq!(refused, forbidden("second_factor.propose"), "{shown:?}");
        let at = by(proposed(now()), shown);
        let refused = confirm(&at, &step(1), Vec::new(), renewed(), &by_operator()).err();
        assert_eq!(refused, forbidden("second_factor.confirm"), "{shown:?}");
        let asked = by(Some(asked_for_codes()), shown);
        let refused = remove(&asked, &password_hash(1), &step(101), renewed(), &by_operator()).err();
        assert_eq!(refused, forbidden("second_factor.remove"), "{shown:?}");
    }
    let disabled = Operator { disabled_at: Some(now()), ..ada(proposed(now())) };
    let gone = Known { holder: Some(disabled), ..known(None, 0) };
    assert!(confirm(&gone, &step(1), Vec::new(), renewed(), &by_operator()).is_err());
}

fn any_code() -> impl Strategy<Value = Code> {
    prop_oneof![
        (95..110_u64).prop_map(step),
        (95..110_u64).prop_map(|step| Code::Step { salt: OTHER, step }),
        (0..5_u8).prop_map(spare),
        Just(Code::Wrong),
        Just(Code::Absent),
    ]
}

proptest! {
    /// Whatever is shown in whatever order: the steps that count rise, and a recovery code counts once.
    #[test]
    fn no_code_counts_twice(codes in prop::collection::vec(any_code(), 0..60)) {
        let mut second = asked_for_codes();
        let (mut newest, mut spent) = (100, Vec::new());
        for code in codes {
            let Some(after) = spend(&second, &code) else { continue };
            match code {
                Code::Step { salt, step } => {
                    prop_assert!(salt == SALT && step > newest);
                    newest = step;
                }
                Code::Recovery(hash) => {
                    prop_assert!(!spent.contains(&hash));
                    spent.push(hash);
                }
                Code::Wrong | Code::Absent => prop_assert!(false, "that is no code"),
            }
            prop_assert_eq!(spend(&after, &code), None);
            second = after;
        }
        prop_assert!(spent.len() <= 2);
    }
}
