use muster_model::{Actor, DeploymentId, IncarnationId, SignedDuration};

use super::*;
use crate::fork::OnCopy;
use crate::tests::fixtures::*;

/// A machine under its first key. As it is asked, the changes of a plan are applied, as a store would.
struct Scene {
    machine: Machine,
    keys: Vec<KeyRecord>,
    credentials: Vec<Credential>,
    lately: Vec<Credential>,
    has_lives: bool,
    deployment: Option<Deployment>,
    on_copy: OnCopy,
    next: u8,
    nonce: u64,
}

impl Scene {
    fn new() -> Self {
        let machine = machine(1);
        let keys = vec![key_record(1, &machine, KeyStanding::Current)];
        let credentials = vec![certificate(100, &machine, HOUR * 2)];
        let (lately, has_lives, deployment) = (Vec::new(), true, None);
        let (on_copy, next, nonce) = (OnCopy::Alarm, 110, 7);
        Self { machine, keys, credentials, lately, has_lives, deployment, on_copy, next, nonce }
    }

    fn facts(&self, proposed: Option<u8>) -> Facts {
        let known = |n| self.keys.iter().find(|record| record.key.fingerprint() == key(n)).cloned();
        Facts {
            machine: Some(self.machine.clone()),
            keys: self.keys.iter().filter(|record| record.standing.counts()).cloned().collect(),
            proposed: proposed.and_then(known),
            used: Some(UsedNonces::first(self.nonce)),
            credentials: self.credentials.clone(),
            lately: self.lately.clone(),
            boots: self.has_lives.then(|| Boots::first([1; 16])),
            deployment: self.deployment.clone(),
            accounts: Vec::new(),
        }
    }

    fn ask(&self, by: u8, new: u8) -> Result<Plan<(Machine, Credential)>, Refusal> {
        self.ask_by(by, new, self.nonce)
    }

    /// By a request that used this nonce; the last one that the key has used is the scene's.
    fn ask_by(&self, by: u8, new: u8, nonce: u64) -> Result<Plan<(Machine, Credential)>, Refusal> {
        let credential = credential_id(self.next);
        let proposal = Proposal { by: key(by), key: public_key(new), nonce, credential };
        let context = context(now(), Actor::System);
        propose(self.facts(Some(new)), &proposal, &context, &Terms::default(), &watch(self.on_copy))
    }

    fn show(&self, shown: u8, base: u8) -> Result<Plan<(Machine, Right)>, Refusal> {
        self.show_saying(shown, Some(key(base)))
    }

    fn show_saying(
        &self,
        shown: u8,
        base: Option<KeyFingerprint>,
    ) -> Result<Plan<(Machine, Right)>, Refusal> {
        let shown = Shown { key: key(shown), base };
        used(self.facts(None), shown, &watch(self.on_copy), &context(now(), Actor::System))
    }

    /// What is told of a copy, and how the machine stands then.
    fn sign(&self) -> (Option<&'static str>, &'static str) {
        let alarm = self.machine.alarm;
        (alarm.map(|alarm| alarm.evidence.as_str()), self.machine.state.as_str())
    }

    fn apply<O>(&mut self, plan: &Plan<O>) {
        for change in plan.changes() {
            match change {
                Change::Machine(MachineChange::Update(machine)) => self.machine = machine.clone(),
                Change::Key(KeyChange::Register(record)) => self.keys.push(record.clone()),
                Change::Key(KeyChange::Standing { key, standing }) => {
                    let record = self.keys.iter_mut().find(|record| record.key.fingerprint() == *key);
                    record.expect("a known key").standing = *standing;
                }
                Change::Credential(CredentialChange::Reserve(credential)) => {
                    self.credentials.insert(0, credential.clone());
                }
                Change::Credential(CredentialChange::State { credential, .. }) => {
                    self.credentials.retain(|open| open.id != *credential);
                }
                other => panic!("a rotation does not change {other:?}"),
            }
        }
        self.next += 1;
    }

    fn proposes(&mut self, by: u8, new: u8) -> &'static str {
        let plan = self.ask(by, new).expect("it may propose");
        self.apply(&plan);
        plan.entries()[0].reason.0
    }

    fn uses(&mut self, shown: u8, base: u8) -> Right {
        let plan = self.show(shown, base).expect("it counts");
        self.apply(&plan);
        plan.outcome().1
    }

    fn standing(&self, n: u8) -> KeyStanding {
        let record = self.keys.iter().find(|record| record.key.fingerprint() == key(n));
        record.expect("a known key").standing
    }
}

