//! What happens once: the database refuses what no decision should ask for. A plan that breaks one of these rules is our
//! mistake, and the row stays as it was.

use muster_lifecycle::{
    AccessChange, CredentialChange, GrantChange, HoldChange, KeyChange, SiteChange, TenantChange,
};
use muster_model::{
    AccessKind, Actor, Binding, CredentialState, EndReason, Grant, GrantKind, GrantState, HardwareId,
    HoldState, KeyRecord, KeyStanding, Machine, MachineState, Minted, RetireCause, Retired, Site, Tenant,
    Uses,
};

use super::Fixture;
use super::decisions::{write, write_wrong};
use super::things::{Things, at, created, updated};
use crate::{Reads, Store};

/// A one-time token bound to one key is not bound to another (I-7).
pub async fn a_token_is_bound_once<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let grant = things.grant(&site);
    let bound = |second| Uses::Once(Some(Binding { key: Some(things.fingerprint()), at: at(second) }));
    let [first, second] = [bound(1), bound(2)];
    let draw = |uses| GrantChange::Draw { grant: grant.id, uses }.into();
    write(store, &things, vec![GrantChange::Create(grant.clone()).into(), draw(first)]).await;
    write_wrong(store, &things, vec![draw(second)]).await;
    write_wrong(store, &things, vec![draw(Uses::Once(None))]).await;
    write_wrong(store, &things, vec![draw(Uses::Unlimited)]).await;
    let mut reads = store.reader().await.expect("a reader");
    let found = reads.grant(things.tenant, grant.id).await.expect("an answer").expect("the grant");
    assert_eq!(found.uses, first);
}

/// A count never falls and is never written twice.
pub async fn a_count_of_uses_only_rises<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let capped = |used| Uses::Capped { limit: 9, used };
    let grant = Grant { uses: capped(3), ..things.grant(&site) };
    let draw = |uses| GrantChange::Draw { grant: grant.id, uses }.into();
    write(store, &things, vec![GrantChange::Create(grant.clone()).into(), draw(capped(4))]).await;
    write_wrong(store, &things, vec![draw(capped(4))]).await;
    write_wrong(store, &things, vec![draw(capped(0))]).await;
    let mut reads = store.reader().await.expect("a reader");
    let found = reads.grant(things.tenant, grant.id).await.expect("an answer").expect("the grant");
    assert_eq!(found.uses, capped(4));
}

/// The first decision on a hold stands.
pub async fn a_hold_is_decided_once<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let hold = things.hold(&site);
    let rejected = HoldState::Rejected { at: at(1), by: Actor::System, reason: None };
    let approved = HoldState::Approved { machine: things.id(), at: at(2), by: Actor::System };
    let decide = |state: &HoldState| HoldChange::Decide { hold: hold.id, state: state.clone() }.into();
    write(store, &things, vec![HoldChange::Open(hold.clone()).into()]).await;
    write_wrong(store, &things, vec![decide(&HoldState::Open)]).await;
    write(store, &things, vec![decide(&rejected)]).await;
    write_wrong(store, &things, vec![decide(&approved)]).await;
    let mut reads = store.reader().await.expect("a reader");
    let found = reads.hold(things.tenant, hold.id).await.expect("an answer").expect("the hold");
    assert_eq!(found.state, rejected);
}

/// Credentials and tokens that ended do not begin again, and a credential is issued as what it is.
pub async fn what_has_ended_stays_ended<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (machine, operator) = (things.machine(&site), things.operator());
    let (credential, link) = (things.credential(&machine), things.token(&operator, AccessKind::Login));
    let state = |state| CredentialChange::State { credential: credential.id, state };
    let ended = CredentialState::Ended { at: at(1), reason: EndReason::Revoked };
    let spend = |second| AccessChange::EndToken { token: link.id, at: at(second) };
    let changes = vec![
        created(&machine),
        CredentialChange::Reserve(credential.clone()).into(),
        AccessChange::CreateOperator(operator.clone()).into(),
        AccessChange::CreateToken(link.clone()).into(),
    ];
    write(store, &things, changes).await;
    let certificate = CredentialState::Issued(Minted::Certificate(vec![1]));
    write_wrong(store, &things, vec![state(certificate).into()]).await;
    let refresh = CredentialState::Issued(Minted::Refresh { used_at: None });
    write_wrong(store, &things, vec![state(refresh).into()]).await;
    write(store, &things, vec![state(ended.clone()).into(), spend(1).into()]).await;
    write_wrong(store, &things, vec![state(CredentialState::Issued(Minted::Bearer)).into()]).await;
    write_wrong(store, &things, vec![spend(2).into()]).await;
    let mut reads = store.reader().await.expect("a reader");
    let found = reads.credential(things.tenant, credential.id).await.expect("an answer");
    assert_eq!(found.map(|credential| credential.state), Some(ended));
    let found = reads.access_token(things.tenant, link.id).await.expect("an answer");
    assert_eq!(found.and_then(|link| link.ended_at), Some(at(1)));
}

/// Generations never decrease (I-13).
pub async fn a_generation_never_falls<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let machine = Machine { generation: 5, ..things.machine(&site) };
    write(store, &things, vec![created(&machine)]).await;
    write_wrong(store, &things, vec![updated(&Machine { generation: 4, ..machine.clone() })]).await;
    write(store, &things, vec![updated(&machine)]).await;
}

