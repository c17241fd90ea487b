//! The connectors that the configuration names, with their secrets.

use std::path::Path;
use std::sync::Arc;

use muster_app::{Provisioner, Provisioners};
use muster_model::ProvisionerName;
use muster_provision::{Ergo, ErgoSettings, IrcOperator, SetupError, Webhook, WebhookSettings};
use zeroize::Zeroizing;

use super::secret;
use crate::config::{Config, Kind, Operator, Provisioner as Table};
use crate::failure::{Exit, Failure, Result};

/// All of them. Nobody is asked yet.
pub(crate) fn provisioners(config: &Config) -> Result<Provisioners> {
    let mut all = Provisioners::default();
    let mut tables: Vec<_> = config.provisioners.iter().collect();
    // Of several accounts, a software agent is told the passphrase of the first: the one it logs in with.
    tables.sort_by_key(|(_, table)| table.kind != Kind::Ergo);
    for (name, table) in tables {
        let rule = table.rule(&name);
        all = all.with(name.clone(), connector(&name, table)?, table.attempts.get());
        if let Some(rule) = rule {
            all = all.ruled(rule);
        }
    }
    Ok(all)
}

fn connector(name: &ProvisionerName, table: &Table) -> Result<Arc<dyn Provisioner>> {
    let (url, roots) = (table.url.clone(), roots(table)?);
    let unset = |key: &str| Failure::new(Exit::Config, format!("provisioners.{name}.{key} is needed"));
    Ok(match table.kind {
        Kind::Ergo => {
            let token = table.token_file.as_deref().ok_or_else(|| unset("token_file"))?;
            let token = secret::read(token, "token")?;
            let operator = table.operator.as_ref().map(|operator| irc(name, operator)).transpose()?;
            let settings = ErgoSettings { url, token, roots, operator, call: None };
            Arc::new(Ergo::new(settings).map_err(|error| wrong(name, &error))?)
        }
        Kind::Webhook => {
            let file = table.secret_file.as_deref().ok_or_else(|| unset("secret_file"))?;
            let secret: Zeroizing<String> = secret::read(file, "secret")?;
            let allowed = Box::new(table.allowed());
            let settings = WebhookSettings { url, secret, roots, allowed, call: None };
            Arc::new(Webhook::new(settings).map_err(|error| wrong(name, &error))?)
        }
    })
}

fn irc(name: &ProvisionerName, operator: &Operator) -> Result<IrcOperator> {
    let password = secret::read(&operator.password_file, "password")?;
    let made = IrcOperator::new(operator.address, operator.name.clone(), password);
    made.ok_or_else(|| {
        Failure::new(Exit::Config, format!("provisioners.{name}.operator cannot be used"))
            .cause("the connection is not encrypted, so it goes to this host alone; name and password are a word each")
            .hint("give an address of this host, such as 127.0.0.1:6667")
    })
}

fn roots(table: &Table) -> Result<Option<Vec<u8>>> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            Failure::new(Exit::Config, format!("{} cannot be read", path.display())).because(&error)
        })
    };
    table.ca_file.as_deref().map(read).transpose()
}

fn wrong(name: &ProvisionerName, error: &SetupError) -> Failure {
    let key = match error {
        SetupError::Address | SetupError::Plain => "url",
        SetupError::Secret => "secret_file",
        SetupError::Roots(_) => "ca_file",
        SetupError::Client(_) => "url",
    };
    Failure::new(Exit::Config, format!("provisioners.{name}.{key} {error}")).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(text: &str) -> Result<Provisioners> {
        provisioners(&toml::from_str(text).expect("well formed"))
    }

    fn refused(text: &str) -> String {
        let failure = built(text).expect_err("refused");
        assert_eq!(failure.exit(), Exit::Config);
        format!("{} {}", failure.message(), failure.why())
    }

    #[test]
    fn what_a_connector_needs_is_named_where_it_is_wrong_and_no_secret_is_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("secret");
        std::fs::write(&file, "canary\n").expect("written");
        let file = file.display();
        let ergo = |url: &str, token: &str| {
            format!("[provisioners.irc]\nkind = 'ergo'\nurl = '{url}'\ntoken_file = '{token}'\n")
        };
        assert!(built(&ergo("http://127.0.0.1:1", &file.to_string())).is_ok());
        let hook = format!(
            "[provisioners.hr]\nkind = 'webhook'\nurl = 'https://hr.example/'\nsecret_file = '{file}'\n"
        );
        let oper = format!(
            "operator = {{ address = '192.0.2.1:6667', name = 'muster', password_file = '{file}' }}\n"
        );
        for (text, expected) in [
            (
                ergo("http://irc.example", &file.to_string()),
                "provisioners.irc.url is http:// to another host",
            ),
            (ergo("irc", &file.to_string()), "provisioners.irc.url is not an address"),
            (ergo("http://127.0.0.1:1", "/nonexistent"), "the token file /nonexistent cannot be used"),
            (hook, "provisioners.hr.secret_file is not a secret of the form whsec_"),
            (
                ergo("http://127.0.0.1:1", &file.to_string()) + &oper,
                "provisioners.irc.operator cannot be used",
            ),
        ] {
            let said = refused(&text);
            assert!(said.starts_with(expected) && !said.contains("canary"), "{said}");
        }
    }
}
