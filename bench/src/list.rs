//! P8: lists, searches, filters and the overview, over the HTTP API, one caller after another: among ten thousand
//! machines and among a million. How long the half and 99 of 100 answers take, and how that grows.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use muster_model::Timestamp;
use muster_wire::access::CreateToken;
use muster_wire::site::CreateSite;
use serde::Deserialize;

use crate::Bench;
use crate::enroll::Rounds;
use crate::fill::fill;
use crate::fleet::{Fleet, SITES, Wave, grant};
use crate::http::get;
use crate::kept::Kept;
use crate::load::{Feed, Load, run};
use crate::report::{Row, Target, number};
use crate::world::World;

const FEW: u64 = 10_000;
const ID: &str = "P8";
const BEFORE: &str = "at 10,000";
const TARGET: Target = Target::Page { p99_ms: 50.0, times: 1.5 };
/// A page that fits a screen, and one that is asked for by who wants them all.
const PAGE: &str = "/v1/machines?limit=50";
const WHOLE: &str = "/v1/machines?limit=1000";

/// What is asked, and the page it is. A rare word differs, so that as many machines have it at either size; nobody holds a
/// channel here, so that `online:no` finds everybody, and `online:yes` looks at as many as a page may and finds nobody.
const LISTS: [(&str, &str); 30] = [
    ("first page", ""),
    ("search: a rare word", "&search=RARE"),
    ("search: a beginning that half of them share", "&search=w"),
    ("search: two words, both of 1 of 200", "&search=kiosk+staging"),
    ("search: two common words, never both", "&search=web+worker"),
    ("search: a word that nobody has", "&search=nowhere"),
    ("filter: a state of 3 %", "&state=pending"),
    ("filter: a site of 20 %", "&site=north"),
    ("filter: a site of 0.5 %", "&site=attic"),
    ("filter: that site of 20 %, that state of 3 %", "&site=north&state=pending"),
    ("a common word in that state of 3 %", "&search=web&state=pending"),
    ("a common word in a state of 0.5 %", "&search=web&state=suspended"),
    ("a common word on that site of 0.5 %", "&search=web&site=attic"),
    ("field: kind:host, which all are", "&search=kind:host"),
    ("field: a role of 2 %", "&search=role:display"),
    ("field: a label of 25 %", "&search=label:env=staging"),
    ("field: a label of 0.25 %", "&search=label:rack=r7"),
    ("field: a label of 50 machines", "&search=label:owner=RARE"),
    ("field: a label that all have, any value", "&search=label:rack"),
    ("field: a label that nobody has", "&search=label:nowhere"),
    ("field: a grant of 5 %", "&search=grant:GRANT"),
    ("field: a version of 2.5 %", "&search=version:1.2.7"),
    ("field: versions that begin alike, 27 %", "&search=version:1.2.1*"),
    ("field: a system of 60 %, in quotes", "&search=os:%22debian+gnu/linux+12*%22"),
    ("field: one address", "&search=address:10.100.16.2"),
    ("field: addresses that begin alike, 256", "&search=address:10.100.16.*"),
    ("field: addresses that begin alike, 65,536", "&search=address:10.100.*"),
    ("field: that label of 25 %, that version, a word", "&search=label:env=staging+version:1.2.7+web"),
    ("field: online:no, which all are", "&search=online:no"),
    ("field: online:yes, nobody among 4,000", "&search=online:yes"),
];
const DEEP: &str = "a page from the second half";
const OVERVIEW: &str = "overview with its counts";

/// What each round measured of one question.
struct Question {
    what: &'static str,
    figures: Rounds,
}

/// Measures all of it.
pub(crate) async fn bench<S: Kept>(bench: &Bench) -> Result<Vec<Row>> {
    let many = bench.machines.unwrap_or(1_000_000);
    ensure!(many > FEW, "a list is measured at {FEW} machines and at more");
    let home = bench.home::<S>().await?;
    let world = World::<S>::open(&home, &bench.metrics).await?;
    let asking = Asking { fleet: fleet(&world).await?, key: api_key(&world).await?, world, home };
    let few = asking.at(bench, Wave { first: 0, end: FEW, rare: "zeppelin" }).await?;
    let much = asking.at(bench, Wave { first: FEW, end: many, rare: "quagga" }).await?;
    asking.world.close().await;
    Ok(few.iter().zip(&much).map(|(few, much)| much.row(few, many)).collect())
}

