//! How agents die and leave, and who looks after them.

use super::disk::{ENDED, FILES, Slot};
use super::happening::Happening;
use super::host::{Exit, Role};
use super::hub::{MINUTE, SECOND};
use super::steps::{Column, Step};
use super::world::World;

impl World {
    /// The process dies, and its supervisor starts it again after a while. Its files may be damaged meanwhile.
    pub(super) fn crash(&mut self, host: usize) {
        self.stop(host);
        self.lose_both_slots(host);
        let step = self.hosts[host].written();
        for column in [Column::Corrupt, Column::Permissions] {
            let file = self.pick(host);
            if let Some(file) = file
                && self.strikes(host, step, column)
            {
                match column {
                    Column::Corrupt => self.garble(host, file),
                    _ => self.hosts[host].disk.expose(file),
                }
            }
        }
        let after = self.between(2 * SECOND, 2 * MINUTE);
        self.after(after, Happening::Start(host));
    }

    fn garble(&mut self, host: usize, file: &str) {
        self.hosts[host].was_damaged = true;
        self.hosts[host].disk.garble(file);
    }

    /// Both keys are damaged at once: nothing is left to go on with, and a person must look.
    fn lose_both_slots(&mut self, host: usize) {
        let both = [Slot::A, Slot::B].map(Slot::key_file);
        if both.iter().all(|file| self.hosts[host].disk.exists(file))
            && self.strikes(host, Step::BothSlots, Column::Corrupt)
        {
            both.into_iter().for_each(|file| self.garble(host, file));
        }
    }

    fn pick(&mut self, host: usize) -> Option<&'static str> {
        let names: Vec<&'static str> = self.hosts[host].disk.names().filter(|name| *name != ENDED).collect();
        (!names.is_empty()).then(|| names[self.hub.lock().dice.usize(0..names.len())])
    }

    /// The process is gone; what it held at servers they notice.
    pub(super) fn stop(&mut self, host: usize) {
        self.hosts[host].epoch += 1;
        if let Some(process) = self.hosts[host].process.take() {
            process.channels().for_each(|channel| self.abandoned(channel));
        }
    }

    /// An agent left with an exit code: whoever runs the machine does what that asks for.
    pub(super) fn left(&mut self, host: usize, exit: Exit) {
        if exit == Exit::Corrupt && !self.hosts[host].disk.is_damaged() {
            let name = self.hosts[host].name.clone();
            self.wrong(format!("{name} finds its files damaged, and nobody damaged them (I-5)"));
        }
        self.tell(|world| format!("{} leaves: {exit:?}", world.hosts[host].name));
        self.stop(host);
        let after = match &exit {
            Exit::Over(_) => None,
            Exit::Permissions | Exit::Corrupt | Exit::KeyLost => Some(self.between(5 * MINUTE, 60 * MINUTE)),
            Exit::Disk => Some(self.between(10 * SECOND, 5 * MINUTE)),
            Exit::GaveUp(_) => Some(self.between(MINUTE, 20 * MINUTE)),
        };
        self.hosts[host].exit = Some(exit);
        if let Some(after) = after {
            self.after(after, Happening::Attend(host));
        }
    }

    /// Somebody looks after a machine whose agent left.
    pub(super) fn attend(&mut self, host: usize) {
        match self.hosts[host].exit.clone() {
            Some(Exit::Corrupt | Exit::KeyLost)
                if self.hub.lock().once_in(5) && self.hosts[host].role == Role::Honest =>
            {
                self.begin_again(host);
            }
            Some(Exit::Permissions | Exit::Corrupt | Exit::KeyLost) => self.hosts[host].disk.repair(),
            Some(Exit::GaveUp(_)) => self.invite(host),
            _ => {}
        }
        self.start(host);
    }

    /// Sets everything aside, so that the machine enrolls under another key.
    pub(super) fn begin_again(&mut self, host: usize) {
        let at = &mut self.hosts[host];
        for name in FILES.into_iter().chain([ENDED]) {
            at.disk.set_aside(name);
        }
        self.spoken.remove(&host);
        self.tell(|world| format!("{} begins again", world.hosts[host].name));
    }
}
