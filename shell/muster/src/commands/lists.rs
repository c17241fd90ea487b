//! What all lists have in common: how many, from where, which ones, and what an empty one teaches.

use clap::Args;
use jiff::Timestamp;
use muster_wire::{ListQuery, Page};

use crate::output::Human;

/// More than a person reads and less than a program chokes on.
const MOST: u32 = 10_000;

/// Which part of a list.
#[derive(Debug, Clone, Args)]
pub(crate) struct Part {
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = MOST, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) limit: u32,
    /// Go on where a list before ended (its `next`).
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// Which objects of a list.
#[derive(Debug, Clone, Args)]
pub(crate) struct Filter {
    /// Only those in which these words occur.
    #[arg(long, value_name = "WORDS")]
    pub(crate) search: Option<String>,
    /// Only those of this site.
    #[arg(long, value_name = "CODE")]
    pub(crate) site: Option<String>,
    /// Which part of the list.
    #[command(flatten)]
    pub(crate) part: Part,
}

impl Part {
    /// The most items to show.
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }
}

impl Filter {
    /// Whether it leaves nothing out.
    pub(crate) fn is_none(&self) -> bool {
        self.search.is_none() && self.site.is_none() && self.part.cursor.is_none()
    }

    /// The query of one page.
    pub(crate) fn query(&self, state: Option<&str>, cursor: Option<String>, limit: u32) -> ListQuery {
        ListQuery {
            cursor,
            limit: Some(limit),
            search: self.search.clone(),
            site: self.site.clone(),
            state: state.map(str::to_owned),
        }
    }
}

/// An item of a list that people read.
pub(crate) trait Listed: Sized {
    /// What an empty list says: how to get a first item.
    const EMPTY: &'static str;

    /// The table.
    fn table(items: &[Self], now: Timestamp) -> String;
}

impl<T: Listed> Human for Page<T> {
    fn human(&self, now: Timestamp) -> String {
        if self.items.is_empty() {
            return T::EMPTY.to_owned();
        }
        let more =
            self.next.as_ref().map(|next| format!("\n\nmore: --cursor {}", crate::output::escape(next)));
        T::table(&self.items, now) + &more.unwrap_or_default()
    }
}

/// A list of which only a part was asked for: where that is empty, the list need not be.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Sought<T> {
    /// What was found.
    #[serde(flatten)]
    pub(crate) page: Page<T>,
    /// Whether everything was asked for.
    #[serde(skip)]
    pub(crate) is_whole: bool,
}

impl<T: Listed> Human for Sought<T> {
    fn human(&self, now: Timestamp) -> String {
        match self.page.items.is_empty() && !self.is_whole {
            true => "Nothing fits.".to_owned(),
            false => self.page.human(now),
        }
    }
}

/// A short mark for a value that is not there.
pub(crate) fn or_dash(value: Option<&str>) -> String {
    value.unwrap_or("–").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Serialize)]
    struct Thing;

    impl Listed for Thing {
        const EMPTY: &'static str = "Make a first one.";

        fn table(items: &[Self], _: Timestamp) -> String {
            format!("{} things", items.len())
        }
    }

    #[test]
    fn a_search_that_finds_nothing_does_not_say_that_there_is_nothing() {
        let told = |items, is_whole| {
            Sought::<Thing> { page: Page { items, next: None }, is_whole }.human(Timestamp::UNIX_EPOCH)
        };
        assert_eq!(told(Vec::new(), true), "Make a first one.");
        assert_eq!(told(Vec::new(), false), "Nothing fits.");
        assert_eq!(told(vec![Thing], false), "1 things");
        let empty = Sought::<Thing> { page: Page { items: Vec::new(), next: None }, is_whole: false };
        let json = serde_json::to_value(empty).expect("JSON");
        assert_eq!(json, serde_json::json!({ "items": [], "next": null }), "programs see the API's shape");
    }
}
