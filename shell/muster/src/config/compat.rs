//! Existing clients that enroll without any change, and where they are served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use muster_app::AgentSettings;
use muster_model::engagement::wrong_channel;
use muster_model::{PayloadKey, SiteCode, TextError};
use muster_server::Wires;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure, Result};

/// Existing clients that are served without any change. `muster up` serves all of them where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Compat {
    /// studio-worker.
    pub(crate) studio_worker: Option<bool>,
    /// The wrenn host agent.
    pub(crate) wrenn: Option<bool>,
    /// The GuruConnect agent.
    pub(crate) guruconnect: Option<bool>,
    /// scuttlebot's scuttlectl and relay agents.
    pub(crate) scuttlebot: Option<bool>,
    /// A listener of their own, for clients that cannot trust a private CA; none where nothing is said. Without `certificate`
    /// it is plain HTTP, and what goes over it can be read on the way: keep it on this host, or behind a proxy that speaks TLS.
    pub(crate) listen: Option<SocketAddr>,
    /// A file with a certificate of your own for that listener, and what it leads by to a root that its clients trust (PEM,
    /// the server's first); then it speaks TLS. Read anew within a minute when it changes.
    pub(crate) certificate: Option<PathBuf>,
    /// A file with the key of that certificate (PEM: PKCS#8, SEC1 or PKCS#1), closed to others.
    pub(crate) key: Option<PathBuf>,
    /// Where the IRC server of scuttlebot's agents is, as it is told to them with what they show there.
    pub(crate) scuttlebot_irc: Option<String>,
    /// The channels that a key of any team may give them, beside its own `#team-NAME-…`; `#general` where nothing is said.
    pub(crate) scuttlebot_shared_channels: Option<Vec<String>>,
    /// The code of the site of clients that name none: studio-workers ask at it, wrenn hosts that are made over their wire stand
    /// at it, scuttlebot's agents are registered in it. The only one there is where nothing is said.
    pub(crate) site: Option<String>,
}

impl Compat {
    /// Serves every one that the configuration does not speak of.
    pub(crate) fn all_on(&mut self) {
        for client in [&mut self.studio_worker, &mut self.wrenn, &mut self.guruconnect, &mut self.scuttlebot]
        {
            client.get_or_insert(true);
        }
    }

    /// What holds for software agents.
    ///
    /// # Errors
    /// The name of the option whose value cannot be, and why.
    pub(crate) fn agents(
        &self,
        payload_key: Option<PayloadKey>,
    ) -> std::result::Result<AgentSettings, String> {
        let usual = AgentSettings::default();
        let site = self.site.as_deref().map(str::parse).transpose();
        let site = site.map_err(|error: TextError| format!("compat.site {error}"))?;
        let shared_channels = self.scuttlebot_shared_channels.clone().unwrap_or(usual.shared_channels);
        if let Some(why) = shared_channels.iter().find_map(|channel| wrong_channel(channel)) {
            return Err(format!("compat.scuttlebot_shared_channels {why}"));
        }
        Ok(AgentSettings { site, irc_server: self.scuttlebot_irc.clone(), shared_channels, payload_key })
    }

    /// The files of the operator's own certificate and of its key, where there is one.
    pub(crate) fn own_certificate(&self) -> Result<Option<(&Path, &Path)>> {
        let without = |there: &str, missing: &str| {
            Failure::new(Exit::Config, format!("compat.{there} is set and compat.{missing} is not"))
                .hint("name both files, or neither for plain HTTP")
        };
        match (self.certificate.as_deref(), self.key.as_deref()) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (Some(_), None) => Err(without("certificate", "key")),
            (None, Some(_)) => Err(without("key", "certificate")),
            (None, None) => Ok(None),
        }
    }

    /// The site that clients ask at who name none.
    pub(crate) fn site(&self) -> Result<Option<SiteCode>> {
        let wrong = |error: TextError| {
            Failure::new(Exit::Config, "compat.site is not the code of a site").because(&error)
        };
        self.site.as_deref().map(str::parse).transpose().map_err(wrong)
    }

    /// Which are served.
    pub(crate) fn wires(&self) -> Wires {
        let on = |client: Option<bool>| client.unwrap_or_default();
        Wires {
            studio_worker: on(self.studio_worker),
            wrenn: on(self.wrenn),
            guruconnect: on(self.guruconnect),
            scuttlebot: on(self.scuttlebot),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_its_key_are_named_together_or_not_at_all() {
        let named = |text: &str| toml::from_str::<Compat>(text).expect("well formed");
        assert!(matches!(named("").own_certificate(), Ok(None)));
        let both = named("certificate = '/a'\nkey = '/b'\n");
        assert_eq!(both.own_certificate().expect("both"), Some((Path::new("/a"), Path::new("/b"))));
        for (text, missing) in
            [("certificate = '/a'", "compat.key is not"), ("key = '/b'", "compat.certificate is not")]
        {
            let failure = named(text).own_certificate().expect_err("one alone");
            assert_eq!(failure.exit(), Exit::Config);
            assert!(failure.message().ends_with(missing), "{}", failure.message());
        }
    }

    #[test]
    fn what_is_switched_off_stays_off_and_the_rest_follows_the_command() {
        let mut compat = Compat { wrenn: Some(false), ..Compat::default() };
        assert_eq!(compat.wires(), Wires::default());
        compat.all_on();
        let all = Wires { studio_worker: true, wrenn: false, guruconnect: true, scuttlebot: true };
        assert_eq!(compat.wires(), all);
    }
}
