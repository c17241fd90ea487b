use muster_model::{Grant, GrantKind, HoldReason, Lineage, Retired, SuspendCause};

use super::*;
use crate::tests::fixtures::{
    HOUR, active, ago, bearer, by_operator, certificate, grant, grant_id, hold, key_record, machine, now,
    operator, pending, retired, rows, site_id, suspended, told,
};

fn named(network: Option<&str>) -> Selector {
    Selector { network: network.map(|text| text.parse().expect("a network")), ..Selector::default() }
}

fn from(source: Option<[u8; 4]>) -> Machine {
    let lineage = Lineage { source: source.map(Into::into), ..Lineage::default() };
    Machine { lineage, ..machine(1) }
}

#[test]
fn all_of_what_is_named_must_fit() {
    let Actor::Operator(by) = operator() else { panic!("an operator") };
    let whole = Selector {
        machines: vec![machine(1).id],
        site: Some(site_id(1)),
        grant: Some(grant_id(9)),
        approved_by: Some(by),
        since: Some(ago(HOUR * 3)),
        until: Some(ago(HOUR)),
        network: Some("192.0.2.0/24".parse().expect("a network")),
        labels: Labels::new([("rack", "b")]).expect("a label"),
    };
    let lineage = Lineage {
        at: Some(ago(HOUR * 2)),
        source: Some([192, 0, 2, 9].into()),
        approved_by: Some(operator()),
        grant: None,
    };
    let meant = Machine { lineage, labels: whole.labels.clone(), ..machine(1) };
    assert_eq!(whole.takes(&meant), Meant::Yes);
    for other in [
        Machine { id: machine(2).id, ..meant.clone() },
        Machine { site: site_id(2), ..meant.clone() },
        Machine { grant: None, ..meant.clone() },
        Machine { lineage: Lineage { approved_by: None, ..lineage }, ..meant.clone() },
        Machine { lineage: Lineage { at: Some(ago(HOUR * 4)), ..lineage }, ..meant.clone() },
        Machine { lineage: Lineage { at: Some(ago(HOUR)), ..lineage }, ..meant.clone() },
        Machine { lineage: Lineage { source: Some([198, 51, 100, 1].into()), ..lineage }, ..meant.clone() },
        Machine { labels: Labels::default(), ..meant.clone() },
    ] {
        assert_eq!(whole.takes(&other), Meant::No, "{other:?}");
    }
}

#[test]
fn who_came_before_networks_were_noted_is_unknown_and_who_came_before_times_were_is_dated_by_its_enrollment()
{
    assert_eq!(named(Some("192.0.2.0/24")).takes(&from(None)), Meant::Unknown);
    assert_eq!(named(Some("192.0.2.0/24")).takes(&from(Some([192, 0, 2, 1]))), Meant::Yes);
    let since = Selector { since: Some(ago(HOUR * 2)), ..Selector::default() };
    assert_eq!(since.takes(&machine(1)), Meant::Yes, "enrolled two hours ago");
    assert_eq!(since.takes(&pending(1)), Meant::No, "it has not come yet");
    let network = Selector { grant: Some(grant_id(1)), ..named(Some("192.0.2.0/24")) };
    assert_eq!(network.takes(&from(None)), Meant::No, "another grant: nothing to be told");
}

#[test]
fn each_verb_leaves_alone_what_stands_so_already() {
    let states = [
        pending(1).state,
        active(),
        suspended(SuspendCause::Operator(None)),
        suspended(SuspendCause::Revoked(None)),
        suspended(SuspendCause::Silent),
        suspended(SuspendCause::Quarantine),
        retired(),
        MachineState::Retired(Retired { since: ago(HOUR), cause: RetireCause::Silent, readmit: None }),
    ];
    let applies = |verb: Verb| states.clone().map(|state| verb.applies(&state));
    assert_eq!(applies(Verb::Suspend), [false, true, false, false, true, false, false, false]);
    assert_eq!(applies(Verb::Revoke), [false, true, true, false, true, true, false, true]);
    assert_eq!(applies(Verb::Retire), [true, true, true, true, true, true, false, true]);
    for (verb, state) in Verb::ALL.into_iter().flat_map(|verb| states.clone().map(|state| (verb, state))) {
        let facts =
            Facts { machine: Some(Machine { state: state.clone(), ..machine(1) }), ..Facts::default() };
        let plan = end(verb, &Selector::default(), facts, None, &by_operator()).expect("it is there");
        assert_eq!(!plan.is_unchanged(), verb.applies(&state), "{verb:?} {state:?}");
        assert_eq!(plan.outcome().machines, u64::from(verb.applies(&state)));
    }
}

