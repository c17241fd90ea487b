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
    Grant { kind: GrantKind::SiteKey { version, fingerprint: Some([1, 2]) }, state, ..grant(4) }
}

#[test]
fn the_first_key_of_a_site_is_its_first_generation() {
    let plan = rotate(None);
    assert_eq!(plan.outcome().kind, GrantKind::SiteKey { version: 1, fingerprint: Some([0x7f, 0x2a]) });
    assert_eq!((rows(&plan), told(&plan)), (vec!["grant made".into()], ("site.rotate_key", "rotated")));
    assert_eq!(plan.entries()[0].detail[0], ("generation", "v1 (7F2A)".to_owned()));
}

#[test]
fn the_next_generation_ends_the_one_before_and_touches_no_machine() {
    let plan = rotate(Some(&generation(3, GrantState::Live)));
    assert_eq!(plan.outcome().kind, GrantKind::SiteKey { version: 4, fingerprint: Some([0x7f, 0x2a]) });
    assert_eq!(rows(&plan), ["grant made", "grant rotated_out"]);
    let ended = Change::Grant(GrantChange::End { grant: grant_id(4), state: GrantState::RotatedOut(now()) });
    assert_eq!(plan.changes()[1], ended);
}

#[test]
fn a_revoked_generation_stays_revoked_and_is_counted() {
    let plan = rotate(Some(&generation(3, GrantState::Revoked(ago(HOUR)))));
    assert_eq!(plan.outcome().kind, GrantKind::SiteKey { version: 4, fingerprint: Some([0x7f, 0x2a]) });
    assert_eq!(rows(&plan), ["grant made"]);
}

#[test]
fn the_key_of_an_unknown_site_is_not_rotated() {
    let nowhere = rotate_key(next(), [0, 0], None, None, &by_operator());
    assert_eq!(nowhere.err(), Some(Refusal::NotFound { what: "site" }));
}

fn brought(version: Option<u32>) -> BroughtKey {
    BroughtKey { hash: ImportedHash::stand_in(), version, fingerprint: None }
}

fn bring(
    version: Option<u32>,
    newest: Option<Grant>,
    earlier: Option<Grant>,
) -> Result<Plan<Grant>, Refusal> {
    let facts = BringFacts { site: Some(site(1)), newest, earlier };
    bring_key(next(), brought(version), facts, &by_operator())
}

#[test]
fn a_key_of_another_server_is_the_next_generation_under_its_own_number_or_the_next() {
    let plan = bring(None, Some(generation(3, GrantState::Live)), None).expect("it is new");
    assert_eq!(rows(&plan), ["grant made", "grant rotated_out"]);
    assert_eq!(told(&plan), ("site.import_key", "imported"));
    assert_eq!(plan.entries()[0].detail[0], ("generation", "v4 (????)".to_owned()));
    assert_eq!(plan.outcome().imported, Some(ImportedHash::stand_in()));
    let plan = bring(Some(7), Some(generation(3, GrantState::Revoked(ago(HOUR)))), None).expect("it is new");
    assert_eq!(plan.outcome().kind, GrantKind::SiteKey { version: 7, fingerprint: None });
    assert_eq!(rows(&plan), ["grant made"]);
    for version in [1, 3] {
        let taken = bring(Some(version), Some(generation(3, GrantState::Live)), None);
        assert_eq!(taken.err(), Some(Refusal::NameTaken { what: "generation" }), "{version}");
    }
}

#[test]
fn bringing_a_key_again_changes_nothing_also_after_it_was_shown() {
    let waiting = Grant { imported: Some(ImportedHash::stand_in()), ..generation(3, GrantState::Live) };
    for earlier in [waiting, generation(3, GrantState::Live)] {
        let again = bring(Some(3), Some(earlier.clone()), Some(earlier.clone())).expect("the same");
        assert!(again.is_unchanged() && *again.outcome() == earlier);
    }
    let ended = generation(3, GrantState::RotatedOut(ago(HOUR)));
    let again = bring(None, Some(generation(4, GrantState::Live)), Some(ended));
    assert_eq!(
        again.err().map(|refusal| refusal.code()),
        Some("wrong_state"),
        "what ended does not come back"
    );
    let elsewhere = Grant { site: site_id(2), ..generation(3, GrantState::Live) };
    assert_eq!(bring(None, None, Some(elsewhere)).err(), Some(Refusal::NameTaken { what: "imported key" }));
    let nowhere = bring_key(next(), brought(None), BringFacts::default(), &by_operator());
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
