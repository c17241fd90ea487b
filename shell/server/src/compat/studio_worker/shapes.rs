//! The JSON of studio-worker, and what of it becomes evidence.
//!
//! Unknown fields are taken: the client evolves. What it says of itself is cut to what a record holds rather than refused,
//! because the client would ask the same for ever.

use std::collections::BTreeMap;

use muster_model::SiteCode;
use muster_model::text::is_printable;
use muster_wire::enroll::{CredentialForm, EnrollRequest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest value of an attribute, and longest hostname, in characters.
const MAX_VALUE: usize = 256;
const MAX_HOSTNAME: usize = 253;

/// What of the capabilities is evidence, under the name it gets. Whether somebody sits at the machine changes all day and
/// is left out, as is what the other lists say already.
const EVIDENCE: [(&str, &str); 13] = [
    ("username", "username"),
    ("agentVersion", "agent_version"),
    ("engine", "engine"),
    ("vramTotalGb", "vram_total_gb"),
    ("vramThresholdGb", "vram_threshold_gb"),
    ("autoEnabled", "auto_enabled"),
    ("autoStart", "auto_start"),
    ("autoUpdate", "auto_update"),
    ("startMinimised", "start_minimised"),
    ("onlyWhenIdle", "only_when_idle"),
    ("supportedModels", "supported_models"),
    ("taskKinds", "task_kinds"),
    ("modelEngines", "model_engines"),
];

/// A request to become a worker.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegisterRequest {
    install_id: String,
    registration_secret_hash: String,
    #[serde(default)]
    capabilities: Capabilities,
    #[serde(default)]
    user_agent: Option<String>,
}

/// What a worker says of itself, as it came.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub(super) struct Capabilities(Map<String, Value>);

/// The answer to a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Requested {
    pub(super) request_id: String,
    pub(super) status: &'static str,
}

/// The answer to polling.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(super) enum Polled {
    Pending,
    Approved { worker_id: String, auth_token: String },
    Rejected { reason: String },
}

impl RegisterRequest {
    /// As the use case takes it.
    pub(super) fn into_enrollment(self, site: Option<&SiteCode>) -> EnrollRequest {
        let mut attributes = self.capabilities.attributes();
        attributes.extend(
            self.user_agent
                .and_then(|text| fit(&text, MAX_VALUE))
                .map(|text| ("user_agent".to_owned(), text)),
        );
        let evidence = match site {
            Some(site) => serde_json::json!({ "site": site.as_str() }),
            None => serde_json::json!({}),
        };
        EnrollRequest {
            method: "request".to_owned(),
            evidence,
            csr: None,
            secret_hash: Some(self.registration_secret_hash),
            credential: CredentialForm::Bearer,
            hardware_id: Some(self.install_id),
            hostname: self.capabilities.hostname(),
            kind: "worker".to_owned(),
            attributes,
            previous: None,
        }
    }
}

impl Capabilities {
    /// What the machine calls itself.
    pub(super) fn hostname(&self) -> Option<String> {
        fit(self.0.get("machineName")?.as_str()?, MAX_HOSTNAME)
    }

    /// What it says of itself, fit for a record.
    pub(super) fn attributes(&self) -> BTreeMap<String, String> {
        let evidence = EVIDENCE.iter().filter_map(|(field, name)| {
            let text = fit(&text_of(self.0.get(*field)?)?, MAX_VALUE)?;
            Some(((*name).to_owned(), text))
        });
        evidence.collect()
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            Some(words.join(", "))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// What of a text can be shown, as much as fits.
fn fit(text: &str, max: usize) -> Option<String> {
    let shown: String = text.chars().filter(|c| is_printable(*c)).take(max).collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(capabilities: Value) -> EnrollRequest {
        let request = json!({"installId": "1d848de4-9446-7f86-0556-a1cd78668dfd", "registrationSecretHash": "ab",
            "capabilities": capabilities, "userAgent": "studio-worker/0.4.35", "somethingNew": {"a": [1]}});
        serde_json::from_value::<RegisterRequest>(request).expect("the shape is right").into_enrollment(None)
    }

    #[test]
    fn capabilities_become_evidence_and_the_machine_name_its_hostname() {
        let asked =
            request(json!({"machineName": "vm", "username": "root", "vramTotalGb": 0.0, "autoEnabled": true,
            "supportedModels": ["sd-cpp:*", "synthetic"], "userPresence": "idle",
            "supportedModelsPerKind": {"image": ["synthetic"]}}));
        assert_eq!((asked.hostname.as_deref(), asked.kind.as_str()), (Some("vm"), "worker"));
        let said: Vec<(&str, &str)> =
            asked.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("auto_enabled", "true"),
            ("supported_models", "sd-cpp:*, synthetic"),
            ("user_agent", "studio-worker/0.4.35"),
            ("username", "root"),
            ("vram_total_gb", "0.0"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_does_not_fit_a_record_is_cut_and_never_refused() {
        let odd = json!({"machineName": format!("a\u{0}\u{202e}{}", "b".repeat(1000)), "username": "\n\u{1b}",
            "engine": {"deep": []}, "supportedModels": vec!["m".repeat(100); 50], "taskKinds": 7});
        let asked = request(odd);
        assert_eq!(asked.hostname.as_ref().map(|name| name.chars().count()), Some(MAX_HOSTNAME));
        assert_eq!(asked.attributes["supported_models"].chars().count(), MAX_VALUE);
        assert_eq!((asked.attributes.get("username"), asked.attributes.get("engine")), (None, None));
        assert!(
            muster_wire::enroll::EnrollFields::try_from(EnrollRequest { secret_hash: None, ..asked }).is_ok()
        );
        assert_eq!(request(json!({})).hostname, None);
    }

    #[test]
    fn answers_have_the_names_that_the_client_reads() {
        let json = |polled: Polled| serde_json::to_value(polled).expect("JSON");
        assert_eq!(json(Polled::Pending), json!({"status": "pending"}));
        let approved = Polled::Approved { worker_id: "mch_1".into(), auth_token: "key".into() };
        assert_eq!(json(approved), json!({"status": "approved", "workerId": "mch_1", "authToken": "key"}));
        let rejected = Polled::Rejected { reason: String::new() };
        assert_eq!(json(rejected), json!({"status": "rejected", "reason": ""}));
    }
}
