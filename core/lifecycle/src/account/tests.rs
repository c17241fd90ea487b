use muster_model::{AccountId, MishapText, RetireCause, Retired};

use super::*;
use crate::enroll::Known;
use crate::identity;
use crate::machine::{self, Facts};
use crate::tests::fixtures::*;

fn new() -> NewAccount {
    NewAccount {
        id: AccountId::from_bytes([7; 16]),
        machine: machine_id(1),
        provisioner: text("irc"),
        name: text("w-two"),
    }
}

fn account() -> Account {
    made(new(), &machine(1), &by_operator()).expect("it is active")
}

fn done() -> Account {
    let delivery = Delivery::Done { at: ago(HOUR) };
    Account { provenance: Provenance::Made, delivery, ..account() }
}

fn facts(account: &Account) -> Facts {
    Facts { machine: Some(machine(1)), accounts: vec![account.clone()], ..Facts::default() }
}

/// What a plan makes of the account.
fn becomes<O>(plan: &Plan<O>) -> Account {
    let update = |change: &Change| match change {
        Change::Account(AccountChange::Update(account)) => Some(account.clone()),
        _ => None,
    };
    plan.changes().iter().find_map(update).expect("the account changes")
}

fn settle(account: &Account, version: u32, outcome: &Outcome) -> Plan<Account> {
    let retry = Retry { attempts: 3, random: 0 };
    settled(Some(account.clone()), version, outcome, retry, &by_operator()).expect("it is there")
}

fn failure(kind: MishapKind) -> Outcome {
    Outcome::Failed(Mishap { kind, text: Some(text::<MishapText>("said")) })
}

const OURS: Outcome = Outcome::Reached { ours: true };

#[test]
fn an_account_is_made_due_and_the_same_call_gives_the_same() {
    let plan = create(new(), Some(&machine(1)), None, &by_operator()).expect("nothing is in the way");
    let made = plan.outcome().clone();
    assert_eq!((made.wanted, made.version, made.provenance), (Wanted::Live, 1, Provenance::Unknown));
    assert!(made.is_due(now()) && plan.entries().len() == 1);
    let again = create(new(), Some(&machine(1)), Some(made.clone()), &by_operator()).expect("a repetition");
    assert!(again.is_unchanged() && *again.outcome() == made);
    let other = Account { machine: machine_id(2), ..made };
    let taken = create(new(), Some(&machine(1)), Some(other), &by_operator());
    assert_eq!(taken.expect_err("it is another's"), Refusal::NameTaken { what: "account" });
}

#[test]
fn i_11_a_pending_or_ended_machine_gets_no_account() {
    let retired = MachineState::Retired(Retired { since: now(), cause: RetireCause::Left, readmit: None });
    for state in [pending(1).state, retired] {
        let machine = Machine { state, ..machine(1) };
        let refused =
            create(new(), Some(&machine), None, &by_operator()).expect_err("it holds no credential");
        assert_eq!(refused.code(), "wrong_state");
    }
}

#[test]
fn suspending_locks_in_the_same_plan_and_resuming_gives_the_same_passphrase_back() {
    let plan = machine::suspend(facts(&done()), None, &by_operator()).expect("it is active");
    let locked = becomes(&plan);
    assert_eq!((locked.wanted, locked.version, locked.secret), (Wanted::Locked, 2, 1));
    assert!(locked.is_due(now()));
    let paused = Facts { machine: Some(plan.outcome().clone()), ..facts(&locked) };
    let live = becomes(&machine::resume(paused, None, &by_operator()).expect("it is paused"));
    assert_eq!((live.wanted, live.version, live.secret), (Wanted::Live, 3, 1));
}

#[test]
fn revoking_and_retiring_lock_and_end_the_passphrase() {
    let revoked = machine::revoke(facts(&done()), None, None, &by_operator()).expect("it is active");
    let retired = machine::retire(facts(&done()), RetireCause::Left, &by_operator()).expect("it is active");
    for locked in [becomes(&revoked), becomes(&retired)] {
        assert_eq!((locked.wanted, locked.version, locked.secret), (Wanted::Locked, 2, 2));
    }
    assert_eq!(revoked.entries().len(), 1);
    assert!(revoked.entries()[0].detail.contains(&("accounts_changed", "1".to_owned())));
}

