//! What waits in the queue of the world, and what is under way meanwhile.

use muster_agent_core::Timer;
use muster_app::Channel;
use muster_model::KeyFingerprint;
use muster_wire::channel::ServerFrame;
use tokio::sync::oneshot;

use super::call::{Call, Kind, Reply, Wish};
use super::hub::Millis;
use super::weather::Trouble;

/// Something that happens at its hour.
pub(super) enum Happening {
    /// A store operation has its turn.
    Turn {
        seat: usize,
        incarnation: u32,
        go: oneshot::Sender<()>,
    },
    /// A request reaches a replica.
    Arrive {
        request: u64,
        seat: usize,
    },
    /// An answer reaches whoever asked.
    Answer {
        request: u64,
        reply: Box<Reply>,
    },
    /// A stranger answers.
    Foreign {
        request: u64,
    },
    /// Whoever asked waits no longer.
    Timeout {
        request: u64,
    },
    /// A timer of an agent.
    Due {
        host: usize,
        epoch: u64,
        timer: Timer,
        due: Millis,
    },
    /// A frame reaches an agent.
    Frame {
        channel: u64,
        frame: ServerFrame,
    },
    /// An agent notices that its channel is gone.
    ChannelLost {
        channel: u64,
    },
    /// A server notices that a machine is gone.
    Gone {
        channel: u64,
    },
    /// A supervisor starts an agent.
    Start(usize),
    /// Somebody looks after a machine.
    Attend(usize),
    /// A replica looks at the store.
    Look(usize),
    /// A supervisor starts a replica.
    StartReplica(usize),
    /// Operators look at their desk.
    Desk,
    /// An operator tries again.
    Wish {
        wish: Wish,
        tries: u32,
    },
    /// Something breaks, or is whole again.
    Weather,
    Whole(Trouble),
    /// A copy of a signed request is sent again.
    Replay(Call),
    /// A machine is copied, or loses its disk.
    Mischief,
    /// From now on nothing fails.
    Heal,
}

/// A request under way.
pub(super) struct Request {
    /// Who asks, and in which life; an operator, where nobody.
    pub(super) host: Option<(usize, u64)>,
    /// The key that it showed then.
    pub(super) by: Option<KeyFingerprint>,
    pub(super) kind: Kind,
    pub(super) call: Call,
    pub(super) tries: u32,
    /// The place of the newest audit entry when it was asked.
    pub(super) since: u64,
    /// Whether its answer is lost on the way.
    pub(super) answer_lost: bool,
}

/// One end of a channel, as its server holds it.
pub(super) struct Held {
    pub(super) seat: usize,
    pub(super) incarnation: u32,
    pub(super) host: usize,
    pub(super) epoch: u64,
    pub(super) channel: Option<Box<Channel>>,
    pub(super) orders: u64,
    /// What is sent later arrives later.
    pub(super) clear_at: Millis,
}
