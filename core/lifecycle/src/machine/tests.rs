use muster_model::{Grant, GrantKind, HoldReason, Uses};

use super::*;
use crate::tests::fixtures::*;

fn new() -> NewMachine {
    let made = grant(5);
    NewMachine {
        id: machine_id(200),
        name: text("edge-7"),
        kind: MachineKind::Worker,
        hardware_id: Some(hardware(1)),
        role: Some(text("edge")),
        labels: made.labels,
        grant: NewGrant {
            id: made.id,
            kind: GrantKind::Machine(machine_id(200)),
            secret: made.secret,
            hash: made.hash,
            uses: Some(1),
            expires_at: made.expires_at,
            labels: Labels::default(),
            role: None,
            machine_kind: Some(MachineKind::Worker),
            approval: false,
        },
    }
}

fn facts(machine: Machine) -> Facts {
    let keys = match machine.key {
        Some(_) => vec![key_record(1, &machine, KeyStanding::Current)],
        None => Vec::new(),
    };
    let credentials = known(machine.clone(), None).credentials;
    Facts { machine: Some(machine), keys, credentials, ..Facts::default() }
}

fn standing(state: MachineState) -> Facts {
    facts(Machine { state, ..machine(1) })
}

fn two_certificates_and_a_bearer_key() -> Facts {
    let mut facts = standing(active());
    let one = machine(1);
    facts.credentials =
        vec![certificate(102, &one, HOUR), certificate(101, &one, HOUR * 2), bearer(100, &one)];
    facts
}

#[test]
fn a_machine_is_made_pending_with_a_grant_that_only_it_can_use_once() {
    let plan = create(new(), Some(site(1)), None, &by_operator()).expect("the site is there");
    let made = plan.outcome();
    assert_eq!((made.key, made.generation, made.enrolled_at), (None, 1, None));
    assert_eq!(made.state.as_str(), "pending");
    let Change::Grant(GrantChange::Create(Grant { kind, uses, site, .. })) = &plan.changes()[1] else {
        panic!("no grant: {plan:?}")
    };
    assert_eq!((*kind, *uses, *site), (GrantKind::Machine(made.id), Uses::Once(None), site_id(1)));
    assert_eq!(rows(&plan), ["machine made pending", "grant made"]);
    assert_eq!(told(&plan), ("machine.create", "pending"));
}

#[test]
fn hardware_of_a_live_machine_is_taken_and_that_of_a_retired_one_is_free() {
    let taken = create(new(), Some(site(1)), Some(&machine(1)), &by_operator());
    assert_eq!(taken.err(), Some(Refusal::NameTaken { what: "machine with that hardware id" }));
    let gone = Machine { state: retired(), ..machine(1) };
    assert!(create(new(), Some(site(1)), Some(&gone), &by_operator()).is_ok());
    let nowhere = create(new(), None, None, &by_operator());
    assert_eq!(nowhere.err(), Some(Refusal::NotFound { what: "site" }));
}

#[test]
fn suspending_pauses_an_active_machine_once_and_ends_nothing() {
    let plan = suspend(standing(active()), Some(text("audit")), &by_operator()).expect("it is active");
    assert_eq!(rows(&plan), ["machine suspended"]);
    assert_eq!(told(&plan), ("machine.suspend", "suspended"));
    let again = suspend(standing(plan.outcome().state.clone()), None, &by_operator());
    assert!(again.expect("the same again").is_unchanged());
    for state in [pending(1).state, retired(), suspended(SuspendCause::Revoked(None))] {
        assert!(matches!(suspend(standing(state), None, &by_operator()), Err(Refusal::WrongState { .. })));
    }
}

