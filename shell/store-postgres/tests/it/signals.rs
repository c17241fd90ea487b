//! What one replica commits, the others hear of.

use std::time::Duration;

use muster_lifecycle::{MachineChange, MachineOrder};
use muster_model::Machine;
use muster_store::{Signal, Store};
use muster_store_postgres::PostgresStore;
use muster_testkit::Kit;
use muster_testkit::postgres::Database;
use tokio_postgres::{Client, NoTls};

use crate::support::{database, enroll, founded, replica, write};

async fn client(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

async fn two() -> Option<(Database, PostgresStore, PostgresStore, Kit, Machine)> {
    let database = database().await?;
    let (one, two) = (replica(database.url(), 1).await, replica(database.url(), 2).await);
    let (kit, site) = founded(&one).await;
    let machine = kit.machine(&site);
    enroll(&one, &kit, &machine).await.expect("written");
    Some((database, one, two, kit, machine))
}

fn hint(machine: &Machine, order: Option<MachineOrder>) -> Signal {
    Signal { tenant: machine.tenant, machine: machine.id, order }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_machine_reaches_the_other_replicas_and_not_its_own() {
    let Some((_database, one, two, kit, machine)) = two().await else { return };
    assert_eq!(two.signals().await.expect("signals"), [], "a newcomer holds no channel anywhere");
    let stirred = tokio::spawn({
        let two = two.clone();
        async move { two.stirred().await }
    });
    // It listens once it is asked to: what is sent before is found by looking.
    let order = MachineChange::Order { machine: machine.id, order: MachineOrder::Renew };
    write(&one, &kit, vec![MachineChange::Update(machine.clone()).into(), order.into()])
        .await
        .expect("written");
    tokio::time::timeout(Duration::from_secs(10), stirred).await.expect("it stirs").expect("no panic");
    let told = two.signals().await.expect("signals");
    assert_eq!(told, [hint(&machine, None), hint(&machine, Some(MachineOrder::Renew))]);
    assert_eq!(two.signals().await.expect("signals"), [], "once is enough");
    assert_eq!(one.signals().await.expect("signals"), [], "who did it knows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_signals_that_come_to_light_out_of_order_none_is_lost() {
    let Some((database, _one, two, _, machine)) = two().await else { return };
    let (early, late) = (client(&database).await, client(&database).await);
    let insert = "INSERT INTO signals (at, tenant_id, machine_id, ord) VALUES (0, $1, $2, $3)";
    let (tenant, id) = (machine.tenant, machine.id);
    let (tenant, id) = (&tenant.as_bytes()[..], &id.as_bytes()[..]);
    let say = async |client: &Client, order: Option<&str>| {
        client.execute(insert, &[&tenant, &id, &order]).await.expect("inserted");
    };
    early.batch_execute("BEGIN").await.expect("begun");
    say(&early, Some("renew")).await;
    // The second transaction has the higher number and is committed first, between two of its own.
    say(&late, None).await;
    assert_eq!(two.signals().await.expect("signals"), [hint(&machine, None)]);
    assert_eq!(two.signals().await.expect("signals"), [], "it is not told again while the other is open");
    early.batch_execute("COMMIT").await.expect("committed");
    assert_eq!(two.signals().await.expect("signals"), [hint(&machine, Some(MachineOrder::Renew))]);
    assert_eq!(two.signals().await.expect("signals"), []);
    early.batch_execute("BEGIN").await.expect("begun");
    say(&early, None).await;
    early.batch_execute("ROLLBACK").await.expect("rolled back");
    assert_eq!(two.signals().await.expect("signals"), [], "what was rolled back was not said");
    say(&late, None).await;
    assert_eq!(two.signals().await.expect("signals"), [hint(&machine, None)]);
}
