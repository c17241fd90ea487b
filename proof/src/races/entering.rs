//! Races at the doors.

use muster_model::Uses;
use muster_store::{Reads, Store};
use muster_wire::enroll::EnrollRequest;
use muster_wire::invite::Invite;
use muster_wire::machine::CreateMachine;
use muster_wire::site::CreateSite;

use super::arena::{Arena, Fault, ask, ensure, fault, tally};

/// Many keys, one token that is good once: one gets in, the rest are told the same.
pub(super) async fn one_token<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let grant = arena.grant(1, false).await?;
    let asked = arena.enroll(clients, |client| arena.device(client).by_token(&grant.token)).await?;
    let won = tally(asked);
    ensure!(won.inside.len() == 1, "{} got in by a token that is good once", won.inside.len());
    ensure!(won.refused == clients - 1, "{} of {clients} were refused, {} held", won.refused, won.held);
    ensure!(won.reasons == ["not_entitled"], "they were told {:?}", won.reasons);
    ensure!(arena.machines().await?.len() == 1, "there is more than one machine");
    let bound = arena.uses(&grant.grant.id).await?;
    let key = arena.machines().await?.first().and_then(|row| row.machine.key);
    ensure!(matches!(bound, Uses::Once(Some(binding)) if binding.key == key), "it is bound to {bound:?}");
    // Whoever spent it gets the same machine by it again, at any replica.
    let winner = (0..clients).find(|client| Some(arena.device(*client).fingerprint()) == key);
    let winner = winner.ok_or("nobody has the key that won")?;
    let again = ask(arena.replica(winner + 1).clone(), arena.device(winner).by_token(&grant.token)).await?;
    let again = tally(vec![again]).inside;
    ensure!(
        again.first().is_some_and(|again| again.machine.id == won.inside[0].machine.id),
        "the winner is not let in again"
    );
    Ok(())
}

/// Many keys, a token that is good so many times.
pub(super) async fn capped_token<S: Store>(arena: &Arena<S>, clients: usize, cap: u32) -> Result<(), Fault> {
    let grant = arena.grant(cap, false).await?;
    let asked = arena.enroll(clients, |client| arena.device(client).by_token(&grant.token)).await?;
    let won = tally(asked);
    ensure!(won.inside.len() == cap as usize, "{} got in by a token for {cap}", won.inside.len());
    ensure!(won.reasons == ["not_entitled"], "the rest were told {:?}", won.reasons);
    let uses = arena.uses(&grant.grant.id).await?;
    ensure!(uses == Uses::Capped { limit: cap, used: cap }, "its uses are {uses:?}");
    Ok(())
}

/// Many keys on one piece of hardware: one gets in, the rest wait for a person.
pub(super) async fn one_hardware<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let grant = arena.grant(0, false).await?;
    let hardware_id = arena.device(0).hardware_id;
    let request = |client| {
        let request = arena.device(client).by_token(&grant.token);
        EnrollRequest { hardware_id: hardware_id.clone(), ..request }
    };
    let won = tally(arena.enroll(clients, request).await?);
    ensure!(won.inside.len() == 1, "{} got in under one hardware id", won.inside.len());
    ensure!(won.held == clients - 1, "{} wait and {} were refused", won.held, won.refused);
    ensure!(won.reasons == ["key_mismatch"], "they wait for {:?}", won.reasons);
    let machines = arena.machines().await?;
    ensure!(machines.len() == 1 && machines[0].machine.generation == 1, "machines: {machines:?}");
    Ok(())
}

/// One key, many requests: one machine, and everybody gets the same certificate.
pub(super) async fn one_key<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let grant = arena.grant(1, false).await?;
    let won = tally(arena.enroll(clients, |_| arena.device(0).by_token(&grant.token)).await?);
    ensure!(won.inside.len() == clients, "{} were held, told {:?}", won.held, won.reasons);
    let first = &won.inside[0];
    let same = won.inside.iter().all(|enrolled| {
        enrolled.machine.id == first.machine.id
            && enrolled.credential.id == first.credential.id
            && enrolled.credential.certificate == first.credential.certificate
    });
    ensure!(same, "one key got different machines or certificates");
    Ok(())
}

/// Many newcomers, few seats.
pub(super) async fn seats<S: Store>(arena: &Arena<S>, clients: usize, seats: u32) -> Result<(), Fault> {
    let site = CreateSite {
        code: "seats".to_owned(),
        approval: false,
        requests: false,
        reimage: None,
        seats: Some(seats),
    };
    let made = arena.replica(1).create_site(site, None, &arena.admin()).await;
    made.map_err(|error| fault("make a site", &error))?;
    let grant = arena.grant_at("seats", 0, false).await?;
    let won = tally(arena.enroll(clients, |client| arena.device(client).by_token(&grant.token)).await?);
    ensure!(won.inside.len() == seats as usize, "{} took {seats} seats", won.inside.len());
    ensure!(won.held == clients - won.inside.len(), "{} were refused", won.refused);
    ensure!(won.reasons == ["quota"], "they wait for {:?}", won.reasons);
    Ok(())
}

/// Many keys, the invite of one pending machine.
pub(super) async fn invite<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let new = CreateMachine {
        name: "made".to_owned(),
        site: Some("default".to_owned()),
        kind: None,
        hardware_id: None,
        role: None,
        labels: [].into(),
        expires_in: None,
    };
    let made = arena.replica(2).create_machine(new, None, &arena.admin()).await;
    let made = made.map_err(|error| fault("make a machine", &error))?;
    let invite: Invite = made.invite.parse().map_err(|error| format!("the invite: {error:?}"))?;
    let token = invite.token.reveal();
    let won = tally(arena.enroll(clients, |client| arena.device(client).by_token(&token)).await?);
    ensure!(won.inside.len() == 1, "{} got in by one invite", won.inside.len());
    ensure!(won.inside[0].machine.id == made.machine.id, "the machine is another one");
    ensure!(won.reasons == ["not_entitled"], "the rest were told {:?}", won.reasons);
    Ok(())
}

impl<S: Store> Arena<S> {
    /// How often a grant was drawn on.
    async fn uses(&self, grant: &str) -> Result<Uses, Fault> {
        let id = grant.parse().map_err(|error| format!("{error:?}"))?;
        let store = self.replica(1).store();
        let mut reads = store.reader().await.map_err(|error| format!("{error:?}"))?;
        let grant = reads.grant(self.tenant(), id).await.map_err(|error| format!("{error:?}"))?;
        grant.map(|grant| grant.uses).ok_or_else(|| "the grant is gone".to_owned())
    }
}
