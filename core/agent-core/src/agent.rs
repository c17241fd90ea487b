//! The machine itself: one step per event.

use std::time::Duration;

use jiff::SignedDuration;

use crate::event::{Effect, Event, Hook, Timer};
use crate::pace::{Fresh, Life};
use crate::state::{Channel, Ending, Keys, Patience, Renewal, Rotation, Running, Standing, State};
use crate::{enrolling, running};

/// An agent: a state, and how much its enrollment bears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    state: State,
    patience: Patience,
    rotate_after: Option<SignedDuration>,
}

impl Agent {
    /// One that has to enroll first.
    pub fn new(patience: Patience) -> Self {
        Self { state: State::Enrolling { attempt: 0 }, patience, rotate_after: None }
    }

    /// One that waited on a hold when it stopped.
    pub fn waiting(patience: Patience, hold: String, poll_after: u32) -> Self {
        Self { state: State::Waiting { hold, poll_after, attempt: 0 }, ..Self::new(patience) }
    }

    /// One that is enrolled.
    pub fn enrolled(life: Life, standing: Standing, keys: Keys) -> Self {
        let state = State::Running(Running::new(life, standing, keys));
        Self { state, patience: Patience::Service, rotate_after: keys.rotate_after }
    }

    /// The same, with keys that grow no older than this once it is enrolled.
    #[must_use]
    pub fn rotating(self, rotate_after: Option<SignedDuration>) -> Self {
        Self { rotate_after, ..self }
    }

    /// Where it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes one event and says what to do.
    pub fn step(&mut self, event: Event, fresh: &Fresh) -> Vec<Effect> {
        let placeholder = State::Enrolling { attempt: 0 };
        let keys = Keys { made_at: fresh.now, rotate_after: self.rotate_after, open: None, untried: false };
        let (state, effects) = match std::mem::replace(&mut self.state, placeholder) {
            State::Enrolling { attempt } => enrolling::asking(attempt, self.patience, keys, event, fresh),
            State::Waiting { hold, poll_after, attempt } => {
                let hold = enrolling::Hold { hold, poll_after, attempt };
                enrolling::waiting(hold, self.patience, keys, event, fresh)
            }
            State::Running(running) => running::step(running, event, fresh),
            ended @ State::Ended(_) => (ended, Vec::new()),
        };
        self.state = state;
        effects
    }
}

impl Running {
    pub(crate) fn new(life: Life, standing: Standing, keys: Keys) -> Self {
        Self {
            life,
            standing,
            channel: Channel::Down { attempt: 0 },
            renewal: Renewal::Planned { at: life.not_after },
            ordered: None,
            keys,
            rotation: Rotation::Planned { at: None },
            rotate_ordered: None,
            said: None,
        }
    }
}

/// The end, for an identity or an enrollment that will not come back by itself.
pub(crate) fn ended(ending: Ending, acknowledge: Option<u64>) -> (State, Vec<Effect>) {
    let mut effects = vec![Effect::Hook { hook: Hook::Retired, acknowledge }];
    effects.extend([Effect::SetAside(ending.clone()), Effect::CloseChannel, Effect::Stop(ending.clone())]);
    (State::Ended(ending), effects)
}

pub(crate) fn wake(timer: Timer, after: Duration) -> Effect {
    Effect::Wake { timer, after }
}
