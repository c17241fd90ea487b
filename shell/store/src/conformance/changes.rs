//! Every change is read back as an equal value, by every query that leads to it.

use muster_lifecycle::fork::Boots;
use muster_lifecycle::lockout::Failures;
use muster_lifecycle::nonce::UsedNonces;
use muster_lifecycle::{
    AccessChange, Change, CredentialChange, GrantChange, HoldChange, KeyChange, MemoryChange, Remembered,
    SiteChange, TenantChange,
};
use muster_model::{
    AccessKind, AccessToken, Actor, Credential, CredentialState, EndReason, Entrance, Entry, Grant,
    GrantKind, GrantState, HardwareId, Hold, HoldState, ImportedHash, KeyRecord, KeyStanding, Machine,
    Minted, Object, OperatorRole, PublicKey, ReimagePolicy, Scope, Site, SiteUse, TokenScope, Uses, Verifier,
};

use super::Fixture;
use super::decisions::{Write, write, write_wrong};
use super::things::{Things, at, created, text, updated};
use crate::{AuditFilter, Lists, Reads, Store, StoreError, Unscoped};

async fn reader<F: Fixture>(fixture: &F) -> <F::Store as Store>::Reader {
    fixture.store().reader().await.expect("a reader")
}

/// What a query must give.
fn found<T>(answer: Result<Option<T>, StoreError>) -> T {
    answer.expect("an answer").expect("the row")
}

/// Tenants and sites, by identifier, by code and as the only one.
pub async fn tenants_and_sites_read_back_as_written<F: Fixture>(fixture: &F) {
    let things = Things::numbered(1);
    let (tenant, first) = (things.tenant(), things.site());
    let changes = vec![TenantChange::Create(tenant.clone()).into(), SiteChange::Create(first.clone()).into()];
    write(fixture.store(), &things, changes).await;
    let mut reads = reader(fixture).await;
    assert_eq!(reads.tenants().await.expect("tenants"), [tenant]);
    assert_eq!(found(reads.only_site(things.tenant).await), first);
    drop(reads);
    let second = Site {
        approval: false,
        requests: true,
        reimage: ReimagePolicy::Never,
        seats: None,
        hold_cap: 0,
        ..things.site()
    };
    write(fixture.store(), &things, vec![SiteChange::Create(second.clone()).into()]).await;
    let mut reads = reader(fixture).await;
    for site in [first, second] {
        assert_eq!(found(reads.site(things.tenant, site.id).await), site);
        assert_eq!(found(reads.site_by_code(things.tenant, &site.code).await), site);
    }
    assert_eq!(reads.only_site(things.tenant).await.expect("an answer"), None);
    assert_eq!(reads.site_by_code(things.tenant, &text("nowhere")).await.expect("an answer"), None);
}

/// Grants, by identifier, by secret, by machine and as the newest key of a site.
pub async fn grants_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let mut grants = things.grants(&site);
    let create = |grant: &Grant| Change::from(GrantChange::Create(grant.clone()));
    write(fixture.store(), &things, grants.iter().map(create).collect()).await;
    let (token, capped) = (grants[0].id, grants[3].id);
    grants[0].uses = Uses::Once(Some(muster_model::Binding { key: Some(things.fingerprint()), at: at(20) }));
    grants[0].state = GrantState::RotatedOut(at(21));
    grants[3].uses = Uses::Capped { limit: u32::MAX, used: 1 };
    let changes = [
        GrantChange::Draw { grant: token, uses: grants[0].uses },
        GrantChange::End { grant: token, state: grants[0].state },
        GrantChange::Draw { grant: capped, uses: grants[3].uses },
    ];
    write(fixture.store(), &things, changes.map(Change::from).to_vec()).await;
    let newer = GrantKind::SiteKey { version: 4, fingerprint: Some([0, 1]) };
    grants.push(Grant { kind: newer, uses: Uses::Unlimited, ..things.grant(&site) });
    write(fixture.store(), &things, vec![create(&grants[5])]).await;
    let mut reads = reader(fixture).await;
    for grant in &grants {
        assert_eq!(&found(reads.grant(things.tenant, grant.id).await), grant);
        assert_eq!(&found(reads.grant_by_secret(grant.secret).await), grant);
        if let GrantKind::Machine(machine) = grant.kind {
            let of_machine = reads.grants_of_machine(things.tenant, machine).await.expect("grants");
            assert_eq!(of_machine, std::slice::from_ref(grant));
        }
    }
    assert_eq!(&found(reads.site_key(things.tenant, site.id).await), &grants[5]);
}

