//! Rows that no version of Muster writes are reported with table and column, and never read as something else.

use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::{
    AccessChange, AccountChange, AgentChange, CredentialChange, DeploymentChange, GrantChange, HoldChange,
    KeyChange, MemoryChange, Remembered,
};
use muster_model::{
    AccessKind, Actor, Counted, CredentialKind, CredentialState, Delivery, Grant, GrantKind, Hold, HoldState,
    Machine, MachineState, Minted, Mishap, MishapKind, Present, SignedDuration, SuspendCause, Suspended,
    Uses,
};

use super::decisions::write;
use super::things::{Things, at, created, text};
use super::{Fixture, Odd};
use crate::{
    AuditFilter, Lists, MachineFilter, PageRequest, PresenceNote, PulseNote, Reads, Store, StoreError,
    Unscoped,
};

const SHORT: Odd = Odd::Bytes(&[1, 2, 3]);
const BEYOND: Odd = Odd::Number(i64::MAX);
const UNKNOWN: Odd = Odd::Text("zombie");
const EMPTY: Odd = Odd::Text("");

/// A table, a column of it, and a value that cannot be there.
const CASES: &[(&str, &str, &[Odd])] = &[
    ("tenants", "code", &[EMPTY, Odd::Text("a b"), Odd::Text(" a")]),
    ("tenants", "created_at", &[BEYOND]),
    ("sites", "code", &[EMPTY, Odd::Text("a\u{0}b")]),
    ("sites", "approval", &[Odd::Number(2)]),
    ("sites", "requests", &[Odd::Number(-1)]),
    ("sites", "reimage", &[UNKNOWN, EMPTY]),
    ("sites", "seats", &[Odd::Number(-1), BEYOND]),
    ("sites", "hold_cap", &[Odd::Number(1 << 32)]),
    ("sites", "created_at", &[BEYOND]),
    ("grants", "site_id", &[SHORT]),
    ("grants", "kind", &[UNKNOWN]),
    ("grants", "version", &[Odd::Null, Odd::Number(-1)]),
    ("grants", "fingerprint", &[Odd::Null, SHORT]),
    ("grants", "machine_id", &[SHORT, Odd::Bytes(&[0; 16])]),
    ("grants", "hash", &[SHORT]),
    ("grants", "imported", &[EMPTY, UNKNOWN]),
    ("grants", "uses", &[UNKNOWN]),
    ("grants", "uses_limit", &[Odd::Null, Odd::Number(-1)]),
    ("grants", "uses_count", &[Odd::Null, Odd::Number(1 << 32)]),
    ("grants", "bound_at", &[Odd::Number(1), BEYOND]),
    ("grants", "bound_key", &[SHORT, Odd::Bytes(&[0; 32])]),
    ("grants", "expires_at", &[BEYOND]),
    ("grants", "labels", &[EMPTY, Odd::Text("[]"), Odd::Text("{\"a\":1}"), Odd::Text("{\"a b\":\"\"}")]),
    ("grants", "role", &[EMPTY, Odd::Text("a b")]),
    ("grants", "machine_kind", &[UNKNOWN]),
    ("grants", "approval", &[Odd::Number(7)]),
    ("grants", "state", &[UNKNOWN]),
    ("grants", "ended_at", &[Odd::Number(1), BEYOND]),
    ("grants", "created_at", &[BEYOND]),
    ("machines", "site_id", &[SHORT]),
    ("machines", "name", &[EMPTY, Odd::Text("a\u{1b}b"), Odd::Text("a ")]),
    ("machines", "hostname", &[EMPTY, Odd::Text("\u{202e}")]),
    ("machines", "kind", &[UNKNOWN]),
    ("machines", "hardware_id", &[EMPTY, Odd::Text("a b")]),
    ("machines", "key", &[SHORT]),
    ("machines", "generation", &[Odd::Number(-1), Odd::Number(1 << 32)]),
    ("machines", "role", &[EMPTY]),
    ("machines", "labels", &[EMPTY, Odd::Text("null")]),
    ("machines", "attributes", &[EMPTY, Odd::Text("{\"a\":null}"), Odd::Text("{\"a\":\" b\"}")]),
    ("machines", "grant_id", &[SHORT]),
    ("machines", "state", &[UNKNOWN]),
    ("machines", "state_since", &[BEYOND]),
    ("machines", "state_cause", &[UNKNOWN, Odd::Null, Odd::Text("left")]),
    ("machines", "state_reason", &[EMPTY]),
    ("machines", "created_at", &[BEYOND]),
    ("machines", "enrolled_at", &[BEYOND]),
    ("machines", "key_since", &[BEYOND]),
    ("machines", "alarmed_at", &[BEYOND]),
    ("machines", "alarm_cause", &[UNKNOWN]),
    ("machines", "entered_grant", &[SHORT]),
    ("machines", "entered_at", &[BEYOND]),
    ("machines", "entered_from", &[UNKNOWN, EMPTY]),
    ("machines", "approved_by", &[UNKNOWN, EMPTY]),
    ("machines", "readmit_until", &[Odd::Number(7)]),
    ("keys", "algorithm", &[UNKNOWN]),
    ("keys", "machine_id", &[SHORT]),
    ("keys", "generation", &[Odd::Number(-1)]),
    ("keys", "standing", &[UNKNOWN]),
    ("presence", "last_seen", &[BEYOND]),
    ("presence", "online", &[Odd::Number(2)]),
    ("pulse", "machines", &[Odd::Number(-1)]),
    ("pulse", "enrolled", &[Odd::Number(-1)]),
    ("pulse", "refused", &[Odd::Number(-1)]),
    ("pulse", "ended", &[Odd::Number(-1)]),
    ("holds", "site_id", &[SHORT]),
    ("holds", "reason", &[UNKNOWN]),
    ("holds", "algorithm", &[UNKNOWN, Odd::Null]),
    ("holds", "spki", &[Odd::Null]),
    ("holds", "fingerprint", &[Odd::Null, SHORT, Odd::Bytes(&[0; 32])]),
    ("holds", "hardware_id", &[EMPTY]),
    ("holds", "hostname", &[EMPTY]),
    ("holds", "kind", &[UNKNOWN]),
    ("holds", "attributes", &[EMPTY]),
    ("holds", "source", &[UNKNOWN, EMPTY]),
    ("holds", "method", &[EMPTY]),
    ("holds", "existing", &[SHORT]),
    ("holds", "grant_id", &[SHORT]),
    ("holds", "state", &[UNKNOWN]),
    ("holds", "decided_at", &[Odd::Null, BEYOND]),
    ("holds", "decided_by", &[Odd::Null, UNKNOWN]),
    ("holds", "decided_machine", &[Odd::Null, SHORT]),
    ("holds", "decided_reason", &[Odd::Text("said"), EMPTY]),
    ("holds", "created_at", &[BEYOND]),
    ("holds", "expires_at", &[BEYOND]),
    ("credentials", "generation", &[Odd::Number(-1)]),
    ("credentials", "kind", &[UNKNOWN]),
    ("credentials", "key", &[Odd::Null, SHORT]),
    ("credentials", "secret", &[SHORT, Odd::Bytes(&[0; 10])]),
    ("credentials", "hash", &[SHORT, Odd::Bytes(&[0; 32])]),
    ("credentials", "not_before", &[BEYOND]),
    ("credentials", "not_after", &[BEYOND]),
    ("credentials", "state", &[UNKNOWN]),
    ("credentials", "certificate", &[Odd::Null]),
    ("credentials", "ended_at", &[Odd::Number(1)]),
    ("credentials", "ended_reason", &[UNKNOWN, Odd::Text("revoked")]),
    ("operators", "name", &[EMPTY]),
    ("operators", "role", &[UNKNOWN]),
    ("operators", "created_at", &[BEYOND]),
    ("operators", "disabled_at", &[BEYOND]),
    ("operators", "password", &[EMPTY, Odd::Text("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA")]),
    ("operators", "factor_salt", &[SHORT, Odd::Null]),
    ("operators", "factor_at", &[BEYOND, Odd::Null]),
    ("operators", "factor_step", &[Odd::Number(-1)]),
    ("operators", "factor_recovery", &[SHORT, Odd::Null]),
    ("access_tokens", "operator_id", &[SHORT]),
    ("access_tokens", "kind", &[UNKNOWN]),
    ("access_tokens", "entrance", &[UNKNOWN]),
    ("access_tokens", "name", &[EMPTY]),
    ("access_tokens", "role", &[UNKNOWN]),
    ("access_tokens", "secret", &[SHORT]),
    ("access_tokens", "hash", &[SHORT]),
    ("access_tokens", "created_at", &[BEYOND]),
    ("access_tokens", "expires_at", &[BEYOND]),
    ("access_tokens", "ended_at", &[BEYOND]),
    ("access_tokens", "scopes", &[EMPTY, UNKNOWN, Odd::Text("chat agents")]),
    ("access_tokens", "team", &[Odd::Text("red"), Odd::Text("a b")]),
    ("software_agents", "nick", &[EMPTY, Odd::Text("a b")]),
    ("software_agents", "folded", &[EMPTY, Odd::Text("Bot[1]")]),
    ("software_agents", "role", &[UNKNOWN]),
    ("software_agents", "team", &[EMPTY, Odd::Text("a b")]),
    ("software_agents", "skills", &[EMPTY, Odd::Text("{}"), Odd::Text("[\"\"]"), Odd::Text("[1]")]),
    ("software_agents", "version", &[Odd::Number(-1), Odd::Number(1 << 32)]),
    ("software_agents", "freed_at", &[BEYOND]),
    ("engagements", "document", &[EMPTY, Odd::Text("{}"), Odd::Text("null")]),
    ("engagements", "author", &[UNKNOWN, EMPTY]),
    ("engagements", "at", &[BEYOND]),
    ("accounts", "machine_id", &[SHORT]),
    ("accounts", "provisioner", &[EMPTY, Odd::Text("a b")]),
    ("accounts", "name", &[EMPTY, Odd::Text("a b")]),
    ("accounts", "folded", &[EMPTY, Odd::Text("another")]),
    ("accounts", "wanted", &[UNKNOWN]),
    ("accounts", "version", &[Odd::Number(-1), Odd::Number(1 << 32)]),
    ("accounts", "secret", &[Odd::Number(-1)]),
    ("accounts", "provenance", &[UNKNOWN]),
    ("accounts", "delivery", &[UNKNOWN]),
    ("accounts", "at", &[BEYOND]),
    ("accounts", "attempts", &[Odd::Null, Odd::Number(-1)]),
    ("accounts", "mishap", &[Odd::Null, UNKNOWN]),
    ("accounts", "mishap_text", &[EMPTY]),
    ("accounts", "created_at", &[BEYOND]),
    ("remembered", "request", &[SHORT]),
    ("remembered", "at", &[BEYOND]),
    ("nonces", "issued", &[Odd::Number(-1)]),
    ("failures", "count", &[Odd::Number(-1)]),
    ("failures", "at", &[BEYOND]),
    ("boots", "boot", &[SHORT]),
    ("boots", "earlier", &[SHORT]),
    ("deployment", "id", &[SHORT]),
    ("deployment", "proof", &[SHORT]),
    ("incarnations", "id", &[SHORT]),
    ("audit", "id", &[SHORT]),
    ("audit", "at", &[BEYOND]),
    ("audit", "detail", &[EMPTY, Odd::Text("[]"), Odd::Text("{\"a\":1}")]),
];

