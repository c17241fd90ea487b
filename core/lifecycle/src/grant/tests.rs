use super::*;
use crate::tests::fixtures::*;

pub(crate) fn new(uses: Option<u32>) -> NewGrant {
    let made = grant(5);
    NewGrant {
        id: made.id,
        kind: GrantKind::Token,
        secret: made.secret,
        hash: made.hash,
        uses,
        expires_at: made.expires_at,
        labels: made.labels,
        role: made.role,
        machine_kind: None,
        approval: true,
    }
}

#[test]
fn a_grant_is_made_for_its_site_and_counts_as_it_was_asked_to() {
    for (asked, uses) in
        [(Some(1), Uses::Once(None)), (Some(3), Uses::Capped { limit: 3, used: 0 }), (None, Uses::Unlimited)]
    {
        let plan = create(new(asked), Some(site(2)), &by_operator()).expect("the site is there");
        let made = plan.outcome();
        assert_eq!((made.uses, made.site, made.state), (uses, site_id(2), GrantState::Live));
        assert_eq!((rows(&plan), told(&plan)), (vec!["grant made".into()], ("grant.create", "live")));
    }
    let nowhere = create(new(None), None, &by_operator());
    assert_eq!(nowhere.err(), Some(Refusal::NotFound { what: "site" }));
}

#[test]
fn a_grant_of_no_uses_admits_nobody() {
    let plan = create(new(Some(0)), Some(site(1)), &by_operator()).expect("the site is there");
    assert!(!plan.outcome().admits(now()));
}

#[test]
fn a_grant_is_revoked_once_and_also_after_it_was_rotated_out() {
    for state in [GrantState::Live, GrantState::RotatedOut(ago(HOUR))] {
        let plan = revoke(Some(Grant { state, ..grant(9) }), None, &by_operator()).expect("it is there");
        assert_eq!((rows(&plan), told(&plan)), (vec!["grant revoked".into()], ("grant.revoke", "revoked")));
        assert!(
            revoke(Some(plan.outcome().clone()), None, &by_operator())
                .expect("the same again")
                .is_unchanged()
        );
    }
    assert_eq!(revoke(None, None, &by_operator()).err(), Some(Refusal::NotFound { what: "grant" }));
}