/// A site's key from another server: found by the site's code until it is proved or ended, and by its own secret from then on.
pub async fn an_imported_key_is_proved_once<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, elsewhere) = Things::in_store(store, 2).await;
    let imported = |version| Grant {
        kind: GrantKind::SiteKey { version, fingerprint: None },
        uses: Uses::Unlimited,
        imported: Some(ImportedHash::stand_in()),
        ..things.grant(&site)
    };
    let (first, ended) = (imported(1), imported(2));
    let (id, tenant, code) = (first.id, things.tenant, &site.code);
    let mut reads = reader(fixture).await;
    assert!(!reads.has_imported_keys(tenant).await.expect("an answer"));
    write(store, &things, vec![GrantChange::Create(first.clone()).into()]).await;
    let mut reads = reader(fixture).await;
    assert!(reads.has_imported_keys(tenant).await.expect("an answer"));
    assert!(!reads.has_imported_keys(others.tenant).await.expect("an answer"), "of another tenant");
    assert_eq!(found(reads.imported_key(tenant, code).await), first);
    assert_eq!(reads.imported_key(tenant, &elsewhere.code).await.expect("an answer"), None);

    let (secret, hash) = things.secret();
    let fingerprint = [0x7f, 0x2a];
    let prove = || GrantChange::Prove { grant: id, secret, hash, fingerprint }.into();
    write(store, &things, vec![prove()]).await;
    write_wrong(store, &things, vec![prove()]).await;
    let kind = GrantKind::SiteKey { version: 1, fingerprint: Some(fingerprint) };
    let proved = Grant { kind, secret, hash, imported: None, ..first.clone() };
    let mut reads = reader(fixture).await;
    assert_eq!(found(reads.grant_by_secret(secret).await), proved);
    assert_eq!(reads.grant_by_secret(first.secret).await.expect("an answer"), None);
    assert_eq!(reads.imported_key(tenant, code).await.expect("an answer"), None);

    let state = GrantState::Revoked(at(9));
    let end = GrantChange::End { grant: ended.id, state };
    write(store, &things, vec![GrantChange::Create(ended.clone()).into(), end.into()]).await;
    let mut reads = reader(fixture).await;
    assert_eq!(found(reads.grant(tenant, ended.id).await), Grant { state, imported: None, ..ended.clone() });
    assert!(
        !reads.has_imported_keys(tenant).await.expect("an answer"),
        "what was imported ends with its key"
    );
    let late = GrantChange::Prove { grant: ended.id, secret: ended.secret, hash, fingerprint };
    write_wrong(store, &things, vec![late.into()]).await;
}

/// Machines, by identifier and by hardware, as made and as changed.
pub async fn machines_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let machines = things.machines(&site);
    write(fixture.store(), &things, machines.iter().map(created).collect()).await;
    for machine in &machines {
        let mut reads = reader(fixture).await;
        assert_eq!(&found(reads.machine(things.tenant, machine.id).await), machine);
        if let Some(hardware) = &machine.hardware_id {
            assert_eq!(&found(reads.machine_by_hardware(things.tenant, hardware).await), machine);
        }
    }
    let bare = things.machine(&site);
    write(fixture.store(), &things, vec![created(&bare)]).await;
    for machine in machines {
        let becomes = Machine { id: bare.id, hardware_id: None, generation: u32::MAX, ..machine };
        write(fixture.store(), &things, vec![updated(&becomes)]).await;
        let mut reads = reader(fixture).await;
        assert_eq!(found(reads.machine(things.tenant, bare.id).await), becomes);
    }
}