/// A change of a row that is not there is a mistake and not a silent success.
pub async fn what_is_not_there_is_not_changed<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let rejected = HoldState::Rejected { at: at(1), by: Actor::System, reason: None };
    for change in [
        updated(&things.machine(&site)),
        GrantChange::Draw { grant: things.id(), uses: Uses::Once(None) }.into(),
        GrantChange::End { grant: things.id(), state: GrantState::Revoked(at(1)) }.into(),
        KeyChange::Standing { key: things.fingerprint(), standing: KeyStanding::Revoked }.into(),
        HoldChange::Decide { hold: things.id(), state: rejected }.into(),
        CredentialChange::State { credential: things.id(), state: CredentialState::Reserved }.into(),
        AccessChange::EndToken { token: things.id(), at: at(1) }.into(),
        AccessChange::UpdateOperator(things.operator()).into(),
    ] {
        write_wrong(store, &things, vec![change]).await;
    }
}

/// Two live machines never share hardware (I-1); a retired one does not stand in the way, and is found when none is live.
pub async fn one_live_machine_per_hardware<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (others, other_site) = Things::in_store(store, 2).await;
    let first = things.machine(&site);
    let same = || Machine { hardware_id: first.hardware_id.clone(), ..things.machine(&site) };
    let retired = |machine: &Machine, millis| Machine {
        state: MachineState::Retired(Retired { since: at(millis), cause: RetireCause::Left, readmit: None }),
        ..machine.clone()
    };
    let hardware: HardwareId = first.hardware_id.clone().expect("it has hardware");
    write(store, &things, vec![created(&first)]).await;
    write_wrong(store, &things, vec![created(&same())]).await;
    let elsewhere = Machine { hardware_id: Some(hardware.clone()), ..others.machine(&other_site) };
    write(store, &others, vec![created(&elsewhere)]).await;
    let second = same();
    write(store, &things, vec![updated(&retired(&first, 5)), created(&second)]).await;
    write_wrong(store, &things, vec![updated(&first)]).await;
    let mut reads = store.reader().await.expect("a reader");
    let live = reads.machine_by_hardware(things.tenant, &hardware).await.expect("an answer");
    assert_eq!(live, Some(second.clone()));
    drop(reads);
    let second = retired(&second, 4);
    write(store, &things, vec![updated(&second)]).await;
    let mut reads = store.reader().await.expect("a reader");
    let last = reads.machine_by_hardware(things.tenant, &hardware).await.expect("an answer");
    assert_eq!(last, Some(retired(&first, 5)), "the one retired last");
    drop(reads);
    let third = retired(&same(), 5);
    write(store, &things, vec![created(&third)]).await;
    let mut reads = store.reader().await.expect("a reader");
    let last = reads.machine_by_hardware(things.tenant, &hardware).await.expect("an answer");
    assert_eq!(last, Some(third), "of two that were retired at the same time, the one that came last");
    drop(reads);
    let nameless = || Machine { hardware_id: None, ..things.machine(&site) };
    write(store, &things, vec![created(&nameless()), created(&nameless())]).await;
}

/// A key belongs to one machine of a tenant, and a machine has one current key (I-1), one next and one before (I-4).
pub async fn one_record_per_key_and_one_current_key_per_machine<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let (machine, other) = (things.machine(&site), things.machine(&site));
    let key = things.key(&machine);
    let register = |record: KeyRecord| KeyChange::Register(record).into();
    write(store, &things, vec![created(&machine), created(&other), register(key.clone())]).await;
    write_wrong(store, &things, vec![register(KeyRecord { machine: other.id, ..key.clone() })]).await;
    write_wrong(store, &things, vec![register(things.key(&machine))]).await;
    let old = KeyChange::Standing { key: key.key.fingerprint(), standing: KeyStanding::Superseded };
    write(store, &things, vec![old.into(), register(things.key(&machine))]).await;
    write_wrong(store, &things, vec![register(things.key(&things.machine(&site)))]).await;
    for standing in [KeyStanding::Proposed, KeyStanding::Previous] {
        let one = || register(KeyRecord { standing, ..things.key(&machine) });
        write(store, &things, vec![one()]).await;
        write_wrong(store, &things, vec![one()]).await;
    }
}

/// Codes, secrets and generations of a site's key.
pub async fn codes_and_secrets_are_unique<F: Fixture>(fixture: &F) {
    let store = fixture.store();
    let (things, site) = Things::in_store(store, 1).await;
    let others = Things::numbered(2);
    let grant = Grant {
        kind: GrantKind::SiteKey { version: 1, fingerprint: Some([1, 2]) },
        uses: Uses::Unlimited,
        ..things.grant(&site)
    };
    let create = |grant: Grant| GrantChange::Create(grant).into();
    let tenant = Tenant { code: others.tenant().code, ..others.tenant() };
    write(store, &others, vec![TenantChange::Create(tenant.clone()).into()]).await;
    let again = Things::numbered(3);
    let taken = Tenant { code: tenant.code, ..again.tenant() };
    write_wrong(store, &again, vec![TenantChange::Create(taken).into()]).await;
    let taken = Site { code: site.code.clone(), ..things.site() };
    write_wrong(store, &things, vec![SiteChange::Create(taken).into()]).await;
    let elsewhere = Site { code: site.code.clone(), ..others.site() };
    write(store, &others, vec![SiteChange::Create(elsewhere).into()]).await;
    write(store, &things, vec![create(grant.clone())]).await;
    let same_secret = Grant { secret: grant.secret, ..things.grant(&site) };
    write_wrong(store, &things, vec![create(same_secret)]).await;
    let same_version = Grant { kind: grant.kind, ..things.grant(&site) };
    write_wrong(store, &things, vec![create(same_version)]).await;
}
