use crate::plan::MachineChange;
use muster_model::{KeyStanding, MachineKind, Presence, SuspendCause};

use super::*;
use crate::tests::fixtures::*;

fn facts(hold: Hold) -> Facts {
    Facts { hold: Some(hold), site: Some(site(1)), grant: Some(grant(9)), ..Facts::default() }
}

/// The second key claims to be the first machine.
fn collision() -> Facts {
    Facts {
        existing: Some(known(machine(1), None)),
        by_hardware: Some(machine(1)),
        ..facts(hold(HoldReason::KeyMismatch, Some(machine_id(1))))
    }
}

/// The second machine asks at the first site and belongs to another one.
fn elsewhere() -> Facts {
    let mut same = by_key(2);
    same.machine.site = site_id(2);
    let hold = hold(HoldReason::SiteMismatch, Some(machine_id(2)));
    Facts { by_key: Some(same.clone()), existing: Some(same), ..facts(hold) }
}

fn decide(facts: &Facts, choice: Option<Choice>) -> Result<Plan<Hold>, Refusal> {
    approve(facts.clone(), choice, machine_id(200), &[], &by_operator())
}

fn machine_of(plan: &Plan<Hold>) -> &Machine {
    let found = plan.changes().iter().find_map(|change| match change {
        Change::Machine(MachineChange::Create(machine) | MachineChange::Update(machine)) => Some(machine),
        _ => None,
    });
    found.expect("the plan writes a machine")
}

fn approved_as(plan: &Plan<Hold>) -> MachineId {
    match plan.outcome().state {
        HoldState::Approved { machine, at, by } if (at, by) == (now(), operator()) => machine,
        ref state => panic!("not approved by the operator: {state:?}"),
    }
}

#[test]
fn the_same_machine_gets_the_new_key_and_its_older_credentials_end_with_the_decision() {
    let plan = decide(&collision(), Some(Choice::Same)).expect("it fits");
    assert_eq!(approved_as(&plan), machine_id(1));
    assert_eq!((machine_of(&plan).generation, machine_of(&plan).key), (2, Some(key(2))));
    assert_eq!(ended(&plan), [(credential_id(100), muster_model::EndReason::Superseded)]);
    let changed =
        ["keys superseded", "credential superseded", "machine active", "key registered", "hold approved"];
    assert_eq!(rows(&plan), changed);
    assert_eq!(told(&plan), ("hold.approve", "same"));
}

#[test]
fn another_machine_leaves_the_existing_one_and_its_hardware_alone() {
    let mut facts = collision();
    facts.hold.as_mut().expect("a hold").claimant.hardware_id = Some(hardware(1));
    let plan = decide(&facts, Some(Choice::New)).expect("it fits");
    assert_eq!(approved_as(&plan), machine_id(200));
    let made = machine_of(&plan);
    assert_eq!((made.hardware_id.as_ref(), made.key, made.generation), (None, Some(key(2)), 1));
    assert_eq!((made.role.as_ref(), made.grant), (Some(&text("edge")), Some(grant_id(9))));
    assert_eq!(rows(&plan), ["machine made active", "key registered", "hold approved"]);
    assert_eq!(told(&plan), ("hold.approve", "new"));
}

#[test]
fn another_machine_keeps_hardware_that_is_free_by_now() {
    let mut facts = collision();
    facts.hold.as_mut().expect("a hold").claimant.hardware_id = Some(hardware(1));
    facts.by_hardware = None;
    let plan = decide(&facts, Some(Choice::New)).expect("it fits");
    assert_eq!(machine_of(&plan).hardware_id, Some(hardware(1)));
}