/// Keys, by fingerprint, by machine and across tenants.
pub async fn keys_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let (others, other_site) = Things::in_store(fixture.store(), 2).await;
    let (machine, twin) = (things.machine(&site), others.machine(&other_site));
    let old = KeyRecord { standing: KeyStanding::Superseded, ..things.key(&machine) };
    let revoked = KeyRecord { standing: KeyStanding::Revoked, ..things.key(&machine) };
    let current = KeyRecord { generation: 2, ..things.key(&machine) };
    let keys = [&old, &revoked, &current].map(|record| KeyChange::Register(record.clone()).into());
    write(fixture.store(), &things, [vec![created(&machine)], keys.to_vec()].concat()).await;
    let same = KeyRecord { key: current.key.clone(), ..others.key(&twin) };
    let changes = vec![created(&twin), KeyChange::Register(same.clone()).into()];
    write(fixture.store(), &others, changes).await;
    let mut reads = reader(fixture).await;
    for record in [&old, &revoked, &current] {
        assert_eq!(&found(reads.key(things.tenant, record.key.fingerprint()).await), record);
    }
    let counting = reads.keys_of_machine(things.tenant, machine.id).await.expect("keys");
    assert_eq!(counting, [current.clone(), revoked]);
    let everywhere = reads.keys(current.key.fingerprint()).await.expect("keys");
    assert_eq!(everywhere, [(things.tenant, current.clone()), (others.tenant, same)]);
    drop(reads);
    let key = current.key.fingerprint();
    let change = KeyChange::Standing { key, standing: KeyStanding::Superseded };
    write(fixture.store(), &things, vec![change.into()]).await;
    let mut reads = reader(fixture).await;
    assert_eq!(found(reads.key(things.tenant, key).await).standing, KeyStanding::Superseded);
    assert_eq!(found(reads.key(others.tenant, key).await).standing, KeyStanding::Current);
}

/// The keys of a machine that rotates, and how all of them are superseded at once.
pub async fn keys_on_their_way_read_back_and_end_together<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let (machine, other) = (things.machine(&site), things.machine(&site));
    let standing = |generation, standing| KeyRecord { generation, standing, ..things.key(&machine) };
    let previous = standing(1, KeyStanding::Previous);
    let current = standing(2, KeyStanding::Current);
    let proposed = standing(3, KeyStanding::Proposed);
    let revoked = standing(1, KeyStanding::Revoked);
    let beside = things.key(&other);
    let records = [&previous, &current, &proposed, &revoked, &beside];
    let keys = records.map(|record| KeyChange::Register(record.clone()).into());
    write(fixture.store(), &things, [vec![created(&machine), created(&other)], keys.to_vec()].concat()).await;
    let mut reads = reader(fixture).await;
    let its = reads.keys_of_machine(things.tenant, machine.id).await.expect("keys");
    assert_eq!(its, [proposed, current.clone(), previous, revoked.clone()]);
    drop(reads);
    let order = KeyChange::Order { key: current.key.fingerprint(), at: at(9) };
    write(fixture.store(), &things, vec![order.into()]).await;
    let mut reads = reader(fixture).await;
    let ordered = found(reads.key(things.tenant, current.key.fingerprint()).await);
    assert_eq!(ordered, KeyRecord { ordered_at: Some(at(9)), ..current });
    drop(reads);
    write(fixture.store(), &things, vec![KeyChange::SupersedeAll(machine.id).into()]).await;
    let mut reads = reader(fixture).await;
    let its = reads.keys_of_machine(things.tenant, machine.id).await.expect("keys");
    assert_eq!(its, [revoked], "what was revoked stays so");
    let beside_now = reads.keys_of_machine(things.tenant, other.id).await.expect("keys");
    assert_eq!(beside_now, [beside], "and nobody else is touched");
}

