//! Tells systemd how the agent does (sd_notify). Silent where there is no systemd.

use sd_notify::NotifyState;

pub(crate) fn ready() {
    send(&[NotifyState::Ready]);
}

pub(crate) fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

fn send(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
