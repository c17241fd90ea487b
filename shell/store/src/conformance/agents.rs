//! Software agents: read back as written, one holder to a nick, versions that only rise.

use std::sync::Arc;

use muster_lifecycle::{AccessChange, AgentChange, Plan};
use muster_model::{
    AccessKind, Engagement, EngagementVersion, Entry, Machine, MachineState, Refusal, RetireCause, Retired,
    SecretHash, SecretId, SoftwareAgent,
};

use super::Fixture;
use super::decisions::{write, write_wrong};
use super::races::all;
use super::things::{Things, at, created, text, updated};
use crate::{Decision, Lists, PageRequest, PresenceNote, Reads, Store, StoreError, Unscoped};

/// An agent with and without a team, by machine and by nick, with every version of its engagement.
pub async fn software_agents_read_back_as_written<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machine = things.machine(&site);
    let agent = things.agent(&machine, "Bot[1]");
    let first = things.engagement(&agent);
    let changes = vec![
        created(&machine),
        AgentChange::Register(agent.clone()).into(),
        AgentChange::Engage(first.clone()).into(),
    ];
    write(store, &things, changes).await;
    let next = SoftwareAgent { team: Some(text("red")), skills: Vec::new(), version: 2, ..agent.clone() };
    let second = EngagementVersion {
        engagement: Engagement::default(),
        author: muster_model::Actor::System,
        ..things.engagement(&next)
    };
    let changes = vec![AgentChange::Update(next.clone()).into(), AgentChange::Engage(second.clone()).into()];
    write(store, &things, changes).await;
    let mut reads = store.reader().await.expect("a reader");
    let (tenant, id) = (things.tenant, machine.id);
    assert_eq!(reads.software_agent(tenant, id).await.expect("an answer"), Some(next.clone()));
    let by_nick = reads.agent_by_nick(tenant, &text("BOT{1]")).await.expect("an answer");
    assert_eq!(by_nick, Some(next));
    for version in [first, second] {
        let read = reads.engagement(tenant, id, version.version).await.expect("an answer");
        assert_eq!(read, Some(version));
    }
    assert_eq!(reads.engagement(tenant, id, 3).await.expect("an answer"), None);
    drop(reads);
    let says = AgentChange::Acknowledge { tenant, machine: id, version: 2, at: at(20) };
    write(store, &things, vec![says.clone().into()]).await;
    let mut reads = store.reader().await.expect("a reader");
    let read = reads.engagement(tenant, id, 2).await.expect("an answer").expect("it is there");
    assert_eq!(read.acknowledged_at, Some(at(20)));
    let first = reads.engagement(tenant, id, 1).await.expect("an answer").expect("it is there");
    assert_eq!(first.acknowledged_at, None);
    drop(reads);
    write_wrong(store, &things, vec![says.into()]).await;
    let mut reads = store.reader().await.expect("a reader");
    let others = Things::numbered(2).tenant;
    assert_eq!(reads.software_agent(others, id).await.expect("an answer"), None);
    assert_eq!(reads.agent_by_nick(others, &text("bot{1}")).await.expect("an answer"), None);
}

/// Two spellings of one nick are one, until it is freed.
pub async fn a_nick_has_one_holder_however_it_is_written<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machines = [things.machine(&site), things.machine(&site), things.machine(&site)];
    write(store, &things, machines.iter().map(created).collect()).await;
    let register = |machine: &Machine, nick| AgentChange::Register(things.agent(machine, nick)).into();
    write(store, &things, vec![register(&machines[0], "w-two[")]).await;
    write_wrong(store, &things, vec![register(&machines[1], "W-TWO{")]).await;
    write(store, &things, vec![register(&machines[1], "w_two")]).await;
    let freed = SoftwareAgent { freed_at: Some(at(5)), ..things.agent(&machines[0], "w-two[") };
    write(store, &things, vec![AgentChange::Update(freed).into()]).await;
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.agent_by_nick(things.tenant, &text("w-two[")).await.expect("an answer"), None);
    write(store, &things, vec![register(&machines[2], "W-TWO{")]).await;
}

/// Neither comes a freed nick back to whom it was, nor an older version into force.
pub async fn what_was_freed_stays_so_and_a_version_never_falls<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machine = things.machine(&site);
    let agent = SoftwareAgent { version: 3, ..things.agent(&machine, "a") };
    let version = things.engagement(&agent);
    let update = |version: u32, freed_at| {
        AgentChange::Update(SoftwareAgent { version, freed_at, ..agent.clone() }).into()
    };
    write_wrong(store, &things, vec![update(3, None)]).await;
    let changes = vec![
        created(&machine),
        AgentChange::Register(agent.clone()).into(),
        AgentChange::Engage(version.clone()).into(),
    ];
    write(store, &things, changes).await;
    write_wrong(store, &things, vec![update(2, None)]).await;
    write_wrong(store, &things, vec![AgentChange::Engage(version).into()]).await;
    write(store, &things, vec![update(3, Some(at(1)))]).await;
    write_wrong(store, &things, vec![update(4, None)]).await;
}

