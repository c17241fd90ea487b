//! Channels: the present one of a machine, one by its next key beside it, and both ends of each.

use muster_agent_core::{Event, Verdict};
use muster_wire::channel::ServerFrame;

use super::happening::Happening;
use super::host::Link;
use super::hub::SECOND;
use super::world::World;

/// Which of a machine's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Present,
    Beside,
}

impl World {
    /// A frame reaches the agent that holds the channel.
    pub(super) fn frame(&mut self, channel: u64, frame: ServerFrame) {
        let Some(held) = self.channels.get(&channel) else { return };
        let (host, epoch) = (held.host, held.epoch);
        if self.hosts[host].epoch != epoch || self.which(host, channel) != Some(Which::Present) {
            return;
        }
        if self.hub.lock().chaos && self.once_in(40) {
            return self.channel_lost(channel);
        }
        self.heard(host, frame);
    }

    /// The agent notices that its channel is gone.
    pub(super) fn channel_lost(&mut self, channel: u64) {
        let Some(held) = self.channels.get(&channel) else { return };
        let (host, epoch) = (held.host, held.epoch);
        self.abandoned(channel);
        if self.hosts[host].epoch == epoch {
            self.hung_up(host, channel);
        }
    }

    /// The end of a channel reaches its agent; nothing, where it is not one of its own any more.
    pub(super) fn hung_up(&mut self, host: usize, channel: u64) {
        let Some(which) = self.which(host, channel) else { return };
        self.link(host, which, Link::Closed);
        let verdict = Verdict::later("the channel was closed");
        self.step(
            host,
            match which {
                Which::Present => Event::ChannelClosed(verdict),
                Which::Beside => Event::NextClosed(verdict),
            },
        );
    }

    /// Which of a machine's channels this is, if it still counts.
    fn which(&self, host: usize, channel: u64) -> Option<Which> {
        let process = self.hosts[host].process.as_ref()?;
        match Link::Open(channel) {
            link if process.link == link => Some(Which::Present),
            link if process.beside == link => Some(Which::Beside),
            _ => None,
        }
    }

    /// Notes how a channel of a machine stands.
    pub(super) fn link(&mut self, host: usize, which: Which, link: Link) {
        let Some(process) = &mut self.hosts[host].process else { return };
        match which {
            Which::Present => process.link = link,
            Which::Beside => process.beside = link,
        }
    }

    /// The server takes the machine for another one. That may be where it was forgotten, and its key was let in again; it
    /// believes nothing of it.
    pub(super) fn taken_for(&mut self, host: usize, which: Which, machine: &str) {
        let Some(process) = &self.hosts[host].process else { return };
        let link = match which {
            Which::Present => process.link,
            Which::Beside => process.beside,
        };
        let key = self.hosts[host].device().map(|device| device.fingerprint());
        if !key.is_some_and(|key| self.was_lost(key, host)) {
            let name = self.hosts[host].name.clone();
            return self.wrong(format!("{name} is taken for {machine}"));
        }
        if let Link::Open(channel) = link {
            self.channel_lost(channel);
        }
    }

    /// The machine holds the channel no longer; its server notices after a while.
    pub(super) fn abandoned(&mut self, channel: u64) {
        let after = self.between(SECOND, 12 * SECOND);
        self.after(after, Happening::Gone { channel });
    }

    /// The server notices.
    pub(super) fn gone(&mut self, channel: u64) {
        let Some(held) = self.channels.get_mut(&channel) else { return };
        let (seat, incarnation, end) = (held.seat, held.incarnation, held.channel.take());
        let (host, epoch) = (held.host, held.epoch);
        let is_held = self.hosts[host].epoch == epoch && self.which(host, channel).is_some();
        if !is_held {
            self.channels.remove(&channel);
        }
        let same = self.hub.lock().seats[seat].incarnation == incarnation;
        if let Some(end) = end.filter(|_| same && self.replicas[seat].runs()) {
            let app = self.replicas[seat].app();
            self.aside(seat, async move { app.channel_closed(*end).await });
        }
    }

    /// Every channel of a replica that died breaks; its agents notice.
    pub(super) fn break_channels(&mut self, seat: usize) {
        let broken: Vec<u64> =
            self.channels.iter().filter(|(_, held)| held.seat == seat).map(|(number, _)| *number).collect();
        for channel in broken {
            if let Some(held) = self.channels.get_mut(&channel) {
                held.channel = None;
            }
            let after = self.between(10, 20 * SECOND);
            self.after(after, Happening::ChannelLost { channel });
        }
    }
}