struct Asking<S: Kept> {
    home: S::Home,
    world: World<S>,
    fleet: Fleet,
    key: String,
}

impl<S: Kept> Asking<S> {
    /// Puts more machines in and asks everything.
    async fn at(&self, bench: &Bench, wave: Wave) -> Result<Vec<Question>> {
        eprintln!("  {} machines …", wave.end);
        fill(self.world.app.store(), &self.fleet, wave).await?;
        S::settle_down(&self.home).await?;
        let mut questions = Vec::new();
        for (what, filter) in LISTS {
            let filter = filter.replace("RARE", wave.rare).replace("GRANT", &grant(0).to_string());
            let path = format!("{PAGE}{filter}");
            questions.push(self.ask(bench, what, vec![path]).await?);
        }
        let deep = self.cursors(wave.end).await?;
        let deep = deep.iter().map(|cursor| format!("{PAGE}&cursor={cursor}")).collect();
        questions.insert(1, self.ask(bench, DEEP, deep).await?);
        questions.push(self.ask(bench, OVERVIEW, vec!["/v1/status".to_owned()]).await?);
        Ok(questions)
    }

    async fn ask(&self, bench: &Bench, what: &'static str, paths: Vec<String>) -> Result<Question> {
        let requests = paths.iter().map(|path| get(path, Some(&self.key))).collect();
        let feed: Arc<Feed> = Feed::again(requests, 200);
        let load = Load { connections: 1, ..bench.load() };
        let mut figures = Rounds::default();
        for _ in 0..bench.rounds {
            figures.add(run(&self.world.place, &feed, load).await.context(what)?);
        }
        Ok(Question { what, figures })
    }

    /// Walks through the whole list. Gives where the pages of its second half begin.
    async fn cursors(&self, machines: u64) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            next: Option<String>,
        }
        let mut client = self.world.place.connect().await?;
        let (mut cursors, mut path) = (Vec::new(), WHOLE.to_owned());
        loop {
            ensure!(client.call(&get(&path, Some(&self.key))).await? == 200, "a page was refused");
            let page: Page = serde_json::from_slice(client.body())?;
            let Some(next) = page.next else { break };
            path = format!("{WHOLE}&cursor={next}");
            cursors.push(next);
        }
        ensure!(cursors.len() as u64 >= machines / 1000 - 1, "the list ended early");
        Ok(cursors.split_off(cursors.len() / 2))
    }
}

impl Question {
    fn row(&self, few: &Self, machines: u64) -> Row {
        let what = format!("{}, of {}", self.what, number(machines as f64));
        let reference = Some((BEFORE, few.figures.half_ms()));
        Row {
            id: ID,
            what,
            figure: self.figures.half_ms(),
            unit: "ms",
            reference,
            target: TARGET,
            latency_ms: self.figures.latency_ms(),
            cpu_us: self.figures.cpu_us(),
        }
    }
}

/// The sites of a fleet, made.
async fn fleet<S: Kept>(world: &World<S>) -> Result<Fleet> {
    let mut sites = vec![world.site];
    for (code, _) in SITES {
        let request =
            CreateSite { code: code.to_owned(), approval: false, requests: true, reimage: None, seats: None };
        sites.push(world.app.create_site(request, None, &world.admin).await?.id.parse()?);
    }
    let now: Timestamp = world.app.now();
    Ok(Fleet { tenant: world.tenant, sites, now })
}

/// A key for the API that may look.
async fn api_key<S: Kept>(world: &World<S>) -> Result<String> {
    let request = CreateToken { name: "bench".to_owned(), role: None, scopes: Vec::new(), expires_in: None };
    Ok(world.app.create_token(request, None, &world.admin).await?.secret)
}
