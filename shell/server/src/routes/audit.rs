//! The audit log, under `/v1/audit`.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::stream::{Stream, unfold};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use muster_app::{Error, Origin, Store};
use muster_wire::Page;
use muster_wire::audit::{AuditContext, AuditEntry, AuditQuery};

use crate::problem::Failure;
use crate::route::{Named, Params, Place};
use crate::state::ServerState;

/// Entries of an export that are in memory at once.
const STRIDE: u32 = 1000;

/// Read the audit log: the newest first, or with `after` what came since, oldest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = Page<AuditEntry>), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn list<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Page<AuditEntry>>, Failure> {
    Ok(Json(state.app.audit(&query, &origin).await?))
}

/// Read one entry by its place in the log, with what was done to the same object, by the same actor, and at all about that
/// time.
#[utoipa::path(
    get, path = "/v1/audit/{entry}", tag = "audit", params(("entry" = u64, Path, description = "Its place in the log.")),
    responses((status = 200, body = AuditContext), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn show<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Named(Place(seq)): Named<Place>,
) -> Result<Json<AuditContext>, Failure> {
    Ok(Json(state.app.audit_entry(seq, &origin).await?))
}

/// Read everything that fits, oldest first: an entry a line, as JSON (`cursor` and `limit` count for nothing). An answer that is
/// cut off is not whole: go on with `after` where it ended.
#[utoipa::path(
    get, path = "/v1/audit/export", tag = "audit", params(AuditQuery),
    responses((status = 200, content_type = "application/x-ndjson", body = AuditEntry), (status = "default", body = muster_wire::Problem))
)]
pub(super) async fn export<S: Store>(
    State(state): State<ServerState<S>>,
    Extension(origin): Extension<Origin>,
    Params(query): Params<AuditQuery>,
) -> Result<Response, Failure> {
    let query = AuditQuery { cursor: None, limit: Some(STRIDE), after: query.after.or(Some(0)), ..query };
    // What is wrong with the query is told before there is an answer to cut off.
    let first = state.app.audit(&query, &origin).await?.items;
    let export = Export { state, origin, query, next: Some(first) };
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""),
    ];
    Ok((headers, Body::from_stream(lines(export))).into_response())
}

/// What is left of an export.
struct Export<S: Store> {
    state: ServerState<S>,
    origin: Origin,
    query: AuditQuery,
    next: Option<Vec<AuditEntry>>,
}

fn lines<S: Store>(export: Export<S>) -> impl Stream<Item = Result<Bytes, Error>> {
    unfold(export, async |mut export| {
        let entries = export.next.take().filter(|entries| !entries.is_empty())?;
        let lines = written(&entries);
        match export.read_on(&entries).await {
            Ok(next) => {
                export.next = next;
                Some((Ok(lines), export))
            }
            // The lines before are lost with it, so that nobody takes them for all there is.
            Err(error) => Some((Err(error), export)),
        }
    })
}

impl<S: Store> Export<S> {
    async fn read_on(&mut self, before: &[AuditEntry]) -> Result<Option<Vec<AuditEntry>>, Error> {
        if before.len() < STRIDE as usize {
            return Ok(None);
        }
        self.state.app.still_counts(&self.origin).await?;
        self.query.after = before.last().map(|entry| entry.seq);
        Ok(Some(self.state.app.audit(&self.query, &self.origin).await?.items))
    }
}

fn written(entries: &[AuditEntry]) -> Bytes {
    let mut lines = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut lines, entry).expect("an entry is plain JSON");
        lines.push(b'\n');
    }
    lines.into()
}