#[test]
fn a_proposal_leaves_the_present_key_alone_and_the_first_use_turns() {
    let mut scene = Scene::new();
    assert_eq!(scene.proposes(1, 2), "rotation");
    assert_eq!((scene.machine.key, scene.machine.generation), (Some(key(1)), 1));
    assert_eq!(scene.uses(1, 1), Right::Everything, "the old one works until the new one has");
    assert_eq!(scene.uses(2, 1), Right::Everything);
    assert_eq!((scene.machine.key, scene.machine.generation), (Some(key(2)), 2));
    assert_eq!((scene.standing(1), scene.standing(2)), (KeyStanding::Previous, KeyStanding::Current));
    assert_eq!(scene.credentials.len(), 2, "the certificate of the key before is what it asks by");
    assert_eq!(scene.uses(2, 2), Right::Everything);
    assert_eq!(scene.standing(1), KeyStanding::Superseded);
    assert!(scene.credentials.iter().all(|credential| credential.certifies(key(2))));
    assert!(scene.show(2, 2).expect("it counts").is_unchanged(), "nothing is written in the steady state");
}

#[test]
fn a_lost_answer_is_given_again_and_writes_nothing() {
    let mut scene = Scene::new();
    let first = scene.ask(1, 2).expect("it may propose");
    scene.apply(&first);
    let again = scene.ask(1, 2).expect("it may propose");
    assert!(again.is_unchanged());
    assert_eq!(again.outcome().1.id, first.outcome().1.id);
}

#[test]
fn a_proposal_whose_certificate_ran_out_gets_the_next_one_for_the_same_key() {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    scene.credentials[0].not_after = now() + SignedDuration::from_secs(1);
    let old = scene.credentials[0].id;
    assert_eq!(scene.proposes(1, 2), "again");
    assert!(scene.credentials[0].certifies(key(2)) && scene.credentials[0].id != old);
    assert_eq!(scene.credentials.iter().filter(|credential| credential.certifies(key(2))).count(), 1);
}

#[test]
fn a_lost_slot_is_recovered_by_the_key_before() {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    scene.uses(2, 1);
    // The machine lost the second key before it was in its durable slot.
    assert_eq!(scene.uses(1, 1), Right::Rotation, "it does nothing else");
    assert_eq!(scene.proposes(1, 3), "recovery");
    scene.uses(3, 1);
    assert_eq!(scene.standing(2), KeyStanding::Superseded);
    assert_eq!(scene.standing(1), KeyStanding::Previous, "it is still what the durable slot holds");
    scene.uses(3, 3);
    assert_eq!(scene.standing(1), KeyStanding::Superseded);
}

#[test]
fn a_second_proposal_beside_an_unused_one_is_a_conflict_and_the_first_is_void() {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    assert_eq!(scene.proposes(1, 3), "conflict");
    assert_eq!(scene.show(2, 1).err(), Some(Refusal::Superseded));
    assert_eq!(scene.ask(1, 2).err(), Some(Refusal::KeyTaken), "a late duplicate brings nothing back");
    assert_eq!(scene.uses(3, 1), Right::Everything);
}

#[test]
fn q_08_a_proposal_whose_key_has_used_a_later_nonce_is_late_and_changes_nothing() {
    let mut scene = Scene::new();
    scene.nonce = 8;
    assert_eq!(scene.ask_by(1, 2, 7).err(), Some(Refusal::NonceNeeded));
    // The machine has lost that key, has made another one and lives by it; the one before may still ask.
    scene.proposes(1, 3);
    scene.uses(3, 1);
    assert_eq!(scene.ask_by(1, 2, 7).err(), Some(Refusal::NonceNeeded));
    assert!(scene.ask_by(1, 2, 8).is_ok(), "what is asked now is another matter");
    let forgotten = Facts { used: None, ..scene.facts(Some(2)) };
    let credential = credential_id(scene.next);
    let proposal = Proposal { by: key(1), key: public_key(2), nonce: 8, credential };
    let context = context(now(), Actor::System);
    let told = propose(forgotten, &proposal, &context, &Terms::default(), &watch(scene.on_copy));
    assert_eq!(told.err(), Some(Refusal::NonceNeeded), "used before the database was put back");
}

#[test]
fn a_key_is_proposed_once() {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    scene.uses(2, 1);
    for known in [1, 2] {
        assert_eq!(scene.ask(2, known).err(), Some(Refusal::KeyTaken));
    }
}