/// A row of each kind: those whose state has most columns.
struct Rows {
    things: Things,
    grant: Grant,
    machine: Machine,
    key: muster_model::KeyRecord,
    hold: Hold,
    credential: muster_model::Credential,
    account: muster_model::Account,
    operator: muster_model::Operator,
    token: muster_model::AccessToken,
}

const REQUEST: [u8; 32] = [9; 32];

async fn rows<S: Store>(store: &S) -> Rows {
    let (things, site) = Things::in_store(store, 1).await;
    let kind = GrantKind::SiteKey { version: 1, fingerprint: Some([1, 2]) };
    let grant = Grant { kind, uses: Uses::Capped { limit: 3, used: 1 }, ..things.grant(&site) };
    let cause = SuspendCause::Operator(Some(text("paused")));
    let state = MachineState::Suspended(Suspended { since: at(0), cause });
    let machine = Machine { state, ..things.machine(&site) };
    let key = things.key(&machine);
    let state = HoldState::Approved { machine: machine.id, at: at(1), by: Actor::System };
    let hold = Hold { state, ..things.hold(&site) };
    let credential = muster_model::Credential {
        kind: CredentialKind::Certificate { key: key.key.fingerprint() },
        state: CredentialState::Issued(Minted::Certificate(vec![1])),
        ..things.credential(&machine)
    };
    let mishap = Mishap { kind: MishapKind::Failed, text: Some(text("said")) };
    let delivery = Delivery::Dead { at: at(1), attempts: 3, last: mishap };
    let account = muster_model::Account { delivery, ..things.account(&machine) };
    let second = Some(super::operators::confirmed());
    let operator = muster_model::Operator { second, ..things.operator() };
    let token = things.token(&operator, AccessKind::Api);
    let agent = things.agent(&machine, "Bot[1]");
    let remembered = Remembered { key: REQUEST, request: [1; 32], object: machine.id.to_string(), at: at(0) };
    let founded =
        DeploymentChange::Found { id: things.id(), proof: [1; 32], incarnation: things.id(), at: at(0) };
    let changes = vec![
        founded.into(),
        GrantChange::Create(grant.clone()).into(),
        created(&machine),
        KeyChange::Register(key.clone()).into(),
        HoldChange::Open(hold.clone()).into(),
        CredentialChange::Reserve(credential.clone()).into(),
        AccountChange::Create(account.clone()).into(),
        AccessChange::CreateOperator(operator.clone()).into(),
        AccessChange::CreateToken(token.clone()).into(),
        AgentChange::Register(agent.clone()).into(),
        AgentChange::Engage(things.engagement(&agent)).into(),
        MemoryChange::Request(remembered).into(),
        MemoryChange::Nonce { key: key.key.fingerprint(), used: UsedNonces::first(1) }.into(),
        MemoryChange::Failures { key: REQUEST, failures: Failures { count: 1, at: at(0) } }.into(),
        MemoryChange::Boots { key: key.key.fingerprint(), boots: Boots::first([1; 16]) }.into(),
    ];
    write(store, &things, changes).await;
    let (tenant, machine_id) = (things.tenant, machine.id);
    let note = PresenceNote { tenant, machine: machine_id, last_seen: at(0), online: true, bundle: None };
    store.note_presence(vec![note]).await.expect("noted");
    let (replica, present) = (super::joining(1).replica, Some(Present { online: 1, machines: 1 }));
    let pulse = PulseNote { tenant, at: at(0), replica, present, counted: Counted::default() };
    store.note_pulse(vec![pulse]).await.expect("noted");
    Rows { things, grant, machine, key, hold, credential, account, operator, token }
}

