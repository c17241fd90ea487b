//! What lies in a database or beside it, and may have been changed there, or come from somewhere else.

use std::sync::LazyLock;

use muster_app::Mark;
use muster_model::Engagement;
use muster_store_sql::transfer::{Incoming, Source, TransferError};
use muster_store_sqlite::SqliteStore;
use muster_wire::go_json;
use tokio::runtime::Runtime;

pub(crate) fn engagement(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(engagement) = Engagement::from_document(text) {
        assert_eq!(engagement.document(), text, "what is signed is what was read");
    }
    let Ok(draft) = serde_json::from_str(text) else { return };
    match Engagement::new(draft) {
        Ok(engagement) => {
            let document = engagement.document();
            assert_eq!(Engagement::from_document(&document), Some(engagement));
            let value: serde_json::Value = serde_json::from_str(&document).expect("JSON");
            let go: serde_json::Value = serde_json::from_str(&go_json::to_string(&value)).expect("JSON");
            assert!(are_alike(&go, &value), "another encoder says the same: {go} {value}");
        }
        Err(wrong) => assert!(!wrong.is_empty()),
    }
}

/// Whether both are the same where a number is one, with or without a point.
fn are_alike(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let alike =
                |(name, value): (&String, &Value)| other.get(name).is_some_and(|at| are_alike(value, at));
            one.len() == other.len() && one.iter().all(alike)
        }
        _ => one == other,
    }
}

pub(crate) fn mark(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(mark) = text.parse::<Mark>() else { return };
    assert_eq!(mark.to_string().parse(), Ok(mark));
}

struct Lines<'a>(std::str::Lines<'a>);

impl Source for Lines<'_> {
    async fn next(&mut self) -> Result<Option<String>, TransferError> {
        Ok(self.0.next().map(str::to_owned))
    }
}

/// A database out of it, or none at all: never a part of one.
pub(crate) fn export(bytes: &[u8]) {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let text = with_sum(text);
    let home = crate::files::directory();
    let place = home.path().join("muster.db");
    let done = RUNTIME.block_on(async {
        let mut incoming = Incoming::begin(Lines(text.lines())).await?;
        SqliteStore::import(&place, &mut incoming, |_, _| {}).await.map_err(|error| match error {
            muster_store_sqlite::ImportError::Transfer(error) => error,
            error => panic!("no database can be made: {error}"),
        })
    });
    assert_eq!(done.is_ok(), place.exists(), "{done:?}");
    if let Err(error) = &done {
        assert!(error.to_string().len() < 4096);
    }
}

/// The last line has a sum of the others, which no generator would hit: it is put in place.
fn with_sum(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let Some((lines, last)) = text.trim_end().rsplit_once('\n') else { return text.to_owned() };
    let Some((before, _)) = last.split_once("\"{sum}\"") else { return text.to_owned() };
    let mut hash = Sha256::new();
    for line in lines.lines() {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    format!("{lines}\n{before}\"{}\"}}\n", data_encoding::HEXLOWER.encode(&hash.finalize()))
}