#[test]
fn a_proposed_key_that_vouches_was_used_somewhere_and_counts_from_then_on() {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    assert_eq!(scene.proposes(2, 3), "rotation");
    assert_eq!((scene.standing(1), scene.standing(2)), (KeyStanding::Previous, KeyStanding::Current));
    assert_eq!(scene.machine.generation, 2);
    assert_eq!(scene.sign().0, Some("base_skipped"), "nobody noted that first use");
}

#[test]
fn q_18_a_first_use_that_skips_the_key_that_vouched_leaves_it_and_is_told_and_pauses_by_policy() {
    for (on_copy, state) in [(OnCopy::Alarm, "active"), (OnCopy::Quarantine, "suspended")] {
        for base in [Some(key(2)), Some(key(9)), None] {
            let mut scene = Scene { on_copy, ..Scene::new() };
            scene.proposes(1, 2);
            let plan = scene.show_saying(2, base).expect("it counts");
            assert_eq!(plan.entries().len(), 2);
            scene.apply(&plan);
            assert_eq!((scene.standing(1), scene.standing(2)), (KeyStanding::Previous, KeyStanding::Current));
            assert_eq!(scene.sign(), (Some("base_skipped"), state), "{base:?}");
        }
    }
}

#[test]
fn an_honest_rotation_is_no_sign_nor_is_one_by_a_client_that_never_speaks_of_its_slot() {
    for (base, has_lives) in [(Some(key(1)), true), (Some(key(1)), false), (None, false)] {
        let mut scene = Scene { has_lives, on_copy: OnCopy::Quarantine, ..Scene::new() };
        scene.proposes(1, 2);
        scene.apply(&scene.show_saying(2, base).expect("it counts"));
        scene.uses(2, 2);
        assert_eq!(scene.sign(), (None, "active"));
    }
}

#[test]
fn a_first_use_that_a_restored_database_has_forgotten_is_no_sign_and_the_key_before_stays_until_it_is_named()
{
    let incarnation = |at: Timestamp| IncarnationId::new(at.as_millisecond().unsigned_abs(), [1; 10]);
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    scene.credentials[0].id = CredentialId::new(ago(HOUR).as_millisecond().unsigned_abs(), [1; 10]);
    let accepted = [ago(DAY), now()].map(incarnation).to_vec();
    let (id, proof) = (DeploymentId::new(1, [1; 10]), [0; 32]);
    scene.deployment = Some(Deployment { id, proof, incarnations: accepted, gap: None });
    scene.uses(2, 2);
    assert_eq!(scene.sign().0, None);
    assert_eq!(scene.standing(1), KeyStanding::Previous);
    scene.uses(2, 2);
    assert_eq!(scene.standing(1), KeyStanding::Superseded);
}

#[test]
fn q_18_a_recovery_is_told_where_the_present_key_had_been_at_work_and_never_pauses() {
    let mut scene = Scene { on_copy: OnCopy::Quarantine, ..Scene::new() };
    scene.proposes(1, 2);
    scene.uses(2, 1);
    scene.has_lives = false;
    scene.apply(&scene.ask(1, 3).expect("it may recover"));
    assert_eq!(scene.sign(), (None, "active"), "the next key never came to its work");
    let mut scene = Scene { on_copy: OnCopy::Quarantine, ..Scene::new() };
    scene.proposes(1, 2);
    scene.uses(2, 1);
    assert_eq!(scene.proposes(1, 3), "recovery");
    assert_eq!(scene.sign(), (Some("recovery"), "active"));
}

#[test]
fn q_18_two_proposals_under_the_present_key_are_told_and_pause_by_policy_and_those_of_the_key_before_never_do()
 {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    scene.proposes(1, 3);
    assert_eq!(scene.sign(), (Some("conflict"), "active"), "it is told without any policy");
    let mut scene = Scene { on_copy: OnCopy::Quarantine, ..Scene::new() };
    scene.proposes(1, 2);
    scene.proposes(1, 3);
    assert_eq!(scene.sign(), (Some("conflict"), "suspended"));
    let mut scene = Scene { on_copy: OnCopy::Quarantine, has_lives: false, ..Scene::new() };
    scene.proposes(1, 2);
    scene.uses(2, 1);
    scene.proposes(1, 3);
    scene.proposes(1, 4);
    assert_eq!(scene.sign(), (Some("conflict"), "active"));
}

