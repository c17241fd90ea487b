//! What either side says on the socket, and how it ends.

use axum::body::Body;
use axum::extract::ws::{Message, Utf8Bytes};
use futures_util::StreamExt;
use muster_app::Error;
use muster_model::{Refusal, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::shapes::Capabilities;
use crate::limits::{BodyError, JsonBreach, JsonLimits, parse_json};

/// The longest frame taken, in bytes: a batch of log lines or a result in JSON.
pub(super) const MAX_FRAME: usize = 256 * 1024;
/// The most of an upload that is read, in bytes.
const MAX_UPLOAD: usize = 64 * 1024 * 1024;
/// A result may be deep and long; it is read past, and not kept.
const LIMITS: JsonLimits = JsonLimits { depth: 64, nodes: 20_000 };

/// What a worker says.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Said {
    /// First of all: its key once more.
    Hello {
        auth_token: String,
        #[serde(default)]
        capabilities: Capabilities,
    },
    Heartbeat {
        #[serde(default)]
        capabilities: Capabilities,
    },
    CompleteJson {
        job_id: String,
    },
    Fail {
        job_id: String,
    },
    /// Log lines, answers to offers that nobody made, and whatever a newer client says.
    #[serde(other)]
    Other,
}

/// What a message is.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Frame(Said),
    /// A ping, a pong, or the closing frame that ends the stream.
    Control,
    /// Nothing that this protocol knows.
    Wrong,
}

/// How a session ends, and what the client does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It stops for good and keeps its files.
    AuthFailed,
    /// It forgets who it is and asks anew.
    Deleted,
    /// It stops: it does not speak this protocol.
    Violation,
    /// It connects again after a second.
    TakenOver,
    /// It connects again, slower and slower while it is refused.
    Later(&'static str),
}

impl Heard {
    pub(super) fn of(message: &Message) -> Self {
        match message {
            Message::Text(text) => match parse_json(text.as_bytes(), &LIMITS) {
                Ok(said) => Self::Frame(said),
                // A bound of ours is no fault of the client, which would stop for good.
                Err(BodyError::Bounds { breach: JsonBreach::Nodes { .. }, .. }) => Self::Frame(Said::Other),
                Err(_) => Self::Wrong,
            },
            Message::Binary(_) => Self::Wrong,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Self::Control,
        }
    }
}

impl End {
    /// How a session ends for this error.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Refused(Refusal::MachineRetired) => Self::Deleted,
            Error::Refused(
                Refusal::Revoked | Refusal::NotAuthenticated { .. } | Refusal::IdentityMismatch,
            ) => Self::AuthFailed,
            _ => Self::Later("ask again"),
        }
    }

    /// The error frame that says so. The client knows five codes; any other would make it connect again for ever.
    pub(super) fn frame(self) -> Option<Value> {
        let (code, message) = match self {
            Self::AuthFailed => ("auth_failed", "this key does not count here any more"),
            Self::Deleted => ("worker_deleted", "this worker was removed"),
            Self::Violation => ("protocol_violation", "not a frame of studio-worker-v1"),
            Self::TakenOver | Self::Later(_) => return None,
        };
        Some(json!({ "type": "error", "code": code, "message": message }))
    }

    /// The code and the reason that the socket is closed with (RFC 6455 §7.4).
    pub(super) fn close(self) -> (u16, &'static str) {
        match self {
            Self::AuthFailed => (4001, "auth failed"),
            Self::Violation => (4002, "protocol violation"),
            Self::TakenOver => (4003, "another connection of this worker"),
            Self::Deleted => (4004, "worker deleted"),
            Self::Later(reason) => (1013, reason),
        }
    }
}

pub(super) fn welcome(worker: &str, now: Timestamp) -> Value {
    json!({ "type": "welcome", "workerId": worker, "serverTime": now.to_string() })
}

