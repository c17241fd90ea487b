//! Pages of lists, and one thing at a time.

use muster_store::Store;
use muster_wire::audit::AuditQuery;
use muster_wire::overview::{Overview, OverviewQuery};
use muster_wire::{ListQuery, Page};
use serde::Serialize;

use super::manage::site;
use super::{Player, pick};
use crate::op::Kind;
use crate::plain::Answer;

/// Where to go on in a list that was asked for.
#[derive(Debug, Clone)]
pub(super) enum Cursor {
    List(Kind, ListQuery),
    Audit(AuditQuery),
}

impl<S: Store> Player<S> {
    pub(super) async fn looking(&mut self, kind: Kind, with: [u8; 3]) -> Answer {
        let [a, _, _] = with;
        match kind {
            Kind::ListAudit => {
                let query = self.audit_query(with);
                self.audit(query).await
            }
            Kind::NextPage => match pick(&self.memory.cursors, a).cloned() {
                Some(Cursor::List(kind, query)) => self.list(kind, query).await,
                Some(Cursor::Audit(query)) => self.audit(query).await,
                None => Answer::Nothing,
            },
            Kind::ShowMachine => match pick(&self.memory.machines, a) {
                Some(id) => Answer::of(&self.app.machine(*id, &self.admin()).await),
                None => Answer::Nothing,
            },
            Kind::ShowHold => match pick(&self.memory.holds, a) {
                Some((id, _)) => Answer::of(&self.app.hold(*id, &self.admin()).await),
                None => Answer::Nothing,
            },
            Kind::Status => self.status().await,
            _ => self.list(kind, list_query(kind, with)).await,
        }
    }

    /// How many servers there are, and how many channels each said it holds a moment ago, is for a database to know
    /// that several of them share.
    async fn status(&self) -> Answer {
        let mut status = self.app.status(&self.admin()).await;
        if let Ok(status) = &mut status {
            status.replicas = 0;
            status.machines.online = 0;
        }
        match status {
            Ok(status) => Answer::of(&self.overview().await.map(|overview| (status, overview))),
            Err(error) => Answer::error(&error),
        }
    }

    /// Of a week, of which who was online is what the status says of it.
    async fn overview(&self) -> Result<Overview, muster_app::Error> {
        let query = OverviewQuery { hours: Some(168) };
        let mut overview = self.app.overview(&query, &self.admin()).await?;
        overview.machines.online = 0;
        for pulse in &mut overview.pulses {
            (pulse.online_least, pulse.online_most) = (None, None);
        }
        Ok(overview)
    }

    async fn list(&mut self, kind: Kind, query: ListQuery) -> Answer {
        let admin = self.admin();
        match kind {
            Kind::ListMachines => self.listed(kind, &query, self.app.machines(&query, &admin).await),
            Kind::ListSites => self.listed(kind, &query, self.app.sites(&query, &admin).await),
            Kind::ListGrants => self.listed(kind, &query, self.app.grants(&query, &admin).await),
            Kind::ListHolds => self.listed(kind, &query, self.app.holds(&query, &admin).await),
            _ => self.listed(kind, &query, self.app.tokens(&query, &admin).await),
        }
    }

    fn listed<T: Serialize>(
        &mut self,
        kind: Kind,
        query: &ListQuery,
        result: Result<Page<T>, muster_app::Error>,
    ) -> Answer {
        if let Some(cursor) = result.as_ref().ok().and_then(|page| page.next.clone()) {
            let next = ListQuery { cursor: Some(cursor), ..query.clone() };
            self.memory.cursors.push(Cursor::List(kind, next));
        }
        Answer::of(&result)
    }

    fn audit_query(&self, [a, b, c]: [u8; 3]) -> AuditQuery {
        let object = pick(&self.memory.objects, b).filter(|_| a.is_multiple_of(3)).cloned();
        let actors = [self.founded.admin.to_string(), "anonymous".to_owned(), "system".to_owned()];
        AuditQuery {
            after: pick(&self.memory.places, c).filter(|_| a.is_multiple_of(2)).copied(),
            limit: Some([1, 3, 7, 1000][usize::from(b) % 4]),
            object,
            actor: a.is_multiple_of(5).then(|| actors[usize::from(c) % 3].clone()),
            action: a.is_multiple_of(7).then(|| "machine.enroll".to_owned()),
            ..AuditQuery::default()
        }
    }

    async fn audit(&mut self, query: AuditQuery) -> Answer {
        let result = self.app.audit(&query, &self.admin()).await;
        if let Ok(page) = &result {
            self.memory.places.extend(page.items.iter().map(|entry| entry.seq));
            self.memory.objects.extend(page.items.iter().map(|entry| entry.object.clone()));
            if let Some(cursor) = page.next.clone() {
                self.memory.cursors.push(Cursor::Audit(AuditQuery { cursor: Some(cursor), ..query }));
            }
        }
        Answer::of(&result)
    }
}

/// Words that some machines have and some have not.
const WORDS: [&str; 20] = [
    "host",
    "HOST0",
    "hw_",
    "000",
    "prod",
    "made 1",
    "other",
    "example host1",
    "-",
    "rack b",
    "label:rack",
    "label:rack=b-1",
    "label:env=PROD host",
    "os:linux-1",
    "os:linux*",
    "kind:host state:active",
    "online:no",
    "online:yes",
    "\"label:rack\"",
    "stat:active",
];

fn list_query(kind: Kind, [a, b, c]: [u8; 3]) -> ListQuery {
    let limit = [None, Some(1), Some(2), Some(3), Some(1000), Some(0)][usize::from(a) % 6];
    let plain = ListQuery { limit, ..ListQuery::default() };
    let of_site = b.is_multiple_of(3).then(|| site(c));
    match kind {
        Kind::ListMachines => ListQuery {
            search: c.is_multiple_of(2).then(|| WORDS[usize::from(b) % WORDS.len()].to_owned()),
            state: [
                None,
                None,
                Some("pending"),
                Some("active"),
                Some("suspended"),
                Some("retired"),
                Some("odd"),
            ][usize::from(b) % 7]
                .map(str::to_owned),
            site: of_site,
            ..plain
        },
        Kind::ListGrants => ListQuery { site: of_site, ..plain },
        Kind::ListHolds => ListQuery {
            state: [None, Some("open"), Some("all"), Some("all")][usize::from(b) % 4].map(str::to_owned),
            ..plain
        },
        _ => plain,
    }
}
