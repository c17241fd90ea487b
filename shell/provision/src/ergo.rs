//! Ergo, an IRC server, through its HTTP API.
//!
//! The API answers a failure with 200 and `success: false`. It can make an account, set its passphrase and check one; it
//! can neither forget an account nor end a session. So an account is locked by a passphrase that nobody has, and a removed
//! one stays locked; sessions end by an IRC operator's connection, where one is configured.
//!
//! An account that is not known to be ours is made, never changed. Where there is one already, it is ours if a passphrase
//! that Muster derived for it fits: then the answer to an earlier order was lost. Else it is somebody else's.

use std::time::Duration;

use muster_app::{Delivered, Doing, Found, Order, Provisioner};
use muster_model::{AccountName, Mishap, MishapKind, Passphrase, Wanted};
use reqwest::{Client, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::http::{self, SetupError, mishap};
use crate::irc::IrcOperator;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);

/// Where Ergo is, and what opens it.
pub struct ErgoSettings {
    /// The address of its HTTP API.
    pub url: String,
    /// The bearer token of its API.
    pub token: Zeroizing<String>,
    /// Certificates to trust, as PEM; those of the system where nothing is said.
    pub roots: Option<Vec<u8>>,
    /// An operator's connection, which ends sessions.
    pub operator: Option<IrcOperator>,
    /// How long one call may take; five seconds where nothing is said.
    pub call: Option<Duration>,
}

/// The connector to one Ergo.
pub struct Ergo {
    http: Client,
    url: Url,
    token: Zeroizing<String>,
    operator: Option<IrcOperator>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    success: bool,
    error: Option<String>,
    error_code: Option<String>,
}

/// What became of one call that was understood.
enum Said {
    Done,
    Exists,
    Missing,
}

/// How an account came by the passphrase it was to have.
enum Given {
    /// It was known to be ours.
    Set,
    /// There was none.
    Made,
    /// It turned out to be ours.
    Recognised,
    /// It has not got it: it is somebody else's.
    Foreign,
}

