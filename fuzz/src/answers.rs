//! What an agent is answered, by its server or by whoever sits in its place.

use muster_agent_core::{Answer, Verdict};
use muster_wire::enroll::{Enrolled, Held, MachineToken, Renewed};
use muster_wire::problem::MEDIA_TYPE;
use muster_wire::trust::{Nonce, Trust};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Two bytes of status, one of flags, a line of media type, and the body.
pub(crate) fn refusal(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_first_chunk::<3>() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (media_type, body) = rest.split_at(end);
    let media_type = match head[2] & 2 {
        0 => Some(MEDIA_TYPE),
        _ => std::str::from_utf8(media_type).ok(),
    };
    let answer = Answer {
        status: u16::from_be_bytes([head[0], head[1]]),
        content_type: media_type,
        retry_after: (head[2] & 4 != 0).then_some(u32::from(head[2])),
        body: body.strip_prefix(b"\n").unwrap_or(body),
        authenticated: head[2] & 1 != 0,
    };
    let verdict = answer.classify();
    let is_error = (400..500).contains(&answer.status);
    if let Verdict::Ended(_) | Verdict::Rejected { .. } | Verdict::RotationNeeded = verdict {
        assert!(answer.authenticated && is_error, "an identity is ended by {answer:?}");
    }
    if !answer.authenticated {
        assert!(matches!(verdict, Verdict::Later { .. }), "{answer:?} says {verdict:?}");
    }
    assert!(verdict.to_string().len() <= answer.body.len() * 8 + 256);
}

fn reads_back<T: DeserializeOwned + Serialize>(json: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(json) else { return };
    let written = serde_json::to_vec(&value).expect("JSON");
    let again: T = serde_json::from_slice(&written).expect("its own form");
    assert_eq!(serde_json::to_vec(&again).expect("JSON"), written);
}

/// What an agent keeps in its files is read from them as it was answered.
pub(crate) fn success(bytes: &[u8]) {
    reads_back::<Enrolled>(bytes);
    reads_back::<Held>(bytes);
    reads_back::<Renewed>(bytes);
    reads_back::<MachineToken>(bytes);
    reads_back::<Nonce>(bytes);
    reads_back::<Trust>(bytes);
    reads_back::<muster_wire::Problem>(bytes);
}
