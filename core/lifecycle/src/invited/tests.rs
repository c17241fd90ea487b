use muster_model::{
    Attributes, CredentialKind, CredentialState, EndReason, Minted, Pepper, SecretId, SignedDuration,
    SuspendCause, Uses,
};

use super::*;
use crate::tests::fixtures::*;

fn first_token() -> CredentialKind {
    CredentialKind::Refresh { secret: SecretId([2; 10]), hash: hash(2) }
}

fn says(arch: &str) -> Attributes {
    Attributes::new([("arch", arch)]).expect("well-formed")
}

/// A keyless caller shows the invite of the third machine, which waits for it.
fn scene() -> Scene {
    let mut scene = Scene::keyless();
    scene.request.credential = first_token();
    scene.request.claimant.attributes = says("amd64");
    scene.grant().kind = GrantKind::Machine(machine_id(3));
    scene.grant().uses = Uses::Once(None);
    scene.facts.pending = Some(pending(3));
    scene
}

fn ask(scene: &Scene, open: &[Credential]) -> Result<Plan<Outcome>, Refusal> {
    decide(&scene.request, scene.facts.clone(), open, &scene.fresh)
}

/// The scene after the first call was answered, with what is open then.
fn after(scene: &Scene) -> (Scene, Vec<Credential>) {
    let plan = ask(scene, &[]).expect("it is let in");
    let (machine, credential, _) = enrolled(&plan);
    let mut later = scene.clone();
    later.facts.pending = Some(machine.clone());
    later.grant().uses = later.grant().drawn(None, now()).expect("it was spent");
    (later, vec![credential.clone()])
}

#[test]
fn an_invite_lets_in_the_machine_it_was_made_for_and_its_token_follows_from_it() {
    let plan = ask(&scene(), &[]).expect("it is let in");
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, again, &credential.kind), (machine_id(3), false, &first_token()));
    assert_eq!(credential.state, CredentialState::Issued(Minted::Refresh { used_at: None }));
    assert_eq!(machine.attributes, says("amd64"));
}

#[test]
fn a_lost_answer_is_given_again_to_the_same_facts_until_the_token_is_used() {
    let (later, open) = after(&scene());
    let plan = ask(&later, &open).expect("it is given again");
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.generation, credential, again), (1, &open[0], true));
    assert!(plan.changes().is_empty());
    let mut used = open.clone();
    used[0].state = CredentialState::Issued(Minted::Refresh { used_at: Some(now()) });
    assert_eq!(ask(&later, &used), Err(Refusal::NotEntitled { cause: "grant_spent" }));
}

#[test]
fn a_spent_invite_opens_nothing_to_other_facts_or_after_its_life_or_end() {
    let (later, open) = after(&scene());
    let spent = Err(Refusal::NotEntitled { cause: "grant_spent" });
    let mut other = later.clone();
    other.request.claimant.attributes = says("arm64");
    assert_eq!(ask(&other, &open), spent);
    let mut late = later.clone();
    late.grant().expires_at = Some(now());
    assert_eq!(ask(&late, &open), Err(Refusal::NotEntitled { cause: "grant_expired" }));
    let mut over = later.clone();
    over.grant().state = GrantState::Revoked(now());
    assert_eq!(ask(&over, &open), Err(Refusal::NotEntitled { cause: "grant_revoked" }));
    let mut wrong = later.clone();
    wrong.grant().hash = hash(8);
    assert_eq!(ask(&wrong, &open), Err(Refusal::NotEntitled { cause: "grant_unknown" }));
    let mut paused = later;
    let machine = paused.facts.pending.take().expect("a machine");
    paused.facts.pending = Some(Machine { state: suspended(SuspendCause::Operator(None)), ..machine });
    assert_eq!(ask(&paused, &open), spent);
}

#[test]
fn a_refresh_ends_the_right_to_repeat_even_where_its_answer_was_lost() {
    let (later, mut open) = after(&scene());
    let kind = CredentialKind::Refresh { secret: SecretId([5; 10]), hash: hash(5) };
    open.insert(0, Credential { id: credential_id(201), kind, ..open[0].clone() });
    assert_eq!(ask(&later, &open), Err(Refusal::NotEntitled { cause: "grant_spent" }));
}

#[test]
fn an_invite_made_anew_brings_a_keyless_machine_back_and_ends_what_it_had() {
    let (mut later, open) = after(&scene());
    later.facts.grant = Some(Grant { id: grant_id(9), uses: Uses::Once(None), ..later.grant().clone() });
    later.request.credential = CredentialKind::Refresh { secret: SecretId([6; 10]), hash: hash(6) };
    let was = later.facts.pending.take().expect("a machine");
    later.facts.pending = Some(Machine { grant: Some(grant_id(1)), ..was.clone() });
    let plan = ask(&later, &open).expect("it is let in");
    let (machine, credential, _) = enrolled(&plan);
    assert_eq!((machine.id, machine.generation, credential.generation), (was.id, 2, 2));
    assert_eq!(ended(&plan), [(open[0].id, EndReason::Superseded)]);
    assert_eq!(told(&plan), ("machine.enroll", "invited_again"));
}

#[test]
fn an_invite_takes_no_machine_that_has_a_key_and_revives_no_tombstone() {
    let refused = Err(Refusal::NotEntitled { cause: "machine_not_pending" });
    let mut keyed = scene();
    keyed.facts.pending = Some(machine(3));
    assert_eq!(ask(&keyed, &[]), refused);
    let mut removed = scene();
    removed.facts.pending = Some(Machine { key: None, state: retired(), ..machine(3) });
    assert_eq!(ask(&removed, &[]), refused);
}

