//! What machines are searched by: words, and terms that name a field.
//!
//! `web label:ring=canary version:1.2* online:yes "state:x"`: a word begins some word of the machine, whatever its field; a term is
//! what its field says, or with `*` how that begins; what stands in quotes is words and nothing else. All of them must fit. Case
//! and punctuation make no difference.
//!
//! Invariant: a term holds what it asks for [`folded`], so that no store need know how it was written.

use crate::Machine;

/// The most terms that a search may have, and the most words of it that count.
const MOST: usize = 8;

/// A search, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// What is left for any field.
    pub words: Vec<String>,
    /// What certain fields must say.
    pub terms: Vec<Term>,
    /// In this state, as it was written.
    pub state: Option<String>,
    /// Of the site with this code, as it was written.
    pub site: Option<String>,
    /// There, or not.
    pub online: Option<bool>,
}

/// What one field must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    field: Field,
    value: String,
    begins: bool,
}

/// A field of a machine that a term may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// A label: `label:key=value`, or `label:key` for any value.
    Label,
    /// The grant that it came in by.
    Grant,
    /// The version of its agent.
    Version,
    /// Its operating system, as it says.
    Os,
    /// What sort of thing it is.
    Kind,
    /// Its role.
    Role,
    /// From where it enrolled.
    Address,
}

/// What is wrong with a search.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A term of a field that there is none of.
    #[error("`{0}:` is no field: there are {FIELDS}; what is to be found as it stands belongs in quotes")]
    Field(String),
    /// A term without a value.
    #[error("`{0}:` names no value: write one behind it without a blank, as in `{0}:x`")]
    Empty(String),
    /// `online:` with another word than yes and no.
    #[error("`online:` is yes or no")]
    Online,
    /// A field with one value is to have two.
    #[error("`{0}:` is asked for twice, as different things")]
    Twice(&'static str),
    /// More terms than are taken.
    #[error("more than {MOST} terms are not taken")]
    TooMany,
}

/// Every field that a search may name, as errors and help tell it.
pub const FIELDS: &str = "state, site, online, label, grant, version, os, kind, role, address";

impl Field {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Label, Self::Grant, Self::Version, Self::Os, Self::Kind, Self::Role, Self::Address];

    /// Its name in a search.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Grant => "grant",
            Self::Version => "version",
            Self::Os => "os",
            Self::Kind => "kind",
            Self::Role => "role",
            Self::Address => "address",
        }
    }

    /// What it says of a machine; more than one thing where a machine has several.
    pub fn of(self, machine: &Machine) -> Vec<String> {
        let one = |text: Option<String>| text.into_iter().collect();
        let said = |names: [&str; 2]| names.iter().find_map(|name| machine.attributes.get(name));
        match self {
            Self::Label => machine.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            Self::Grant => {
                let grants = [machine.grant, machine.lineage.grant];
                grants.into_iter().flatten().map(|grant| grant.to_string()).collect()
            }
            Self::Version => one(said(["agent_version", "version"]).map(str::to_owned)),
            Self::Os => one(said(["os", "platform"]).map(str::to_owned)),
            Self::Kind => vec![machine.kind.as_str().to_owned()],
            Self::Role => one(machine.role.as_ref().map(ToString::to_string)),
            Self::Address => one(machine.lineage.source.map(|source| source.to_string())),
        }
    }
}

impl Search {
    /// Takes a search apart.
    ///
    /// # Errors
    /// [`SearchError`]: a term that would find nothing for being written wrongly is no word.
    pub fn parse(text: &str) -> Result<Self, SearchError> {
        let mut search = Self::default();
        for Piece { name, value } in pieces(text) {
            match name {
                None if search.words.len() < MOST => search.words.push(value),
                None => {}
                Some(name) => search.take(&name, value)?,
            }
        }
        Ok(search)
    }

