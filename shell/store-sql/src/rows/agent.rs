//! Software agents and the versions of their engagements.

use muster_lifecycle::AgentChange;
use muster_model::text::Skill;
use muster_model::{AgentRole, Engagement, EngagementVersion, MachineId, Nick, SoftwareAgent, TenantId};
use muster_store::{AgentRow, Listed, PageRequest, StoreError};

use super::machine::{self, MACHINES};
use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static AGENTS: Table =
    Table { name: "software_agents", key: "machine_id", show: |id| MachineId::from_bytes(id).to_string() };
static ENGAGEMENTS: Table =
    Table { name: "engagements", key: "machine_id", show: |id| MachineId::from_bytes(id).to_string() };
static SEEN: Table =
    Table { name: "presence", key: "machine_id", show: |id| MachineId::from_bytes(id).to_string() };

macro_rules! agent_columns {
    () => {
        "a.tenant_id, a.machine_id, a.nick, a.folded, a.role, a.team, a.skills, a.version, a.freed_at"
    };
}

macro_rules! engagement_columns {
    () => {
        "e.tenant_id, e.machine_id, e.version, e.document, e.author, e.at, e.acknowledged_at"
    };
}

fn parse(row: &dyn Row) -> Parsed<SoftwareAgent> {
    agent(&mut Cells::of(&AGENTS, row))
}

fn agent(cells: &mut Cells<'_>) -> Parsed<SoftwareAgent> {
    let tenant = cells.id("tenant_id", TenantId::from_bytes)?;
    let machine = cells.id("machine_id", MachineId::from_bytes)?;
    let nick: Nick = cells.text("nick")?;
    let folded: Box<str> = cells.get("folded")?;
    if *folded != *nick.folded() {
        return Err(cells.broken("folded"));
    }
    Ok(SoftwareAgent {
        tenant,
        machine,
        nick,
        role: cells.one_of("role", &AgentRole::ALL, AgentRole::as_str)?,
        team: cells.opt_text("team")?,
        skills: skills(cells)?,
        version: cells.get("version")?,
        freed_at: cells.opt_time("freed_at")?,
    })
}

fn skills(cells: &mut Cells<'_>) -> Parsed<Vec<Skill>> {
    let text: Box<str> = cells.get("skills")?;
    let names: Option<Vec<String>> = serde_json::from_str(&text).ok();
    let parsed = names.and_then(|names| names.iter().map(|name| name.parse().ok()).collect());
    parsed.ok_or_else(|| cells.broken("skills"))
}

fn parse_version(row: &dyn Row) -> Parsed<EngagementVersion> {
    version(&mut Cells::of(&ENGAGEMENTS, row))
}

fn version(cells: &mut Cells<'_>) -> Parsed<EngagementVersion> {
    Ok(EngagementVersion {
        tenant: cells.id("tenant_id", TenantId::from_bytes)?,
        machine: cells.id("machine_id", MachineId::from_bytes)?,
        version: cells.get("version")?,
        engagement: {
            let text: Box<str> = cells.get("document")?;
            Engagement::from_document(&text).ok_or_else(|| cells.broken("document"))?
        },
        author: cells.opt_actor("author")?.ok_or_else(|| cells.broken("author"))?,
        at: cells.time("at")?,
        acknowledged_at: cells.opt_time("acknowledged_at")?,
    })
}

fn parse_row(row: &dyn Row) -> Parsed<AgentRow> {
    let mut cells = Cells::of(&AGENTS, row);
    let agent = agent(&mut cells)?;
    let mut cells = cells.then(&ENGAGEMENTS);
    let version = version(&mut cells)?;
    let mut cells = cells.then(&MACHINES);
    let machine = machine::cells(&mut cells)?;
    let mut cells = cells.then(&SEEN);
    Ok(AgentRow { agent, version, machine, last_seen: cells.opt_time("last_seen")? })
}

pub(crate) async fn of_machine<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Option<SoftwareAgent>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        agent_columns!(),
        " FROM software_agents a WHERE a.tenant_id = ?1 AND a.machine_id = ?2"
    );
    sql::one(db, "read a software agent", SQL, &values![tenant.as_bytes(), machine.as_bytes()], parse).await
}

pub(crate) async fn by_nick<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    nick: &Nick,
) -> Result<Option<SoftwareAgent>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        agent_columns!(),
        " FROM software_agents a WHERE a.tenant_id = ?1 AND a.folded = ?2 AND a.freed_at IS NULL"
    );
    let folded = nick.folded();
    sql::one(db, "read who holds a nick", SQL, &values![tenant.as_bytes(), folded.as_str()], parse).await
}

