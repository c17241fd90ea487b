use muster_model::{Actor, SignedDuration};

use super::*;
use crate::tests::fixtures::*;

/// A machine under its first key. As it is asked, the changes of a plan are applied, as a store would.
struct Scene {
    machine: Machine,
    keys: Vec<KeyRecord>,
    credentials: Vec<Credential>,
    next: u8,
}

impl Scene {
    fn new() -> Self {
        let machine = machine(1);
        let keys = vec![key_record(1, &machine, KeyStanding::Current)];
        let credentials = vec![certificate(100, &machine, HOUR * 2)];
        Self { machine, keys, credentials, next: 110 }
    }

    fn facts(&self, proposed: Option<u8>) -> Facts {
        let known = |n| self.keys.iter().find(|record| record.key.fingerprint() == key(n)).cloned();
        Facts {
            machine: Some(self.machine.clone()),
            keys: self.keys.iter().filter(|record| record.standing.counts()).cloned().collect(),
            proposed: proposed.and_then(known),
            credentials: self.credentials.clone(),
        }
    }

    fn ask(&self, by: u8, new: u8) -> Result<Plan<(Machine, Credential)>, Refusal> {
        let proposal = Proposal { by: key(by), key: public_key(new), credential: credential_id(self.next) };
        propose(self.facts(Some(new)), &proposal, &context(now(), Actor::System), &Terms::default())
    }

    fn show(&self, shown: u8, base: u8) -> Result<Plan<(Machine, Right)>, Refusal> {
        let shown = Shown { key: key(shown), base: Some(key(base)) };
        used(self.facts(None), shown, &context(now(), Actor::System))
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
        told(&plan).1
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
    assert_eq!((scene.standing(1), scene.standing(2)), (KeyStanding::Superseded, KeyStanding::Current));
    assert_eq!(scene.machine.generation, 2);
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