#[test]
fn a_collision_needs_a_choice_and_other_holds_offer_only_another_machine() {
    assert_eq!(decide(&collision(), None).err(), Some(Refusal::ChoiceNeeded));
    for reason in [HoldReason::Approval, HoldReason::Quota, HoldReason::WasRemoved] {
        let facts = facts(hold(reason, None));
        let refused = Refusal::ChoiceUnavailable { choice: "same" };
        assert_eq!(decide(&facts, Some(Choice::Same)).err(), Some(refused));
        let plan = decide(&facts, None).expect("one choice needs no word");
        assert_eq!((approved_as(&plan), told(&plan).1), (machine_id(200), "new"));
    }
}

#[test]
fn approving_a_newcomer_never_revives_a_retired_machine() {
    let mut gone = known(machine(1), None);
    gone.machine.state = retired();
    for reason in HoldReason::ALL {
        let facts = Facts { existing: Some(gone.clone()), ..facts(hold(reason, Some(machine_id(1)))) };
        assert!(decide(&facts, Some(Choice::Same)).is_err(), "{reason:?}");
        let plan = decide(&facts, Some(Choice::New)).expect("another machine may come");
        assert_eq!(rows(&plan), ["machine made active", "key registered", "hold approved"]);
    }
}

#[test]
fn the_first_decision_wins_and_saying_it_again_changes_nothing() {
    for (choice, machine, other) in
        [(Choice::Same, machine_id(1), Choice::New), (Choice::New, machine_id(200), Choice::Same)]
    {
        let mut facts = collision();
        let state = HoldState::Approved { machine, at: ago(HOUR), by: operator() };
        facts.hold.as_mut().expect("a hold").state = state;
        for repeated in [Some(choice), None] {
            assert!(decide(&facts, repeated).expect("the same again").is_unchanged());
        }
        let refused = Refusal::WrongState { verb: "approve", state: "approved" };
        assert_eq!(decide(&facts, Some(other)).err(), Some(refused));
        let refused = Refusal::WrongState { verb: "reject", state: "approved" };
        assert_eq!(reject(facts.hold, None, &by_operator()).err(), Some(refused));
    }
}

#[test]
fn a_hold_that_was_rejected_expired_or_never_was_is_not_approved() {
    let turned_away = Hold { state: rejected(), ..hold(HoldReason::Approval, None) };
    let over = Hold { expires_at: now(), ..hold(HoldReason::Approval, None) };
    for (hold, state) in [(turned_away, "rejected"), (over, "expired")] {
        let refused = Refusal::WrongState { verb: "approve", state };
        assert_eq!(decide(&facts(hold), None).err(), Some(refused));
    }
    assert_eq!(decide(&Facts::default(), None).err(), Some(Refusal::NotFound { what: "hold" }));
}

#[test]
fn a_key_that_became_known_meanwhile_is_that_machine_and_no_other() {
    let facts = Facts { by_key: Some(by_key(2)), ..facts(hold(HoldReason::Quota, None)) };
    let refused = Refusal::ChoiceUnavailable { choice: "new" };
    assert_eq!(decide(&facts, Some(Choice::New)).err(), Some(refused));
    let plan = decide(&facts, None).expect("it can only be that machine");
    let same = Machine { lineage: machine_of(&plan).lineage, ..machine(2) };
    assert_eq!((approved_as(&plan), machine_of(&plan)), (machine_id(2), &same));
    assert_eq!(same.lineage.approved_by, Some(operator()), "a person let it in");
    assert_eq!(rows(&plan), ["machine active", "hold approved"]);
}

#[test]
fn a_key_that_died_meanwhile_is_not_approved_and_wakes_no_machine() {
    for standing in [KeyStanding::Revoked, KeyStanding::Superseded] {
        let mut facts = elsewhere();
        let known = facts.by_key.as_mut().expect("known");
        known.machine.state = suspended(SuspendCause::Revoked(None));
        known.key = Some(key_record(2, &known.machine, standing));
        let refused = Refusal::WrongState { verb: "approve", state: "revoked" };
        assert_eq!(decide(&facts, Some(Choice::Same)).err(), Some(refused));
    }
}