#[test]
fn q_07_what_ends_with_a_machine_is_counted_by_kind_and_told_with_its_lineage() {
    let machine = machine(1);
    let invite = Grant { kind: GrantKind::Machine(machine.id), ..grant(12) };
    let asked =
        Hold { claimant: crate::tests::fixtures::claimant(1), ..hold(HoldReason::SiteMismatch, None) };
    let facts = Facts {
        keys: vec![key_record(1, &machine, muster_model::KeyStanding::Current)],
        credentials: vec![certificate(100, &machine, HOUR), bearer(101, &machine)],
        grants: vec![invite],
        holds: vec![asked],
        machine: Some(machine),
        ..Facts::default()
    };
    let selector = Selector { grant: Some(grant_id(9)), ..Selector::default() };
    for verb in [Verb::Revoke, Verb::Retire] {
        let plan = end(verb, &selector, facts.clone(), None, &by_operator()).expect("it is there");
        let counts =
            Counts { machines: 1, certificates: 1, bearer_keys: 1, grants: 1, holds: 1, ..Counts::default() };
        assert_eq!(*plan.outcome(), counts, "{verb:?}");
        assert!(rows(&plan).contains(&"grant revoked".to_owned()), "an invite from before opens nothing");
        let lineage = plan.entries()[0].detail.iter().find(|(name, _)| *name == "lineage");
        assert_eq!(lineage.map(|(_, said)| said.clone()), selector.lineage());
    }
    let plan = end(Verb::Suspend, &selector, facts, None, &by_operator()).expect("it is there");
    assert_eq!(*plan.outcome(), Counts { machines: 1, ..Counts::default() }, "a pause ends nothing");
}

#[test]
fn who_waits_by_the_grant_or_from_the_network_is_of_the_lineage() {
    let waiting = hold(HoldReason::Approval, None);
    let by_grant = Selector { grant: Some(grant_id(9)), ..Selector::default() };
    assert!(by_grant.takes_hold(&waiting, now()));
    assert!(!Selector { grant: Some(grant_id(1)), ..Selector::default() }.takes_hold(&waiting, now()));
    assert!(!by_grant.takes_hold(&waiting, waiting.expires_at), "it ended by itself");
    assert!(!named(Some("192.0.2.0/24")).takes_hold(&waiting, now()), "nobody knows from where");
    let here = muster_model::Claimant { source: Some([192, 0, 2, 1].into()), ..waiting.claimant.clone() };
    assert!(named(Some("192.0.2.0/24")).takes_hold(&Hold { claimant: here, ..waiting.clone() }, now()));
    let site = Selector { site: Some(site_id(1)), ..Selector::default() };
    assert!(!site.takes_hold(&waiting, now()), "a site is no lineage");
    let plan = refuse_hold(&by_grant, Some(waiting), None, &by_operator()).expect("it waits");
    assert_eq!((told(&plan), plan.outcome().holds), (("hold.reject", "rejected"), 1));
}

#[test]
fn a_grant_ends_once() {
    let selector = Selector { grant: Some(grant_id(9)), ..Selector::default() };
    let plan = end_grant(&selector, Some(grant(9)), None, &by_operator()).expect("it is there");
    assert_eq!((rows(&plan), plan.outcome().grants), (vec!["grant revoked".to_owned()], 1));
    let over = Grant { state: GrantState::Revoked(now()), ..grant(9) };
    assert!(end_grant(&selector, Some(over), None, &by_operator()).expect("it is there").is_unchanged());
    assert!(end_grant(&selector, None, None, &by_operator()).is_err());
}

#[test]
fn who_came_in_by_a_grant_is_found_by_it_however_often_it_showed_another_one_since() {
    let selector = Selector { grant: Some(grant_id(3)), ..Selector::default() };
    let lineage = Lineage { grant: Some(grant_id(3)), ..Lineage::default() };
    assert_eq!(selector.takes(&Machine { lineage, ..machine(1) }), Meant::Yes);
    assert_eq!(selector.takes(&machine(1)), Meant::No);
}
