//! Races of operators with each other, and with what machines do meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_app::{App, Caller, Error, Origin};
use muster_model::{HoldId, MachineId, Refusal, SignedDuration};
use muster_store::{AuditRecord, Store};
use muster_testkit::world::{Device, leaf};
use muster_wire::access::Login;
use muster_wire::enroll::{EnrollAnswer, TokenRequest};
use muster_wire::grant::CreateGrant;
use muster_wire::hold::{Approve, Choice};
use muster_wire::site::CreateSite;
use tokio::sync::Semaphore;

use super::arena::{Arena, Asked, Fault, ask, ensure, fault, tally};

/// Approving and rejecting one hold: the first decision stands, and it is told once.
pub(super) async fn one_hold<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let grant = arena.grant(1, true).await?;
    let device = arena.device(0);
    let Asked::Held(held) = ask(arena.replica(0).clone(), device.by_token(&grant.token)).await? else {
        return Err("a machine that needs approval was not held".to_owned());
    };
    let hold: HoldId = held.hold.parse().map_err(|error| format!("{error:?}"))?;
    let admin = arena.admin();
    let decided = arena
        .all(clients, |app, client| {
            let admin = admin.clone();
            async move {
                let decided = match client % 2 {
                    0 => app.approve(hold, &Approve { choice: Some(Choice::New) }, &admin).await,
                    _ => app.reject(hold, None, &admin).await,
                };
                (client % 2 == 0, decided.map(|detail| detail.hold.state))
            }
        })
        .await;
    let state = told_alike(&decided)?;
    let machines = arena.machines().await?.len();
    ensure!(machines == usize::from(state == "approved"), "it is {state}, and there are {machines} machines");
    let done = arena.done().await?;
    let told = done.iter().filter(|entry| matches!(&*entry.action, "hold.approve" | "hold.reject")).count();
    ensure!(told == 1, "one decision is told {told} times");
    Ok(())
}

/// Approving a hold while the one who waits asks again, at the door and for its hold: it waits until it is in, and never
/// becomes two machines.
pub(super) async fn waiting<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let grant = arena.grant(1, true).await?;
    let device = arena.device(0);
    let Asked::Held(held) = ask(arena.replica(0).clone(), device.by_token(&grant.token)).await? else {
        return Err("a machine that needs approval was not held".to_owned());
    };
    let hold: HoldId = held.hold.parse().map_err(|error| format!("{error:?}"))?;
    let admin = arena.admin();
    let seen = arena
        .all(clients, |app, client| {
            let (admin, device) = (admin.clone(), arena.device(0));
            let request = device.by_token(&grant.token);
            async move {
                match client % 8 {
                    0 => {
                        let choice = Some(Choice::New);
                        let approved = app.approve(hold, &Approve { choice }, &admin).await;
                        approved.map(|_| None).map_err(|error| fault("approve", &error))
                    }
                    1..4 => ask(app, request).await.map(Some),
                    _ => collect(&app, hold, &device).await.map(Some),
                }
            }
        })
        .await;
    let seen: Vec<Asked> = seen.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let seen = tally(seen);
    ensure!(seen.refused == 0, "whoever waited was told {:?}", seen.reasons);
    let machines: BTreeSet<&str> = seen.inside.iter().map(|enrolled| &*enrolled.machine.id).collect();
    ensure!(machines.len() <= 1, "one who waited became {machines:?}");
    let Asked::In(late) = collect(arena.replica(1), hold, &device).await? else {
        return Err("whoever was approved does not get in".to_owned());
    };
    ensure!(machines.iter().all(|machine| *machine == late.machine.id), "it became another machine");
    ensure!(arena.machines().await?.len() == 1, "one who waited is several machines");
    Ok(())
}

/// The one who waits asks for its hold.
async fn collect<S: Store>(app: &App<S>, hold: HoldId, device: &Device) -> Result<Asked, Fault> {
    let signed = device.signs(&app.nonce().nonce, "GET", &format!("/v1/enroll/{hold}"), b"");
    match app.collect(hold, &signed.call(), None).await {
        Ok(EnrollAnswer::Enrolled(enrolled) | EnrollAnswer::Same(enrolled)) => Ok(Asked::In(enrolled)),
        Ok(EnrollAnswer::Held(held)) => Ok(Asked::Held(held)),
        Err(Error::Refused(refusal)) => Ok(Asked::Refused(refusal.code())),
        Err(error) => Err(fault("collect", &error)),
    }
}

/// Whoever wanted what was decided is told so, and the others that it is too late.
fn told_alike(decided: &[(bool, Result<String, Error>)]) -> Result<String, Fault> {
    let state = decided.iter().find_map(|(_, decided)| decided.as_ref().ok()).ok_or("nobody decided")?;
    for (approves, decided) in decided {
        let wanted = if *approves { "approved" } else { "rejected" };
        let fits = match decided {
            Ok(state) => state == wanted,
            Err(Error::Refused(Refusal::WrongState { state: now, .. })) => now == state && state != wanted,
            Err(_) => false,
        };
        ensure!(fits, "it is {state}, and whoever wanted {wanted} was told {decided:?}");
    }
    Ok(state.clone())
}

