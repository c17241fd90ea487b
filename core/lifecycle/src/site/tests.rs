use super::*;
use crate::plan::Change;
use crate::tests::fixtures::*;

fn next() -> NewGrant {
    let made = grant(5);
    NewGrant {
        id: made.id,
        kind: GrantKind::Token,
        secret: made.secret,
        hash: made.hash,
        uses: None,
        expires_at: None,
        labels: made.labels,
        role: made.role,
        machine_kind: None,
        approval: false,
    }
}

fn rotate(newest: Option<&Grant>) -> Plan<Grant> {
    rotate_key(next(), [0x7f, 0x2a], Some(site(1)), newest, &by_operator()).expect("the site is there")
}

fn generation(version: u32, state: GrantState) -> Grant {
    Grant { kind: GrantKind::SiteKey { version, fingerprint: [1, 2] }, state, ..grant(4) }
}

#[test]
fn the_first_key_of_a_site_is_its_first_generation() {
    let plan = rotate(None);
    assert_eq!(plan.outcome().kind, GrantKind::SiteKey { version: 1, fingerprint: [0x7f, 0x2a] });
    assert_eq!((rows(&plan), told(&plan)), (vec!["grant made".into()], ("site.rotate_key", "rotated")));
    assert_eq!(plan.entries()[0].detail[0], ("generation", "v1 (7F2A)".to_owned()));
}

#[test]
fn the_next_generation_ends_the_one_before_and_touches_no_machine() {
    let plan = rotate(Some(&generation(3, GrantState::Live)));
    assert_eq!(plan.outcome().kind, GrantKind::SiteKey { version: 4, fingerprint: [0x7f, 0x2a] });
    assert_eq!(rows(&plan), ["grant made", "grant rotated_out"]);
    let ended = Change::Grant(GrantChange::End { grant: grant_id(4), state: GrantState::RotatedOut(now()) });
    assert_eq!(plan.changes()[1], ended);
}

#[test]
fn a_revoked_generation_stays_revoked_and_is_counted() {
    let plan = rotate(Some(&generation(3, GrantState::Revoked(ago(HOUR)))));
    assert_eq!(plan.outcome().kind, GrantKind::SiteKey { version: 4, fingerprint: [0x7f, 0x2a] });
    assert_eq!(rows(&plan), ["grant made"]);
}

#[test]
fn the_key_of_an_unknown_site_is_not_rotated() {
    let nowhere = rotate_key(next(), [0, 0], None, None, &by_operator());
    assert_eq!(nowhere.err(), Some(Refusal::NotFound { what: "site" }));
}

#[test]
fn the_code_of_a_site_is_given_once() {
    let plan = create(site(2), None, &by_operator()).expect("the code is free");
    assert_eq!((rows(&plan), told(&plan)), (vec!["site made".into()], ("site.create", "created")));
    let taken = create(site(2), Some(&site(1)), &by_operator());
    assert_eq!(taken.err(), Some(Refusal::NameTaken { what: "site" }));
}

#[test]
fn a_deployment_is_founded_once() {
    let tenant = Tenant { id: tenant_id(), code: text("default"), created_at: now() };
    let plan = found(tenant.clone(), site(1), None, &by_operator());
    assert_eq!(rows(&plan), ["tenant made", "site made"]);
    assert_eq!(told(&plan), ("tenant.found", "created"));
    let other = Tenant { code: text("other"), ..tenant.clone() };
    let again = found(other, site(2), Some(tenant.clone()), &by_operator());
    assert!(again.is_unchanged() && again.outcome() == &tenant);
}