pub(crate) async fn engagement<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
    version: u32,
) -> Result<Option<EngagementVersion>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        engagement_columns!(),
        " FROM engagements e WHERE e.tenant_id = ?1 AND e.machine_id = ?2 AND e.version = ?3"
    );
    let values = values![tenant.as_bytes(), machine.as_bytes(), version];
    sql::one(db, "read an engagement", SQL, &values, parse_version).await
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    page: PageRequest,
) -> Result<Listed<AgentRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        agent_columns!(),
        ", ",
        engagement_columns!(),
        ", ",
        crate::machine_columns!(),
        ", p.last_seen FROM software_agents a
            JOIN engagements e ON e.tenant_id = a.tenant_id AND e.machine_id = a.machine_id AND e.version = a.version
            JOIN machines m ON m.tenant_id = a.tenant_id AND m.id = a.machine_id
            LEFT JOIN presence p ON p.tenant_id = a.tenant_id AND p.machine_id = a.machine_id
            WHERE a.tenant_id = ?1 AND a.machine_id > ?2 AND a.freed_at IS NULL AND m.state <> 'retired'
            ORDER BY a.machine_id LIMIT ?3"
    );
    let values = values![tenant.as_bytes(), sql::above(&page), sql::probe(page)];
    let rows = sql::many(db, "list software agents", SQL, &values, parse_row).await?;
    Ok(sql::listed(rows, page, |row| *row.agent.machine.as_bytes()))
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &AgentChange,
) -> Result<(), StoreError> {
    match change {
        AgentChange::Register(agent) => register(db, agent).await,
        AgentChange::Update(agent) => update(db, tenant, agent).await,
        AgentChange::Engage(version) => engage(db, version).await,
        AgentChange::Acknowledge { machine, version, at, .. } => {
            const SQL: &str = "UPDATE engagements SET acknowledged_at = ?4
                WHERE tenant_id = ?1 AND machine_id = ?2 AND version = ?3 AND acknowledged_at IS NULL";
            let values = values![tenant.as_bytes(), machine.as_bytes(), *version, millis(*at)];
            sql::run_one(db, "acknowledge an engagement", SQL, &values).await
        }
    }
}

fn names(skills: &[Skill]) -> String {
    let names: Vec<&str> = skills.iter().map(Skill::as_str).collect();
    serde_json::to_string(&names).expect("texts are JSON")
}

async fn register<E: Engine>(db: &mut E, agent: &SoftwareAgent) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO software_agents
        (tenant_id, machine_id, nick, folded, role, team, skills, version, freed_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let (folded, skills) = (agent.nick.folded(), names(&agent.skills));
    let values = values![
        agent.tenant.as_bytes(),
        agent.machine.as_bytes(),
        agent.nick.as_str(),
        folded.as_str(),
        agent.role.as_str(),
        agent.team.as_ref().map(|team| team.as_str()),
        skills.as_str(),
        agent.version,
        agent.freed_at.map(millis),
    ];
    sql::run_one(db, "register a software agent", SQL, &values).await
}

/// A nick that was freed stays so, and a version never falls.
async fn update<E: Engine>(db: &mut E, tenant: TenantId, agent: &SoftwareAgent) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE software_agents SET role = ?3, team = ?4, skills = ?5, version = ?6, freed_at = ?7
        WHERE tenant_id = ?1 AND machine_id = ?2 AND freed_at IS NULL AND version <= ?6";
    let skills = names(&agent.skills);
    let values = values![
        tenant.as_bytes(),
        agent.machine.as_bytes(),
        agent.role.as_str(),
        agent.team.as_ref().map(|team| team.as_str()),
        skills.as_str(),
        agent.version,
        agent.freed_at.map(millis),
    ];
    sql::run_one(db, "change a software agent", SQL, &values).await
}

async fn engage<E: Engine>(db: &mut E, version: &EngagementVersion) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO engagements (tenant_id, machine_id, version, document, author, at, acknowledged_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (document, author) = (version.engagement.document(), version.author.to_string());
    let values = values![
        version.tenant.as_bytes(),
        version.machine.as_bytes(),
        version.version,
        document.as_str(),
        author.as_str(),
        millis(version.at),
        version.acknowledged_at.map(millis),
    ];
    sql::run_one(db, "write an engagement", SQL, &values).await
}
