use muster_model::second_factor::SecondFactor;
use proptest::prelude::*;

use super::*;
use crate::tests::fixtures::*;

fn id(n: u8) -> OperatorId {
    OperatorId::from_bytes([n; 16])
}

fn one(n: u8, name: &str, role: OperatorRole) -> Operator {
    let disabled_at = None;
    Operator {
        id: id(n),
        tenant: tenant_id(),
        name: text(name),
        role,
        created_at: ago(DAY),
        disabled_at,
        password: None,
        second: None,
    }
}

fn disabled(operator: Operator) -> Operator {
    Operator { disabled_at: Some(ago(HOUR)), ..operator }
}

fn two() -> [Operator; 2] {
    [one(1, "ada", OperatorRole::Admin), one(2, "Ben", OperatorRole::Operator)]
}

const NOTHING: Live = Live { tokens: 0, links: 0, sessions: 0 };

fn live() -> Live {
    Live { tokens: 2_000, links: 1, sessions: 3 }
}

fn to(role: OperatorRole) -> Edit {
    Edit { role: Some(role), ..Edit::default() }
}

fn called(name: &str) -> Edit {
    Edit { name: Some(text(name)), ..Edit::default() }
}

#[test]
fn q_10_no_two_operators_have_names_that_people_take_for_one() {
    for name in ["ADA", "\u{ff21}da", "ada"] {
        let refused = create(one(3, name, OperatorRole::Viewer), &two(), &by_operator());
        assert_eq!(refused.err(), Some(Refusal::NameTaken { what: "operator" }), "{name}");
        let refused = edit(id(2), &called(name), &two(), NOTHING, &by_operator());
        assert_eq!(refused.err(), Some(Refusal::NameTaken { what: "operator" }), "{name}");
    }
    let made = create(one(3, "eve", OperatorRole::Viewer), &two(), &by_operator()).expect("free");
    assert_eq!((rows(&made), told(&made)), (vec!["operator made".into()], ("operator.create", "viewer")));
    let own = edit(id(2), &called("BEN"), &two(), NOTHING, &by_operator()).expect("its own name");
    assert_eq!(own.outcome().operator.name.as_str(), "BEN");
}

#[test]
fn there_is_a_most_of_operators() {
    let many: Vec<Operator> = (0..MOST)
        .map(|n| Operator { name: text(&format!("n{n}")), ..one(9, "x", OperatorRole::Viewer) })
        .collect();
    let made = |others: &[Operator]| create(one(3, "eve", OperatorRole::Viewer), others, &by_operator());
    assert!(made(&many[1..]).is_ok());
    assert!(matches!(made(&many), Err(Refusal::WrongState { state: "full", .. })));
}

#[test]
fn q_33_with_its_role_an_operators_sessions_and_links_end_and_its_api_tokens_stay() {
    for role in [OperatorRole::Viewer, OperatorRole::Admin] {
        let plan = edit(id(2), &to(role), &two(), live(), &by_operator()).expect("moved");
        assert_eq!(rows(&plan), ["operator changed", "each login ended, each session ended"]);
        assert_eq!(told(&plan), ("operator.edit", role.as_str()));
        assert_eq!(plan.outcome().ended, Live { tokens: 0, ..live() });
        assert_eq!(plan.outcome().operator.role, role);
    }
    let renamed = edit(id(2), &called("bob"), &two(), live(), &by_operator()).expect("renamed");
    assert_eq!(rows(&renamed), ["operator changed"]);
    let same = edit(id(2), &to(OperatorRole::Operator), &two(), live(), &by_operator()).expect("as it was");
    assert!(same.is_unchanged());
}

#[test]
fn q_33_with_an_operator_who_is_disabled_everything_it_had_ends() {
    let plan = disable(id(2), &two(), live(), &by_operator()).expect("disabled");
    assert_eq!(rows(&plan), ["operator changed", "each api ended, each login ended, each session ended"]);
    assert_eq!(plan.outcome().ended, live());
    assert_eq!(told(&plan), ("operator.disable", "operator"));
    let after = [two()[0].clone(), plan.outcome().operator.clone()];
    assert!(!after[1].is_enabled());
    assert!(disable(id(2), &after, live(), &by_operator()).expect("again").is_unchanged());
    let back = enable(id(2), &after, Live { tokens: 1, ..NOTHING }, &by_operator()).expect("enabled");
    assert_eq!(
        rows(&back),
        ["operator changed", "each api ended, each login ended, each session ended"],
        "nothing comes back"
    );
    assert!(back.outcome().operator.is_enabled());
    assert!(enable(id(2), &two(), live(), &by_operator()).expect("it is").is_unchanged());
}

