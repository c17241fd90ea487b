//! Other systems in which machines have accounts: `[provisioners.NAME]`.
//!
//! What stands in a table is checked as it is read: names, ranges, and that each kind has what it needs and nothing else.
//! Secrets stand in files that are named here; they are read when the server starts.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use muster_app::AccountRule;
use muster_model::text::Role;
use muster_model::{ProvisionerName, SiteCode};
use muster_server::limits::Cidr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::Count;

/// Other systems in which machines have accounts, by the names that commands and lists use for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, Provisioner>")]
pub(crate) struct Provisioners(BTreeMap<String, Provisioner>);

/// Another system in which machines have accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provisioner {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its address: that of Ergo's HTTP API, or the one that the webhook is sent to. `https`, or `http` on this host.
    pub(crate) url: String,
    /// ergo: a file with a bearer token of its API.
    pub(crate) token_file: Option<PathBuf>,
    /// webhook: a file with the secret that messages are signed with, `whsec_` and base64.
    pub(crate) secret_file: Option<PathBuf>,
    /// A file with the certificates (PEM) that its own must lead to; those of the system where nothing is said.
    pub(crate) ca_file: Option<PathBuf>,
    /// ergo: an IRC operator, who ends the sessions of accounts that are locked.
    pub(crate) operator: Option<Operator>,
    /// webhook: private addresses and networks (`10.0.0.0/8`) that it may be sent to.
    #[serde(default)]
    pub(crate) allow: Vec<String>,
    /// After so many tries in vain an account waits for an operator.
    #[serde(default = "attempts")]
    pub(crate) attempts: Count<1, 10_000>,
    /// Machines that have an account there from the moment they are let in; none where nothing is said.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub(crate) serves: Option<Serves>,
}

/// Machines that have an account without anybody ordering it: those of these sites that have one of these roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Serves {
    /// Roles of machines, and of software agents: `operator`, `orchestrator`, `worker`, `observer`. Any where nothing is said.
    pub(crate) roles: Vec<String>,
    /// Codes of sites; any where nothing is said.
    pub(crate) sites: Vec<String>,
}

/// An IRC operator of Ergo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operator {
    /// Where Ergo takes connections without TLS: an address of this host.
    pub(crate) address: SocketAddr,
    /// The operator's name.
    pub(crate) name: String,
    /// A file with the operator's password.
    pub(crate) password_file: PathBuf,
}

/// What another system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Ergo, an IRC server, by its HTTP API.
    Ergo,
    /// Whatever takes a signed message (Standard Webhooks).
    Webhook,
}

/// Four hours or so: the longest wait between two tries is five minutes.
fn attempts() -> Count<1, 10_000> {
    Count::of(100)
}

impl Provisioners {
    /// Each with its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProvisionerName, &Provisioner)> {
        let named = |(name, provisioner): (&String, _)| {
            (name.parse().expect("a name was checked when it was read"), provisioner)
        };
        self.0.iter().map(named)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<BTreeMap<String, Provisioner>> for Provisioners {
    type Error = String;

    fn try_from(read: BTreeMap<String, Provisioner>) -> Result<Self, String> {
        for (name, provisioner) in &read {
            if let Err(wrong) = name.parse::<ProvisionerName>() {
                return Err(format!("the name {name:?} {wrong}"));
            }
            provisioner.check().map_err(|wrong| format!("{name}: {wrong}"))?;
        }
        Ok(Self(read))
    }
}

impl Provisioner {
    /// The networks that are excepted from what is refused.
    pub(crate) fn allowed(&self) -> impl Fn(IpAddr) -> bool + Send + Sync + 'static {
        let ranges: Vec<Cidr> = self.allow.iter().filter_map(|range| range.parse().ok()).collect();
        move |address| ranges.iter().any(|range| range.contains(address))
    }

    /// Which machines have an account without anybody ordering it.
    pub(crate) fn rule(&self, name: &ProvisionerName) -> Option<AccountRule> {
        let Serves { roles, sites } = self.serves.as_ref()?;
        Some(AccountRule {
            provisioner: name.clone(),
            roles: roles.iter().filter_map(|role| role.parse().ok()).collect(),
            sites: sites.iter().filter_map(|site| site.parse().ok()).collect(),
        })
    }