#[test]
fn the_keys_of_a_machine_that_somebody_is_to_look_at_rest_until_it_goes_on() {
    for cause in [SuspendCause::Operator(None), SuspendCause::Quarantine] {
        let mut scene = Scene::new();
        scene.proposes(1, 2);
        let active = std::mem::replace(&mut scene.machine.state, suspended(cause));
        let rests = Some(Refusal::MachineSuspended);
        assert_eq!(scene.show(2, 1).err(), rests);
        assert_eq!(scene.ask(1, 2).err(), rests);
        assert_eq!(scene.ask(1, 3).err(), rests);
        assert_eq!(scene.ask(2, 3).err(), rests);
        assert!(scene.show(1, 1).expect("the present key is at work").is_unchanged());
        let paused = std::mem::replace(&mut scene.machine.state, active.clone());
        assert_eq!(scene.uses(2, 1), Right::Everything, "it goes on where it was");
        scene.machine.state = paused;
        assert!(scene.show(2, 2).expect("it counts").is_unchanged(), "the key before keeps its right");
        scene.machine.state = active;
        scene.uses(2, 2);
        assert_eq!(scene.standing(1), KeyStanding::Superseded);
        assert_eq!(scene.sign().0, None);
    }
    for cause in [SuspendCause::Probation, SuspendCause::Silent] {
        let mut scene = Scene::new();
        scene.machine.state = suspended(cause);
        scene.proposes(1, 2);
        assert_eq!(scene.uses(2, 1), Right::Everything);
    }
}

#[test]
fn q_07_a_proposed_key_whose_certificates_all_ended_is_not_used() {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    scene.credentials.retain(|credential| !credential.certifies(key(2)));
    assert_eq!(scene.show(2, 1).err(), Some(Refusal::CredentialExpired));
}

#[test]
fn a_rotation_does_not_move_when_the_machine_enrolled() {
    let mut scene = Scene::new();
    let enrolled_at = scene.machine.enrolled_at;
    scene.proposes(1, 2);
    scene.uses(2, 1);
    assert_eq!(scene.machine.enrolled_at, enrolled_at);
    assert_eq!((scene.machine.key_since, scene.machine.keyed_at()), (Some(now()), Some(now())));
}

#[test]
fn a_machine_that_rotates_in_a_circle_waits_and_the_same_proposal_again_does_not() {
    let issued = |n: u8, age: SignedDuration| Credential {
        id: CredentialId::new(ago(age).as_millisecond().unsigned_abs(), [n; 10]),
        kind: CredentialKind::Certificate { key: key(n) },
        ..certificate(n, &machine(1), HOUR)
    };
    let mut scene = Scene::new();
    let minutes = |n: usize| SignedDuration::from_mins(n as i64);
    scene.lately = (1..=PROPOSALS).map(|n| issued(20 + n as u8, minutes(n))).collect();
    scene.lately.push(issued(90, HOUR));
    assert!(scene.ask(1, 2).is_ok());
    scene.lately.insert(PROPOSALS, issued(91, minutes(50)));
    assert_eq!(scene.ask(1, 2).err(), Some(Refusal::SlowDown { retry_after: 600 }));
    let renewed = scene.lately.iter().map(|_| issued(21, minutes(1))).collect();
    scene.lately = renewed;
    scene.proposes(1, 2);
    scene.lately = (0..60).map(|n| issued(20 + n, minutes(1))).collect();
    assert!(scene.ask(1, 2).expect("its answer was lost").is_unchanged());
}

#[test]
fn a_superseded_or_unknown_key_gets_nothing() {
    let mut scene = Scene::new();
    scene.proposes(1, 2);
    scene.uses(2, 1);
    scene.uses(2, 2);
    for dead in [1, 9] {
        assert_eq!(scene.show(dead, dead).err(), Some(Refusal::Superseded));
        assert_eq!(scene.ask(dead, 4).err(), Some(Refusal::Superseded));
    }
}

#[test]
fn q_07_an_ended_machine_is_never_certified_again() {
    for state in [retired(), pending(1).state, suspended(SuspendCause::Revoked(None))] {
        let mut scene = Scene::new();
        scene.machine.state = state;
        assert_eq!(scene.ask(1, 2).err(), Some(Refusal::Revoked));
        assert_eq!(scene.show(1, 1).err(), Some(Refusal::Revoked));
    }
}

#[test]
fn q_15_an_expired_key_may_still_ask_for_thirty_days() {
    let mut scene = Scene::new();
    scene.credentials = vec![certificate(100, &scene.machine, DAY + Terms::default().renew_grace)];
    assert!(scene.ask(1, 2).is_ok());
    scene.credentials[0].not_after -= SignedDuration::from_secs(1);
    assert_eq!(scene.ask(1, 2).err(), Some(Refusal::CredentialExpired));
}