#[test]
fn a_machine_under_a_new_key_has_a_new_passphrase() {
    let known = Known { accounts: vec![done()], ..by_key(1) };
    let claimant = Scene::new().request.claimant;
    let (_, changes) = identity::take_over(known, active(), &claimant, None, now());
    let plan = Plan::new((), changes, by_operator().entry("test", Object::Deployment, ""));
    assert_eq!((becomes(&plan).wanted, becomes(&plan).secret), (Wanted::Live, 2));
}

#[test]
fn what_is_removed_never_follows_its_machine_again() {
    let removed = becomes(&remove(Some(done()), &by_operator()).expect("it is there"));
    assert_eq!((removed.wanted, removed.version), (Wanted::Removed, 2));
    assert_eq!(follow(std::slice::from_ref(&removed), &active(), true, now()), []);
    assert!(remove(Some(removed), &by_operator()).expect("it is there").is_unchanged());
}

#[test]
fn what_is_reached_is_done_and_ours_once_it_was_made() {
    let plan = settle(&account(), 1, &OURS);
    let reached = becomes(&plan);
    assert_eq!((reached.standing(), reached.provenance), ("live", Provenance::Made));
    assert_eq!(plan.entries()[0].action, "account.deliver");
    assert!(settle(&reached, 1, &OURS).is_unchanged(), "twice changes nothing");
    let locked = Account { wanted: Wanted::Locked, ..account() };
    let nothing = becomes(&settle(&locked, 1, &Outcome::Reached { ours: false }));
    assert_eq!((nothing.standing(), nothing.provenance), ("locked", Provenance::Unknown));
}

#[test]
fn what_is_recognised_is_ours_and_tried_again_at_once() {
    let plan = settle(&account(), 1, &Outcome::Recognised);
    let ours = becomes(&plan);
    assert!(ours.is_due(now()) && ours.provenance == Provenance::Made);
    assert_eq!(plan.entries()[0].action, "account.recognise");
    let twice = becomes(&settle(&ours, 1, &Outcome::Recognised));
    assert!(!twice.is_due(now()), "a connector that says nothing else does not turn in a circle");
}

#[test]
fn what_came_of_an_older_version_is_done_once_more_and_nothing_else() {
    let newer = Account { version: 2, wanted: Wanted::Locked, ..done() };
    let again = becomes(&settle(&newer, 1, &OURS));
    assert!(again.is_due(now()) && again.version == 2 && again.wanted == Wanted::Locked);
    let waiting = Account { version: 2, ..account() };
    let learned = becomes(&settle(&waiting, 1, &OURS));
    assert_eq!((learned.provenance, learned.delivery), (Provenance::Made, waiting.delivery.clone()));
    for outcome in [Outcome::Foreign, failure(MishapKind::Refused)] {
        assert!(settle(&waiting, 1, &outcome).is_unchanged(), "{outcome:?}");
    }
}

#[test]
fn somebody_elses_account_is_a_conflict_that_nothing_but_an_operator_ends() {
    let conflict = becomes(&settle(&account(), 1, &Outcome::Foreign));
    assert_eq!((conflict.standing(), conflict.provenance), ("conflict", Provenance::Unknown));
    for moved in [
        becomes(&machine::suspend(facts(&conflict), None, &by_operator()).expect("it is active")),
        becomes(&machine::revoke(facts(&conflict), None, None, &by_operator()).expect("it is active")),
        becomes(&rotate(Some(conflict.clone()), &by_operator()).expect("it is live")),
    ] {
        assert_eq!(moved.standing(), "conflict", "it is never due");
    }
    let gone = becomes(&remove(Some(conflict.clone()), &by_operator()).expect("it is there"));
    assert!(!gone.is_due(now()), "what stands there is not ours to remove");
    let adopted = becomes(&adopt(Some(conflict.clone()), &by_operator()).expect("there is a conflict"));
    assert_eq!((adopted.provenance, adopted.version), (Provenance::Adopted, 2));
    assert!(adopted.is_due(now()));
    let retried = becomes(&retry(Some(conflict), &by_operator()).expect("it is behind"));
    assert_eq!((retried.provenance, retried.is_due(now())), (Provenance::Unknown, true));
}