#[test]
fn the_same_key_at_another_site_moves_there_and_keeps_its_credentials() {
    let plan = decide(&elsewhere(), None).expect("the key leaves one choice");
    let moved = machine_of(&plan);
    assert_eq!((moved.id, moved.site, moved.generation), (machine_id(2), site_id(1), 1));
    assert_eq!(rows(&plan), ["machine active", "hold approved"]);
}

#[test]
fn known_hardware_of_another_site_moves_there_under_its_new_key() {
    let mut facts = collision();
    facts.hold.as_mut().expect("a hold").reason = HoldReason::SiteMismatch;
    facts.existing.as_mut().expect("existing").machine.site = site_id(2);
    let plan = decide(&facts, Some(Choice::Same)).expect("it fits");
    assert_eq!((machine_of(&plan).site, machine_of(&plan).generation), (site_id(1), 2));
    assert_eq!(ended(&plan).len(), 1);
}

#[test]
fn the_same_machine_takes_no_hardware_that_another_has_by_now() {
    let mut facts = collision();
    facts.existing.as_mut().expect("existing").machine.hardware_id = None;
    facts.hold.as_mut().expect("a hold").claimant.hardware_id = Some(hardware(3));
    facts.by_hardware = Some(machine(3));
    let plan = decide(&facts, Some(Choice::Same)).expect("it fits");
    assert_eq!(machine_of(&plan).hardware_id, None);
    facts.by_hardware = None;
    let plan = decide(&facts, Some(Choice::Same)).expect("it fits");
    assert_eq!(machine_of(&plan).hardware_id, Some(hardware(3)));
}

#[test]
fn a_person_cannot_give_a_keyed_machine_to_a_claimant_without_a_key() {
    let mut facts = collision();
    facts.hold.as_mut().expect("a hold").claimant.key = None;
    let refused = Refusal::ChoiceUnavailable { choice: "same" };
    assert_eq!(decide(&facts, Some(Choice::Same)).err(), Some(refused));
    let existing = facts.existing.as_mut().expect("existing");
    (existing.machine.key, existing.credentials) = (None, vec![bearer(101, &machine(1))]);
    let plan = decide(&facts, Some(Choice::Same)).expect("neither has a key");
    assert_eq!(rows(&plan), ["credential superseded", "machine active", "hold approved"]);
}

#[test]
fn a_person_lifts_the_pause_of_a_revocation_but_not_one_that_was_ordered() {
    for (cause, state) in [
        (SuspendCause::Revoked(None), "active"),
        (SuspendCause::Probation, "active"),
        (SuspendCause::Operator(None), "suspended"),
    ] {
        let mut facts = collision();
        let is_revoked = matches!(cause, SuspendCause::Revoked(_));
        facts.existing.as_mut().expect("existing").machine.state = suspended(cause);
        let plan = decide(&facts, Some(Choice::Same)).expect("it fits");
        assert_eq!(machine_of(&plan).state.as_str(), state);
        let stays_revoked = !rows(&plan).contains(&"keys superseded".to_owned());
        assert_eq!(stays_revoked, is_revoked, "a revoked key stays revoked in the record");
    }
}

#[test]
fn approving_the_holder_of_an_invite_fills_its_pending_machine() {
    let waiting = hold(HoldReason::Approval, None);
    let filled = Facts { pending: Some(pending(4)), ..facts(waiting) };
    let plan = decide(&filled, None).expect("it fits");
    assert_eq!((approved_as(&plan), machine_of(&plan).key), (machine_id(4), Some(key(2))));
    assert_eq!(rows(&plan), ["machine active", "key registered", "hold approved"]);
    let taken = Facts { pending: Some(machine(4)), ..filled };
    assert_eq!(approved_as(&decide(&taken, None).expect("it fits")), machine_id(200));
}

