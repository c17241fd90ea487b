//! The world: one queue of events, one pair of dice, an hour that moves from event to event.
//!
//! Everything that happens is taken from the queue in the order of its hour, so a seed gives the same run every time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use muster_app::{Founded, Origin, Parts, Settings, found};
use muster_issuer::TrustDomain;
use muster_model::{KeyFingerprint, MachineId, SignedDuration};
use muster_testkit::reference::ReferenceStore;

use super::Setup;
use super::authority::Home;
use super::call::Reply;
use super::happening::{Happening, Held, Request};
use super::host::Host;
use super::hub::{Fact, HOUR, Hub, MINUTE, Millis, SeatPorts};
use super::people::People;
use super::plant::Plant;
use super::replica::Replica;
use super::store::SeatStore;

/// How long the world goes on once nothing fails any more.
pub(super) const HEALING: Millis = 2 * HOUR;

/// No world has reason for more events.
const MOST: u64 = 200_000;

/// Answers that tasks gave.
pub(super) type Given = Arc<Mutex<Vec<(u64, usize, Reply)>>>;

/// Everything there is.
pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) store: ReferenceStore,
    pub(super) home: Arc<Home>,
    pub(super) trust_domain: TrustDomain,
    pub(super) founded: Founded,
    pub(super) settings: Settings,
    pub(super) replicas: Vec<Replica>,
    pub(super) hosts: Vec<Host>,
    /// Machines that spoke of a key.
    pub(super) spoken: BTreeSet<usize>,
    /// Keys whose machines were told that they are rejected.
    pub(super) rejected: BTreeSet<(usize, KeyFingerprint)>,
    pub(super) requests: BTreeMap<u64, Request>,
    pub(super) channels: BTreeMap<u64, Held>,
    pub(super) given: Given,
    pub(super) people: People,
    pub(super) events: u64,
    queue: BTreeMap<(Millis, u64), Happening>,
    numbers: u64,
}

impl World {
    /// A deployment with its replicas, and machines that will come.
    pub(super) fn new(seed: u64, setup: Setup) -> Self {
        let hub = Hub::new(seed, setup);
        let store = ReferenceStore::default();
        let home = Home::shared();
        let mut settings = Settings::at("https://muster.test:8443");
        settings.poll_after = 60;
        if setup.faults {
            // Shorter lives have more happen in a day.
            settings.terms.certificate_life = SignedDuration::from_hours(6);
        }
        let ports = SeatPorts { hub: hub.clone(), seat: 0 };
        let pepper = muster_testkit::world::pepper();
        let founding = found(&store, &ports, &pepper, settings.hold_cap);
        let founded = super::replica::at_once(founding).expect("the reference store waits for nothing");
        let founded = founded.expect("founded");
        let authority = home.authority();
        let trust_domain = authority.trust_domain().clone();
        let mut world = Self {
            hub,
            store,
            home,
            trust_domain,
            founded,
            settings,
            replicas: Vec::new(),
            hosts: Vec::new(),
            spoken: BTreeSet::new(),
            rejected: BTreeSet::new(),
            requests: BTreeMap::new(),
            channels: BTreeMap::new(),
            given: Given::default(),
            people: People::default(),
            events: 0,
            queue: BTreeMap::new(),
            numbers: 0,
        };
        world.replicas = (0..setup.replicas).map(|_| Replica::default()).collect();
        (0..setup.replicas).for_each(|seat| world.start_replica(seat));
        world.populate();
        world
    }

