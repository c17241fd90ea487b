use muster_model::OperatorId;

use super::*;
use crate::tests::fixtures::*;

fn link() -> AccessToken {
    operator_token(OperatorRole::Operator, AccessKind::Login)
}

fn session() -> AccessToken {
    operator_token(OperatorRole::Viewer, AccessKind::Session)
}

/// Whose the tokens are.
fn holder() -> Operator {
    Operator {
        id: OperatorId::from_bytes([1; 16]),
        tenant: tenant_id(),
        name: text("ada"),
        role: OperatorRole::Admin,
        created_at: ago(HOUR),
        disabled_at: None,
        password: None,
        second: None,
    }
}

#[test]
fn a_token_or_session_is_worth_no_more_than_its_operator_and_one_who_is_disabled_gets_none() {
    let viewer = Operator { role: OperatorRole::Viewer, ..holder() };
    let made = create_token(session(), Some(&viewer), OperatorRole::Admin, &by_operator()).expect("made");
    assert_eq!(made.outcome().role, OperatorRole::Viewer);
    let wished = operator_token(OperatorRole::Operator, AccessKind::Session);
    let opened = login(Some(link()), Some(&viewer), wished, &by_operator()).expect("the link is live");
    assert_eq!(opened.outcome().role, OperatorRole::Viewer);
    let gone = Operator { disabled_at: Some(now()), ..holder() };
    let another = Operator { id: OperatorId::from_bytes([2; 16]), ..holder() };
    for holder in [None, Some(&gone), Some(&another)] {
        let opened = login(Some(link()), holder, session(), &by_operator());
        assert_eq!(opened.err(), Some(Refusal::NotAuthenticated { cause: "operator_disabled" }));
    }
    let made = create_token(session(), Some(&gone), OperatorRole::Admin, &by_operator());
    assert!(matches!(made, Err(Refusal::WrongState { state: "disabled", .. })));
    let made = create_token(session(), None, OperatorRole::Admin, &by_operator());
    assert_eq!(made.err(), Some(Refusal::NotFound { what: "operator" }));
}

#[test]
fn nobody_hands_out_more_than_they_hold() {
    for maker in OperatorRole::ALL {
        for role in OperatorRole::ALL {
            let made =
                create_token(operator_token(role, AccessKind::Api), Some(&holder()), maker, &by_operator());
            match role <= maker {
                true => assert_eq!(rows(&made.expect("it holds as much")), ["token made"]),
                false => assert_eq!(made.err(), Some(Refusal::Forbidden { action: "token.create" })),
            }
        }
    }
}

#[test]
fn a_login_link_opens_one_session_and_is_spent_with_it() {
    let plan = login(Some(link()), Some(&holder()), session(), &by_operator()).expect("the link is live");
    assert_eq!(rows(&plan), ["token ended", "token made"]);
    assert_eq!(told(&plan), ("session.open", "login_link"));
    let spent = AccessToken { ended_at: Some(now()), ..link() };
    let again = login(Some(spent), Some(&holder()), session(), &by_operator());
    assert_eq!(again.err(), Some(Refusal::NotAuthenticated { cause: "login_link_not_live" }));
}

#[test]
fn only_a_live_login_link_logs_in() {
    let over = AccessToken { expires_at: now(), ..link() };
    let api = operator_token(OperatorRole::Admin, AccessKind::Api);
    for bad in [None, Some(over), Some(api), Some(session())] {
        assert!(matches!(
            login(bad, Some(&holder()), session(), &by_operator()),
            Err(Refusal::NotAuthenticated { .. })
        ));
    }
}

#[test]
fn a_session_is_its_links_operator_and_never_worth_more() {
    let someone = OperatorId::from_bytes([9; 16]);
    let wished = AccessToken { operator: someone, ..operator_token(OperatorRole::Admin, AccessKind::Api) };
    let plan = login(Some(link()), Some(&holder()), wished, &by_operator()).expect("the link is live");
    let session = plan.outcome();
    assert_eq!((session.operator, session.role), (link().operator, OperatorRole::Operator));
    assert_eq!(session.kind, AccessKind::Session);
    assert!(
        matches!(&plan.changes()[1], crate::Change::Access(AccessChange::CreateToken(t)) if t == session)
    );
}

#[test]
fn a_token_is_ended_once() {
    let plan = end_token(Some(session()), &by_operator()).expect("it is there");
    assert_eq!((rows(&plan), told(&plan)), (vec!["token ended".into()], ("token.revoke", "session")));
    assert!(!plan.outcome().is_live(now()));
    assert!(end_token(Some(plan.outcome().clone()), &by_operator()).expect("the same again").is_unchanged());
    assert_eq!(end_token(None, &by_operator()).err(), Some(Refusal::NotFound { what: "token" }));
}

#[test]
fn making_an_operator_is_told_with_its_role() {
    let operator = Operator {
        id: OperatorId::from_bytes([3; 16]),
        tenant: tenant_id(),
        name: text("ada"),
        role: OperatorRole::Admin,
        created_at: now(),
        disabled_at: None,
        password: None,
        second: None,
    };
    let plan = create_operator(operator, &by_operator());
    assert_eq!((rows(&plan), told(&plan)), (vec!["operator made".into()], ("operator.create", "admin")));
}

#[test]
fn a_token_that_is_over_gets_no_other_secret() {
    let live = operator_token(OperatorRole::Operator, AccessKind::Api);
    let rotate = |token| rotate_token(Some(token), SecretId([9; 10]), hash(9), &by_operator());
    let plan = rotate(live.clone()).expect("rotated");
    assert_eq!(rows(&plan), ["token rotated"]);
    assert_eq!((plan.outcome().id, plan.outcome().secret), (live.id, SecretId([9; 10])));
    let ended = AccessToken { ended_at: Some(now()), ..live.clone() };
    let over = AccessToken { expires_at: now(), ..live };
    for token in [ended, over, operator_token(OperatorRole::Operator, AccessKind::Session)] {
        assert_eq!(rotate(token).expect_err("refused"), Refusal::NotFound { what: "token" });
    }
}