    /// A search that finds what holds these words, whatever they look like.
    pub fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('"', " "))
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), SearchError> {
        if value.is_empty() {
            return Err(SearchError::Empty(name.to_owned()));
        }
        match name {
            "state" => once("state", &mut self.state, value),
            "site" => once("site", &mut self.site, value),
            "online" => once("online", &mut self.online, is_yes(&value)?),
            _ => {
                let field = Field::ALL.into_iter().find(|field| field.as_str() == name);
                let field = field.ok_or_else(|| SearchError::Field(name.to_owned()))?;
                if self.terms.len() == MOST {
                    return Err(SearchError::TooMany);
                }
                self.terms.push(Term::new(field, &value));
                Ok(())
            }
        }
    }
}

impl Term {
    /// A field and what it is to say, as somebody writes it: all of it, or with `*` its beginning. A label's name alone means any
    /// value.
    pub fn new(field: Field, text: &str) -> Self {
        let (value, begins) = match text.strip_suffix('*') {
            Some(beginning) => (folded(beginning), true),
            None if field == Field::Label && !text.contains('=') => (folded(&format!("{text}=")), true),
            None => (folded(text), false),
        };
        Self { field, value, begins }
    }

    /// The field.
    pub fn field(&self) -> Field {
        self.field
    }

    /// What it says, [`folded`].
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether that is only its beginning.
    pub fn begins(&self) -> bool {
        self.begins
    }
}

/// What a machine is found by, whatever the field: its names, labels, and what terms may ask for, but for its kind. What its people
/// and its server call it comes first.
pub fn texts(machine: &Machine) -> Vec<String> {
    let names = [
        Some(machine.name.to_string()),
        machine.hostname.as_ref().map(ToString::to_string),
        machine.hardware_id.as_ref().map(ToString::to_string),
        Some(machine.id.to_string()),
    ];
    let fields = Field::ALL.into_iter().filter(|field| *field != Field::Kind);
    names.into_iter().flatten().chain(fields.flat_map(|field| field.of(machine))).collect()
}

/// Lower case, and one mark for whatever is no letter and no digit.
pub fn folded(text: &str) -> String {
    text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect()
}

fn once<T: PartialEq>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), SearchError> {
    match slot {
        Some(earlier) if *earlier != value => Err(SearchError::Twice(name)),
        _ => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn is_yes(text: &str) -> Result<bool, SearchError> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(SearchError::Online),
    }
}

/// What stands between blanks.
struct Piece {
    name: Option<String>,
    value: String,
}

/// The pieces between blanks; quotes keep together what has some, and one that begins with them names no field.
fn pieces(text: &str) -> Vec<Piece> {
    let (mut pieces, mut value) = (Vec::new(), String::new());
    let (mut is_quoted, mut began_quoted) = (false, false);
    // One more blank ends the last one.
    for c in text.chars().chain([' ']) {
        match c {
            '"' => {
                began_quoted |= value.is_empty();
                is_quoted = !is_quoted;
            }
            c if c.is_whitespace() && !is_quoted => {
                let written = std::mem::take(&mut value);
                let was_quoted = std::mem::take(&mut began_quoted);
                if was_quoted || !written.is_empty() {
                    pieces.push(if was_quoted {
                        Piece { name: None, value: written }
                    } else {
                        Piece::of(&written)
                    });
                }
            }
            c => value.push(c),
        }
    }
    if !value.is_empty() {
        // Quotes that nobody closed.
        pieces.push(Piece { name: None, value });
    }
    pieces
}

impl Piece {
    fn of(written: &str) -> Self {
        let term = written.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value));
        match term {
            Some((name, value)) if is_name(&name, value) => {
                Self { name: Some(name), value: value.to_owned() }
            }
            _ => Self { name: None, value: written.to_owned() },
        }
    }
}

