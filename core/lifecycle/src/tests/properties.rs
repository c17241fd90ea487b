//! What holds in every history of enrollments, decisions and acts, in any order.
//!
//! Histories come from a fixed seed, so a failure repeats; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` explore further.

use muster_model::{
    Credential, CredentialKind, Entitlement, GrantState, Hold, HoldState, KeyStanding, Machine, MachineState,
    PublicKey, Refusal, SignedDuration, SiteId, Uses,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::fixtures::{DAY, HOUR, context, credential_id};
use super::world::{Answer, Asks, Op, World, is_revoked};
use crate::credential;
use crate::enroll::{Outcome, Request};
use crate::hold::Choice;

const SEED: u64 = 7;
const CASES: u32 = 320;
const LENGTH: usize = 48;

/// One act and the worlds around it.
struct Step<'a> {
    before: &'a World,
    op: &'a Op,
    answer: &'a Answer,
    after: &'a World,
}

impl Step<'_> {
    fn enrollment(&self) -> Option<(&Request, &Result<Outcome, Refusal>)> {
        match self.answer {
            Answer::Enroll(request, result) => Some((request, result)),
            Answer::Other(_) => None,
        }
    }

    /// The site of the grant or credential that an enrollment presented.
    fn site(&self, request: &Request) -> SiteId {
        match request.claim.entitlement {
            Entitlement::Grant { id, .. } => self.before.grants[&id].site,
            Entitlement::Credential { id, .. } => {
                self.before.machines[&self.before.credentials[&id].machine].site
            }
            Entitlement::Nothing { .. } => super::fixtures::site_id(1),
        }
    }
}