#[test]
fn q_33_with_its_second_factor_an_operators_sessions_and_links_end_and_nothing_else_changes() {
    let mut operators = two();
    let asked = crate::tests::people::asked_for_codes();
    let proposed = SecondFactor::Proposed { salt: asked.salt(), at: now() };
    for second in [asked, proposed] {
        operators[1].second = Some(second);
        let plan = reset_second_factor(id(2), &operators, live(), &by_operator()).expect("taken away");
        let Changed { operator, ended } = plan.outcome();
        assert_eq!(*operator, two()[1]);
        assert_eq!(*ended, Live { tokens: 0, ..live() }, "what is told is what ends");
        let kinds = &[AccessKind::Login, AccessKind::Session];
        let ending = AccessChange::EndAllOf { operator: id(2), kinds, at: now() };
        assert!(plan.changes().contains(&ending.into()));
        assert_eq!(told(&plan), ("operator.reset_second_factor", "operator"));
    }
    let none = reset_second_factor(id(1), &operators, live(), &by_operator()).expect("nothing to take");
    assert_eq!((none.changes().len(), none.entries().len()), (0, 0), "nothing ends for nothing");
    assert_eq!(none.outcome().ended, NOTHING);
    assert!(reset_second_factor(id(9), &operators, NOTHING, &by_operator()).is_err());
}

#[test]
fn the_last_admin_who_is_not_disabled_stays_one() {
    let alone = two();
    let another = [two()[0].clone(), disabled(one(2, "Ben", OperatorRole::Admin))];
    for operators in [&alone, &another] {
        for role in [OperatorRole::Viewer, OperatorRole::Operator] {
            let lowered = edit(id(1), &to(role), operators, NOTHING, &by_operator());
            assert_eq!(lowered.err(), Some(Refusal::LastAdmin));
        }
        let gone = disable(id(1), operators, NOTHING, &by_operator());
        assert_eq!(gone.err(), Some(Refusal::LastAdmin));
        assert!(
            edit(id(1), &called("Ada L."), operators, NOTHING, &by_operator()).is_ok(),
            "but may be renamed"
        );
    }
    let shared = [two()[0].clone(), one(2, "Ben", OperatorRole::Admin)];
    assert!(disable(id(1), &shared, NOTHING, &by_operator()).is_ok());
    assert!(edit(id(1), &to(OperatorRole::Viewer), &shared, NOTHING, &by_operator()).is_ok());
}

#[test]
fn who_is_not_there_is_not_changed() {
    let missing = Some(Refusal::NotFound { what: "operator" });
    assert_eq!(edit(id(7), &called("x"), &two(), NOTHING, &by_operator()).err(), missing);
    assert_eq!(disable(id(7), &two(), NOTHING, &by_operator()).err(), missing);
    assert_eq!(enable(id(7), &two(), NOTHING, &by_operator()).err(), missing);
}

#[derive(Debug, Clone)]
enum Act {
    Create(u8, usize),
    Edit(u8, Option<u8>, Option<usize>),
    Disable(u8),
    Enable(u8),
}

const NAMES: [&str; 6] = ["ada", "ADA", "ben", "eve", "\u{ff25}ve", "zoe"];

fn act() -> impl Strategy<Value = Act> {
    let (who, name, role) = (1..6u8, 0..NAMES.len() as u8, 0..OperatorRole::ALL.len());
    prop_oneof![
        (name.clone(), role.clone()).prop_map(|(name, role)| Act::Create(name, role)),
        (who.clone(), proptest::option::of(name), proptest::option::of(role))
            .prop_map(|(who, name, role)| Act::Edit(who, name, role)),
        who.clone().prop_map(Act::Disable),
        who.prop_map(Act::Enable),
    ]
}

fn play(operators: &mut Vec<Operator>, act: &Act) {
    let context = by_operator();
    let name = |n: u8| text::<DisplayName>(NAMES[usize::from(n)]);
    let changed = match *act {
        Act::Create(n, role) => {
            let next = u8::try_from(operators.len() + 1).expect("a few");
            let made = create(one(next, NAMES[usize::from(n)], OperatorRole::ALL[role]), operators, &context);
            operators.extend(made.ok().map(|plan| plan.outcome().clone()));
            return;
        }
        Act::Edit(who, n, role) => {
            let wish = Edit { name: n.map(name), role: role.map(|role| OperatorRole::ALL[role]) };
            edit(id(who), &wish, operators, NOTHING, &context)
        }
        Act::Disable(who) => disable(id(who), operators, NOTHING, &context),
        Act::Enable(who) => enable(id(who), operators, NOTHING, &context),
    };
    if let Ok(plan) = changed {
        let after = plan.outcome().operator.clone();
        let row = operators.iter_mut().find(|row| row.id == after.id).expect("it was there");
        *row = after;
    }
}

proptest! {
    #[test]
    fn in_every_history_an_admin_is_left_and_no_name_is_given_twice(
        acts in proptest::collection::vec(act(), 0..40),
    ) {
        let mut operators = vec![one(1, "ada", OperatorRole::Admin)];
        for act in &acts {
            play(&mut operators, act);
            let administers = |one: &Operator| one.is_enabled() && one.role == OperatorRole::Admin;
            prop_assert!(operators.iter().any(administers), "{act:?}");
            let mut names: Vec<String> = operators.iter().map(Operator::folded).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), operators.len());
        }
    }
}