impl Ergo {
    /// Makes the connector. Nothing is asked yet.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: ErgoSettings) -> Result<Self, SetupError> {
        let ErgoSettings { url, token, roots, operator, call } = settings;
        let http = http::client(http::tls(roots.as_deref())?, call.unwrap_or(CALL), None)?;
        Ok(Self { http, url: http::address(&url)?, token, operator })
    }

    async fn call(&self, path: &str, body: serde_json::Value) -> Result<Answer, Mishap> {
        let mut url = self.url.clone();
        url.set_path(path);
        let sent = self.http.post(url).bearer_auth(&*self.token).json(&body).send().await;
        let response = sent.map_err(|error| http::unreached(&error))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(http::denied(response.status()));
        }
        let body = http::body(response).await?;
        serde_json::from_slice(&body).or(Err(mishap(MishapKind::Failed, "its answer is not Ergo's")))
    }

    async fn with_passphrase(
        &self,
        path: &str,
        name: &AccountName,
        passphrase: &Passphrase,
    ) -> Result<Answer, Mishap> {
        let body = serde_json::json!({ "accountName": name.as_str(), "passphrase": passphrase.reveal() });
        self.call(path, body).await
    }

    async fn make(&self, name: &AccountName, passphrase: &Passphrase) -> Result<Said, Mishap> {
        understood(&self.with_passphrase("/v1/ns/saregister", name, passphrase).await?)
    }

    async fn set(&self, name: &AccountName, passphrase: &Passphrase) -> Result<Said, Mishap> {
        understood(&self.with_passphrase("/v1/ns/passwd", name, passphrase).await?)
    }

    async fn fits(&self, name: &AccountName, passphrase: &Passphrase) -> Result<bool, Mishap> {
        said_no(&self.with_passphrase("/v1/check_auth", name, passphrase).await?).map(|no| !no)
    }

    /// Whether there is such an account.
    async fn is_there(&self, name: &AccountName) -> Result<bool, Mishap> {
        let answer = self.call("/v1/ns/info", serde_json::json!({ "accountName": name.as_str() })).await?;
        said_no(&answer).map(|no| !no)
    }

    /// Gives the account this passphrase, making it where there is none.
    async fn give(&self, order: &Order, passphrase: &Passphrase) -> Result<Given, Mishap> {
        if order.ours && matches!(self.set(&order.name, passphrase).await?, Said::Done) {
            return Ok(Given::Set);
        }
        // It is not there, or nobody knows: making one harms nobody.
        if matches!(self.make(&order.name, passphrase).await?, Said::Done) {
            return Ok(Given::Made);
        }
        // Even where it was ours: somebody may have made it anew since it was found missing.
        if !self.is_ours(order).await? {
            return Ok(Given::Foreign);
        }
        match self.set(&order.name, passphrase).await? {
            Said::Done if order.ours => Ok(Given::Set),
            Said::Done => Ok(Given::Recognised),
            Said::Exists | Said::Missing => Err(mishap(MishapKind::Failed, "the account comes and goes")),
        }
    }

    /// Whether a passphrase fits that only Muster can have set.
    async fn is_ours(&self, order: &Order) -> Result<bool, Mishap> {
        for passphrase in [&order.passphrase, &order.nobodys].into_iter().chain(&order.earlier) {
            if self.fits(&order.name, passphrase).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn bring(&self, order: &Order) -> Result<Delivered, Mishap> {
        let passphrase = match order.wanted {
            Wanted::Live => &order.passphrase,
            Wanted::Locked | Wanted::Removed => &order.nobodys,
        };
        let given = self.give(order, passphrase).await?;
        match (&self.operator, given, order.wanted) {
            (_, Given::Foreign, _) => return Ok(Delivered::Foreign),
            // One that is suspended shows nobody whose it is, so that is noted first.
            (Some(_), Given::Recognised, Wanted::Locked | Wanted::Removed) => {
                return Ok(Delivered::Recognised);
            }
            (Some(operator), Given::Set, Wanted::Locked | Wanted::Removed) => {
                operator.shut_out(&order.name).await?;
            }
            (Some(operator), Given::Set | Given::Recognised, Wanted::Live) => {
                operator.let_in(&order.name).await?;
            }
            // Nobody can be there with what was made this moment.
            (Some(_), Given::Made, _) | (None, _, _) => {}
        }
        Ok(Delivered::Reached { ours: true })
    }

    async fn look(&self, order: &Order) -> Result<Found, Mishap> {
        if !self.is_there(&order.name).await? {
            // A suspended account looks like none.
            return Ok(match order.wanted {
                Wanted::Live => Found::Otherwise("missing"),
                Wanted::Locked | Wanted::Removed => Found::AsWanted,
            });
        }
        let fits = self.fits(&order.name, &order.passphrase).await?;
        Ok(match (order.wanted, fits) {
            (Wanted::Live, true) | (Wanted::Locked | Wanted::Removed, false) => Found::AsWanted,
            (Wanted::Live, false) => Found::Otherwise("passphrase"),
            (Wanted::Locked | Wanted::Removed, true) => Found::Otherwise("open"),
        })
    }
}

impl Provisioner for Ergo {
    fn deliver<'a>(&'a self, order: &'a Order) -> Doing<'a, Delivered> {
        Box::pin(async move { self.bring(order).await.unwrap_or_else(Delivered::Failed) })
    }

    fn look<'a>(&'a self, order: &'a Order) -> Doing<'a, Result<Found, Mishap>> {
        Box::pin(self.look(order))
    }
}

/// Whether a question was answered by no. That is a failure without a code; with one, nothing is known.
fn said_no(answer: &Answer) -> Result<bool, Mishap> {
    match (answer.success, &answer.error_code) {
        (true, _) => Ok(false),
        (false, None) => Ok(true),
        (false, Some(_)) => understood(answer).map(|_| true),
    }
}

/// By the code alone: the text may hold a name that reads like another failure.
fn understood(answer: &Answer) -> Result<Said, Mishap> {
    if answer.success {
        return Ok(Said::Done);
    }
    let code = answer.error_code.as_deref().unwrap_or("no code");
    match code {
        "ACCOUNT_EXISTS" => Ok(Said::Exists),
        "ACCOUNT_DOES_NOT_EXIST" => Ok(Said::Missing),
        "INVALID_PASSPHRASE" | "CREDENTIALS_EXTERNALLY_MANAGED" => Err(mishap(MishapKind::Refused, code)),
        _ => {
            let said = answer.error.as_deref().unwrap_or_default();
            Err(mishap(MishapKind::Failed, &format!("{code} {said}")))
        }
    }
}
