//! Every place where Muster reads bytes of somebody else, as a function of bytes that must hold whatever they are.
//!
//! A [`Target`] panics where a promise is broken: not only where a parser does, but where what was read is not written
//! again as it was, where a signature holds over something else, where an error repeats a secret, or where a server answers
//! that it is broken. What the targets are is told by [`TARGETS`]; `docs/reference/fuzz.md` lists them beside the parsers.
//!
//! [`corpus`] holds inputs worth keeping, one file each; every run of the tests replays them and a fixed number of
//! [`mutate`]d ones. [`guided`] has libFuzzer look for new ones. Never part of a release.

mod answers;
mod bodies;
pub mod corpus;
mod downstream;
mod edits;
mod files;
pub mod guided;
mod keys;
pub mod mutate;
mod requests;
mod stored;
mod texts;

/// Something that reads bytes of somebody else.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of its directory in the corpus, too.
    pub name: &'static str,
    /// What it reads, in a line.
    pub reads: &'static str,
    /// Panics where a promise is broken.
    pub check: fn(&[u8]),
    /// How many mutated inputs a run of the tests tries, the costly ones fewer.
    pub small: u64,
}

macro_rules! targets {
    ($($name:literal, $small:literal, $check:path, $reads:literal;)+) => {
        /// Every one.
        pub const TARGETS: &[Target] = &[$(Target { name: $name, reads: $reads, check: $check, small: $small }),+];
    };
}

targets! {
    "secret", 20_000, texts::secret, "tokens, bearer keys, refresh tokens and API tokens in their text form";
    "invite", 10_000, texts::invite, "invites and CA pins";
    "signature-header", 10_000, texts::signature_header, "the headers `muster-signature` and `muster-slot`";
    "nouns", 20_000, texts::nouns, "identifiers, names, codes, roles, ranges, hashes: every text that is a value";
    "nonce", 10_000, texts::nonce, "nonces of signed requests";
    "forwarded", 5_000, texts::forwarded, "forwarded addresses, as proxies and callers write them";
    "csr", 2_000, keys::csr, "certificate requests (PKCS #10)";
    "public-key", 5_000, keys::public_key, "public keys (SubjectPublicKeyInfo)";
    "certificate", 2_000, keys::certificate, "machines' certificates and the name in them";
    "jwt", 1_000, keys::jwt, "machine and session tokens (JWT)";
    "engagement-jws", 1_000, keys::engagement, "signed engagements, and the keys that they are verified by";
    "signed-request", 1_000, keys::signed_request, "a signed request whose header, path or body was changed";
    "body", 20_000, bodies::body, "JSON bodies and queries of the management API and of machines";
    "evidence", 10_000, bodies::evidence, "evidence of every way in";
    "frame", 10_000, bodies::frame, "messages of the channel, in both directions";
    "answer", 10_000, answers::refusal, "answers that an agent gets instead of what it asked for";
    "welcome", 10_000, answers::success, "answers that an agent asked for";
    "engagement", 10_000, stored::engagement, "documents of engagements, and what is signed of them";
    "mark", 5_000, stored::mark, "the mark of a database, beside it";
    "export", 300, stored::export, "an export of a database";
    "agent-files", 500, files::agent, "the files of an agent";
    "request", 500, requests::native, "requests to the routes of Muster's own protocol";
    "compat", 500, requests::compat, "requests to the routes of the four existing clients";
    "downstream", 100, downstream::ergo, "what another system answers, over HTTP and over IRC";
}

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