/// What is answered to a frame, if anything is.
pub(super) fn answer(said: &Said) -> Option<Value> {
    match said {
        Said::Heartbeat { .. } => Some(json!({ "type": "heartbeatAck" })),
        Said::CompleteJson { job_id } => Some(json!({ "type": "completeAck", "jobId": job_id })),
        Said::Fail { job_id } => Some(json!({ "type": "failAck", "jobId": job_id })),
        Said::Hello { .. } | Said::Other => None,
    }
}

pub(super) fn text(frame: &Value) -> Message {
    Message::Text(Utf8Bytes::from(frame.to_string()))
}

/// Reads an upload and keeps nothing of it. Past its bound the rest is not read, and the connection ends with the answer.
pub(super) async fn drain(body: Body) {
    let mut left = MAX_UPLOAD;
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Heard {
        Heard::of(&Message::Text(text.into()))
    }

    #[test]
    fn frames_are_read_and_what_is_not_known_is_let_go() {
        let hello = heard(r#"{"type":"hello","authToken":"k","capabilities":{"machineName":"vm"}}"#);
        assert!(matches!(hello, Heard::Frame(Said::Hello { auth_token, .. }) if auth_token == "k"));
        for other in [
            r#"{"type":"logBatch","entries":[{"ts":"t","level":"info","category":"c","message":"m"}]}"#,
            r#"{"type":"accept","jobId":"j"}"#,
            r#"{"type":"reject","jobId":"j","reason":"r","code":"busy"}"#,
            r#"{"type":"readyForMore"}"#,
            r#"{"type":"somethingNew","x":1}"#,
        ] {
            assert_eq!(heard(other), Heard::Frame(Said::Other), "{other}");
        }
        for wrong in ["", "[]", "{}", r#"{"type":"hello"}"#, r#"{"type":"fail"}"#, &"[".repeat(100)] {
            assert_eq!(heard(wrong), Heard::Wrong, "{wrong}");
        }
        assert_eq!(Heard::of(&Message::Binary(vec![1].into())), Heard::Wrong);
        let long = format!(r#"{{"type":"heartbeat","capabilities":{{"x":[{}0]}}}}"#, "0,".repeat(20_000));
        assert_eq!(heard(&long), Heard::Frame(Said::Other), "a bound of ours stops no worker");
    }

    #[test]
    fn only_frames_and_codes_that_the_client_knows_are_said() {
        let said = [
            heard(r#"{"type":"heartbeat","capabilities":{}}"#),
            heard(r#"{"type":"completeJson","jobId":"j","result":{"a":[1]}}"#),
            heard(r#"{"type":"fail","jobId":"j","error":"e","retryable":true}"#),
        ];
        let answers: Vec<Value> = said
            .iter()
            .map(|heard| match heard {
                Heard::Frame(said) => answer(said).expect("an answer"),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            json!({"type": "heartbeatAck"}),
            json!({"type": "completeAck", "jobId": "j"}),
            json!({"type": "failAck", "jobId": "j"}),
        ];
        assert_eq!(answers, expected);
        let ends = [End::AuthFailed, End::Deleted, End::Violation, End::TakenOver, End::Later("x")];
        let codes: Vec<Option<String>> = ends
            .map(|end| end.frame().map(|frame| frame["code"].as_str().unwrap_or_default().to_owned()))
            .into();
        let known = ["auth_failed", "worker_deleted", "protocol_violation"];
        assert_eq!(codes, [Some(known[0].into()), Some(known[1].into()), Some(known[2].into()), None, None]);
        assert_eq!(ends.map(|end| end.close().0), [4001, 4004, 4002, 4003, 1013]);
    }

    #[test]
    fn an_outage_never_ends_a_worker() {
        assert_eq!(End::of(&Error::Stale), End::Later("ask again"));
        assert_eq!(End::of(&Error::Restored), End::Later("ask again"));
        assert_eq!(End::of(&Refusal::MachineSuspended.into()), End::Later("ask again"));
        assert_eq!(End::of(&Refusal::Reaped.into()), End::Later("ask again"));
        assert_eq!(End::of(&Refusal::MachineRetired.into()), End::Deleted);
    }
}
