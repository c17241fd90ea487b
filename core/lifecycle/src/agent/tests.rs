use muster_model::engagement::Draft;
use muster_model::{Pending, RetireCause, Timestamp};

use super::*;
use crate::tests::fixtures::{self, credential_id, ended, hash, machine_id, now, operator, rows, site, told};

fn context() -> Context {
    fixtures::context(now(), operator())
}

fn words(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn engagement(channels: &[&str]) -> Engagement {
    Engagement::new(Draft { channels: words(channels), ..Draft::default() }).expect("right")
}

fn team(name: &str) -> Option<Team> {
    Some(name.parse().expect("a team"))
}

fn bearer(n: u8) -> NewBearer {
    NewBearer { id: credential_id(n), secret: SecretId([n; 10]), hash: hash(n) }
}

fn new(nick: &str) -> NewAgent {
    NewAgent {
        machine: machine_id(7),
        nick: nick.parse().expect("a nick"),
        role: AgentRole::Worker,
        team: None,
        skills: Vec::new(),
        engagement: engagement(&["#general"]),
        credential: Some(bearer(7)),
    }
}

fn anybody() -> Reach {
    Reach { team: None, shared: words(&["#general"]), operators: true }
}

fn of_red() -> Reach {
    Reach { team: team("Red"), operators: false, ..anybody() }
}

fn room() -> Room {
    Room { site: Some(site(1)), ..Room::default() }
}

fn registered(new: NewAgent) -> (Engaged, Vec<Credential>) {
    let plan = register(new, room(), &anybody(), &context(), &Terms::default()).expect("registered");
    let reserved = |change: &Change| match change {
        Change::Credential(CredentialChange::Reserve(credential)) => Some(credential.clone()),
        _ => None,
    };
    let credentials = plan.changes().iter().filter_map(reserved).collect();
    (plan.outcome().clone(), credentials)
}

fn facts((known, credentials): (Engaged, Vec<Credential>)) -> Facts {
    let Engaged { agent, version, machine, accounts } = known;
    let of_machine = machine::Facts {
        machine: Some(machine),
        credentials,
        agent: Some(agent),
        accounts,
        ..machine::Facts::default()
    };
    Facts { of_machine, version: Some(version) }
}

fn in_state(state: MachineState) -> Machine {
    Machine { state, ..registered(new("w-two")).0.machine }
}

fn revoked() -> MachineState {
    MachineState::Suspended(Suspended { since: now(), cause: SuspendCause::Revoked(None) })
}

fn retired() -> MachineState {
    MachineState::Retired(muster_model::Retired {
        since: now(),
        cause: RetireCause::Operator(None),
        readmit: None,
    })
}

fn missing<O: std::fmt::Debug>(result: Result<Plan<O>, Refusal>) {
    assert_eq!(result.expect_err("refused"), Refusal::NotFound { what: "agent" });
}

#[test]
fn an_agent_is_registered_with_its_machine_its_engagement_and_its_key_at_once() {
    let plan = register(new("w-two"), room(), &anybody(), &context(), &Terms::default());
    let plan = plan.expect("registered");
    assert_eq!(rows(&plan), ["machine made active", "agent w-two", "engagement 1", "credential reserved"]);
    assert_eq!(told(&plan), ("agent.register", "worker"));
    let adopted = NewAgent { credential: None, ..new("w-two") };
    let plan = register(adopted, room(), &anybody(), &context(), &Terms::default()).expect("adopted");
    assert_eq!(rows(&plan), ["machine made active", "agent w-two", "engagement 1"]);
    assert_eq!(told(&plan), ("agent.adopt", "worker"));
}

#[test]
fn a_nick_that_somebody_holds_is_taken_and_that_of_somebody_revoked_is_barred() {
    let refused = |holder: MachineState| {
        let holder = in_state(holder);
        register(
            new("W-TWO"),
            Room { holder: Some(holder), ..room() },
            &anybody(),
            &context(),
            &Terms::default(),
        )
        .expect_err("refused")
    };
    let since = now();
    assert_eq!(refused(MachineState::Active(Active { since })), Refusal::NameTaken { what: "agent" });
    assert_eq!(refused(MachineState::Pending(Pending { since })), Refusal::NameTaken { what: "agent" });
    assert_eq!(refused(revoked()), Refusal::NickBarred);
    assert_eq!(refused(retired()), Refusal::NickBarred, "it was revoked before, else its nick would be free");
}

#[test]
fn only_an_admin_makes_an_agent_that_acts_as_an_operator() {
    let operator = NewAgent { role: AgentRole::Operator, ..new("boss") };
    let reach = Reach { operators: false, ..anybody() };
    let result = register(operator.clone(), room(), &reach, &context(), &Terms::default());
    assert_eq!(result.expect_err("refused"), Refusal::ScopeMissing { scope: "admin" });
    let (known, _) = registered(operator);
    let wish = Wish { role: Some(AgentRole::Operator), ..Wish::default() };
    let worker = facts(registered(new("w-two")));
    assert!(change(worker, &wish, &reach, &context()).is_err(), "nor makes one out of another");
    let prompt = Amendment { system_prompt: Some("Hello.".to_owned()), ..Amendment::default() };
    let wish = Wish { engagement: Engage::Amend(prompt), ..Wish::default() };
    assert!(change(facts((known, Vec::new())), &wish, &reach, &context()).is_ok(), "it was one before");
}

#[test]
fn a_caller_of_a_team_gives_its_own_team_and_its_own_channels() {
    let by_red = |new: NewAgent| register(new, room(), &of_red(), &context(), &Terms::default());
    let plan = by_red(new("w-two")).expect("in its team");
    assert_eq!(plan.outcome().agent.team, team("Red"));
    assert!(by_red(NewAgent { team: team("RED"), ..new("w-two") }).is_ok());
    let outside = |new: NewAgent| assert_eq!(by_red(new).expect_err("refused"), Refusal::OutsideTeam);
    outside(NewAgent { team: team("blue"), ..new("w-two") });
    assert!(
        by_red(NewAgent { engagement: engagement(&["#general", "#team-red-x"]), ..new("w-two") }).is_ok()
    );
    for channel in ["#team-blue-x", "#random", "#team-reds-x"] {
        outside(NewAgent { engagement: engagement(&[channel]), ..new("w-two") });
    }
}

#[test]
fn an_agent_of_another_team_is_not_there() {
    let blue = || facts(registered(NewAgent { team: team("blue"), ..new("w-two") }));
    let terms = Terms::default();
    missing(change(blue(), &Wish::default(), &of_red(), &context()));
    missing(rotate(blue(), bearer(9), room(), &of_red(), &context(), &terms));
    missing(revoke(blue(), &of_red(), &context()));
    missing(delete(blue(), &of_red(), &context()));
    missing(blocked(blue(), "help".to_owned(), &of_red(), &context()));
    let nobodys = facts(registered(new("w-two")));
    missing(delete(nobodys, &of_red(), &context()));
}

#[test]
fn nobody_takes_an_agent_out_of_the_team_that_binds_them() {
    let red = || facts(registered(NewAgent { team: team("red"), ..new("w-two") }));
    for team in [None, team("blue")] {
        let wish = Wish { team: Some(team), ..Wish::default() };
        assert_eq!(change(red(), &wish, &of_red(), &context()).expect_err("refused"), Refusal::OutsideTeam);
        assert_eq!(rows(&change(red(), &wish, &anybody(), &context()).expect("changed")).len(), 2);
    }
}

#[test]
fn a_change_is_one_version_more_and_none_where_nothing_changes() {
    let parts = Amendment { channels: Some(words(&["#general", "#team-red-x"])), ..Amendment::default() };
    let wish = Wish { engagement: Engage::Amend(parts), ..Wish::default() };
    let plan = change(facts(registered(new("w-two"))), &wish, &anybody(), &context()).expect("changed");
    assert_eq!(rows(&plan), ["agent changed", "engagement 2"]);
    assert_eq!((plan.outcome().agent.version, plan.outcome().version.version), (2, 2));
    let again = change(facts((plan.outcome().clone(), Vec::new())), &wish, &anybody(), &context());
    assert!(again.expect("the same").is_unchanged());
}

#[test]
fn a_rotation_ends_what_was_shown_before_and_whoever_was_connected_by_it() {
    let plan =
        rotate(facts(registered(new("w-two"))), bearer(9), room(), &anybody(), &context(), &Terms::default());
    let plan = plan.expect("rotated");
    assert_eq!(rows(&plan), ["credential superseded", "machine active", "credential reserved"]);
    assert_eq!(ended(&plan), [(credential_id(7), EndReason::Superseded)]);
    assert_eq!(plan.outcome().machine.generation, 2);
}

#[test]
fn a_revoked_agent_is_neither_rotated_nor_changed_and_revoking_it_again_changes_nothing() {
    let known = registered(new("w-two"));
    let plan = revoke(facts(known.clone()), &anybody(), &context()).expect("revoked");
    assert_eq!(rows(&plan), ["credential revoked", "machine suspended"]);
    let over = || {
        let machine = Machine { state: revoked(), ..known.0.machine.clone() };
        facts((Engaged { machine, ..known.0.clone() }, Vec::new()))
    };
    missing(rotate(over(), bearer(9), room(), &anybody(), &context(), &Terms::default()));
    missing(change(over(), &Wish::default(), &anybody(), &context()));
    assert!(revoke(over(), &anybody(), &context()).expect("again").is_unchanged());
    let plan = delete(over(), &anybody(), &context()).expect("deleted");
    assert_eq!(rows(&plan), ["machine retired"], "its nick stays barred");
}

#[test]
fn deleting_an_agent_frees_its_nick() {
    let plan = delete(facts(registered(new("w-two"))), &anybody(), &context()).expect("deleted");
    assert_eq!(rows(&plan), ["credential retired", "nick freed", "machine retired"]);
}

#[test]
fn an_operator_frees_a_barred_nick_and_never_that_of_a_living_agent() {
    let (known, _) = registered(new("w-two"));
    for state in [revoked(), retired()] {
        let machine = Machine { state, ..known.machine.clone() };
        let plan = free(Some(known.agent.clone()), Some(&machine), &context()).expect("freed");
        assert_eq!(rows(&plan), ["nick freed"]);
        assert_eq!(plan.outcome().freed_at, Some(now()) as Option<Timestamp>);
    }
    let refused = free(Some(known.agent), Some(&known.machine), &context()).expect_err("it lives");
    assert_eq!(refused, Refusal::WrongState { verb: "free", state: "active" });
}

#[test]
fn a_machine_of_another_kind_gets_no_nick() {
    let (known, _) = registered(new("w-two"));
    let host = Machine { kind: MachineKind::Host, ..known.machine.clone() };
    let refused = engage(new("w-two"), Some(host), room(), &context()).expect_err("a host");
    assert_eq!(refused, Refusal::WrongKind { expected: "software_agent" });
    let plan = engage(new("w-two"), Some(known.machine), room(), &context()).expect("engaged");
    assert_eq!(rows(&plan), ["agent w-two", "engagement 1"]);
}

#[test]
fn an_agent_acknowledges_what_is_in_force_and_nothing_else() {
    let known = registered(new("w-two"));
    let said = |version, is_it: bool| acknowledge(facts(known.clone()), version, |_| is_it, &context());
    let plan = said(1, true).expect("it is in force");
    assert_eq!(
        (rows(&plan), told(&plan).0),
        (vec!["engagement 1 acknowledged".to_owned()], "agent.acknowledge")
    );
    assert_eq!(plan.outcome().version.acknowledged_at, Some(now()));
    let again = acknowledge(facts((plan.outcome().clone(), Vec::new())), 1, |_| true, &context());
    assert!(again.expect("the same").is_unchanged());
    let wrong = Refusal::WrongState { verb: "acknowledge", state: "not the version in force" };
    for (version, is_it) in [(1, false), (2, true), (0, true)] {
        assert_eq!(said(version, is_it).expect_err("not that"), wrong);
    }
    let parts = Amendment { channels: Some(words(&["#other"])), ..Amendment::default() };
    let wish = Wish { engagement: Engage::Amend(parts), ..Wish::default() };
    let next = change(facts((plan.outcome().clone(), Vec::new())), &wish, &anybody(), &context());
    assert_eq!(next.expect("changed").outcome().version.acknowledged_at, None, "each version anew");
    let machine = Machine { state: revoked(), ..known.0.machine.clone() };
    missing(acknowledge(
        facts((Engaged { machine, ..known.0.clone() }, Vec::new())),
        1,
        |_| true,
        &context(),
    ));
}
