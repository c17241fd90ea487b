//! The whole system in one process: agents, replicas, the store, the network, disks and clocks, driven by one seed.
//!
//! The cores are the real ones: every agent is a [`muster_agent_core::Agent`], every replica an [`muster_app::App`] with
//! real certificates, over the reference store. What is around them is simulated, and everything around them fails: see
//! [`Step`] and [`Column`]. A seed gives the same run every time; [`Plant`] has mistakes that must be found.

mod answers;
mod authority;
mod bend;
mod call;
mod campaign;
mod care;
mod carry;
mod coverage;
mod disk;
mod endings;
mod fate;
mod finish;
mod happening;
mod history;
mod host;
mod hub;
mod keep;
mod laws;
mod links;
mod net;
mod people;
mod plant;
mod populace;
mod post;
mod replica;
mod rotating;
mod rounds;
mod slots;
mod start;
mod steps;
mod store;
mod strikes;
mod weather;
mod words;
mod world;

pub use campaign::{Campaign, Outcome, find, run as simulate_all, strike};
pub use coverage::Coverage;
pub use plant::Plant;
pub use steps::{Cell, Column, Step};

/// So many seeds, the first ones, are part of every run of the tests.
pub const EVERY_RUN: u64 = 500;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// How many honest machines there are.
    pub agents: u32,
    /// How many replicas serve them.
    pub replicas: usize,
    /// For how many hours things happen; then the world heals.
    pub hours: u32,
    /// Whether anything fails.
    pub faults: bool,
    /// Whether a failover may lose the newest commits, as an asynchronous standby does.
    pub asynchronous: bool,
    /// Where faults strike more often than elsewhere.
    pub focus: Option<Cell>,
    /// A mistake to find.
    pub plant: Option<Plant>,
    /// Whether events are kept, to be told with a failure.
    pub tells: bool,
}

/// What came of one seed.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// What does not hold.
    pub violations: Vec<String>,
    /// What struck where.
    pub coverage: Coverage,
    /// The last events, where they were kept.
    pub trace: Vec<String>,
    /// How many events there were.
    pub events: u64,
}

impl Setup {
    /// What a seed has: each looks at another pair of the matrix, and one in eight has an asynchronous standby. Those of
    /// every run of the tests are smaller.
    pub fn of(seed: u64) -> Self {
        Self::sized(seed, seed < EVERY_RUN)
    }

    fn sized(seed: u64, small: bool) -> Self {
        let focus = Coverage::looked_at(seed);
        let is_rare = focus.0 == Step::Adopt;
        let (agents, hours) = if small && !is_rare { (3, 8) } else { (4, 12) };
        Self {
            agents,
            replicas: 3,
            hours,
            faults: true,
            asynchronous: seed % 8 == 7 || is_rare,
            focus: Some(focus),
            plant: None,
            tells: false,
        }
    }

    /// The same with a planted mistake, which shows soon or never.
    fn planted(seed: u64, plant: Plant, small: bool) -> Self {
        Self { plant: Some(plant), ..Self::sized(seed, small) }
    }

    /// A day on which nothing fails.
    pub fn quiet(agents: u32) -> Self {
        Self { agents, faults: false, asynchronous: false, focus: None, ..Self::of(0) }
    }
}

/// Runs one seed.
pub fn simulate(seed: u64, setup: Setup) -> Told {
    let mut world = world::World::new(seed, setup);
    world.run();
    let inside = world.hub.lock();
    Told {
        violations: inside.violations.clone(),
        coverage: inside.coverage.clone(),
        trace: inside.trace(),
        events: world.events,
    }
}
