//! What follows a commit on this replica: orders to machines that hold a channel.
//!
//! Folded from the changes themselves, so that no use case can forget it.

use muster_lifecycle::{Change, CredentialChange, KeyChange, MachineChange, MachineOrder};
use muster_model::{
    CredentialState, EndReason, KeyStanding, Machine, MachineId, MachineState, RetireCause, SuspendCause,
    Suspended,
};
use muster_wire::channel::Order;

use crate::caller::Proof;
use crate::channel::Holder;
use crate::presence::{ChannelOrder, Registry};

/// Acts on committed changes.
pub(crate) fn follow(registry: &Registry, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Machine(MachineChange::Update(machine)) => {
                tell(registry, machine, changes);
                if matches!(machine.state, MachineState::Retired(_)) {
                    registry.forget(machine.id);
                }
            }
            Change::Machine(MachineChange::Order { machine, order }) => {
                registry.order(*machine, ordered(*order));
            }
            _ => {}
        }
    }
}

/// Tells whoever holds the channel of a machine that changed.
fn tell(registry: &Registry, machine: &Machine, changes: &[Change]) {
    let Some(proof) = registry.holder(machine.id) else { return };
    match holder(machine.id, proof, changes) {
        Holder::Rotated | Holder::Superseded => registry.close_holder(machine.id, proof),
        Holder::Itself => registry.order_holder(machine.id, proof, order(machine, false)),
        Holder::Ended => registry.order_holder(machine.id, proof, order(machine, true)),
    }
}

/// What these changes make of whoever holds a machine's channel.
fn holder(machine: MachineId, proof: Proof, changes: &[Change]) -> Holder {
    let made = |change: &Change| match (change, proof) {
        // Whoever has the newer key knows; whoever is told that a key was revoked ends itself.
        (Change::Key(KeyChange::SupersedeAll(its)), Proof::Key(_)) if *its == machine => {
            Some(Holder::Superseded)
        }
        (Change::Key(KeyChange::Standing { key, standing }), Proof::Key(shown)) if *key == shown => {
            match standing {
                KeyStanding::Current | KeyStanding::Proposed => None,
                KeyStanding::Previous => Some(Holder::Rotated),
                KeyStanding::Superseded => Some(Holder::Superseded),
                KeyStanding::Revoked => Some(Holder::Ended),
            }
        }
        (Change::Credential(CredentialChange::State { credential, state }), Proof::Secret(shown)) => {
            let is_its = *credential == shown && ends(state);
            is_its.then_some(Holder::Ended)
        }
        _ => None,
    };
    changes.iter().find_map(made).unwrap_or(Holder::Itself)
}

fn ends(state: &CredentialState) -> bool {
    matches!(
        state,
        CredentialState::Ended {
            reason: EndReason::Revoked | EndReason::Superseded | EndReason::Retired,
            ..
        }
    )
}

/// An order that does not follow from the machine's record.
pub(crate) fn ordered(order: MachineOrder) -> ChannelOrder {
    let order = match order {
        MachineOrder::Renew => Order::Renew,
        MachineOrder::Rotate => Order::Rotate,
    };
    ChannelOrder { order, reason: None, last: false }
}

/// What the holder of a channel is told by the machine's record; `key_ended` where it is not the machine any more.
pub(crate) fn order(machine: &Machine, key_ended: bool) -> ChannelOrder {
    let (order, reason, last) = match &machine.state {
        // The holder of the channel is not the machine any more: its key was replaced or revoked.
        MachineState::Active(_) | MachineState::Suspended(_) if key_ended => {
            (Order::Revoked, said(machine), true)
        }
        MachineState::Active(_) | MachineState::Pending(_) => (Order::Resume, None, false),
        MachineState::Suspended(_) => (Order::Suspend, said(machine), false),
        // Who is told to retire ends itself, and this can be undone.
        state if state.undone_until().is_some() => (Order::Suspend, said(machine), true),
        MachineState::Retired(_) => (Order::Retire, said(machine), true),
    };
    ChannelOrder { order, reason, last }
}

/// What an operator said about the state of a machine.
pub(crate) fn said(machine: &Machine) -> Option<String> {
    match &machine.state {
        MachineState::Suspended(Suspended { cause, .. }) => match cause {
            SuspendCause::Operator(said) => said.as_ref().map(ToString::to_string),
            SuspendCause::Revoked(said) => {
                Some(said.as_ref().map_or_else(|| "revoked".to_owned(), |said| format!("revoked: {said}")))
            }
            SuspendCause::Probation => Some("probation".to_owned()),
            SuspendCause::Silent => Some("silent".to_owned()),
            SuspendCause::Quarantine => Some("quarantine: two hold its key".to_owned()),
        },
        MachineState::Retired(retired) => match &retired.cause {
            RetireCause::Operator(said) => said.as_ref().map(ToString::to_string),
            RetireCause::Left => Some("left".to_owned()),
            RetireCause::Silent => Some("silent".to_owned()),
        },
        MachineState::Pending(_) | MachineState::Active(_) => None,
    }
}