    fn check(&self) -> Result<(), String> {
        let (needed, useless) = match self.kind {
            Kind::Ergo => (
                [("token_file", self.token_file.is_some())],
                [("secret_file", self.secret_file.is_some()), ("allow", !self.allow.is_empty())],
            ),
            Kind::Webhook => (
                [("secret_file", self.secret_file.is_some())],
                [("token_file", self.token_file.is_some()), ("operator", self.operator.is_some())],
            ),
        };
        if let Some((key, _)) = needed.iter().find(|(_, is_there)| !is_there) {
            return Err(format!("{key} is needed"));
        }
        if let Some((key, _)) = useless.iter().find(|(_, is_there)| *is_there) {
            return Err(format!("{key} means nothing for this kind"));
        }
        let range = |range: &String| {
            range.parse::<Cidr>().map(|_| ()).map_err(|wrong| format!("allow: {range:?} {wrong}"))
        };
        self.allow.iter().try_for_each(range)?;
        self.serves.as_ref().map_or(Ok(()), Serves::check)
    }
}

impl Serves {
    fn check(&self) -> Result<(), String> {
        if self.roles.is_empty() && self.sites.is_empty() {
            return Err("for: roles or sites are needed".to_owned());
        }
        let wrong = |text: &String, wrong| format!("for: {text:?} {wrong}");
        let role = |text: &String| text.parse::<Role>().map(drop).map_err(|error| wrong(text, error));
        let site = |text: &String| text.parse::<SiteCode>().map(drop).map_err(|error| wrong(text, error));
        self.roles.iter().try_for_each(role)?;
        self.sites.iter().try_for_each(site)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    const ERGO: &str = "[provisioners.irc]\nkind = 'ergo'\nurl = 'http://127.0.0.1:8089'\n";
    const HOOK: &str = "[provisioners.hr]\nkind = 'webhook'\nurl = 'https://hr.example.org/hook'\n";

    #[test]
    fn each_kind_has_what_it_needs_and_nothing_else() {
        for (text, wrong) in [
            (ERGO.to_owned(), "irc: token_file is needed"),
            (HOOK.to_owned(), "hr: secret_file is needed"),
            (
                format!("{ERGO}token_file = 't'\nsecret_file = 's'\n"),
                "irc: secret_file means nothing for this kind",
            ),
            (
                format!("{HOOK}secret_file = 's'\ntoken_file = 't'\n"),
                "hr: token_file means nothing for this kind",
            ),
            (
                format!("{HOOK}secret_file = 's'\nallow = ['10.0.0.1/8']\n"),
                "hr: allow: \"10.0.0.1/8\" has bits set below its prefix",
            ),
            (format!("{ERGO}token_file = 't'\ntoken = 'x'\n"), "unknown field `token`"),
            (format!("{ERGO}token_file = 't'\nattempts = 0\n"), "0 is not between"),
            (format!("{ERGO}token_file = 't'\nfor = {{}}\n"), "irc: for: roles or sites are needed"),
            (format!("{ERGO}token_file = 't'\nfor = {{ sites = ['a b'] }}\n"), "irc: for: \"a b\""),
            (ERGO.replace("irc", "'a b'") + "token_file = 't'\n", "the name \"a b\""),
        ] {
            let said = read(&text).expect_err("refused");
            assert!(said.starts_with(wrong), "{said}");
        }
    }

    #[test]
    fn what_was_read_is_what_is_shown() {
        let operator = "for = { roles = ['worker'], sites = ['main'] }\noperator = { address = '127.0.0.1:6667', name = 'muster', password_file = 'p' }\n";
        let text =
            format!("{ERGO}token_file = 't'\n{operator}{HOOK}secret_file = 's'\nallow = ['10.0.0.0/8']\n");
        let config = read(&text).expect("well formed");
        let again = toml::to_string(&config).expect("tables, texts and numbers");
        assert_eq!(read(&again).expect("its own text"), config);
        let names: Vec<String> = config.provisioners.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["hr", "irc"]);
    }

    #[test]
    fn q_12_what_is_excepted_is_excepted_and_nothing_beside_it() {
        let config =
            read(&format!("{HOOK}secret_file = 's'\nallow = ['10.0.0.0/8']\n")).expect("well formed");
        let (_, hook) = config.provisioners.iter().next().expect("one");
        let allowed = hook.allowed();
        assert!(allowed([10, 1, 2, 3].into()) && !allowed([127, 0, 0, 1].into()));
    }
}
