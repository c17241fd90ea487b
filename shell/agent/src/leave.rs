//! Signing off: the machine says it leaves, and its files are set aside.

use std::path::Path;
use std::sync::Arc;

use muster_agent_core::{Proof, Verdict};

use crate::AgentError;
use crate::net::{calls::Line, endpoint::Endpoint, sign::Signer};
use crate::ports::Ports;
use crate::store::records::Identity;
use crate::store::{self, Enrolled, Found, Store};

/// Signs this machine off and sets its files aside. Where an agent is running on the directory, that agent is told by
/// the server and sets them aside itself.
pub async fn leave(dir: &Path) -> Result<(), AgentError> {
    leave_on(Ports::real(), dir).await
}

pub(crate) async fn leave_on(ports: Ports, dir: &Path) -> Result<(), AgentError> {
    let slots = match store::peek(dir)? {
        Some((_, Found::Enrolled(slots))) => slots,
        _ => return Err(AgentError::NotEnrolled { dir: dir.to_owned() }),
    };
    let endpoint = Endpoint::parse(&slots.present.identity.url).map_err(AgentError::config)?;
    let line = Line { ports: ports.clone(), endpoint, signer: Arc::new(Signer::new()?) };
    let mut left = line.leave(&slots.present, proof(&slots.present, &ports)).await;
    // Where a rotation was under way, the next key may be in the place of this one already.
    if let (Err(Verdict::Ended(_) | Verdict::RotationNeeded), Some(spare)) = (&left, &slots.spare) {
        let base = slots.present.base;
        let identity = Identity { life: spare.life(), ..slots.present.identity.clone() };
        let other = spare.shown(identity, base);
        left = line.leave(&other, proof(&other, &ports)).await;
    }
    match left {
        // The server knows it as gone already: that is what was asked for.
        Ok(()) | Err(Verdict::Ended(_)) => {}
        Err(verdict) => return Err(AgentError::of(&verdict, dir)),
    }
    match Store::open(dir) {
        Ok(store) => store.set_aside(ports.clock.now()),
        Err(AgentError::InUse { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn proof(enrolled: &Enrolled, ports: &Ports) -> Proof {
    match enrolled.identity.life.is_over(ports.clock.now()) {
        true => Proof::Signature,
        false => Proof::Certificate,
    }
}
