//! Who is in a world: honest machines with their ways in, and thieves.

use muster_wire::grant::CreateGrant;

use super::disk::Disk;
use super::happening::Happening;
use super::host::{Host, Role, Way};
use super::hub::{HOUR, MINUTE, SECOND};
use super::world::World;

impl World {
    pub(super) fn populate(&mut self) {
        let setup = self.setup();
        let app = self.replicas[0].app();
        let admin = self.admin();
        let grant = CreateGrant { uses: Some(0), expires_in: Some(30 * 86_400), ..CreateGrant::default() };
        let site_key = self.made(app.create_grant(grant, None, &admin)).token;
        for number in 0..setup.agents {
            let way = match number % 4 {
                0 | 3 => Way::Token(self.one_time()),
                1 => Way::Site(site_key.clone()),
                _ => Way::Request,
            };
            let within = if setup.faults { 4 * HOUR } else { HOUR };
            let at = self.between(0, within);
            let host = self.add_host(format!("m{number}"), Role::Honest, way, None);
            self.after(at, Happening::Start(host));
        }
        self.people.site_key = site_key;
        for _ in 0..setup.agents {
            let token = self.one_time();
            self.people.spare.push(token);
        }
        let first = self.between(MINUTE, 10 * MINUTE);
        self.after(first, Happening::Desk);
        if setup.faults {
            self.thieves();
            self.after(10 * SECOND, Happening::Weather);
            self.after(30 * MINUTE, Happening::Mischief);
            self.after(i64::from(setup.hours) * HOUR, Happening::Heal);
        }
    }

    /// A machine that will come.
    pub(super) fn add_host(&mut self, name: String, role: Role, way: Way, hardware: Option<String>) -> usize {
        let hardware = hardware.unwrap_or_else(|| format!("hw_{name}"));
        self.hosts.push(Host {
            name,
            role,
            way,
            hardware,
            disk: Disk::default(),
            process: None,
            epoch: 0,
            offset: 0,
            keys: Vec::new(),
            exit: None,
            sent: 0,
            copied: false,
            was_damaged: false,
            abandoned: false,
        });
        self.hosts.len() - 1
    }

    fn thieves(&mut self) {
        let honest = self.hosts.len();
        let victim = self.hub.lock().dice.usize(0..honest);
        let name = |what: &str| format!("{what}-of-m{victim}");
        if let Way::Token(_) = &self.hosts[victim].way {
            let way = self.hosts[victim].way.clone();
            let thief = self.add_host(name("token-thief"), Role::TokenThief, way, None);
            let at = self.between(0, 5 * HOUR);
            self.after(at, Happening::Start(thief));
        }
        let (way, hardware) = (Way::Site(self.people.site_key.clone()), self.hosts[victim].hardware.clone());
        let thief = self.add_host(name("impostor"), Role::Impostor, way, Some(hardware));
        let at = self.between(0, 8 * HOUR);
        self.after(at, Happening::Start(thief));
    }

    /// A token for one machine, made while nothing fails.
    pub(super) fn one_time(&mut self) -> String {
        let app = self.replicas[0].app();
        let grant = CreateGrant { expires_in: Some(30 * 86_400), ..CreateGrant::default() };
        let admin = self.admin();
        self.made(app.create_grant(grant, None, &admin)).token
    }
}
