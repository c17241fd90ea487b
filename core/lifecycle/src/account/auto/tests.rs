use muster_model::{
    Active, AgentRole, HoldReason, Provenance, Retired, SecretHash, SecretId, SuspendCause, Suspended, Wanted,
};

use super::*;
use crate::agent::{self, Accounts, Engaged, Facts, NewAgent, NewBearer, Reach, Room};
use crate::hold;
use crate::machine;
use crate::plan::{MachineChange, Plan};
use crate::terms::Terms;
use crate::tests::fixtures::*;

fn wish(roles: &[&str], sites: &[&str]) -> Wish {
    let roles = roles.iter().map(|role| text(role)).collect();
    let sites = sites.iter().map(|site| text(site)).collect();
    let rule = Rule { provisioner: text("irc"), roles, sites };
    Wish { rule, account: AccountId::from_bytes([9; 16]) }
}

fn accounts_of<O>(plan: &Plan<O>) -> Vec<Account> {
    let account = |change: &Change| match change {
        Change::Account(change) => Some(change.account().clone()),
        _ => None,
    };
    plan.changes().iter().filter_map(account).collect()
}

#[test]
fn a_machine_that_is_let_in_has_its_account_from_the_same_plan_on() {
    let mut scene = Scene::new();
    scene.fresh.accounts = vec![wish(&[], &["site-1"])];
    let plan = scene.decide().expect("let in");
    let [account] = &accounts_of(&plan)[..] else { panic!("one account") };
    assert_eq!(
        account.name.as_str(),
        machine_id(200).to_string(),
        "what it says of itself names nothing there"
    );
    assert_eq!((account.machine, account.wanted), (machine_id(200), Wanted::Live));
    assert!(account.is_due(now()) && account.provenance == Provenance::Unknown);
    assert_eq!(plan.entries().len(), 1);
}

#[test]
fn a_machine_that_a_person_lets_in_has_one_and_one_that_was_there_gets_none_anew() {
    let wishes = [wish(&[], &["site-1"])];
    let asks = hold::Facts {
        hold: Some(hold(HoldReason::Approval, None)),
        site: Some(site(1)),
        ..hold::Facts::default()
    };
    let plan = hold::approve(asks, None, machine_id(200), &wishes, &by_operator()).expect("let in");
    assert_eq!(accounts_of(&plan).len(), 1);
    let mut scene = Scene::new();
    scene.fresh.accounts = wishes.to_vec();
    scene.facts.by_key = Some(by_key(2));
    let plan = scene.decide().expect("it is the same");
    assert_eq!(accounts_of(&plan), []);
}

#[test]
fn roles_and_sites_both_decide_and_nothing_said_is_for_nobody() {
    let code = text("main");
    for (roles, sites, is_for) in [
        (&["worker"][..], &["main"][..], true),
        (&["worker"], &["other"], false),
        (&["other"], &["main"], false),
        (&["other", "worker"], &[], true),
        (&[], &["main"], true),
        (&[], &[], false),
    ] {
        let rule = wish(roles, sites).rule;
        assert_eq!(rule.is_for(&code, &[None, Some("worker")]), is_for, "{roles:?} {sites:?}");
    }
}

fn new() -> NewAgent {
    NewAgent {
        machine: machine_id(1),
        nick: text("w-two"),
        role: AgentRole::Worker,
        team: None,
        skills: Vec::new(),
        engagement: muster_model::Engagement::default(),
        credential: Some(bearer()),
    }
}

fn bearer() -> NewBearer {
    NewBearer { id: credential_id(7), secret: SecretId([7; 10]), hash: SecretHash([7; 32]) }
}

fn room(named: Option<(Account, Machine)>) -> Room {
    let candidate = Candidate { wish: wish(&["worker"], &[]), named };
    let accounts = Accounts { candidates: vec![candidate], order: vec![text("irc")] };
    Room { holder: None, site: Some(site(1)), accounts }
}

fn register(new: NewAgent, room: Room) -> Result<Plan<Engaged>, Refusal> {
    let reach = Reach { operators: true, ..Reach::default() };
    agent::register(new, room, &reach, &by_operator(), &Terms::default())
}

fn rotate(known: &Engaged, accounts: Vec<Account>, room: Room) -> Result<Plan<Engaged>, Refusal> {
    let of_machine = machine::Facts {
        machine: Some(known.machine.clone()),
        agent: Some(known.agent.clone()),
        accounts,
        ..machine::Facts::default()
    };
    let facts = Facts { of_machine, version: Some(known.version.clone()) };
    agent::rotate(facts, bearer(), room, &Reach::default(), &by_operator(), &Terms::default())
}

fn registered() -> (Engaged, Account) {
    let plan = register(new(), room(None)).expect("registered");
    (plan.outcome().clone(), plan.outcome().accounts[0].clone())
}