#[test]
fn resuming_ends_a_pause_or_a_probation_and_never_a_revocation() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Probation] {
        let plan = resume(standing(suspended(cause)), None, &by_operator()).expect("it is paused");
        assert_eq!((rows(&plan), told(&plan)), (vec!["machine active".into()], ("machine.resume", "active")));
    }
    assert!(resume(standing(active()), None, &by_operator()).expect("it is active").is_unchanged());
    let refused = Refusal::WrongState { verb: "resume", state: "revoked" };
    let revoked = standing(suspended(SuspendCause::Revoked(None)));
    assert_eq!(resume(revoked, None, &by_operator()).err(), Some(refused));
    for state in [pending(1).state, retired()] {
        assert!(matches!(resume(standing(state), None, &by_operator()), Err(Refusal::WrongState { .. })));
    }
}

#[test]
fn retiring_ends_credentials_key_and_invite_and_leaves_a_tombstone() {
    let mut facts = two_certificates_and_a_bearer_key();
    let spent = Grant { uses: bound(Some(key(1))), ..grant(4) };
    let revoked = Grant { state: GrantState::Revoked(ago(HOUR)), ..grant(3) };
    facts.grants = vec![spent, revoked];
    let plan = retire(facts, RetireCause::Operator(Some(text("sold"))), &by_operator()).expect("it lives");
    let all = [102, 101, 100].map(|n| (credential_id(n), EndReason::Retired));
    assert_eq!(ended(&plan), all);
    assert_eq!(rows(&plan)[3..], ["key revoked", "grant revoked", "machine retired"]);
    assert_eq!(told(&plan), ("machine.retire", "retired"));
    assert_eq!((plan.outcome().id, plan.outcome().key), (machine_id(1), Some(key(1))));
}

#[test]
fn every_living_state_ends_and_ending_twice_changes_nothing() {
    for state in [pending(1).state, active(), suspended(SuspendCause::Probation)] {
        let plan = retire(standing(state), RetireCause::Left, &by_operator()).expect("it lives");
        assert_eq!((plan.outcome().state.as_str(), told(&plan).0), ("retired", "machine.leave"));
    }
    let again = retire(standing(retired()), RetireCause::Left, &by_operator());
    assert!(again.expect("the same again").is_unchanged());
}

#[test]
fn revoking_all_ends_every_credential_and_the_key_and_pauses_the_machine() {
    let facts = two_certificates_and_a_bearer_key();
    let plan = revoke(facts, None, Some(text("stolen")), &by_operator()).expect("it is active");
    assert_eq!(plan.outcome().credentials, [102, 101, 100].map(credential_id));
    assert_eq!(rows(&plan)[3..], ["key revoked", "machine suspended"]);
    assert_eq!(told(&plan), ("machine.revoke", "suspended"));
    let state = plan.outcome().machine.state.clone();
    assert!(matches!(
        &state,
        MachineState::Suspended(Suspended { cause: SuspendCause::Revoked(Some(_)), .. })
    ));
    let mut after = standing(state);
    (after.credentials, after.keys[0].standing) = (Vec::new(), KeyStanding::Revoked);
    assert!(revoke(after, None, None, &by_operator()).expect("the same again").is_unchanged());
}

#[test]
fn q_08_revoking_one_certificate_takes_its_key_and_all_certificates_of_that_key() {
    let facts = two_certificates_and_a_bearer_key();
    let plan = revoke(facts, Some(credential_id(101)), None, &by_operator()).expect("it is open");
    assert_eq!(plan.outcome().credentials, [102, 101].map(credential_id));
    assert_eq!(rows(&plan), ["credential revoked", "credential revoked", "key revoked", "machine suspended"]);
}

#[test]
fn q_07_invites_from_before_and_what_its_key_waits_for_end_with_a_machine_that_is_revoked_or_retired() {
    let asked = muster_model::Hold { claimant: claimant(1), ..hold(HoldReason::SiteMismatch, None) };
    let of_another = hold(HoldReason::KeyMismatch, Some(machine_id(1)));
    let decided = muster_model::Hold { state: rejected(), ..asked.clone() };
    let whole = Facts {
        grants: vec![invite_of(12, &machine(1))],
        holds: vec![asked, of_another, decided],
        ..standing(active())
    };
    let ends = |rows: Vec<String>| {
        let of = |what: &str| rows.iter().filter(|row| row.starts_with(what)).count();
        (of("grant revoked"), of("hold"))
    };
    let revoked = revoke(whole.clone(), None, None, &by_operator()).expect("it is active");
    assert_eq!(ends(rows(&revoked)), (1, 1));
    let retired = retire(whole.clone(), RetireCause::Operator(None), &by_operator()).expect("it is active");
    assert_eq!(ends(rows(&retired)), (1, 1));
    let paused = suspend(whole, None, &by_operator()).expect("it is active");
    assert_eq!(ends(rows(&paused)), (0, 0));
}

