//! Which machines a list is asked for.

use muster_model::{Search, TenantId};
use muster_store::{Listed, Lists, MachineFilter, MachineRow, PageRequest, Store};
use muster_wire::ListQuery;

use crate::App;
use crate::error::Error;

/// So many machines are looked at for a page of those that are online, or not: the database does not keep them apart. A page
/// may hold fewer than were asked for, and the next one goes on.
const LOOKED_AT: usize = 4_000;
/// At a time, at the most.
const STRIDE: u32 = 1000;

/// What is asked of a list.
pub(crate) struct Asked {
    filter: MachineFilter,
    online: Option<bool>,
}

impl<S: Store> App<S> {
    /// What a query asks for: its own fields, and those that its search names. Both must fit.
    pub(crate) async fn asked(&self, tenant: TenantId, query: &ListQuery) -> Result<Asked, Error> {
        let text = query.search.as_deref().unwrap_or_default();
        let search = Search::parse(text).map_err(|error| Error::field("search", error))?;
        let state = one_of("state", &query.state, &search.state)?;
        let state = state.map(|state| {
            MachineFilter::state_named(state)
                .ok_or_else(|| Error::field("state", "is not one of pending, active, suspended, retired"))
        });
        let site = match one_of("site", &query.site, &search.site)? {
            Some(code) => {
                let code = code.parse().map_err(|error| Error::field("site", error))?;
                Some(self.site_named(tenant, Some(&code)).await?.id)
            }
            None => None,
        };
        let words = (!search.words.is_empty()).then(|| search.words.join(" "));
        let filter = MachineFilter { site, state: state.transpose()?, search: words, terms: search.terms };
        Ok(Asked { filter, online: search.online })
    }

    /// A page of what is asked for.
    pub(crate) async fn found(
        &self,
        tenant: TenantId,
        asked: &Asked,
        page: PageRequest,
    ) -> Result<Listed<MachineRow>, Error> {
        let Some(online) = asked.online else {
            return Ok(self.reader().await?.machines(tenant, &asked.filter, page).await?);
        };
        let (mut items, mut looked_at, mut after) = (Vec::new(), 0, page.after);
        let wanted = page.limit as usize;
        // Most of a fleet is there: the first look is no larger than the page, and each one after it than the ones before.
        let mut stride = page.limit.min(STRIDE);
        loop {
            let part = PageRequest { after, limit: stride };
            let listed = self.reader().await?.machines(tenant, &asked.filter, part).await?;
            looked_at += listed.items.len();
            for row in listed.items {
                if items.len() == wanted {
                    return Ok(Listed { items, next: after });
                }
                after = Some(*row.machine.id.as_bytes());
                if self.presence_now(row.machine.id, row.presence).online == online {
                    items.push(row);
                }
            }
            after = listed.next;
            if after.is_none() || looked_at >= LOOKED_AT || items.len() == wanted {
                return Ok(Listed { items, next: after });
            }
            stride = (stride * 2).min(STRIDE);
        }
    }
}

/// What is asked by the query's own field or in its search; by both it must be the same.
fn one_of<'a>(
    field: &'static str,
    one: &'a Option<String>,
    other: &'a Option<String>,
) -> Result<Option<&'a str>, Error> {
    match (one.as_deref(), other.as_deref()) {
        (Some(one), Some(other)) if one != other => {
            Err(Error::field(field, "is asked for twice, in the search as another one"))
        }
        (one, other) => Ok(one.or(other)),
    }
}