#[test]
fn only_a_conflict_is_adopted() {
    for account in [account(), done()] {
        let refused = adopt(Some(account), &by_operator()).expect_err("nothing stands in the way");
        assert_eq!(refused.code(), "wrong_state");
    }
}

#[test]
fn a_failure_waits_longer_each_time_and_is_given_up_in_the_end() {
    let mut account = account();
    for attempt in 1..3 {
        account = becomes(&settle(&account, 1, &failure(MishapKind::Unreachable)));
        let Delivery::Due { at, attempts, last } = &account.delivery else { panic!("{account:?}") };
        assert_eq!((*attempts, *at), (attempt, now() + SignedDuration::from_secs(1)));
        assert_eq!(last.as_ref().map(|last| last.kind), Some(MishapKind::Unreachable));
    }
    let plan = settle(&account, 1, &failure(MishapKind::Unreachable));
    assert_eq!((becomes(&plan).standing(), plan.entries()[0].action), ("dead", "account.dead"));
    let again = becomes(&retry(Some(becomes(&plan)), &by_operator()).expect("it is behind"));
    assert!(matches!(again.delivery, Delivery::Due { attempts: 0, .. }));
    let locked = machine::suspend(facts(&becomes(&plan)), None, &by_operator()).expect("it is active");
    assert!(becomes(&locked).is_due(now()), "a new wish is tried anew");
}

#[test]
fn what_is_to_be_locked_is_tried_for_as_long_as_it_takes() {
    for wanted in [Wanted::Locked, Wanted::Removed] {
        let mut account = Account { wanted, ..account() };
        for _ in 0..50 {
            account = becomes(&settle(&account, 1, &failure(MishapKind::Unauthorized)));
        }
        assert!(matches!(account.delivery, Delivery::Due { attempts: 50, .. }), "{account:?}");
    }
}

#[test]
fn what_is_refused_for_good_is_given_up_at_once() {
    assert_eq!(becomes(&settle(&account(), 1, &failure(MishapKind::Refused))).standing(), "dead");
}

/// One replica may know a provisioner that another one does not know yet.
#[test]
fn an_order_that_this_server_knows_no_provisioner_for_is_never_given_up() {
    let mut account = account();
    for _ in 0..50 {
        account = becomes(&settle(&account, 1, &failure(MishapKind::NotConfigured)));
    }
    assert_eq!(account.standing(), "pending");
}

#[test]
fn waits_are_spread_between_a_second_and_five_minutes() {
    for attempts in [1, 2, 8, 9, 40, u32::MAX] {
        for random in [0, 1, 999, u64::MAX / 3, u64::MAX] {
            let wait = backoff(attempts, random);
            let in_bounds = SignedDuration::from_secs(1)..=SignedDuration::from_secs(300);
            assert!(in_bounds.contains(&wait), "{attempts} {random}: {wait:?}");
        }
    }
    assert!((0..1000).any(|random| backoff(9, random * 1_000_003) > SignedDuration::from_secs(250)));
}

#[test]
fn a_drift_is_mended_unless_something_else_is_wanted_meanwhile() {
    let mended = becomes(&drifted(Some(done()), 1, &by_operator()).expect("it is there"));
    assert!(mended.is_due(now()) && mended.version == 1);
    assert!(drifted(Some(done()), 2, &by_operator()).expect("it is there").is_unchanged());
    assert!(drifted(Some(account()), 1, &by_operator()).expect("it is there").is_unchanged());
}

#[test]
fn rotating_ends_the_passphrase_of_a_live_account_alone() {
    let rotated = becomes(&rotate(Some(done()), &by_operator()).expect("it is live"));
    assert_eq!((rotated.version, rotated.secret, rotated.is_due(now())), (2, 2, true));
    let locked = Account { wanted: Wanted::Locked, ..done() };
    assert_eq!(rotate(Some(locked), &by_operator()).expect_err("it is locked").code(), "wrong_state");
}
