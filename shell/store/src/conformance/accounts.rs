//! Accounts in other systems: what is written is read back, what is due is found, and nothing older is ever written.

use muster_lifecycle::{AccountChange, Change};
use muster_model::{Account, Delivery, Provenance, Wanted};

use super::Fixture;
use super::decisions::{write, write_wrong};
use super::things::{Things, at, created, text};
use crate::{AccountFilter, Lists, PageRequest, Reads, Store, Unscoped};

fn create(account: &Account) -> Change {
    AccountChange::Create(account.clone()).into()
}

fn update(account: &Account) -> Change {
    AccountChange::Update(account.clone()).into()
}

async fn reader<F: Fixture>(fixture: &F) -> <F::Store as Store>::Reader {
    fixture.store().reader().await.expect("a reader")
}

/// Accounts, by identifier, by machine and by name, as made and as changed.
pub async fn accounts_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let (others, _) = Things::in_store(fixture.store(), 2).await;
    let machine = things.machine(&site);
    let accounts = things.accounts(&machine);
    let bare = things.account(&machine);
    let made = accounts.iter().chain([&bare]).map(create);
    write(fixture.store(), &things, [created(&machine)].into_iter().chain(made).collect()).await;
    let mut reads = reader(fixture).await;
    for account in accounts.iter().chain([&bare]) {
        let shouted = text(&account.name.as_str().to_ascii_uppercase());
        for tenant in [things.tenant, others.tenant] {
            let expected = (tenant == things.tenant).then_some(account);
            let found = reads.account(tenant, account.id).await.expect("an answer");
            assert_eq!(found.as_ref(), expected);
            let found = reads.account_named(tenant, &account.provisioner, &shouted).await.expect("an answer");
            assert_eq!(found.as_ref(), expected);
        }
        assert_eq!(
            reads.account_named(things.tenant, &text("hook"), &account.name).await.expect("an answer"),
            None
        );
    }
    let all: Vec<Account> = accounts.iter().chain([&bare]).cloned().collect();
    assert_eq!(reads.accounts_of_machine(things.tenant, machine.id).await.expect("accounts"), all);
    assert_eq!(reads.accounts_of_machine(others.tenant, machine.id).await.expect("accounts"), []);
    drop(reads);
    for account in accounts {
        let Account { id, name, .. } = bare.clone();
        let becomes = Account { id, name, ..account };
        write(fixture.store(), &things, vec![update(&becomes)]).await;
        let found = reader(fixture).await.account(things.tenant, id).await.expect("an answer");
        assert_eq!(found, Some(becomes));
    }
}

/// What was wanted once is not wanted again by a plan that knew less, and a passphrase that ended does not come back.
pub async fn an_account_is_never_older<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machine = things.machine(&site);
    let account = Account { version: 5, secret: 3, ..things.account(&machine) };
    write(store, &things, vec![created(&machine), create(&account)]).await;
    write_wrong(store, &things, vec![update(&Account { version: 4, ..account.clone() })]).await;
    write_wrong(store, &things, vec![update(&Account { secret: 2, ..account.clone() })]).await;
    write_wrong(store, &things, vec![update(&things.account(&machine))]).await;
    write_wrong(store, &things, vec![create(&things.account(&things.machine(&site)))]).await;
    write(store, &things, vec![update(&Account { provenance: Provenance::Made, ..account.clone() })]).await;
    let found = reader(fixture).await.account(things.tenant, account.id).await.expect("an answer");
    assert_eq!(found.map(|found| (found.version, found.secret)), Some((5, 3)));
}