#[test]
fn rejecting_is_remembered_with_its_words_and_repeats() {
    let plan =
        reject(Some(hold(HoldReason::Approval, None)), Some(text("no")), &by_operator()).expect("open");
    assert_eq!(rows(&plan), ["hold rejected"]);
    assert_eq!(told(&plan), ("hold.reject", "rejected"));
    let again = reject(Some(plan.outcome().clone()), None, &by_operator()).expect("the same again");
    assert!(again.is_unchanged() && again.outcome() == plan.outcome());
    let over = Hold { expires_at: now(), ..hold(HoldReason::Approval, None) };
    let refused = Refusal::WrongState { verb: "reject", state: "expired" };
    assert_eq!(reject(Some(over), None, &by_operator()).err(), Some(refused));
    assert_eq!(reject(None, None, &by_operator()).err(), Some(Refusal::NotFound { what: "hold" }));
}

fn ask(hold: Hold, by_key: Option<Known>) -> Result<Plan<Outcome>, Refusal> {
    let facts = CollectFacts { hold: Some(hold), by_key };
    collect(facts, credential_id(200), &by_operator(), &Terms::default())
}

fn let_in() -> Hold {
    let state = HoldState::Approved { machine: machine_id(2), at: ago(HOUR), by: operator() };
    Hold { state, ..hold(HoldReason::Approval, None) }
}

#[test]
fn whoever_waits_waits_until_a_person_decides_and_is_told_a_no() {
    let waiting = hold(HoldReason::Approval, None);
    let plan = ask(waiting.clone(), None).expect("it is open");
    assert!(plan.is_unchanged() && held(&plan) == &waiting);
    let over = Hold { expires_at: now(), ..waiting.clone() };
    assert_eq!(ask(over, None).err(), Some(Refusal::NotFound { what: "hold" }));
    let refusal = Refusal::Rejected { reason: Some("who is this?".into()) };
    assert_eq!(ask(Hold { state: rejected(), ..waiting }, None).err(), Some(refusal));
    let nothing = collect(CollectFacts::default(), credential_id(1), &by_operator(), &Terms::default());
    assert_eq!(nothing.err(), Some(Refusal::NotFound { what: "hold" }));
}

#[test]
fn whoever_was_let_in_collects_one_credential_however_often_it_asks() {
    let mut known = by_key(2);
    known.credentials = Vec::new();
    let plan = ask(let_in(), Some(known.clone())).expect("it is let in");
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, credential.id, again), (machine_id(2), credential_id(200), false));
    assert_eq!(rows(&plan), ["credential reserved"]);
    assert_eq!(told(&plan), ("credential.reserve", "hold_collected"));
    known.credentials = vec![credential.clone()];
    let again = ask(let_in(), Some(known)).expect("it is let in");
    assert!(again.is_unchanged() && enrolled(&again).1 == credential);
}

#[test]
fn whoever_was_let_in_and_ended_meanwhile_collects_nothing() {
    let mut dead = by_key(2);
    dead.key = Some(key_record(2, &dead.machine, KeyStanding::Revoked));
    let mut gone = by_key(2);
    gone.machine.state = retired();
    for known in [dead, gone] {
        assert_eq!(ask(let_in(), Some(known)).err(), Some(Refusal::Revoked));
    }
    assert_eq!(ask(let_in(), None).err(), Some(Refusal::UnknownMachine));
}

#[test]
fn a_claimant_of_another_kind_does_not_change_what_the_machine_is() {
    let mut facts = collision();
    let waiting = facts.hold.as_mut().expect("a hold");
    (waiting.claimant.kind, waiting.claimant.hostname) = (MachineKind::Worker, None);
    facts.existing.as_mut().expect("existing").presence = Presence { last_seen: None, online: true };
    let plan = decide(&facts, Some(Choice::Same)).expect("it fits");
    let same = machine_of(&plan);
    assert_eq!((same.kind, same.hostname.clone()), (MachineKind::Host, machine(1).hostname));
}