/// Revoking a machine while it renews, takes tokens and enrolls again: nothing that is issued afterwards works.
pub(super) async fn revoke<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let grant = arena.grant(1, false).await?;
    let device = arena.device(0);
    let inside = tally(vec![ask(arena.replica(0).clone(), device.by_token(&grant.token)).await?]).inside;
    let enrolled = inside.into_iter().next().ok_or("the machine was not let in")?;
    let machine: MachineId = enrolled.machine.id.parse().map_err(|error| format!("{error:?}"))?;
    let first = leaf(enrolled.credential.certificate.as_deref().ok_or("no certificate")?);
    arena.clock.advance(SignedDuration::from_hours(13));
    let (admin, revoked) = (arena.admin(), Arc::new(Semaphore::new(0)));
    let issued = arena
        .all(clients, |app, client| {
            let (admin, first, revoked) = (admin.clone(), first.clone(), Arc::clone(&revoked));
            let again = arena.device(0).by_token(&grant.token);
            async move {
                if client % 16 == 5 {
                    let done = app.revoke(machine, None, None, false, &admin).await;
                    revoked.add_permits(clients);
                    return done.map(|_| Vec::new()).map_err(|error| fault("revoke", &error));
                }
                let mut issued = Vec::new();
                match client % 3 {
                    0 => issued.extend(enroll_again(&app, again).await?),
                    _ => issued.extend(renew(&app, &first, client).await?),
                }
                revoked.acquire().await.map_err(|error| error.to_string())?.forget();
                // It was acknowledged: from now on nothing is issued any more, whichever replica is asked.
                let late = renew(&app, &first, client).await?;
                ensure!(late.is_none(), "a certificate was issued after the revocation was acknowledged");
                Ok(issued)
            }
        })
        .await;
    let issued = issued.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (at, certificate) in issued.into_iter().flatten().chain([first]).enumerate() {
        let shown = arena.replica(at).by_certificate(&certificate, None).await;
        ensure!(matches!(shown, Err(Error::Refused(Refusal::Revoked))), "a revoked certificate is {shown:?}");
    }
    nothing_after(&arena.done().await?, "machine.revoke", |entry| issues(entry, machine))
}

/// Asks for the next certificate and a token; `None` where it was refused.
async fn renew<S: Store>(app: &App<S>, certificate: &[u8], client: usize) -> Result<Option<Vec<u8>>, Fault> {
    let caller = match app.by_certificate(certificate, None).await {
        Ok(caller) => caller,
        Err(Error::Refused(Refusal::Revoked | Refusal::CredentialExpired)) => return Ok(None),
        Err(error) => return Err(fault("show a certificate", &error)),
    };
    let machine = *caller.machine().map_err(|refusal| refusal.to_string())?;
    let origin = Origin { caller, source: None };
    if client.is_multiple_of(2) {
        let request = TokenRequest { audience: "https://jobs.test".to_owned(), ttl_seconds: None };
        match app.machine_token(&request, &machine, &origin).await {
            Ok(_) | Err(Error::Refused(Refusal::Revoked | Refusal::MachineSuspended)) => {}
            Err(error) => return Err(fault("take a token", &error)),
        }
    }
    match app.renew(&machine, &origin).await {
        Ok(renewed) => Ok(renewed.credential.certificate.as_deref().map(leaf)),
        Err(Error::Refused(
            Refusal::Revoked
            | Refusal::MachineSuspended
            | Refusal::SlowDown { .. }
            | Refusal::CredentialExpired,
        )) => Ok(None),
        Err(error) => Err(fault("renew", &error)),
    }
}

async fn enroll_again<S: Store>(
    app: &App<S>,
    request: muster_wire::enroll::EnrollRequest,
) -> Result<Option<Vec<u8>>, Fault> {
    match ask(app.clone(), request).await? {
        Asked::In(enrolled) => Ok(enrolled.credential.certificate.as_deref().map(leaf)),
        Asked::Refused("revoked" | "slow_down") => Ok(None),
        Asked::Refused(code) => Err(format!("whoever is revoked was told {code}")),
        Asked::Held(held) => Err(format!("whoever is revoked was held: {held:?}")),
    }
}

fn issues(entry: &AuditRecord, machine: MachineId) -> bool {
    let of_machine = entry.object == machine.to_string()
        || entry.detail.get("machine").is_some_and(|named| *named == machine.to_string());
    let issuing =
        ["credential.reserve", "credential.renew", "credential.issue", "token.mint", "machine.enroll"];
    of_machine && issuing.contains(&&*entry.action)
}

/// No entry of this sort comes after the first entry of an act.
fn nothing_after(done: &[AuditRecord], act: &str, sort: impl Fn(&AuditRecord) -> bool) -> Result<(), Fault> {
    let end =
        done.iter().position(|entry| entry.action == act).ok_or_else(|| format!("no entry of {act}"))?;
    let late = done[end..].iter().find(|entry| sort(entry));
    ensure!(late.is_none(), "after {act} the log tells {late:?}");
    Ok(())
}

