//! Accounts in other systems.

use muster_lifecycle::AccountChange;
use muster_model::{
    Account, AccountId, AccountName, Delivery, MachineId, Mishap, MishapKind, Provenance, ProvisionerName,
    TenantId, Timestamp, Wanted,
};
use muster_store::{AccountFilter, Listed, PageRequest, StoreError};

use crate::cells::{Cells, Parsed, Table, millis};
use crate::engine::{Engine, Row};
use crate::{sql, values};

static ACCOUNTS: Table =
    Table { name: "accounts", key: "id", show: |id| AccountId::from_bytes(id).to_string() };

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT id, tenant_id, machine_id, provisioner, name, folded, wanted, version, secret, provenance, delivery,
                at, attempts, mishap, mishap_text, created_at FROM accounts ",
            $tail
        )
    };
}

fn parse(row: &dyn Row) -> Parsed<Account> {
    let mut cells = Cells::of(&ACCOUNTS, row);
    let id = cells.id("id", AccountId::from_bytes)?;
    let tenant = cells.id("tenant_id", TenantId::from_bytes)?;
    let machine = cells.id("machine_id", MachineId::from_bytes)?;
    let provisioner = cells.text("provisioner")?;
    let name: AccountName = cells.text("name")?;
    let folded: Box<str> = cells.get("folded")?;
    if *folded != *name.folded() {
        return Err(cells.broken("folded"));
    }
    Ok(Account {
        id,
        tenant,
        machine,
        provisioner,
        name,
        wanted: cells.one_of("wanted", &Wanted::ALL, Wanted::as_str)?,
        version: cells.get("version")?,
        secret: cells.get("secret")?,
        provenance: cells.one_of("provenance", &Provenance::ALL, Provenance::as_str)?,
        delivery: delivery(&mut cells)?,
        created_at: cells.time("created_at")?,
    })
}

fn delivery(cells: &mut Cells<'_>) -> Parsed<Delivery> {
    let delivery: Box<str> = cells.get("delivery")?;
    let at = cells.time("at")?;
    let attempts: Option<u32> = cells.get("attempts")?;
    let kind = cells.opt_one_of("mishap", &MishapKind::ALL, MishapKind::as_str)?;
    let text = cells.opt_text("mishap_text")?;
    if kind.is_none() && text.is_some() {
        return Err(cells.broken("mishap"));
    }
    let last = kind.map(|kind| Mishap { kind, text });
    if matches!(&*delivery, "done" | "conflict") {
        cells.absent("attempts", &attempts)?;
        cells.absent("mishap", &last)?;
    }
    match &*delivery {
        "due" => Ok(Delivery::Due { at, attempts: cells.present("attempts", attempts)?, last }),
        "done" => Ok(Delivery::Done { at }),
        "conflict" => Ok(Delivery::Conflict { at }),
        "dead" => {
            let attempts = cells.present("attempts", attempts)?;
            Ok(Delivery::Dead { at, attempts, last: cells.present("mishap", last)? })
        }
        _ => Err(cells.broken("delivery")),
    }
}

pub(crate) async fn by_id<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    id: AccountId,
) -> Result<Option<Account>, StoreError> {
    const SQL: &str = select!("WHERE tenant_id = ?1 AND id = ?2");
    sql::one(db, "read an account", SQL, &values![tenant.as_bytes(), id.as_bytes()], parse).await
}

pub(crate) async fn of_machine<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    machine: MachineId,
) -> Result<Vec<Account>, StoreError> {
    const SQL: &str =
        select!("WHERE tenant_id = ?1 AND machine_id = ?2 AND wanted <> 'removed' ORDER BY id LIMIT 64");
    let values = values![tenant.as_bytes(), machine.as_bytes()];
    sql::many(db, "read the accounts of a machine", SQL, &values, parse).await
}

pub(crate) async fn named<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    provisioner: &ProvisionerName,
    name: &AccountName,
) -> Result<Option<Account>, StoreError> {
    const SQL: &str =
        select!("WHERE provisioner = ?2 AND folded = ?3 AND tenant_id = ?1 AND wanted <> 'removed'");
    let folded = name.folded();
    let values = values![tenant.as_bytes(), provisioner.as_str(), &folded];
    sql::one(db, "read an account by its name", SQL, &values, parse).await
}