/// Holds, by identifier in and across tenants, by key and by hardware.
pub async fn holds_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let mut holds = things.holds(&site);
    let open = |hold: &Hold| Change::from(HoldChange::Open(hold.clone()));
    write(fixture.store(), &things, holds.iter().map(open).collect()).await;
    let [by, machine] = [Actor::Machine(things.id()), Actor::Anonymous];
    holds[0].state = HoldState::Approved { machine: things.id(), at: at(30), by };
    holds[4].state = HoldState::Rejected { at: at(31), by: machine, reason: Some(text("no")) };
    let decide = |hold: &Hold| HoldChange::Decide { hold: hold.id, state: hold.state.clone() }.into();
    write(fixture.store(), &things, vec![decide(&holds[0]), decide(&holds[4])]).await;
    let mut reads = reader(fixture).await;
    for hold in &holds {
        assert_eq!(&found(reads.hold(things.tenant, hold.id).await), hold);
        assert_eq!(&found(reads.hold_anywhere(hold.id).await), hold);
        let claimant = &hold.claimant;
        let by_caller = match (&claimant.key, &claimant.verifier, &claimant.hardware_id) {
            (Some(key), ..) => reads.holds_by_key(things.tenant, key.fingerprint()).await,
            (None, Some(verifier), _) => reads.holds_by_verifier(things.tenant, verifier).await,
            (None, None, Some(hardware)) => reads.holds_by_hardware(things.tenant, hardware).await,
            (None, None, None) => continue,
        };
        assert_eq!(by_caller.expect("holds"), std::slice::from_ref(hold));
        if let Some(machine) = hold.existing {
            let about = reads.holds_about(things.tenant, machine).await.expect("holds");
            assert!(about.contains(hold) && about.iter().all(|other| other.existing == Some(machine)));
        }
    }
    drop(reads);
    let key: PublicKey = holds[0].claimant.key.clone().expect("this caller has a key");
    let later: Vec<Hold> = (0..17)
        .map(|_| {
            let mut hold = things.hold(&site);
            hold.claimant.key = Some(key.clone());
            hold
        })
        .collect();
    write(fixture.store(), &things, later.iter().map(open).collect()).await;
    let newest: Vec<Hold> = later.into_iter().rev().take(16).collect();
    let mut reads = reader(fixture).await;
    assert_eq!(reads.holds_by_key(things.tenant, key.fingerprint()).await.expect("holds"), newest);
}

/// Holds of callers who show a secret: by that secret, and the newest of all in the name of their hardware.
pub async fn holds_by_secret_are_told_apart<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let (others, their_site) = Things::in_store(fixture.store(), 2).await;
    let hardware: HardwareId = text("install-1");
    let by = |things: &Things, site: &Site, verifier: Option<u8>| {
        let mut hold = things.hold(site);
        hold.claimant.key = None;
        hold.claimant.verifier = verifier.map(|n| Verifier::from_bytes([n; 32]));
        hold.claimant.hardware_id = Some(hardware.clone());
        hold
    };
    let first = by(&things, &site, Some(1));
    let second = Hold { asked: 2, ..by(&things, &site, Some(2)) };
    let bare = by(&things, &site, None);
    let mut keyed = things.hold(&site);
    keyed.claimant.hardware_id = Some(hardware.clone());
    let theirs = by(&others, &their_site, Some(1));
    let open = |hold: &Hold| Change::from(HoldChange::Open(hold.clone()));
    write(fixture.store(), &things, [&first, &second, &bare, &keyed].map(open).into()).await;
    write(fixture.store(), &others, vec![open(&theirs)]).await;
    let mut reads = reader(fixture).await;
    for (n, expected) in [(1, vec![first.clone()]), (2, vec![second.clone()]), (3, Vec::new())] {
        let found = reads.holds_by_verifier(things.tenant, &Verifier::from_bytes([n; 32])).await;
        assert_eq!(found.expect("holds"), expected, "{n}");
    }
    assert_eq!(reads.hold_in_name(things.tenant, &hardware).await.expect("a hold"), Some(second));
    assert_eq!(reads.hold_in_name(others.tenant, &hardware).await.expect("a hold"), Some(theirs));
    assert_eq!(reads.hold_in_name(things.tenant, &text("install-2")).await.expect("nothing"), None);
    assert_eq!(reads.holds_by_hardware(things.tenant, &hardware).await.expect("holds"), [bare]);
}

