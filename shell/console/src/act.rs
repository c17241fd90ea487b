//! Something that a page offers to do: a call of the API, what it leads to, and the command that does the same.
//!
//! The page holds it as data and one script sends it, so that a button, a command line and a script do the same thing in the
//! same way, and what is shown as `curl` is what is sent.

use serde_json::{Map, Value};

/// A call of the API that a page offers.
#[derive(Debug, Clone)]
pub struct Act {
    /// Names it among the acts of its page: `suspend`.
    pub name: &'static str,
    /// What the button says.
    pub label: &'static str,
    /// What happens, in a sentence or two.
    pub effect: &'static str,
    /// How it is sent: `POST`, or `PATCH` for a change of what there is.
    pub method: &'static str,
    /// The path that it is sent to.
    pub path: String,
    /// What is asked for.
    pub fields: Vec<Field>,
    /// The words of the command behind `muster`.
    pub command: String,
    /// Whether it ends something.
    pub ends: bool,
    /// What the answer gives this once.
    pub gives: Gives,
}

/// What an answer gives that is on no page afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// Nothing that is not on the page afterwards.
    Nothing,
    /// A secret, under this name.
    Secret(&'static str),
    /// An invite. The page waits for whoever comes by it.
    Invite,
    /// What is not as it is wanted in other systems.
    Drift,
}

/// Something that an act says beside its path.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the body.
    pub name: &'static str,
    /// What people read.
    pub label: &'static str,
    /// The option of the command that says the same; nothing where it is said by the command's own words.
    pub option: &'static str,
    /// How it is said.
    pub kind: Kind,
}

/// How something is said.
#[derive(Debug, Clone)]
pub enum Kind {
    /// It is given already.
    Given(Value),
    /// In words.
    Text,
    /// As a number.
    Number,
    /// As one of these values, each with what people read; the first where nothing is chosen.
    Choice(Vec<(String, String)>),
    /// As a number of seconds: one of these, each as the command takes it.
    Seconds(&'static [(u32, &'static str)]),
    /// By yes or no.
    Check,
    /// As `key=value`, with commas between.
    Pairs,
}

impl Kind {
    /// How the script is to read it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Given(_) | Self::Text | Self::Choice(_) => "text",
            Self::Number | Self::Seconds(_) => "number",
            Self::Check => "check",
            Self::Pairs => "pairs",
        }
    }
}

impl Gives {
    /// Under which name the answer gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Secret(name) => name,
            Self::Invite => "invite",
            Self::Drift => "drifted",
        }
    }
}

impl Field {
    /// Why, in an operator's words.
    pub const REASON: Self = Self::new("reason", "Reason", "--reason", Kind::Text);

    /// A field.
    pub const fn new(name: &'static str, label: &'static str, option: &'static str, kind: Kind) -> Self {
        Self { name, label, option, kind }
    }

    /// A field whose value is given already.
    pub fn given(name: &'static str, value: impl Into<Value>) -> Self {
        Self::new(name, "", "", Kind::Given(value.into()))
    }

    fn value(&self) -> Option<&Value> {
        match &self.kind {
            Kind::Given(value) => Some(value),
            _ => None,
        }
    }
}

impl Act {
    /// The same by the command line.
    pub fn cli(&self) -> String {
        format!("muster {}", self.command)
    }

    /// The same by `curl`, with an API token and the authority's certificate in files.
    pub fn curl(&self, url: &str) -> String {
        let body = self.body();
        let data = if body.is_empty() {
            String::new()
        } else {
            format!(" \\\n  -H 'content-type: application/json' -d '{}'", quoted(&Value::Object(body)))
        };
        format!("curl --cacert ca.pem -H @token.header -X {} \\\n  {url}{}{data}", self.method, self.path)
    }

    /// What is in the body whatever is filled in.
    pub fn body(&self) -> Map<String, Value> {
        let given =
            self.fields.iter().filter_map(|field| Some((field.name.to_owned(), field.value()?.clone())));
        given.collect()
    }

    /// The same, as text.
    pub fn body_text(&self) -> String {
        Value::Object(self.body()).to_string()
    }

    /// What is still to be filled in.
    pub fn asked(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.value().is_none())
    }
}

/// JSON between single quotes of a shell.
fn quoted(value: &Value) -> String {
    value.to_string().replace('\'', r"'\''")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approve() -> Act {
        Act {
            name: "same",
            label: "The same machine",
            effect: "It gets the new key.",
            path: "/v1/holds/hld_1/approve".to_owned(),
            fields: vec![Field::given("as", "it's same")],
            command: "hold approve hld_1 --as-same".to_owned(),
            method: "POST",
            ends: false,
            gives: Gives::Nothing,
        }
    }

    #[test]
    fn what_is_shown_as_curl_is_what_is_sent() {
        let act = approve();
        assert_eq!(act.body_text(), r#"{"as":"it's same"}"#);
        let curl = act.curl("https://muster.example:8443");
        assert!(curl.contains("https://muster.example:8443/v1/holds/hld_1/approve"), "{curl}");
        assert!(curl.ends_with(r#"-d '{"as":"it'\''s same"}'"#), "{curl}");
        assert_eq!(act.cli(), "muster hold approve hld_1 --as-same");
    }

    #[test]
    fn an_act_without_a_body_sends_none() {
        let act = Act { fields: vec![Field::REASON], ..approve() };
        assert!(!act.curl("https://m").contains("-d"), "{}", act.curl("https://m"));
        assert_eq!(act.asked().map(|field| field.name).collect::<Vec<_>>(), ["reason"]);
    }
}