    /// Runs until nothing is left that matters.
    pub(super) fn run(&mut self) {
        let setup = self.setup();
        let end = i64::from(setup.hours) * HOUR + if setup.faults { HEALING } else { 0 };
        while let Some(entry) = self.queue.first_entry() {
            let (at, _) = *entry.key();
            if at > end || !self.hub.lock().violations.is_empty() {
                break;
            }
            let happening = entry.remove();
            self.hub.lock().now = at;
            self.events += 1;
            if self.events > MOST {
                self.wrong("the world never comes to rest (I-14)".to_owned());
            }
            self.happen(happening);
            self.settle_down();
        }
        self.hub.lock().now = end;
        self.finish();
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Turn { seat, incarnation, go } => self.turn(seat, incarnation, go),
            Happening::Arrive { request, seat } => self.arrive(request, seat),
            Happening::Answer { request, reply } => self.answered(request, *reply),
            Happening::Foreign { request } => self.answered_by_a_stranger(request),
            Happening::Timeout { request } => self.timed_out(request),
            Happening::Due { host, epoch, timer, due } => self.due(host, epoch, timer, due),
            Happening::Frame { channel, frame } => self.frame(channel, frame),
            Happening::ChannelLost { channel } => self.channel_lost(channel),
            Happening::Gone { channel } => self.gone(channel),
            Happening::Start(host) => self.start(host),
            Happening::Attend(host) => self.attend(host),
            Happening::Look(seat) => self.look_now(seat),
            Happening::StartReplica(seat) => self.start_replica(seat),
            Happening::Desk => self.desk(),
            Happening::Wish { wish, tries } => self.wish(wish, tries),
            Happening::Weather => self.weather(),
            Happening::Whole(trouble) => self.whole(trouble),
            Happening::Replay(call) => self.replay(call),
            Happening::Mischief => self.mischief(),
            Happening::Heal => self.heal(),
        }
    }

    fn due(&mut self, host: usize, epoch: u64, timer: muster_agent_core::Timer, due: Millis) {
        if self.hosts[host].epoch != epoch {
            return;
        }
        let process = self.hosts[host].process.as_mut();
        let Some(process) = process.filter(|process| process.timers.get(&timer) == Some(&due)) else {
            return;
        };
        process.timers.remove(&timer);
        self.step(host, muster_agent_core::Event::Due(timer));
    }

    pub(super) fn after(&mut self, after: Millis, happening: Happening) {
        self.numbers += 1;
        let at = self.now() + after.max(0);
        self.queue.insert((at, self.numbers), happening);
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn now(&self) -> Millis {
        self.hub.lock().now
    }

    pub(super) fn setup(&self) -> Setup {
        self.hub.lock().setup
    }

    pub(super) fn plant(&self) -> Option<Plant> {
        self.hub.lock().setup.plant
    }

    pub(super) fn between(&self, least: Millis, most: Millis) -> Millis {
        self.hub.lock().between(least, most)
    }

    pub(super) fn once_in(&self, times: u32) -> bool {
        self.hub.lock().once_in(times)
    }

    pub(super) fn wrong(&self, what: String) {
        self.hub.lock().wrong(what);
    }

    pub(super) fn note(&self, fact: Fact) {
        let told = self.store.snapshot().told();
        let mut inside = self.hub.lock();
        // An answer that was under way when a standby took over may be of what that one lacks.
        if inside.lost_at.is_none_or(|at| inside.now - at > MINUTE) {
            inside.facts.push((told, fact));
        }
    }

    pub(super) fn tell(&self, what: impl FnOnce(&Self) -> String) {
        if self.setup().tells {
            let text = what(self);
            self.hub.lock().tell(|| text);
        }
    }

    pub(super) fn admin(&self) -> Origin {
        Origin { caller: self.replicas[0].app().local_admin(self.founded.admin), source: None }
    }

    /// The parts of a replica.
    pub(super) fn parts(&self, seat: usize, incarnation: u32) -> Parts<SeatStore> {
        let hub = self.hub.clone();
        Parts {
            store: SeatStore { inner: self.store.clone(), hub: hub.clone(), seat, incarnation },
            authority: self.home.authority(),
            pepper: muster_testkit::world::pepper(),
            ports: Box::new(SeatPorts { hub, seat }),
            settings: self.settings.clone(),
            tenant: self.founded.tenant,
        }
    }

    /// The machine that a host believes to be.
    pub(super) fn machine_of(&self, host: usize) -> Option<MachineId> {
        self.hosts[host].disk.identity().ok().flatten()?.machine.parse().ok()
    }
}