fn asks() -> impl Strategy<Value = Asks> {
    let key = prop_oneof![4 => (1..6u8).prop_map(Some), 1 => Just(None)];
    let hardware = proptest::option::of(1..4u8);
    let grant = prop_oneof![6 => (0..8u8).prop_map(Some), 1 => Just(None)];
    let vouched_by = prop_oneof![3 => Just(None), 1 => (1..6u8).prop_map(Some)];
    let bearer = proptest::option::weighted(0.1, 0..6u8);
    (key, hardware, grant, vouched_by, bearer).prop_map(|(key, hardware, grant, vouched_by, bearer)| {
        let vouched_by = vouched_by.filter(|_| key.is_some());
        Asks { key, hardware, grant, vouched_by, bearer: bearer.filter(|_| key.is_some()) }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let at = || 0..6u8;
    let choice = prop_oneof![Just(None), Just(Some(Choice::Same)), Just(Some(Choice::New))];
    let times = [HOUR / 6, HOUR * 2, HOUR * 13, DAY * 8, DAY * 40];
    prop_oneof![
        12 => asks().prop_map(Op::Enroll),
        3 => (at(), choice).prop_map(|(at, choice)| Op::Approve(at, choice)),
        2 => at().prop_map(Op::Reject),
        1 => at().prop_map(Op::Collect),
        1 => at().prop_map(Op::Suspend),
        1 => at().prop_map(Op::Resume),
        1 => at().prop_map(Op::Retire),
        1 => at().prop_map(Op::Revoke),
        1 => (0..2u8, proptest::option::of(1..4u8)).prop_map(|(site, hardware)| Op::Create(site, hardware)),
        1 => (0..8u8).prop_map(Op::RevokeGrant),
        1 => (0..2u8).prop_map(Op::RotateKey),
        2 => (1..6u8).prop_map(Op::Renew),
        2 => Just(Op::Confirm),
        2 => (at(), any::<bool>()).prop_map(|(at, online)| Op::Presence(at, online)),
        3 => proptest::sample::select(times.to_vec()).prop_map(Op::Pass),
    ]
}

/// Runs histories and checks each step of them.
fn always(check: impl Fn(&Step<'_>)) {
    let config = Config { failure_persistence: None, ..Config::default() };
    let seed = match config.rng_seed {
        RngSeed::Random => RngSeed::Fixed(SEED),
        chosen @ RngSeed::Fixed(_) => chosen,
    };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { CASES };
    let mut runner = TestRunner::new(Config { rng_seed: seed, cases, ..config });
    let result = runner.run(&proptest::collection::vec(op(), 1..LENGTH), |ops| {
        let mut world = World::new();
        for op in &ops {
            let before = world.clone();
            let answer = world.step(op);
            check(&Step { before: &before, op, answer: &answer, after: &world });
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}\nseed: {seed:?}");
    }
}

fn standing(world: &World, key: Option<&PublicKey>) -> Option<KeyStanding> {
    world.keys.get(&key?.fingerprint()).map(|record| record.standing)
}

#[test]
fn a_bearer_key_becomes_a_key_once_and_no_bearer_key_of_the_machine_works_after_that() {
    always(|step| {
        let Some((machine, request)) = admitted(step) else { return };
        let Entitlement::Credential { id, .. } = request.claim.entitlement else { return };
        let before = &step.before.machines[&machine.id];
        assert_eq!(before.id, step.before.credentials[&id].machine);
        assert_eq!((before.key, machine.generation), (None, before.generation + 1));
        let now = step.after.now;
        let mut bearers = step.after.credentials.values().filter(|credential| {
            credential.machine == machine.id && matches!(credential.kind, CredentialKind::Bearer { .. })
        });
        assert!(bearers.all(|bearer| !bearer.is_live(now)));
    });
}

#[test]
fn q_07_a_revoked_replaced_or_retired_identity_is_never_admitted() {
    always(|step| {
        if let Some((request, result)) = step.enrollment()
            && matches!(
                standing(step.before, request.claimant.key.as_ref()),
                Some(KeyStanding::Revoked | KeyStanding::Superseded)
            )
        {
            assert!(matches!(
                result,
                Err(Refusal::Revoked
                    | Refusal::NotEntitled { .. }
                    | Refusal::RequestsNotTaken
                    | Refusal::IdentityMismatch)
            ));
            assert_eq!(step.before.machines, step.after.machines);
        }
        for (id, machine) in &step.before.machines {
            if matches!(machine.state, MachineState::Retired(_)) {
                assert_eq!(&step.after.machines[id], machine, "a tombstone changed");
                assert_eq!(step.after.open_credentials(*id), [], "a tombstone holds a credential");
            }
        }
    });
}

#[test]
fn a_refused_act_changes_no_row() {
    always(|step| {
        if let Answer::Other(false) | Answer::Enroll(_, Err(_)) = step.answer {
            assert!(step.before.has_rows_of(step.after), "{:?}", step.op);
        }
    });
}

#[test]
fn only_a_person_brings_back_what_was_revoked_and_only_under_another_key() {
    always(|step| {
        for (id, machine) in step.before.machines.iter().filter(|(_, machine)| is_revoked(machine)) {
            let after = &step.after.machines[id];
            if !is_revoked(after) && !matches!(after.state, MachineState::Retired(_)) {
                assert!(matches!(step.op, Op::Approve(..)), "{:?}", step.op);
                assert!(after.key != machine.key || machine.key.is_none(), "the same dead key");
                assert_eq!(after.generation, machine.generation + 1);
            }
        }
    });
}

#[test]
fn uses_never_exceed_the_limit_and_a_token_is_never_bound_twice() {
    always(|step| {
        for grant in step.after.grants.values() {
            if let Uses::Capped { limit, used } = grant.uses {
                assert!(used <= limit, "{grant:?}");
            }
            if let Some(Uses::Once(Some(binding))) = step.before.grants.get(&grant.id).map(|grant| grant.uses)
            {
                assert_eq!(grant.uses, Uses::Once(Some(binding)), "bound again");
            }
        }
    });
}

#[test]
fn a_retry_changes_nothing_and_is_answered_the_same() {
    always(|step| {
        let Some((request, Ok(outcome))) = step.enrollment() else { return };
        let mut again = step.after.clone();
        let repeated = again.enroll(request);
        match (outcome, &repeated) {
            (Outcome::Held(hold), repeated) => {
                // A client that names neither key nor hardware cannot be told from the next one.
                if request.claimant.key.is_some() || request.claimant.hardware_id.is_some() {
                    assert_eq!(repeated, &Ok(Outcome::Held(hold.clone())));
                    assert_eq!(again.holds, step.after.holds);
                    assert_eq!(again.grants, step.after.grants);
                }
            }
            (
                Outcome::Enrolled { machine, credential, .. },
                Ok(Outcome::Enrolled { machine: m, credential: c, again: true }),
            ) if request.claimant.key.is_some() => {
                assert_eq!((m, c), (machine, credential));
                assert_eq!(again.machines, step.after.machines);
                assert_eq!(again.grants, step.after.grants);
                assert_eq!(again.entries, step.after.entries);
            }
            _ => assert!(request.claimant.key.is_none(), "{outcome:?} and then {repeated:?}"),
        }
    });
}

#[test]
fn the_holder_of_a_grant_of_one_site_changes_no_row_of_another() {
    always(|step| {
        let Some((request, _)) = step.enrollment() else { return };
        let site = step.site(request);
        let elsewhere = |machine: &&Machine| machine.site != site;
        let foreign: Vec<&Machine> = step.before.machines.values().filter(elsewhere).collect();
        assert_eq!(foreign, step.after.machines.values().filter(elsewhere).collect::<Vec<_>>());
        for machine in foreign {
            assert_eq!(step.before.open_credentials(machine.id), step.after.open_credentials(machine.id));
            let keys = |world: &World| {
                world.keys.values().filter(|key| key.machine == machine.id).cloned().collect::<Vec<_>>()
            };
            assert_eq!(keys(step.before), keys(step.after));
        }
        let others =
            |world: &World| world.grants.values().filter(|g| g.site != site).cloned().collect::<Vec<_>>();
        assert_eq!(others(step.before), others(step.after));
        for (id, hold) in &step.after.holds {
            assert!(step.before.holds.get(id) == Some(hold) || hold.site == site);
        }
    });
}

/// Whether an enrollment may touch a machine that was there before: its own key vouches, it is the pending machine of
/// the invite, or the site lets silent hardware rejoin.
fn may_touch(step: &Step<'_>, request: &Request, machine: &Machine) -> bool {
    let vouched = request.vouched_by.is_some() && request.vouched_by == machine.key;
    let pending = matches!(machine.state, MachineState::Pending(_));
    let presence = step.before.presence.get(&machine.id).copied().unwrap_or_default();
    let long_ago = |time| step.before.now.duration_since(time) >= SignedDuration::from_hours(1);
    let silent = !presence.online && presence.last_seen.is_none_or(long_ago);
    let rejoins = silent
        && matches!(machine.state, MachineState::Active(_))
        && machine.enrolled_at.is_some_and(long_ago)
        && request.claimant.hardware_id.is_some()
        && request.claimant.hardware_id == machine.hardware_id
        && (machine.key.is_none() || request.claimant.key.is_some());
    vouched || pending || rejoins || shows_it_is(step, request, machine)
}

/// Whether it holds a bearer key that the machine works with, and that has no better proof yet.
fn shows_it_is(step: &Step<'_>, request: &Request, machine: &Machine) -> bool {
    let Entitlement::Credential { id, .. } = request.claim.entitlement else { return false };
    let credential = &step.before.credentials[&id];
    credential.machine == machine.id && credential.is_live(step.before.now) && machine.key.is_none()
}

#[test]
fn q_04_an_enrollment_secret_alone_changes_no_machine() {
    always(|step| {
        let Some((request, result)) = step.enrollment() else { return };
        for (id, before) in &step.before.machines {
            let after = &step.after.machines[id];
            if after != before {
                assert!(may_touch(step, request, before), "{before:?} became {after:?} by {result:?}");
                let expected = before.generation + u32::from(before.enrolled_at.is_some());
                assert_eq!(after.generation, expected);
            }
        }
    });
}

#[test]
fn who_is_held_or_refused_touches_no_machine_key_or_credential() {
    always(|step| {
        let Some((_, Ok(Outcome::Held(_)) | Err(_))) = step.enrollment() else { return };
        assert_eq!(step.before.machines, step.after.machines);
        assert_eq!(step.before.keys, step.after.keys);
        assert_eq!(step.before.credentials, step.after.credentials);
    });
}

/// The machine that an enrollment made or took over, if it did.
fn admitted<'a>(step: &Step<'a>) -> Option<(&'a Machine, &'a Request)> {
    let Answer::Enroll(request, Ok(Outcome::Enrolled { machine, again: false, .. })) = step.answer else {
        return None;
    };
    Some((&step.after.machines[&machine.id], request))
}

#[test]
fn a_grant_that_lapsed_admits_nobody_but_the_key_it_is_bound_to() {
    always(|step| {
        let Some((_, request)) = admitted(step) else { return };
        let Entitlement::Grant { id, .. } = request.claim.entitlement else {
            let shows = matches!(request.claim.entitlement, Entitlement::Credential { .. });
            assert!(shows || request.vouched_by.is_some(), "a bare request was let in by itself");
            return;
        };
        let grant = &step.before.grants[&id];
        let key = request.claimant.key.as_ref().map(PublicKey::fingerprint);
        let in_time = grant.expires_at.is_none_or(|end| step.before.now < end);
        let stands = grant.state == GrantState::Live && in_time;
        assert!(
            stands || (grant.is_bound_to(key) && !matches!(grant.state, GrantState::Revoked(_))),
            "{grant:?}"
        );
    });
}

#[test]
fn a_hold_never_becomes_accepted_by_itself_and_a_rejection_stands() {
    always(|step| {
        let Some((machine, request)) = admitted(step) else { return };
        if request.vouched_by.is_some() {
            return;
        }
        let site = step.site(request);
        let grant = match request.claim.entitlement {
            Entitlement::Grant { id, .. } => Some(id),
            Entitlement::Nothing { .. } => None,
            // A machine that shows what it was issued asks nobody.
            Entitlement::Credential { .. } => return,
        };
        let is_new = !step.before.machines.contains_key(&machine.id);
        let same_question = |hold: &&Hold| {
            let existing = if is_new { None } else { Some(machine.id) };
            hold.is_by(&request.claimant)
                && hold.site == site
                && hold.grant == grant
                && (hold.existing == existing || matches!(hold.state, HoldState::Rejected { .. }))
        };
        for hold in step.before.holds.values().filter(same_question) {
            assert!(
                hold.is_expired(step.before.now) || matches!(hold.state, HoldState::Approved { .. }),
                "{hold:?}"
            );
        }
    });
}

#[test]
fn one_question_has_at_most_one_open_hold() {
    always(|step| {
        let now = step.after.now;
        let open: Vec<&Hold> = step.after.holds.values().filter(|hold| hold.is_open(now)).collect();
        for (at, hold) in open.iter().enumerate() {
            let Some(key) = hold.claimant.key.as_ref() else { continue };
            let same = |other: &&&Hold| {
                other.claimant.key.as_ref() == Some(key)
                    && (other.site, other.existing) == (hold.site, hold.existing)
                    && (hold.existing.is_some() || other.grant == hold.grant)
            };
            assert_eq!(open[at + 1..].iter().find(same), None, "beside {hold:?}");
        }
    });
}

#[test]
fn one_live_machine_for_a_key_and_one_for_a_hardware_id() {
    always(|step| {
        let (mut keys, mut hardware) = (Vec::new(), Vec::new());
        for machine in step.after.live() {
            keys.extend(machine.key);
            hardware.extend(machine.hardware_id.clone());
        }
        let (all_keys, all_hardware) = (keys.len(), hardware.len());
        keys.sort();
        keys.dedup();
        hardware.sort();
        hardware.dedup();
        assert_eq!((keys.len(), hardware.len()), (all_keys, all_hardware));
    });
}

#[test]
fn a_machine_has_the_one_key_that_counts_for_it_unless_it_was_revoked() {
    always(|step| {
        for (fingerprint, record) in &step.after.keys {
            let machine = &step.after.machines[&record.machine];
            if record.standing == KeyStanding::Current {
                assert_eq!(machine.key, Some(*fingerprint));
                assert!(!is_revoked(machine) && !matches!(machine.state, MachineState::Retired(_)));
            }
        }
        for machine in step.after.live().filter(|machine| !is_revoked(machine)) {
            let standing = machine.key.map(|key| step.after.keys[&key].standing);
            assert!(matches!(standing, None | Some(KeyStanding::Current)), "{machine:?} is {standing:?}");
        }
    });
}

#[test]
fn every_open_credential_is_of_the_present_generation_and_key() {
    always(|step| {
        let open = step.after.credentials.values().filter(|credential| credential.is_open());
        for Credential { machine, generation, kind, .. } in open {
            let machine = &step.after.machines[machine];
            assert_eq!(*generation, machine.generation);
            if let muster_model::CredentialKind::Certificate { key } = kind {
                assert_eq!(Some(*key), machine.key);
            }
        }
    });
}

#[test]
fn q_13_whoever_has_a_key_that_counts_can_renew_with_it() {
    always(|step| {
        for (key, record) in &step.after.keys {
            let facts = step.after.renew_facts(*key);
            let context = context(step.after.now, muster_model::Actor::Machine(record.machine));
            let newest = facts.credentials.iter().map(|credential| credential.not_after).max();
            let renewed = credential::renew(facts, credential_id(1), &context, &step.after.terms);
            let in_time = newest.is_some_and(|end| step.after.now <= end + step.after.terms.renew_grace);
            let expected = match record.standing {
                KeyStanding::Current if in_time => None,
                KeyStanding::Current => Some(Refusal::CredentialExpired),
                KeyStanding::Proposed
                | KeyStanding::Previous
                | KeyStanding::Superseded
                | KeyStanding::Revoked => Some(Refusal::Revoked),
            };
            assert_eq!(renewed.err(), expected);
        }
    });
}

#[test]
fn histories_reach_every_row_of_the_table() {
    let reached = std::cell::RefCell::new(std::collections::BTreeSet::new());
    always(|step| {
        let mut reached = reached.borrow_mut();
        match step.enrollment() {
            Some((_, Ok(Outcome::Held(hold)))) => reached.insert(hold.reason.as_str()),
            Some((_, Err(refusal))) => reached.insert(refusal.code()),
            Some((_, Ok(Outcome::Enrolled { again: true, .. }))) => reached.insert("again"),
            Some((request, Ok(Outcome::Enrolled { machine, .. }))) => {
                let known = step.before.machines.get(&machine.id);
                let vouched =
                    request.vouched_by.is_some() && known.and_then(|known| known.key) == request.vouched_by;
                let shows = matches!(request.claim.entitlement, Entitlement::Credential { .. });
                reached.insert(match known.map(|known| &known.state) {
                    None => "new",
                    Some(_) if shows => "upgrade",
                    Some(MachineState::Pending(_)) => "invited",
                    Some(_) if vouched => "rekey",
                    Some(_) => "rejoin",
                })
            }
            None => false,
        };
    });
    let rows = [
        "again",
        "approval",
        "invited",
        "key_mismatch",
        "new",
        "not_entitled",
        "quota",
        "rejected",
        "rejoin",
        "rekey",
        "revoked",
        "site_mismatch",
        "too_many_holds",
        "upgrade",
        "was_removed",
    ];
    let reached = reached.into_inner();
    assert_eq!(rows.iter().filter(|row| !reached.contains(*row)).collect::<Vec<_>>(), Vec::<&&str>::new());
}
