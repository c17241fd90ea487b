//! Following the pages of a list.

use muster_wire::Page;

use crate::ClientError;

/// The most items one page may hold.
pub(crate) const PAGE: u32 = 1000;
/// The most empty pages that are followed one after the other: a search may look at many machines and find none of them, and a
/// server that gives nothing else would have us ask for ever.
const EMPTY: usize = 1000;

/// Collects at most `max` items, page by page. `fetch` gets the cursor and how many items to ask for.
///
/// `next` of the result is `None` when the list ended, else where to go on.
pub async fn collect<T, F, Fut>(
    max: usize,
    mut cursor: Option<String>,
    mut fetch: F,
) -> Result<Page<T>, ClientError>
where
    F: FnMut(Option<String>, u32) -> Fut,
    Fut: Future<Output = Result<Page<T>, ClientError>>,
{
    let (mut items, mut empty) = (Vec::new(), 0);
    loop {
        let room = u32::try_from(max.saturating_sub(items.len())).unwrap_or(PAGE);
        let page = fetch(cursor.take(), room.clamp(1, PAGE)).await?;
        empty = if page.items.is_empty() { empty + 1 } else { 0 };
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() || empty == EMPTY || items.len() >= max {
            return Ok(Page { items, next: cursor });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn numbers(cursor: Option<String>, limit: u32, end: u32) -> Result<Page<u32>, ClientError> {
        let start: u32 = cursor.map_or(0, |c| c.parse().expect("our own cursor"));
        let stop = (start + limit.min(10)).min(end);
        Ok(Page { items: (start..stop).collect(), next: (stop < end).then(|| stop.to_string()) })
    }

    #[tokio::test]
    async fn every_page_is_followed_to_the_end() {
        let page = collect(1000, None, |c, n| numbers(c, n, 25)).await.expect("no fetch fails");
        assert_eq!((page.items, page.next), ((0..25).collect::<Vec<_>>(), None));
    }

    #[tokio::test]
    async fn a_bound_stops_and_tells_where_to_go_on() {
        let page = collect(12, None, |c, n| numbers(c, n, 25)).await.expect("no fetch fails");
        assert_eq!((page.items.len(), page.next.as_deref()), (12, Some("12")));
    }

    #[tokio::test]
    async fn empty_pages_are_followed_to_what_is_behind_them() {
        let sparse = async |cursor: Option<String>, limit: u32| {
            let page = numbers(cursor, limit, 995).await?;
            Ok(Page { items: page.items.into_iter().filter(|n| n % 50 == 0).collect(), ..page })
        };
        let page = collect(1000, None, sparse).await.expect("no fetch fails");
        assert_eq!((page.items.len(), page.next), (20, None));
    }

    #[tokio::test]
    async fn a_server_that_gives_empty_pages_alone_is_asked_so_often_and_no_more() {
        let asked = std::cell::Cell::new(0);
        let stuck = |_: Option<String>, _: u32| {
            asked.set(asked.get() + 1);
            async { Ok(Page::<u32> { items: vec![], next: Some("x".into()) }) }
        };
        assert!(collect(10, None, stuck).await.expect("no fetch fails").items.is_empty());
        assert_eq!(asked.get(), EMPTY);
    }
}