pub(crate) async fn due<E: Engine>(
    db: &mut E,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Account>, StoreError> {
    const SQL: &str = select!("WHERE delivery = 'due' AND at <= ?1 ORDER BY at, id LIMIT ?2");
    sql::many(db, "read the accounts that are behind", SQL, &values![millis(now), limit], parse).await
}

pub(crate) async fn page<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    filter: &AccountFilter,
    page: PageRequest,
) -> Result<Listed<Account>, StoreError> {
    const SQL: &str = select!(
        "WHERE tenant_id = ?1 AND id < ?2 AND delivery = coalesce(?4, delivery) AND wanted = coalesce(?5, wanted)
            AND machine_id = coalesce(?6, machine_id) ORDER BY id DESC LIMIT ?3"
    );
    let (delivery, wanted) = filter.columns();
    let machine = filter.machine.as_ref().map(MachineId::as_bytes);
    let values = values![tenant.as_bytes(), sql::below(&page), sql::probe(page), delivery, wanted, machine];
    let accounts = sql::many(db, "list accounts", SQL, &values, parse).await?;
    Ok(sql::listed(accounts, page, |account| *account.id.as_bytes()))
}

pub(crate) async fn apply<E: Engine>(
    db: &mut E,
    tenant: TenantId,
    change: &AccountChange,
) -> Result<(), StoreError> {
    match change {
        AccountChange::Create(account) => insert(db, account).await,
        AccountChange::Update(account) => update(db, tenant, account).await,
    }
}

/// The columns of [`Delivery`], in their order.
struct DeliveryColumns<'a> {
    name: &'static str,
    at: i64,
    attempts: Option<u32>,
    mishap: Option<&'static str>,
    text: Option<&'a str>,
}

impl<'a> DeliveryColumns<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        let (name, at, attempts, last) = match delivery {
            Delivery::Due { at, attempts, last } => ("due", at, Some(*attempts), last.as_ref()),
            Delivery::Done { at } => ("done", at, None, None),
            Delivery::Conflict { at } => ("conflict", at, None, None),
            Delivery::Dead { at, attempts, last } => ("dead", at, Some(*attempts), Some(last)),
        };
        Self {
            name,
            at: millis(*at),
            attempts,
            mishap: last.map(|last| last.kind.as_str()),
            text: last.and_then(|last| last.text.as_ref()).map(|text| text.as_str()),
        }
    }
}

async fn insert<E: Engine>(db: &mut E, account: &Account) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO accounts
        (tenant_id, id, machine_id, provisioner, name, folded, wanted, version, secret, provenance, delivery, at,
            attempts, mishap, mishap_text, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    let delivery = DeliveryColumns::of(&account.delivery);
    let folded = account.name.folded();
    let values = values![
        account.tenant.as_bytes(),
        account.id.as_bytes(),
        account.machine.as_bytes(),
        account.provisioner.as_str(),
        account.name.as_str(),
        &folded,
        account.wanted.as_str(),
        account.version,
        account.secret,
        account.provenance.as_str(),
        delivery.name,
        delivery.at,
        delivery.attempts,
        delivery.mishap,
        delivery.text,
        millis(account.created_at),
    ];
    sql::run_one(db, "make an account", SQL, &values).await
}

/// What was wanted once is not wanted again by an older plan: the version never falls.
async fn update<E: Engine>(db: &mut E, tenant: TenantId, account: &Account) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE accounts SET wanted = ?3, version = ?4, secret = ?5, provenance = ?6, delivery = ?7,
            at = ?8, attempts = ?9, mishap = ?10, mishap_text = ?11, machine_id = ?12
        WHERE tenant_id = ?1 AND id = ?2 AND version <= ?4 AND secret <= ?5";
    let delivery = DeliveryColumns::of(&account.delivery);
    let values = values![
        tenant.as_bytes(),
        account.id.as_bytes(),
        account.wanted.as_str(),
        account.version,
        account.secret,
        account.provenance.as_str(),
        delivery.name,
        delivery.at,
        delivery.attempts,
        delivery.mishap,
        delivery.text,
        account.machine.as_bytes(),
    ];
    sql::run_one(db, "change an account", SQL, &values).await
}