#[test]
fn revoking_one_bearer_key_leaves_the_machine_at_work() {
    let facts = two_certificates_and_a_bearer_key();
    let plan = revoke(facts, Some(credential_id(100)), None, &by_operator()).expect("it is open");
    assert_eq!(plan.outcome().credentials, [credential_id(100)]);
    assert_eq!(rows(&plan), ["credential revoked", "machine active"]);
}

#[test]
fn revoking_a_machine_that_an_operator_paused_needs_a_new_key_to_undo() {
    let plan = revoke(standing(suspended(SuspendCause::Operator(None))), None, None, &by_operator());
    let state = plan.expect("it is paused").outcome().machine.state.clone();
    assert!(resume(standing(state), None, &by_operator()).is_err());
}

#[test]
fn a_foreign_or_ended_credential_and_a_machine_without_any_are_not_revoked() {
    let missing = revoke(standing(active()), Some(credential_id(7)), None, &by_operator());
    assert_eq!(missing.err(), Some(Refusal::NotFound { what: "credential" }));
    let mut foreign = standing(active());
    foreign.credentials = vec![certificate(7, &machine(3), HOUR)];
    let foreign = revoke(foreign, Some(credential_id(7)), None, &by_operator());
    assert_eq!(foreign.err(), Some(Refusal::NotFound { what: "credential" }));
    for state in [pending(1).state, retired()] {
        let mut facts = standing(state);
        facts.credentials = Vec::new();
        assert!(matches!(revoke(facts, None, None, &by_operator()), Err(Refusal::WrongState { .. })));
    }
}

#[test]
fn an_unknown_machine_is_not_found_by_any_act() {
    let not_found = Some(Refusal::NotFound { what: "machine" });
    let context = by_operator();
    assert_eq!(suspend(Facts::default(), None, &context).err(), not_found);
    assert_eq!(resume(Facts::default(), None, &context).err(), not_found);
    assert_eq!(retire(Facts::default(), RetireCause::Left, &context).err(), not_found);
    assert_eq!(revoke(Facts::default(), None, None, &context).err(), not_found);
}

fn invite_of(n: u8, machine: &Machine) -> muster_model::Grant {
    muster_model::Grant { kind: muster_model::GrantKind::Machine(machine.id), ..grant(n) }
}

fn new_invite(machine: &Machine) -> NewGrant {
    let earlier = invite_of(12, machine);
    NewGrant {
        id: earlier.id,
        kind: earlier.kind,
        secret: earlier.secret,
        hash: earlier.hash,
        uses: Some(1),
        expires_at: Some(now() + HOUR),
        labels: Labels::default(),
        role: None,
        machine_kind: None,
        approval: false,
    }
}

#[test]
fn another_invite_ends_every_earlier_one() {
    for machine in [pending(1), Machine { key: None, ..machine(1) }] {
        let grants = vec![invite_of(10, &machine), invite_of(11, &machine)];
        let facts = Facts { machine: Some(machine.clone()), grants, ..Facts::default() };
        let plan = invite(facts, Some(site(1)), new_invite(&machine), &by_operator()).expect("it may");
        assert_eq!(rows(&plan), ["grant revoked", "grant revoked", "grant made"]);
        assert_eq!(plan.outcome().1.id, grant_id(12));
    }
}

#[test]
fn a_machine_with_a_key_and_a_tombstone_are_not_invited() {
    let keyless = Machine { key: None, state: retired(), ..machine(1) };
    for (machine, state) in [(machine(1), "keyed"), (keyless, "retired")] {
        let facts = Facts { machine: Some(machine.clone()), ..Facts::default() };
        let answer = invite(facts, Some(site(1)), new_invite(&machine), &by_operator());
        assert_eq!(answer.err(), Some(Refusal::WrongState { verb: "invite", state }));
    }
}

