//! What a server remembers of its database between two starts: how far its history had come.
//!
//! One line of text, kept outside the database: `dep_… inc_… 42 aud_…`, without the last two where nothing was told
//! yet.

use std::fmt;
use std::str::FromStr;

use muster_model::id::IdError;
use muster_model::{DeploymentId, EntryPlace, IncarnationId};
use thiserror::Error;

/// How far the history of a deployment had come when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which deployment it is.
    pub deployment: DeploymentId,
    /// The stretch of its history.
    pub incarnation: IncarnationId,
    /// The newest audit entry.
    pub newest: Option<EntryPlace>,
}

/// A text that is not a mark.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MarkError {
    /// It has another number of words.
    #[error("is not of the form: deployment incarnation place entry")]
    Form,
    /// One of its words is not the identifier that belongs there.
    #[error("names something else")]
    Id(#[from] IdError),
    /// The place is not a number.
    #[error("has a place that is not a number")]
    Place(#[from] std::num::ParseIntError),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.deployment, self.incarnation)?;
        match self.newest {
            Some(EntryPlace { seq, id }) => write!(f, " {seq} {id}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (deployment, incarnation, newest) = match words.as_slice() {
            [deployment, incarnation] => (deployment, incarnation, None),
            [deployment, incarnation, seq, id] => {
                (deployment, incarnation, Some(EntryPlace { seq: seq.parse()?, id: id.parse()? }))
            }
            _ => return Err(MarkError::Form),
        };
        Ok(Self { deployment: deployment.parse()?, incarnation: incarnation.parse()?, newest })
    }
}

#[cfg(test)]
mod tests {
    use muster_model::AuditId;

    use super::*;

    fn mark(newest: Option<EntryPlace>) -> Mark {
        let (deployment, incarnation) = (DeploymentId::new(1, [1; 10]), IncarnationId::new(2, [2; 10]));
        Mark { deployment, incarnation, newest }
    }

    #[test]
    fn the_text_form_reads_back() {
        let place = EntryPlace { seq: u64::MAX, id: AuditId::new(3, [3; 10]) };
        for mark in [mark(None), mark(Some(place))] {
            assert_eq!(format!("{mark}\n").parse(), Ok(mark));
        }
    }

    #[test]
    fn what_was_cut_short_or_is_something_else_is_not_taken_for_a_mark() {
        let whole = mark(Some(EntryPlace { seq: 7, id: AuditId::new(3, [3; 10]) })).to_string();
        let words: Vec<&str> = whole.split(' ').collect();
        for bad in [
            String::new(),
            words[0].to_owned(),
            words[..3].join(" "),
            format!("{whole} more"),
            whole.replace("inc_", "dep_"),
            whole.replace(" 7 ", " -7 "),
            whole[..whole.len() - 1].to_owned(),
        ] {
            assert!(bad.parse::<Mark>().is_err(), "{bad:?}");
        }
    }
}