/// Rotating a site's key while machines enroll by it: what the log tells after the rotation is not by the old key.
pub(super) async fn rotate<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let (code, admin) = ("default".parse().map_err(|error| format!("{error:?}"))?, arena.admin());
    let old =
        arena.replica(0).rotate_key(&code, None, &admin).await.map_err(|error| fault("rotate", &error))?;
    let asked = arena
        .all(clients, |app, client| {
            let (code, admin) = (code.clone(), admin.clone());
            let request = arena.device(client).by_token(&old.key);
            async move {
                if client % 32 != 7 {
                    return ask(app, request).await.map(Some);
                }
                let rotated = app.rotate_key(&code, None, &admin).await;
                rotated.map(|_| None).map_err(|error| fault("rotate", &error))
            }
        })
        .await;
    let asked = asked.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rotations = asked.iter().filter(|asked| asked.is_none()).count();
    let won = tally(asked.into_iter().flatten().collect());
    ensure!(won.held == 0 && won.reasons.iter().all(|reason| reason == "not_entitled"), "{:?}", won.reasons);
    let machines = arena.machines().await?.len();
    ensure!(machines == won.inside.len(), "{machines} machines for {} who were let in", won.inside.len());
    let done = arena.done().await?;
    let generations = done.iter().filter(|entry| entry.action == "site.rotate_key").count();
    ensure!(generations == rotations + 1, "{rotations} rotations made {generations} entries");
    // The first rotation made the key; what ends it is the second.
    let second = done.iter().position(|entry| entry.action == "site.rotate_key").map_or(0, |first| first + 1);
    let by_old = |entry: &AuditRecord| entry.detail.get("grant").is_some_and(|grant| *grant == old.grant);
    nothing_after(&done[second..], "site.rotate_key", |entry| {
        entry.action == "machine.enroll" && by_old(entry)
    })?;
    let late = ask(arena.replica(1).clone(), arena.device(clients).by_token(&old.key)).await?;
    ensure!(matches!(late, Asked::Refused("not_entitled")), "the old key still lets somebody in");
    Ok(())
}

/// One request under one idempotency key, many times: one grant, and everybody gets its token.
pub(super) async fn one_request<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let admin = arena.admin();
    let made = arena
        .all(clients, |app, _| {
            let admin = admin.clone();
            async move {
                let new = CreateGrant { site: Some("default".to_owned()), ..CreateGrant::default() };
                app.create_grant(new, Some("the same"), &admin).await
            }
        })
        .await;
    let made: Result<Vec<_>, _> = made.into_iter().collect();
    let made = made.map_err(|error| fault("make a grant", &error))?;
    let same = made.iter().all(|grant| grant.token == made[0].token && grant.grant.id == made[0].grant.id);
    ensure!(same, "one request made several grants");
    let told = arena.done().await?.iter().filter(|entry| entry.action == "grant.create").count();
    ensure!(told == 1, "one request is told {told} times");
    Ok(())
}

/// Many sites of one code.
pub(super) async fn one_code<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let admin = arena.admin();
    let made = arena
        .all(clients, |app, _| {
            let admin = admin.clone();
            async move {
                let (code, reimage) = ("wanted".to_owned(), None);
                let site = CreateSite { code, approval: false, requests: false, reimage, seats: None };
                app.create_site(site, None, &admin).await.map(|site| site.id)
            }
        })
        .await;
    let taken =
        made.iter().filter(|made| matches!(made, Err(Error::Refused(Refusal::NameTaken { .. })))).count();
    let won = made.iter().filter(|made| made.is_ok()).count();
    ensure!((won, taken) == (1, clients - 1), "{won} made it, {taken} were told that it is taken: {made:?}");
    Ok(())
}

/// One login link, many browsers.
pub(super) async fn one_link<S: Store>(arena: &Arena<S>, clients: usize) -> Result<(), Fault> {
    let Caller::Operator(operator) = arena.admin().caller else { return Err("no operator".to_owned()) };
    let link =
        arena.replica(0).login_link(operator.operator).await.map_err(|error| fault("a link", &error))?;
    let login = link.rsplit_once('#').map(|(_, secret)| secret.to_owned()).ok_or("a link has a secret")?;
    let opened = arena
        .all(clients, |app, _| {
            let login = Login { login: login.clone() };
            async move {
                let stranger = Origin { caller: Caller::Anonymous, source: Some([192, 0, 2, 7].into()) };
                app.login(&login, &stranger).await.map(|(secret, _)| secret)
            }
        })
        .await;
    let won = opened.iter().filter(|opened| opened.is_ok()).count();
    let refused = |opened: &&Result<String, Error>| {
        matches!(opened, Err(Error::Refused(Refusal::NotAuthenticated { .. })))
    };
    let refused = opened.iter().filter(refused).count();
    ensure!((won, refused) == (1, clients - 1), "{won} sessions by one link: {opened:?}");
    Ok(())
}