/// A name is one account's, whatever its letter case, until that one is to be removed.
pub async fn one_account_of_a_name_until_it_is_removed<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machine = things.machine(&site);
    let first = Account { name: text("w-two[1]"), ..things.account(&machine) };
    let second = Account { name: text("W-TWO{1}"), ..things.account(&machine) };
    let elsewhere = Account { provisioner: text("hook"), ..things.account(&machine) };
    let elsewhere = Account { name: first.name.clone(), ..elsewhere };
    write(store, &things, vec![created(&machine), create(&first), create(&elsewhere)]).await;
    write_wrong(store, &things, vec![create(&second)]).await;
    let removed = Account { wanted: Wanted::Removed, version: 2, ..first.clone() };
    write(store, &things, vec![update(&removed), create(&second)]).await;
    write_wrong(store, &things, vec![update(&Account { version: 3, ..first.clone() })]).await;
    let mut reads = reader(fixture).await;
    let named = reads.account_named(things.tenant, &first.provisioner, &first.name).await.expect("an answer");
    assert_eq!(named, Some(second.clone()));
    let of_machine = reads.accounts_of_machine(things.tenant, machine.id).await.expect("accounts");
    let mut stay = [second, elsewhere];
    stay.sort_by_key(|account| account.id);
    assert_eq!(of_machine, stay, "what is removed follows no machine");
    assert_eq!(reads.account(things.tenant, first.id).await.expect("an answer"), Some(removed));
}

/// Whoever comes after a machine that is over may have its account.
pub async fn an_account_goes_over_to_another_machine<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (first, second) = (things.machine(&site), things.machine(&site));
    let account = things.account(&first);
    write(store, &things, vec![created(&first), created(&second), create(&account)]).await;
    let moved = Account { machine: second.id, version: 2, secret: 2, ..account.clone() };
    write(store, &things, vec![update(&moved)]).await;
    write_wrong(
        store,
        &things,
        vec![update(&Account { machine: things.machine(&site).id, version: 3, ..moved.clone() })],
    )
    .await;
    let mut reads = reader(fixture).await;
    assert_eq!(reads.accounts_of_machine(things.tenant, first.id).await.expect("accounts"), []);
    let of_second = reads.accounts_of_machine(things.tenant, second.id).await.expect("accounts");
    assert_eq!(of_second, [moved]);
}

/// What is due is found in the order in which it became so, in any tenant, and nothing that is done or given up.
pub async fn accounts_that_are_due_are_those_that_wait_longest<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, other_site) = Things::in_store(store, 2).await;
    let (machine, other) = (things.machine(&site), others.machine(&other_site));
    let accounts = things.accounts(&machine);
    let later = Delivery::Due { at: at(5), attempts: 1, last: None };
    let theirs = Account { delivery: later, ..others.account(&other) };
    let made = accounts.iter().map(create);
    write(store, &things, [created(&machine)].into_iter().chain(made).collect()).await;
    write(store, &others, vec![created(&other), create(&theirs)]).await;
    let mut reads = reader(fixture).await;
    let mut due = async |now, limit| -> Vec<_> {
        let found = reads.due_accounts(at(now), limit).await.expect("accounts");
        found.into_iter().map(|account| account.id).collect()
    };
    assert_eq!(due(2, 10).await, []);
    assert_eq!(due(8, 10).await, [accounts[1].id, theirs.id]);
    assert_eq!(due(9, 10).await, [accounts[1].id, theirs.id, accounts[0].id]);
    assert_eq!(due(9, 2).await, [accounts[1].id, theirs.id]);
}

/// The newest first, in pages.
pub async fn accounts_are_listed_by_machine_and_standing<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (machine, other) = (things.machine(&site), things.machine(&site));
    let mut accounts = things.accounts(&machine);
    let gone = Delivery::Done { at: at(1) };
    accounts.push(Account { wanted: Wanted::Removed, delivery: gone, ..things.account(&other) });
    let changes = [created(&machine), created(&other)].into_iter().chain(accounts.iter().map(create));
    write(store, &things, changes.collect()).await;
    accounts.reverse();
    let mut reads = reader(fixture).await;
    let standings = [None, Some("pending"), Some("live"), Some("locked"), Some("removed")];
    for standing in standings.into_iter().chain([Some("conflict"), Some("dead")]) {
        for machine in [None, Some(machine.id), Some(other.id)] {
            let filter = AccountFilter { machine, standing };
            let expected: Vec<Account> =
                accounts.iter().filter(|account| filter.takes(account)).cloned().collect();
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = PageRequest { after, limit: 2 };
                let page = reads.accounts(things.tenant, &filter, page).await.expect("a page");
                listed.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(listed, expected, "{filter:?}");
        }
    }
}