/// Credentials, by identifier, by secret and by machine, through all of their states.
pub async fn credentials_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let machine = things.machine(&site);
    let mut credentials = things.credentials(&machine);
    let reserve = |credential: &Credential| CredentialChange::Reserve(credential.clone()).into();
    let changes = std::iter::once(created(&machine)).chain(credentials.iter().map(reserve)).collect();
    write(fixture.store(), &things, changes).await;
    credentials[4].state = CredentialState::Issued(Minted::Bearer);
    credentials[5].state = CredentialState::Ended { at: at(40), reason: EndReason::Renewed };
    credentials[6].state = CredentialState::Issued(Minted::Certificate(vec![0; 700]));
    credentials[7].state = CredentialState::Ended { at: at(41), reason: EndReason::Superseded };
    credentials[8].state = CredentialState::Issued(Minted::Refresh { used_at: Some(at(42)) });
    credentials[9].state = CredentialState::Ended { at: at(43), reason: EndReason::Renewed };
    let becomes = credentials[4..10].iter().map(|Credential { id, state, .. }| {
        CredentialChange::State { credential: *id, state: state.clone() }.into()
    });
    write(fixture.store(), &things, becomes.collect()).await;
    let mut reads = reader(fixture).await;
    for credential in &credentials {
        assert_eq!(&found(reads.credential(things.tenant, credential.id).await), credential);
        if let Some(secret) = credential.kind.secret() {
            assert_eq!(&found(reads.credential_by_secret(secret).await), credential);
        }
    }
    credentials.reverse();
    let all = reads.credentials(things.tenant, machine.id, 100).await.expect("credentials");
    assert_eq!(all, credentials);
    let newest = reads.credentials(things.tenant, machine.id, 2).await.expect("credentials");
    assert_eq!(newest, credentials[..2]);
    credentials.retain(Credential::is_open);
    let open = reads.open_credentials(things.tenant, machine.id).await.expect("credentials");
    assert_eq!(open, credentials);
}

/// Operators and their tokens, by identifier and by secret.
pub async fn operators_and_tokens_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, _) = Things::in_store(fixture.store(), 1).await;
    let operators = OperatorRole::ALL.map(|role| muster_model::Operator { role, ..things.operator() });
    let mut tokens = AccessKind::ALL.map(|kind| things.token(&operators[0], kind));
    let people = operators.iter().map(|operator| AccessChange::CreateOperator(operator.clone()).into());
    let made = tokens.iter().map(|token: &AccessToken| AccessChange::CreateToken(token.clone()).into());
    write(fixture.store(), &things, people.chain(made).collect()).await;
    let confined: [AccessToken; 2] = [None, Some(text("red"))].map(|team| {
        let scopes = [Scope::Agents, Scope::Chat].into_iter().collect();
        AccessToken {
            scope: Some(TokenScope { scopes, team }),
            ..things.token(&operators[0], AccessKind::Api)
        }
    });
    let opened = Entrance::ALL
        .map(|way| AccessToken { entrance: Some(way), ..things.token(&operators[0], AccessKind::Session) });
    let made = confined.iter().chain(&opened).map(|token| AccessChange::CreateToken(token.clone()).into());
    write(fixture.store(), &things, made.collect()).await;
    tokens[1].ended_at = Some(at(50));
    let end = AccessChange::EndToken { token: tokens[1].id, at: at(50) };
    write(fixture.store(), &things, vec![end.into()]).await;
    let mut reads = reader(fixture).await;
    assert_eq!(reads.operators(things.tenant).await.expect("operators"), operators);
    assert_eq!(found(reads.operator(things.tenant, operators[2].id).await), operators[2]);
    for token in tokens.into_iter().chain(confined).chain(opened) {
        assert_eq!(found(reads.access_token(things.tenant, token.id).await), token);
        assert_eq!(found(reads.access_by_secret(token.secret).await), token);
    }
}