/// Reads the rows by their identifiers, each of which a column may make impossible.
async fn read_all<S: Store>(store: &S, rows: &Rows) -> Vec<StoreError> {
    let tenant = rows.things.tenant;
    let mut reads = store.reader().await.expect("a reader");
    let page = PageRequest { after: None, limit: 10 };
    let log = AuditFilter { limit: 10, ..AuditFilter::default() };
    let answers = [
        reads.tenants().await.err(),
        reads.site(tenant, rows.grant.site).await.err(),
        reads.grant(tenant, rows.grant.id).await.err(),
        reads.machine(tenant, rows.machine.id).await.err(),
        reads.machine_row(tenant, rows.machine.id).await.err(),
        reads.machines(tenant, &MachineFilter::default(), page).await.err(),
        reads.key(tenant, rows.key.key.fingerprint()).await.err(),
        reads.presence(tenant, rows.machine.id).await.err(),
        reads.hold(tenant, rows.hold.id).await.err(),
        reads.credential(tenant, rows.credential.id).await.err(),
        reads.account(tenant, rows.account.id).await.err(),
        reads.operator(tenant, rows.operator.id).await.err(),
        reads.access_token(tenant, rows.token.id).await.err(),
        reads.software_agent(tenant, rows.machine.id).await.err(),
        reads.engagement(tenant, rows.machine.id, 1).await.err(),
        reads.remembered(tenant, &REQUEST).await.err(),
        reads.used_nonces(tenant, rows.key.key.fingerprint()).await.err(),
        reads.failures(tenant, &REQUEST).await.err(),
        reads.boots(tenant, rows.key.key.fingerprint()).await.err(),
        reads.pulses(tenant, at(0), at(1), SignedDuration::from_millis(1)).await.err(),
        reads.audit(tenant, &log).await.err(),
        reads.deployment().await.err(),
        reads.newest_entry().await.err(),
    ];
    answers.into_iter().flatten().collect()
}

/// Each column in turn, and that of a key: another key in its place is no key.
pub async fn impossible_rows_are_reported_and_never_defaulted<F: Fixture>(_: &F) {
    for (table, column, values) in CASES.iter().copied().chain([("keys", "spki", &[SHORT][..])]) {
        let fixture = F::fresh().await;
        let rows = rows(fixture.store()).await;
        let sound = read_all(fixture.store(), &rows).await;
        assert!(sound.is_empty(), "{sound:?}");
        for value in values {
            fixture.tamper(table, column, *value).await;
            let errors = read_all(fixture.store(), &rows).await;
            let told = errors.iter().any(|error| tells(error, table, column));
            assert!(told, "{table}.{column} = {value:?}: {errors:?}");
        }
    }
}

fn tells(error: &StoreError, table: &str, column: &str) -> bool {
    let StoreError::Broken { table: at, row, column: found } = error else { return false };
    let column = if column == "spki" && table == "keys" { "fingerprint" } else { column };
    *at == table && *found == column && !matches!(row.as_str(), "" | "?")
}