/// Whoever was shut out is not let in by a new secret.
pub async fn a_token_that_ended_gets_no_other_secret<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, _) = Things::in_store(store, 1).await;
    let operator = things.operator();
    let token = things.token(&operator, AccessKind::Api);
    let rotate = |n: u8| {
        let (secret, hash) = (SecretId([n; 10]), SecretHash([n; 32]));
        AccessChange::RotateToken { token: token.id, secret, hash }.into()
    };
    let made = AccessChange::CreateToken(token.clone()).into();
    write(store, &things, vec![AccessChange::CreateOperator(operator).into(), made]).await;
    write(store, &things, vec![rotate(1)]).await;
    let mut reads = store.reader().await.expect("a reader");
    assert_eq!(reads.access_by_secret(token.secret).await.expect("an answer"), None);
    let found = reads.access_by_secret(SecretId([1; 10])).await.expect("an answer").expect("the token");
    assert_eq!((found.id, found.hash), (token.id, SecretHash([1; 32])));
    write(store, &things, vec![AccessChange::EndToken { token: token.id, at: at(1) }.into()]).await;
    write_wrong(store, &things, vec![rotate(2)]).await;
}

/// Registers an agent, unless somebody holds its nick.
struct Register {
    machine: Machine,
    agent: SoftwareAgent,
    version: EngagementVersion,
    entry: Entry,
}

impl Decision for Register {
    const NAME: &'static str = "test.register";
    type Facts = Option<SoftwareAgent>;
    type Outcome = ();

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Option<SoftwareAgent>, StoreError> {
        reads.agent_by_nick(self.agent.tenant, &self.agent.nick).await
    }

    fn decide(&self, holder: Option<SoftwareAgent>) -> Result<Plan<()>, Refusal> {
        if holder.is_some() {
            return Err(Refusal::NameTaken { what: "agent" });
        }
        let changes = vec![
            created(&self.machine),
            AgentChange::Register(self.agent.clone()).into(),
            AgentChange::Engage(self.version.clone()).into(),
        ];
        Ok(Plan::new((), changes, self.entry.clone()))
    }
}

/// Many callers of one nick: one gets it, and everybody else is told that it is taken.
pub async fn many_callers_make_one_agent_of_one_nick<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let things = Arc::new(things);
    let results = all(store, &things, move |store, things| {
        let machine = things.machine(&site);
        let agent = things.agent(&machine, "w-two");
        let version = things.engagement(&agent);
        let register = Register { machine, agent, version, entry: things.entry() };
        Box::pin(async move { store.settle(register).await })
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = |result: &Result<_, crate::SettleError>| {
        matches!(result, Err(crate::SettleError::Refused(Refusal::NameTaken { .. })))
    };
    assert_eq!(results.iter().filter(|result| refused(result)).count(), results.len() - 1);
}

/// What is listed: who holds a nick and is not retired, with its engagement in force and when it was last heard of.
pub async fn software_agents_are_listed_while_they_hold_a_nick_and_are_not_retired<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let mut agents = Vec::new();
    for nick in ["a", "b", "c", "d"] {
        let machine = things.machine(&site);
        let agent = things.agent(&machine, nick);
        let changes = vec![
            created(&machine),
            AgentChange::Register(agent.clone()).into(),
            AgentChange::Engage(things.engagement(&agent)).into(),
        ];
        write(store, &things, changes).await;
        agents.push((machine, agent));
    }
    let freed = SoftwareAgent { freed_at: Some(at(1)), ..agents[1].1.clone() };
    let state = MachineState::Retired(Retired { since: at(1), cause: RetireCause::Left, readmit: None });
    let retired = Machine { state, ..agents[2].0.clone() };
    write(store, &things, vec![AgentChange::Update(freed).into(), updated(&retired)]).await;
    let note = PresenceNote {
        tenant: things.tenant,
        machine: agents[3].0.id,
        last_seen: at(9),
        online: false,
        bundle: None,
    };
    store.note_presence(vec![note]).await.expect("noted");
    let mut reads = store.reader().await.expect("a reader");
    let (mut nicks, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { after, limit: 1 };
        let listed = reads.software_agents(things.tenant, page).await.expect("a page");
        let row = |row: crate::AgentRow| (row.agent.nick.to_string(), row.version.version, row.last_seen);
        nicks.extend(listed.items.into_iter().map(row));
        after = listed.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(nicks, [("a".to_owned(), 1, None), ("d".to_owned(), 1, Some(at(9)))]);
}