/// Requests that were carried out, and nonces.
pub async fn memory_reads_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let remembered = Remembered { key: [1; 32], request: [2; 32], object: site.id.to_string(), at: at(60) };
    let (key, other) = (things.fingerprint(), things.fingerprint());
    let kept_apart = UsedNonces { last: 7, before: 5, since: 6, apart: vec![(1, 2), (8, 9)] };
    let earlier = vec![([1; 16], at(61)), ([7; 16], at(62))];
    let forked = Boots { present: [2; 16], earlier };
    let changes = [
        MemoryChange::Request(remembered.clone()),
        MemoryChange::Nonce { key, used: UsedNonces::first(0) },
        MemoryChange::Nonce { key: other, used: kept_apart.clone() },
        MemoryChange::Nonce { key, used: UsedNonces::first(i64::MAX.unsigned_abs()) },
        MemoryChange::Failures { key: [1; 32], failures: Failures { count: 3, at: at(60) } },
        MemoryChange::Failures { key: [2; 32], failures: Failures { count: 0, at: at(61) } },
        MemoryChange::Failures { key: [1; 32], failures: Failures { count: u32::MAX, at: at(62) } },
        MemoryChange::Boots { key, boots: Boots::first([1; 16]) },
        MemoryChange::Boots { key: other, boots: Boots::first([3; 16]) },
        MemoryChange::Boots { key, boots: forked.clone() },
    ];
    write(fixture.store(), &things, changes.map(Change::from).to_vec()).await;
    let beyond = MemoryChange::Nonce { key, used: UsedNonces::first(u64::MAX) };
    write_wrong(fixture.store(), &things, vec![beyond.into()]).await;
    let mut reads = reader(fixture).await;
    assert_eq!(found(reads.remembered(things.tenant, &[1; 32]).await), remembered);
    assert_eq!(reads.remembered(things.tenant, &[3; 32]).await.expect("an answer"), None);
    let last = UsedNonces::first(i64::MAX.unsigned_abs());
    assert_eq!(found(reads.used_nonces(things.tenant, key).await), last);
    assert_eq!(found(reads.used_nonces(things.tenant, other).await), kept_apart);
    assert_eq!(reads.used_nonces(things.tenant, things.fingerprint()).await.expect("an answer"), None);
    let failures = Failures { count: u32::MAX, at: at(62) };
    assert_eq!(found(reads.failures(things.tenant, &[1; 32]).await), failures, "by any server, at any time");
    let failures = Failures { count: 0, at: at(61) };
    assert_eq!(found(reads.failures(things.tenant, &[2; 32]).await), failures);
    assert_eq!(reads.failures(things.tenant, &[3; 32]).await.expect("an answer"), None);
    assert_eq!(found(reads.boots(things.tenant, key).await), forked);
    assert_eq!(found(reads.boots(things.tenant, other).await), Boots::first([3; 16]));
    assert_eq!(reads.boots(things.tenant, things.fingerprint()).await.expect("an answer"), None);
}

/// Entries, with every kind of actor and object.
pub async fn audit_entries_read_back_as_written<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let actors = [Actor::Operator(things.id()), Actor::Machine(things.id()), Actor::Anonymous, Actor::System];
    let objects = [
        Object::Deployment,
        Object::Site(site.id),
        Object::Grant(things.id()),
        Object::Machine(things.id()),
        Object::Hold(things.id()),
        Object::Credential(things.id()),
        Object::Operator(things.id()),
        Object::AccessToken(things.id()),
        Object::Account(things.id()),
    ];
    let detail = vec![("hostname", "web-1".to_owned()), ("said", String::new())];
    let written: Vec<Entry> = objects
        .into_iter()
        .zip(actors.into_iter().cycle())
        .map(|(object, actor)| Entry {
            actor,
            object,
            source: Some([192, 0, 2, 1].into()),
            detail: detail.clone(),
            ..things.entry()
        })
        .collect();
    fixture.store().tell(written.clone()).await.expect("told");
    let filter = AuditFilter { after: Some(0), limit: 100, ..AuditFilter::default() };
    let records = reader(fixture).await.audit(things.tenant, &filter).await.expect("entries");
    let told = &records[records.len() - written.len()..];
    for (record, entry) in told.iter().zip(&written) {
        assert_eq!(record.id, entry.id.to_string());
        assert_eq!((record.at, &*record.action), (entry.at, entry.action));
        assert_eq!((&record.actor, &record.object), (&entry.actor.to_string(), &entry.object.to_string()));
        assert_eq!((&*record.reason, record.source.as_deref()), (entry.reason.0, Some("192.0.2.1")));
        let pairs: Vec<(&str, &str)> = record.detail.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(pairs, [("hostname", "web-1"), ("said", "")]);
    }
    assert!(told.is_sorted_by(|a, b| a.seq < b.seq));
}

