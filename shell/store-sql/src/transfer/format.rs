//! The lines: a head, for each table a line with its columns and then its rows, and a tail.

use data_encoding::{BASE64, HEXLOWER};
use muster_model::{Deployment, DeploymentId, EntryPlace};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use super::TransferError;
use super::table::{ALL, Datum, Kind, Table};

const FORMAT: &str = "muster database";
const VERSION: u64 = 1;

/// What an export says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The deployment.
    pub deployment: DeploymentId,
    /// MAC over its identifier by the pepper.
    pub proof: [u8; 32],
    /// Its newest audit entry.
    pub newest: Option<EntryPlace>,
    /// How many rows each table has.
    pub(super) counts: Vec<(&'static str, u64)>,
}

impl Head {
    pub(super) fn new(
        deployment: &Deployment,
        newest: Option<EntryPlace>,
        counts: Vec<(&'static str, u64)>,
    ) -> Self {
        Self { deployment: deployment.id, proof: deployment.proof, newest, counts }
    }

    /// How many rows there are in all.
    pub fn rows(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    pub(super) fn line(&self) -> String {
        let counts: Map<String, Json> =
            self.counts.iter().map(|(table, count)| ((*table).to_owned(), (*count).into())).collect();
        json!({
            "format": FORMAT,
            "version": VERSION,
            "deployment": self.deployment.to_string(),
            "proof": BASE64.encode(&self.proof),
            "newest": self.newest.map(|place| json!({"seq": place.seq, "id": place.id.to_string()})),
            "rows": counts,
        })
        .to_string()
    }

    pub(super) fn parse(line: &str) -> Result<Self, TransferError> {
        let damaged = |what: &str| TransferError::Damaged { line: 1, what: what.to_owned() };
        let json: Json = serde_json::from_str(line).ok().ok_or_else(|| damaged("not an export of Muster"))?;
        if json["format"] != FORMAT {
            return Err(damaged("not an export of Muster"));
        }
        if json["version"] != VERSION {
            let what = format!("its format is {}, and this one reads {VERSION}", json["version"]);
            return Err(TransferError::Version { line: 1, what });
        }
        let head = || {
            let newest = match &json["newest"] {
                Json::Null => None,
                place => {
                    Some(EntryPlace { seq: place["seq"].as_u64()?, id: place["id"].as_str()?.parse().ok()? })
                }
            };
            let counts = json["rows"].as_object()?;
            let count = |table: &Table| Some((table.name, counts.get(table.name)?.as_u64()?));
            Some(Self {
                deployment: json["deployment"].as_str()?.parse().ok()?,
                proof: BASE64.decode(json["proof"].as_str()?.as_bytes()).ok()?.try_into().ok()?,
                newest,
                counts: ALL.iter().map(|texts| count(texts.table)).collect::<Option<_>>()?,
            })
        };
        head().ok_or_else(|| damaged("the head is not whole"))
    }
}

/// The line that begins a table.
pub(super) fn table_line(table: &Table) -> String {
    json!({"table": table.name, "columns": table.names().collect::<Vec<_>>()}).to_string()
}

/// The line that ends everything.
pub(super) fn tail_line(rows: u64, hash: Sha256) -> String {
    json!({"end": true, "rows": rows, "sha256": HEXLOWER.encode(&hash.finalize())}).to_string()
}

/// A row as a line.
pub(super) fn row_line(row: &[Datum]) -> String {
    let value = |datum: &Datum| match datum {
        Datum::Null => Json::Null,
        Datum::Int(number) => Json::from(*number),
        Datum::Text(text) => Json::from(text.as_str()),
        Datum::Bytes(bytes) => Json::from(BASE64.encode(bytes)),
    };
    Json::Array(row.iter().map(value).collect()).to_string()
}

/// A line as a row of a table.
pub(super) fn parse_row(table: &Table, line: &str) -> Result<Vec<Datum>, String> {
    let values: Vec<Json> =
        serde_json::from_str(line).map_err(|error| format!("not a row of {}: {error}", table.name))?;
    if values.len() != table.columns.len() {
        let (found, wanted) = (values.len(), table.columns.len());
        return Err(format!("a row of {} has {wanted} values and not {found}", table.name));
    }
    let datum = |(value, (column, kind)): (Json, &(&str, Kind))| {
        parse_value(value, *kind).ok_or_else(|| format!("not a value of {}.{column}", table.name))
    };
    values.into_iter().zip(table.columns).map(datum).collect()
}

fn parse_value(value: Json, kind: Kind) -> Option<Datum> {
    match (value, kind) {
        (Json::Null, _) => Some(Datum::Null),
        (Json::Number(number), Kind::Int) => number.as_i64().map(Datum::Int),
        (Json::String(text), Kind::Text) => Some(Datum::Text(text)),
        (Json::String(text), Kind::Bytes) => BASE64.decode(text.as_bytes()).ok().map(Datum::Bytes),
        _ => None,
    }
}

/// Takes a line into the sum, with its line break.
pub(super) fn sum(hash: &mut Sha256, line: &str) {
    hash.update(line.as_bytes());
    hash.update(b"\n");
}
