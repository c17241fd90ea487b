//! Bodies, queries, evidence and frames: JSON that becomes values.

use std::fmt::Display;

use muster_doors::Evidence;
use muster_server::limits::{JsonLimits, parse_json};
use muster_wire::channel::{AgentFrame, ServerFrame};
use muster_wire::{
    ListQuery, access, account, audit, caller, ending, engagement, enroll, grant, hold, machine, rotate, site,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No error is longer than this, whatever was sent.
const LONGEST: usize = 16 * 1024;

/// What is taken is written as JSON that is taken again, and the same.
fn taken<T: DeserializeOwned + Serialize>(json: &[u8]) -> Option<T> {
    match parse_json::<T>(json, &JsonLimits::default()) {
        Ok(value) => {
            let written = serde_json::to_vec(&value).expect("JSON");
            let again: T = serde_json::from_slice(&written).expect("its own form");
            assert_eq!(serde_json::to_vec(&again).expect("JSON"), written);
            Some(value)
        }
        Err(error) => {
            is_brief(&error, json);
            None
        }
    }
}

fn is_brief(error: &impl Display, json: &[u8]) {
    let text = error.to_string();
    assert!(text.len() <= LONGEST, "{} bytes of error for {} bytes", text.len(), json.len());
    assert!(!text.contains("mst_enroll_0"), "a secret in an error: {text}");
}

/// The same for what becomes values of the model, with every wrong field named.
fn judged<T: DeserializeOwned + Serialize, V: TryFrom<T, Error: Display>>(json: &[u8]) {
    let Some(value) = taken::<T>(json) else { return };
    if let Err(wrong) = V::try_from(value) {
        is_brief(&wrong, json);
    }
}

type Reading = fn(&[u8]);

/// The first byte says which.
const BODIES: &[Reading] = &[
    judged::<enroll::EnrollRequest, enroll::EnrollFields>,
    judged::<rotate::RotateRequest, rotate::RotateFields>,
    judged::<grant::CreateGrant, grant::CreateGrantFields>,
    judged::<machine::CreateMachine, machine::CreateMachineFields>,
    judged::<machine::Reasoned, Option<muster_model::ReasonText>>,
    judged::<account::CreateAccount, account::CreateAccountFields>,
    judged::<ending::EndMachines, ending::EndMachinesFields>,
    judged::<ending::Readmit, (u32, Option<muster_model::ReasonText>)>,
    judged::<access::CreateToken, access::CreateTokenFields>,
    judged::<site::CreateSite, site::CreateSiteFields>,
    judged::<site::ImportKey, site::ImportKeyFields>,
    judged::<engagement::SetEngagement, engagement::SetEngagementFields>,
    judged::<caller::CertifyCaller, caller::CertifyCallerFields>,
    only::<machine::Revoke>,
    only::<hold::Approve>,
    only::<enroll::TokenRequest>,
    only::<account::Reconcile>,
    only::<access::Login>,
    only::<site::RotateKey>,
    only::<engagement::FreeNick>,
    only::<ListQuery>,
    only::<audit::AuditQuery>,
    only::<engagement::EngagementQuery>,
];

fn only<T: DeserializeOwned + Serialize>(json: &[u8]) {
    taken::<T>(json);
}

pub(crate) fn body(bytes: &[u8]) {
    let Some((which, json)) = bytes.split_first() else { return };
    BODIES[usize::from(*which) % BODIES.len()](json);
}

/// The first line is the method, the rest its evidence.
pub(crate) fn evidence(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(method) = std::str::from_utf8(&bytes[..end]) else { return };
    let Ok(evidence) = parse_json::<serde_json::Value>(&bytes[end + 1..], &JsonLimits::default()) else {
        return;
    };
    match Evidence::parse(method, &evidence) {
        Some(Ok(parsed)) => {
            assert_eq!(parsed.method(), method);
            // Nothing is proved by nothing: it asks for what it names, or it is a door that shows nothing.
            let first = parsed.step(muster_doors::Given::Nothing);
            let is_proved = matches!(first, Ok(muster_doors::Step::Proved(_)));
            assert!(!is_proved || method == "request", "{method} proves something out of nothing");
        }
        Some(Err(error)) => is_brief(&error, bytes),
        None => {}
    }
}

pub(crate) fn frame(bytes: &[u8]) {
    if let Ok(frame) = serde_json::from_slice::<ServerFrame>(bytes) {
        let written = serde_json::to_vec(&frame).expect("JSON");
        assert_eq!(serde_json::from_slice::<ServerFrame>(&written).ok(), Some(frame));
    }
    if let Ok(frame) = serde_json::from_slice::<AgentFrame>(bytes) {
        let written = serde_json::to_vec(&frame).expect("JSON");
        assert_eq!(serde_json::from_slice::<AgentFrame>(&written).ok(), Some(frame));
    }
}