#[test]
fn a_pause_by_an_operator_stays_and_a_revocation_ends_by_a_new_invite() {
    let back = |cause| {
        let mut scene = scene();
        scene.facts.pending = Some(Machine { key: None, state: suspended(cause), ..machine(3) });
        enrolled(&ask(&scene, &[]).expect("it is let in")).0.state.as_str()
    };
    assert_eq!(back(SuspendCause::Operator(None)), "suspended");
    assert_eq!(back(SuspendCause::Revoked(None)), "active");
}

/// It comes back by its nick, which an operator may have barred.
#[test]
fn a_software_agent_does_not_come_back_by_an_invite() {
    let mut agent = scene();
    let kind = muster_model::MachineKind::SoftwareAgent;
    agent.facts.pending =
        Some(Machine { key: None, kind, state: suspended(SuspendCause::Revoked(None)), ..machine(3) });
    assert_eq!(ask(&agent, &[]), Err(Refusal::NotEntitled { cause: "machine_not_pending" }));
}

#[test]
fn a_token_of_many_machines_is_no_invite() {
    let mut scene = scene();
    scene.grant().kind = GrantKind::Token;
    scene.facts.pending = None;
    assert_eq!(ask(&scene, &[]), Err(Refusal::NotEntitled { cause: "grant_kind" }));
}

/// The scene at a site that asks for approval, and the hold that the first call opened.
fn waiting() -> (Scene, Hold) {
    let mut scene = scene();
    scene.site().approval = true;
    scene.request.claimant.hardware_id = None;
    scene.request.claimant.verifier = Some(Pepper::new([1; 32]).verifier(&[1; 32]));
    let plan = ask(&scene, &[]).expect("it is held");
    let hold = held(&plan).clone();
    assert_eq!(rows(&plan).len(), 2, "the hold, and the use of the invite");
    scene.grant().uses = scene.grant().drawn(None, now()).expect("it was spent");
    scene.facts.holds = vec![hold.clone()];
    (scene, hold)
}

/// The same once a person has let it in.
fn approved() -> Scene {
    let (mut scene, hold) = waiting();
    let machine = Machine {
        state: active(),
        enrolled_at: Some(now()),
        grant: hold.grant,
        attributes: says("amd64"),
        ..pending(3)
    };
    let state = HoldState::Approved { machine: machine.id, at: now(), by: operator() };
    scene.facts.holds = vec![Hold { state, ..hold }];
    scene.facts.pending = Some(machine);
    scene
}

#[test]
fn a_caller_that_waits_asks_by_the_same_invite_and_nothing_more_is_spent() {
    let (scene, hold) = waiting();
    let plan = ask(&scene, &[]).expect("it is held");
    assert!(held(&plan).id == hold.id && plan.is_unchanged());
    let mut late = scene.clone();
    late.grant().expires_at = Some(now());
    assert_eq!(held(&ask(&late, &[]).expect("it is held")).id, hold.id, "a person may take their time");
    let mut other = scene;
    other.facts.holds.clear();
    other.request.claimant.verifier = Some(Pepper::new([1; 32]).verifier(&[2; 32]));
    assert_eq!(
        ask(&other, &[]),
        Err(Refusal::NotEntitled { cause: "grant_spent" }),
        "others have no use of it"
    );
}

#[test]
fn whom_a_person_approved_comes_in_by_the_same_invite_until_its_token_is_used() {
    let mut scene = approved();
    scene.grant().expires_at = Some(now());
    let plan = ask(&scene, &[]).expect("it is let in");
    let (machine, credential, again) = enrolled(&plan);
    assert_eq!((machine.id, &credential.kind, again), (machine_id(3), &first_token(), false));
    assert_eq!(told(&plan), ("credential.reserve", "hold_collected"));
    let lost = std::slice::from_ref(credential);
    let repeated = ask(&scene, lost).expect("the answer was lost");
    assert_eq!((enrolled(&repeated).1, enrolled(&repeated).2), (credential, true));
    let state = CredentialState::Issued(Minted::Refresh { used_at: Some(now()) });
    let used = Credential { state, ..credential.clone() };
    assert_eq!(ask(&scene, &[used]), Err(Refusal::NotEntitled { cause: "grant_spent" }));
}

#[test]
fn an_approval_lets_in_nobody_once_the_invite_or_the_machine_has_ended() {
    let spent = Err(Refusal::NotEntitled { cause: "grant_spent" });
    let with = |change: fn(&mut Machine)| {
        let mut scene = approved();
        change(scene.facts.pending.as_mut().expect("a machine"));
        ask(&scene, &[])
    };
    assert_eq!(with(|machine| machine.state = retired()), spent);
    assert_eq!(with(|machine| machine.enrolled_at = Some(now() + SignedDuration::from_secs(1))), spent);
    assert_eq!(with(|machine| machine.key = Some(key(5))), spent);
    let mut late = approved();
    late.fresh.context.now = now() + SignedDuration::from_hours(24 * 31);
    assert_eq!(ask(&late, &[]), spent);
    let mut over = approved();
    over.grant().state = GrantState::Revoked(now());
    assert_eq!(ask(&over, &[]), Err(Refusal::NotEntitled { cause: "grant_revoked" }));
    let (mut turned_away, hold) = waiting();
    turned_away.facts.holds = vec![Hold { state: rejected(), ..hold }];
    assert!(matches!(ask(&turned_away, &[]), Err(Refusal::Rejected { .. })));
}
