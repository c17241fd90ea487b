//! What follows a commit on this replica: orders to machines that hold a channel.
//!
//! Folded from the changes themselves, so that no use case can forget it.

use muster_lifecycle::{Change, CredentialChange, KeyChange, MachineChange, MachineOrder};
use muster_model::{
    CredentialState, EndReason, KeyStanding, Machine, MachineState, RetireCause, SuspendCause, Suspended,
};
use muster_wire::channel::Order;

use crate::presence::{ChannelOrder, Registry};

/// Acts on committed changes.
pub(crate) fn follow(registry: &Registry, changes: &[Change]) {
    let key_ended = changes.iter().any(ends_a_key);
    for change in changes {
        match change {
            Change::Machine(MachineChange::Update(machine)) => {
                registry.order(machine.id, order(machine, key_ended));
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

/// An order that does not follow from the machine's record.
pub(crate) fn ordered(order: MachineOrder) -> ChannelOrder {
    let order = match order {
        MachineOrder::Renew => Order::Renew,
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
        MachineState::Retired(_) => (Order::Retire, said(machine), true),
    };
    ChannelOrder { order, reason, last }
}

fn ends_a_key(change: &Change) -> bool {
    match change {
        Change::Key(KeyChange::Standing { standing, .. }) => *standing != KeyStanding::Current,
        Change::Credential(CredentialChange::State {
            state: CredentialState::Ended { reason, .. }, ..
        }) => {
            matches!(reason, EndReason::Revoked | EndReason::Superseded)
        }
        _ => false,
    }
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
        },
        MachineState::Retired(retired) => match &retired.cause {
            RetireCause::Operator(said) => said.as_ref().map(ToString::to_string),
            RetireCause::Left => Some("left".to_owned()),
        },
        MachineState::Pending(_) | MachineState::Active(_) => None,
    }
}