fn in_conflict(account: Account) -> Account {
    Account { delivery: Delivery::Conflict { at: now() }, ..account }
}

#[test]
fn an_agent_with_an_account_is_registered_with_it_and_shows_no_other_key() {
    let plan = register(new(), room(None)).expect("registered");
    assert_eq!(rows(&plan), ["machine made active", "agent w-two", "engagement 1", "account made"]);
    let (known, account) = registered();
    assert_eq!((account.name.as_str(), account.secret), ("w-two", 1));
    let plan = rotate(&known, vec![account], room(None)).expect("rotated");
    let [turned] = &plan.outcome().accounts[..] else { panic!("one account") };
    assert_eq!((turned.secret, turned.version, turned.wanted), (2, 2, Wanted::Live));
    assert!(!rows(&plan).iter().any(|row| row.starts_with("credential")), "{:?}", rows(&plan));
}

#[test]
fn one_that_had_a_key_before_gets_its_account_when_it_is_rotated() {
    let (known, _) = registered();
    let plan = rotate(&known, Vec::new(), room(None)).expect("rotated");
    assert_eq!(accounts_of(&plan).len(), 1);
    let elsewhere = Room { accounts: Accounts::default(), ..room(None) };
    let plan = rotate(&known, Vec::new(), elsewhere).expect("rotated");
    assert_eq!((accounts_of(&plan).len(), plan.outcome().accounts.len()), (0, 0));
    assert!(rows(&plan).contains(&"credential reserved".to_owned()), "it shows a key where nobody serves it");
}

/// What an adopted agent has elsewhere was made by somebody else.
#[test]
fn an_adopted_agents_account_waits_for_an_operator_and_until_then_it_gets_no_passphrase() {
    let plan = register(NewAgent { credential: None, ..new() }, room(None)).expect("adopted");
    let account = plan.outcome().accounts[0].clone();
    assert_eq!(account.standing(), "conflict");
    let refused = rotate(plan.outcome(), vec![account], room(None)).expect_err("refused");
    assert_eq!(refused, Refusal::AccountForeign);
}

#[test]
fn a_passphrase_that_would_open_nothing_is_not_given() {
    let (known, account) = registered();
    let foreign = in_conflict(account.clone());
    let refused = rotate(&known, vec![foreign], room(None)).expect_err("refused");
    assert_eq!(refused, Refusal::AccountForeign);
    let dead = Account {
        delivery: Delivery::Dead {
            at: now(),
            attempts: 9,
            last: muster_model::Mishap { kind: muster_model::MishapKind::Failed, text: None },
        },
        ..account
    };
    let plan = rotate(&known, vec![dead], room(None)).expect("it is tried anew");
    assert!(plan.outcome().accounts[0].is_due(now()));
}

fn over(state: MachineState) -> (Account, Machine) {
    let (known, account) = registered();
    let holder = Machine { id: machine_id(5), state, ..known.machine };
    let provenance = Provenance::Made;
    let delivery = Delivery::Done { at: now() };
    (Account { machine: holder.id, wanted: Wanted::Locked, provenance, delivery, ..account }, holder)
}

fn gone() -> MachineState {
    MachineState::Retired(Retired {
        since: now(),
        cause: muster_model::RetireCause::Operator(None),
        readmit: None,
    })
}

/// A relay deletes itself when it ends and registers when it begins.
#[test]
fn whoever_comes_back_under_a_free_nick_has_its_account_under_a_new_passphrase() {
    let revoked = MachineState::Suspended(Suspended { since: now(), cause: SuspendCause::Revoked(None) });
    for state in [gone(), revoked] {
        let plan = register(new(), room(Some(over(state)))).expect("registered");
        let [account] = &accounts_of(&plan)[..] else { panic!("one account") };
        assert_eq!((account.machine, account.wanted), (machine_id(1), Wanted::Live));
        assert_eq!((account.secret, account.version, account.provenance), (2, 2, Provenance::Made));
        assert!(account.is_due(now()));
        let created = |change: &Change| matches!(change, Change::Machine(MachineChange::Create(_)));
        assert!(plan.changes().iter().any(created), "the machine is there before its account");
    }
    let (account, holder) = over(gone());
    let refused = register(new(), room(Some((in_conflict(account), holder)))).expect_err("refused");
    assert_eq!(refused, Refusal::AccountForeign);
}

#[test]
fn what_another_machine_has_is_never_taken() {
    let (account, holder) = over(gone());
    let active = MachineState::Active(Active { since: now() });
    let host = Machine { kind: MachineKind::Host, ..holder.clone() };
    for holder in [Machine { state: active, ..holder }, host] {
        let refused = register(new(), room(Some((account.clone(), holder)))).expect_err("refused");
        assert_eq!(refused, Refusal::NameTaken { what: "account" });
    }
}