/// Letters that a colon follows name a field, unless more of them follow: a hardware address is no term.
fn is_name(name: &str, value: &str) -> bool {
    let is_word = name.len() > 1 && name.bytes().all(|b| b.is_ascii_lowercase());
    let is_known = FIELDS.split(", ").any(|known| known == name);
    is_word && (is_known || !value.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(field: Field, value: &str, begins: bool) -> Term {
        Term { field, value: value.to_owned(), begins }
    }

    fn wrong(text: &str) -> SearchError {
        Search::parse(text).expect_err(text)
    }

    #[test]
    fn words_and_terms_are_told_apart() {
        let search = Search::parse(
            r#" web  label:ring=canary version:1.2* online:yes state:active site:lab "label:x y""#,
        );
        let search = search.expect("well-formed");
        assert_eq!(search.words, ["web", "label:x y"]);
        let terms = [term(Field::Label, "ring-canary", false), term(Field::Version, "1-2", true)];
        assert_eq!(search.terms, terms);
        assert_eq!(
            (search.online, search.state.as_deref(), search.site.as_deref()),
            (Some(true), Some("active"), Some("lab"))
        );
    }

    #[test]
    fn a_value_with_blanks_stands_in_quotes_and_a_label_alone_means_any_value() {
        let search =
            Search::parse(r#"os:"Debian GNU/Linux 12" label:size="a b" label:ring address:2001:db8::1"#)
                .expect("well-formed");
        let terms = [
            term(Field::Os, "debian-gnu-linux-12", false),
            term(Field::Label, "size-a-b", false),
            term(Field::Label, "ring-", true),
            term(Field::Address, "2001-db8--1", false),
        ];
        assert_eq!(search.terms, terms);
    }

    #[test]
    fn a_hardware_address_is_a_word_and_a_misspelt_field_is_an_error() {
        let search = Search::parse("aa:bb:cc:dd:ee:ff 10:20 :x").expect("well-formed");
        assert_eq!((search.words.len(), search.terms.len()), (3, 0));
        assert_eq!(wrong("stat:active"), SearchError::Field("stat".into()));
        assert_eq!(wrong("grant: x"), SearchError::Empty("grant".into()));
        assert_eq!(wrong("online:maybe"), SearchError::Online);
    }

    #[test]
    fn who_misspells_a_field_is_told_each_that_there_is() {
        let told = wrong("stat:active").to_string();
        for field in Field::ALL.iter().map(|field| field.as_str()).chain(["state", "site", "online"]) {
            assert!(told.contains(field), "{field} in {told}");
            assert!(Search::parse(&format!("{field}:yes")).is_ok(), "{field}");
        }
        assert_eq!(FIELDS.split(", ").count(), Field::ALL.len() + 3);
    }

    #[test]
    fn a_field_has_one_state_site_and_presence_and_nothing_is_left_out_in_silence() {
        assert_eq!(wrong("state:active state:retired"), SearchError::Twice("state"));
        assert_eq!(wrong("online:yes ONLINE:no"), SearchError::Twice("online"));
        assert!(Search::parse("site:lab site:lab").is_ok());
        let many = |n: usize| "role:gpu ".repeat(n);
        assert!(Search::parse(&many(MOST)).is_ok());
        for n in [MOST + 1, 100 * MOST] {
            assert_eq!(wrong(&many(n)), SearchError::TooMany);
        }
    }

    #[test]
    fn a_term_is_folded_whoever_makes_it() {
        assert_eq!(Term::new(Field::Label, "Ring=Ä B"), term(Field::Label, "ring-ä-b", false));
        assert_eq!(Term::new(Field::Os, "' OR \"1\" & x:*"), term(Field::Os, "--or--1----x-", true));
        let written = Search::parse("Label:RING=\"ä b\"").expect("well-formed");
        assert_eq!(written.terms, [Term::new(Field::Label, "ring=Ä.B")]);
    }

    #[test]
    fn q_40_no_text_is_too_odd_and_what_is_quoted_stays_words() {
        for odd in ["\"", "a\"b", "\"\" \"", "::", "label:\"", "é:x", &"x ".repeat(1000)] {
            let _any = Search::parse(odd);
        }
        let name = "state:\"odd\" grant:1";
        let search = Search::parse(&Search::quoted(name)).expect("words");
        assert_eq!((search.words.len(), search.terms.len(), search.state), (1, 0, None));
    }
}
