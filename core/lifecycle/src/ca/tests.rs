use muster_model::{Actor, AuditId, TenantId};

use super::*;

const NOBODY: Fleet = Fleet { behind: 0, even_so: None };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn context() -> Context {
    let (tenant, entry) = (TenantId::new(1, [1; 10]), AuditId::new(1, [1; 10]));
    Context { tenant, actor: Actor::System, source: None, now: at(9), entry }
}

/// The states that these steps lead through, one second apart.
fn walk(steps: &[Step]) -> Vec<Ca> {
    let mut all = vec![Ca::founding()];
    for (n, step) in (1..).zip(steps) {
        let before = all.last().expect("the first one");
        all.push(next(before, *step, NOBODY, at(n)).expect("it follows"));
    }
    all
}

fn last(steps: &[Step]) -> Ca {
    walk(steps).pop().expect("the first one")
}

#[test]
fn the_whole_change_gives_out_two_new_bundles_and_ends_where_it_began() {
    use Step::{Activate, Prepare, Publish, Remove, Taint};
    let states = walk(&[Prepare, Publish, Activate, Taint, Remove]);
    let seen: Vec<_> = states.iter().map(|ca| (ca.phase.as_str(), ca.bundle, ca.revision)).collect();
    let expected = [
        ("settled", 1, 0),
        ("prepared", 1, 1),
        ("published", 2, 2),
        ("activated", 2, 3),
        ("tainted", 2, 4),
        ("settled", 3, 5),
    ];
    assert_eq!(seen, expected);
    assert_eq!(states[5].signs_since, Some(at(3)), "the removed one signs nothing any more");
    assert_eq!(states[3].rotate_before, None);
    assert_eq!(states[5].rotate_before, Some(at(4)), "keys from before the taint are to be replaced still");
}

#[test]
fn a_removal_ends_no_forced_rotation_and_the_next_taint_is_what_counts_from_then_on() {
    use Step::{Activate, Prepare, Publish, Remove, Taint, Undo};
    let change = [Prepare, Publish, Activate, Taint, Remove];
    let states = walk(&[&change[..], &change[..4], &[Undo]].concat());
    let forced: Vec<_> = states.iter().map(|ca| ca.rotate_before).collect();
    let (first, second) = (Some(at(4)), Some(at(9)));
    let expected = [None, None, None, None, first, first, first, first, first, second, first];
    assert_eq!(forced, expected, "one that is taken back leaves the one before");
}

#[test]
fn each_step_is_taken_back_until_the_next_and_a_removal_is_not() {
    let steps = [Step::Prepare, Step::Publish, Step::Activate, Step::Taint];
    for n in 1..=steps.len() {
        let (before, after) = (last(&steps[..n - 1]), last(&steps[..n]));
        let back = next(&after, Step::Undo, NOBODY, at(50)).expect("it can be taken back");
        assert_eq!(
            (back.phase, back.rotate_before),
            (before.phase, before.rotate_before),
            "{:?}",
            steps[n - 1]
        );
        let signs_since = if steps[n - 1] == Step::Activate { Some(at(50)) } else { before.signs_since };
        assert_eq!(back.signs_since, signs_since, "what the next one signed is not given again");
        assert_eq!(back.revision, after.revision + 1, "a step back is a step");
        assert!(back.bundle >= after.bundle, "nobody is given an older version");
    }
    let removed = last(&[Step::Prepare, Step::Publish, Step::Activate, Step::Remove]);
    assert!(matches!(next(&removed, Step::Undo, NOBODY, at(50)), Err(Refusal::WrongState { .. })));
}

#[test]
fn no_step_is_left_out() {
    let follows = |phase: &str, step: Step| match phase {
        "settled" => step == Step::Prepare,
        "prepared" => matches!(step, Step::Publish | Step::Undo),
        "published" => matches!(step, Step::Activate | Step::Undo),
        "activated" => matches!(step, Step::Taint | Step::Remove | Step::Undo),
        _ => matches!(step, Step::Remove | Step::Undo),
    };
    for present in walk(&[Step::Prepare, Step::Publish, Step::Activate, Step::Taint]) {
        for step in Step::ALL {
            let taken = next(&present, step, NOBODY, at(50)).is_ok();
            assert_eq!(taken, follows(present.phase.as_str(), step), "{:?} {step:?}", present.phase);
        }
    }
}

#[test]
fn machines_that_are_not_ready_stop_what_would_leave_them_behind_unless_their_number_is_named() {
    let published = last(&[Step::Prepare, Step::Publish]);
    let active = last(&[Step::Prepare, Step::Publish, Step::Activate]);
    for (present, step) in [(&published, Step::Activate), (&active, Step::Remove)] {
        let ask = |even_so| next(present, step, Fleet { behind: 3, even_so }, at(9)).map(drop);
        assert_eq!(ask(None), Err(Refusal::TrustBehind { machines: 3 }));
        assert_eq!(ask(Some(2)), Err(Refusal::CountDiffers { expected: 2, found: 3 }));
        assert_eq!((ask(Some(3)), ask(Some(4))), (Ok(()), Ok(())), "fewer than named are fewer left behind");
    }
}

#[test]
fn a_step_that_somebody_else_overtook_is_not_taken() {
    let (present, prepared) = (Ca::founding(), last(&[Step::Prepare]));
    let plan = take(&present, Step::Prepare, &prepared, NOBODY, &context()).expect("it follows");
    assert_eq!((plan.changes().len(), plan.entries().len()), (1, 1));
    assert!(take(&prepared, Step::Prepare, &prepared, NOBODY, &context()).is_err());
}

#[test]
fn q_55_what_a_restored_database_forgot_is_written_down_again_and_never_the_other_way_round() {
    let (older, newer) = (last(&[Step::Prepare]), last(&[Step::Prepare, Step::Publish]));
    assert_eq!(
        recall(&older, &newer, &context()).changes(),
        [DeploymentChange::Authority(newer.clone()).into()]
    );
    for known in [&older, &newer] {
        assert!(recall(&newer, known, &context()).is_unchanged());
    }
}