/// Whatever a client says, the entry that tells it is written and reads back.
pub async fn q_48_nothing_in_an_entry_can_make_it_fail<F: Fixture>(fixture: &F) {
    let (things, _) = Things::in_store(fixture.store(), 1).await;
    let odd =
        ["\0", "a\0b", "\u{1b}[31m", "\u{202e}", "'; DROP TABLE audit; --", "\"}{", "\u{10ffff}", "\\u0000"];
    for value in odd.map(str::to_owned).into_iter().chain([String::new(), "x".repeat(100_000)]) {
        let entry = Entry { detail: vec![("value", value.clone())], ..things.entry() };
        let write = Write { changes: Vec::new(), entries: vec![entry.clone()] };
        fixture.store().settle(write).await.expect("an entry never fails");
        let filter = AuditFilter { limit: 1, ..AuditFilter::default() };
        let newest = reader(fixture).await.audit(things.tenant, &filter).await.expect("the entry");
        assert_eq!(newest[0].id, entry.id.to_string());
        assert_eq!(newest[0].detail.get("value"), Some(&value));
    }
}

/// Queries with the identifiers of another tenant find nothing.
pub async fn nothing_of_one_tenant_is_seen_in_another<F: Fixture>(fixture: &F) {
    let (things, site) = Things::in_store(fixture.store(), 1).await;
    let (others, _) = Things::in_store(fixture.store(), 2).await;
    let (grant, machine, hold) = (things.grant(&site), things.machine(&site), things.hold(&site));
    let (key, credential) = (things.key(&machine), things.credential(&machine));
    let changes = vec![
        GrantChange::Create(grant.clone()).into(),
        created(&machine),
        KeyChange::Register(key.clone()).into(),
        HoldChange::Open(hold.clone()).into(),
        CredentialChange::Reserve(credential.clone()).into(),
    ];
    write(fixture.store(), &things, changes).await;
    let tenant = others.tenant;
    let hardware = machine.hardware_id.clone().expect("it has hardware");
    let mut reads = reader(fixture).await;
    assert_eq!(reads.site(tenant, site.id).await.expect("an answer"), None);
    assert_eq!(reads.site_by_code(tenant, &site.code).await.expect("an answer"), None);
    assert_eq!(reads.site_use(tenant, site.id, at(0)).await.expect("an answer"), SiteUse::default());
    assert_eq!(reads.grant(tenant, grant.id).await.expect("an answer"), None);
    assert_eq!(reads.machine(tenant, machine.id).await.expect("an answer"), None);
    assert_eq!(reads.machine_by_hardware(tenant, &hardware).await.expect("an answer"), None);
    assert_eq!(reads.machine_row(tenant, machine.id).await.expect("an answer"), None);
    assert_eq!(reads.key(tenant, key.key.fingerprint()).await.expect("an answer"), None);
    assert_eq!(reads.hold(tenant, hold.id).await.expect("an answer"), None);
    assert_eq!(reads.credential(tenant, credential.id).await.expect("an answer"), None);
    assert_eq!(reads.machine_counts(tenant).await.expect("an answer"), [0; 4]);
    let filter = AuditFilter { limit: 100, ..AuditFilter::default() };
    let entries = reads.audit(tenant, &filter).await.expect("an answer");
    assert_eq!(entries.len(), 1, "its own and no other: {entries:?}");
}
