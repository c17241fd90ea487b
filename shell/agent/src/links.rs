//! The channels of a driver: the present one, and one by the next key beside it until that has worked.

use muster_wire::channel::{AgentFrame, ServerFrame};
use tokio::sync::mpsc;

use crate::net::channel::Ear;

/// The channels that count. What comes from others is of the past.
pub(crate) struct Links {
    pub(crate) heard: mpsc::Receiver<(u32, ServerFrame)>,
    hear: mpsc::Sender<(u32, ServerFrame)>,
    opened: u32,
    present: Option<Link>,
    beside: Option<Link>,
}

/// A channel: it is closed where nobody holds its other end.
struct Link {
    number: u32,
    say: Option<mpsc::Sender<AgentFrame>>,
}

/// Which channel it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Present,
    Beside,
}

impl Links {
    pub(crate) fn new() -> Self {
        let (hear, heard) = mpsc::channel(16);
        Self { heard, hear, opened: 0, present: None, beside: None }
    }

    /// Opens one in its place.
    pub(crate) fn open(&mut self, which: Which) -> (Ear, mpsc::Receiver<AgentFrame>) {
        self.opened = self.opened.wrapping_add(1);
        let (say, said) = mpsc::channel(16);
        let link = Some(Link { number: self.opened, say: Some(say) });
        match which {
            Which::Present => self.present = link,
            Which::Beside => self.beside = link,
        }
        (Ear { number: self.opened, heard: self.hear.clone() }, said)
    }

    /// Which channel has this number, if it still counts.
    pub(crate) fn which(&self, number: u32) -> Option<Which> {
        let is = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.number == number);
        match () {
            () if is(&self.present) => Some(Which::Present),
            () if is(&self.beside) => Some(Which::Beside),
            () => None,
        }
    }

    /// The channel beside is the present one; the one before closes once it has sent what it was given.
    pub(crate) fn take_beside(&mut self) {
        self.present = self.beside.take();
    }

    /// A channel is gone.
    pub(crate) fn lost(&mut self, which: Which) {
        match which {
            Which::Present => self.present = None,
            Which::Beside => self.beside = None,
        }
    }

    /// Closes a channel; its end is told as that of any other.
    pub(crate) fn hang_up(&mut self, which: Which) {
        let link = match which {
            Which::Present => &mut self.present,
            Which::Beside => &mut self.beside,
        };
        if let Some(link) = link {
            link.say = None;
        }
    }

    /// Closes both, and hears no more of either.
    pub(crate) fn close(&mut self) {
        (self.present, self.beside) = (None, None);
    }

    /// Acknowledges an order on the present channel. A channel that is gone or stuck needs none: the server repeats the
    /// order on the next one.
    pub(crate) fn acknowledge(&self, id: u64) {
        self.say(AgentFrame::Ack { id });
    }

    /// Says on the present channel which roots are held. Whoever opens the next one says it again.
    pub(crate) fn holds(&self, bundle: u64) {
        self.say(AgentFrame::Holds { bundle });
    }

    fn say(&self, frame: AgentFrame) {
        if let Some(say) = self.present.as_ref().and_then(|link| link.say.as_ref())
            && let Err(error) = say.try_send(frame)
        {
            tracing::debug!(%error, "a word was not taken");
        }
    }
}