#[test]
fn labels_are_replaced_with_an_entry_and_the_same_ones_change_nothing() {
    let labels = Labels::new([("rack", "b")]).expect("well-formed");
    let facts = |machine| Facts { machine: Some(machine), ..Facts::default() };
    let plan = relabel(facts(machine(1)), labels.clone(), &by_operator()).expect("it may");
    assert_eq!((&plan.outcome().labels, told(&plan).0), (&labels, "machine.relabel"));
    assert_eq!(rows(&plan), ["machine active"]);
    let same = Machine { labels: labels.clone(), ..machine(1) };
    assert!(relabel(facts(same), labels.clone(), &by_operator()).expect("it may").is_unchanged());
    let over = relabel(facts(Machine { state: retired(), ..machine(1) }), labels, &by_operator());
    assert_eq!(over.err(), Some(Refusal::WrongState { verb: "relabel", state: "retired" }));
}

#[test]
fn one_refresh_token_that_is_revoked_takes_its_whole_family_along() {
    let machine = Machine { key: None, ..machine(1) };
    let token = |n: u8| Credential {
        kind: CredentialKind::Refresh { secret: muster_model::SecretId([n; 10]), hash: hash(n) },
        ..bearer(n, &machine)
    };
    let credentials = vec![token(102), token(101), bearer(100, &machine)];
    let facts = Facts { machine: Some(machine.clone()), credentials, ..Facts::default() };
    let plan = revoke(facts, Some(credential_id(101)), None, &by_operator()).expect("it may");
    assert_eq!(ended(&plan), [102, 101].map(|n| (credential_id(n), EndReason::Revoked)));
}

#[test]
fn what_a_machine_says_of_itself_is_written_when_it_is_new_and_kept_when_it_is_not_mentioned() {
    let before = Machine {
        attributes: Attributes::new([("os", "Debian"), ("gpu", "none")]).expect("a map"),
        ..machine(1)
    };
    let facts = |machine: &Machine| Facts { machine: Some(machine.clone()), ..Facts::default() };
    let says = |pairs: &[(&str, &str)]| Attributes::new(pairs.iter().copied()).expect("a map");
    let same = describe(facts(&before), None, &says(&[("os", "Debian")]), &by_operator()).expect("known");
    assert!(same.is_unchanged());
    let plan =
        describe(facts(&before), Some(text("vm")), &says(&[("gpu", "two")]), &by_operator()).expect("known");
    let after = plan.outcome();
    assert_eq!((after.attributes.get("os"), after.attributes.get("gpu")), (Some("Debian"), Some("two")));
    assert_eq!(after.hostname, Some(text("vm")));
    assert_eq!(told(&plan), ("machine.describe", "changed"));
    let gone = Machine { state: retired(), ..before };
    assert!(describe(facts(&gone), None, &says(&[("os", "x")]), &by_operator()).is_err());
}

#[test]
fn q_07_revoking_a_certificate_takes_its_key_however_that_stands_and_leaves_the_present_one_at_work() {
    for standing in [KeyStanding::Proposed, KeyStanding::Previous] {
        let other = Machine { key: Some(key(2)), ..machine(1) };
        let facts = Facts {
            machine: Some(machine(1)),
            keys: vec![
                key_record(1, &machine(1), KeyStanding::Current),
                key_record(2, &machine(1), standing),
            ],
            credentials: vec![certificate(100, &machine(1), HOUR), certificate(101, &other, HOUR)],
            ..Facts::default()
        };
        let plan = revoke(facts, Some(credential_id(101)), None, &by_operator()).expect("it is open");
        assert_eq!(rows(&plan), ["credential revoked", "key revoked", "machine active"]);
        let ended = KeyChange::Standing { key: key(2), standing: KeyStanding::Revoked };
        assert!(plan.changes().contains(&ended.into()));
    }
}
