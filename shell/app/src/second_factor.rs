//! The second factor: set up, shown beside the password, and removed.
//!
//! The key is in an answer once and in no row: it follows from the pepper and the operator's salt. Codes are read here and
//! judged where it is decided, by the row as it is then.

use muster_lifecycle::lockout::{Counted, Counter};
use muster_lifecycle::password::Known;
use muster_lifecycle::second_factor::{self, Code, Confirmed};
use muster_lifecycle::{Context, Plan};
use muster_model::second_factor::{FactorSalt, RECOVERY_CODES, RecoveryCode, SecondFactor};
use muster_model::{
    AccessToken, AccessTokenId, Object, Operator, OperatorId, PasswordHash, Refusal, SecretHash,
    SignedDuration, Timestamp,
};
use muster_store::{Decision, Reads, Store, StoreError, Unscoped};
use muster_wire::access as wire;
use totp_rs::{Algorithm, Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::App;
use crate::caller::Origin;
use crate::error::Error;
use crate::password::{Keys, counters, known_of};

/// Nobody's code is longer, however it is typed.
const LONGEST: usize = 64;
/// Digits of a code, and the seconds for which it is the present one.
const DIGITS: u8 = 6;
const STEP: u64 = 30;
/// Steps before and after the present one whose codes count: for clocks that are a little off (RFC 6238 §5.2).
const SKEW: u16 = 1;

impl<S: Store> App<S> {
    /// Shows an operator a key for its authenticator. Nobody is asked for a code before one was shown back.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong password; [`Refusal::Forbidden`] for whatever is no session;
    /// [`Refusal::WrongState`] where there is a second factor; [`Refusal::SlowDown`].
    pub async fn propose_second_factor(
        &self,
        request: &wire::ProposeSecondFactor,
        origin: &Origin,
    ) -> Result<wire::ProposedSecondFactor, Error> {
        self.may_change()?;
        let (operator, session) = self.own_session(origin, Propose::NAME).await?;
        let keys = self.keys_of_account(operator);
        let shown = self.present_password(&request.present, operator, &keys, origin, Propose::NAME).await?;
        let salt = FactorSalt(self.inner.ports.random());
        let context = self.context(origin);
        let holder = self
            .settle(origin, Propose { operator, session: session.id, shown, salt, keys, context })
            .await?;
        let key = salt.key(operator, &self.inner.pepper);
        let key = Zeroizing::new(data_encoding::BASE32_NOPAD.encode(&*key));
        Ok(wire::ProposedSecondFactor { uri: uri(holder.name.as_str(), &key), key: (*key).clone() })
    }

    /// Asks for codes from now on, where this is the present one. The session that asks goes on under another secret, which goes
    /// into a cookie; beside it the codes for the day on which the device is lost.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong code; [`Refusal::Forbidden`] for whatever is no session; [`Refusal::WrongState`] where
    /// nothing was proposed within the hour; [`Refusal::SlowDown`].
    pub async fn confirm_second_factor(
        &self,
        request: &wire::ConfirmSecondFactor,
        origin: &Origin,
    ) -> Result<(String, SignedDuration, wire::RecoveryCodes), Error> {
        self.may_change()?;
        let (operator, session) = self.own_session(origin, Confirm::NAME).await?;
        let codes: [RecoveryCode; RECOVERY_CODES] =
            std::array::from_fn(|_| RecoveryCode::new(self.inner.ports.random()));
        let recovery = codes.iter().map(|code| code.hash(operator, &self.inner.pepper)).collect();
        let change = self.change(operator, session.id, &request.code, origin).await?;
        let (secret, life) = self.confirmed(change, |change| Confirm { change, recovery }, origin).await?;
        let codes = codes.iter().map(RecoveryCode::reveal).collect();
        Ok((secret, life, wire::RecoveryCodes { recovery_codes: codes }))
    }

    /// Asks for codes no more.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a wrong password or code; [`Refusal::Forbidden`] for whatever is no session;
    /// [`Refusal::WrongState`] where there is none; [`Refusal::SlowDown`].
    pub async fn remove_second_factor(
        &self,
        request: &wire::RemoveSecondFactor,
        origin: &Origin,
    ) -> Result<(String, SignedDuration), Error> {
        self.may_change()?;
        let (operator, session) = self.own_session(origin, Remove::NAME).await?;
        let keys = self.keys_of_account(operator);
        let shown = self.present_password(&request.present, operator, &keys, origin, Remove::NAME).await?;
        let change = self.change(operator, session.id, &request.code, origin).await?;
        self.confirmed(change, |change| Remove { change, shown }, origin).await
    }

    /// What somebody showed beside the password.
    pub(crate) fn code(&self, holder: Option<&Operator>, shown: Option<&str>) -> Code {
        let Some(shown) = shown.map(str::trim).filter(|shown| !shown.is_empty()) else { return Code::Absent };
        let second = holder.and_then(|holder| holder.second.as_ref().map(|second| (holder.id, second)));
        let Some((operator, second)) = second.filter(|_| shown.len() <= LONGEST) else { return Code::Wrong };
        match RecoveryCode::shown(shown) {
            Some(code) => Code::Recovery(code.hash(operator, &self.inner.pepper)),
            None => self.step(operator, second, shown, self.now()),
        }
    }

    fn step(&self, operator: OperatorId, second: &SecondFactor, shown: &str, now: Timestamp) -> Code {
        let digits: Zeroizing<String> = Zeroizing::new(shown.split_whitespace().collect());
        let salt = second.salt();
        let now = u64::try_from(now.as_second()).unwrap_or_default();
        let step = totp(&salt.key(operator, &self.inner.pepper)).check(&digits, now);
        step.map_or(Code::Wrong, |step| Code::Step { salt, step })
    }

    /// What is counted of codes for an operator, by whoever showed its password or a session of it.
    pub(crate) fn keys_of_codes(&self, operator: OperatorId) -> Keys {
        let key = self.inner.pepper.mac(&[b"failures", b"codes", operator.as_bytes()]).0;
        vec![(Counted::Account, key)]
    }

    /// Everything that a change of one's own second factor needs.
    async fn change(
        &self,
        operator: OperatorId,
        session: AccessTokenId,
        shown: &str,
        origin: &Origin,
    ) -> Result<Change, Error> {
        let keys = self.keys_of_codes(operator);
        let context = self.context(origin);
        let holder = self.reader().await?.operator(context.tenant, operator).await?;
        let code = self.code(holder.as_ref(), Some(shown));
        let (secret, renewed) = self.next_session(operator, &context);
        Ok(Change { operator, session, code, renewed, secret, keys, context })
    }

    async fn confirmed<D: Decision<Outcome = Confirmed>>(
        &self,
        change: Change,
        decision: impl FnOnce(Change) -> D,
        origin: &Origin,
    ) -> Result<(String, SignedDuration), Error> {
        let secret = change.secret.clone();
        match self.settle(origin, decision(change)).await? {
            Confirmed::In(renewed) => Ok((secret, renewed.expires_at.duration_since(self.now()))),
            Confirmed::Failed => Err(Error::field("code", "is not the present code, or was used already")),
        }
    }
}

/// How authenticators take a key (the `otpauth` form that all of them read).
fn uri(name: &str, key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let name: String = name
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!(
        "otpauth://totp/Muster:{name}?secret={key}&issuer=Muster&algorithm=SHA1&digits={DIGITS}&period={STEP}"
    )
}

fn totp(key: &[u8; 20]) -> Totp {
    let built = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_skew(SKEW)
        .with_step_duration(STEP)
        .with_secret(Secret::new_stack(*key))
        .build();
    built.expect("six digits, thirty seconds and twenty bytes are what the RFC asks for")
}

struct Propose {
    operator: OperatorId,
    session: AccessTokenId,
    shown: PasswordHash,
    salt: FactorSalt,
    keys: Keys,
    context: Context,
}

impl Decision for Propose {
    const NAME: &'static str = "second_factor.propose";
    type Facts = Known;
    type Outcome = Operator;

    fn object(&self) -> Object {
        Object::Operator(self.operator)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Known, StoreError> {
        known_of(reads, self.operator, self.session, &self.keys, &self.context).await
    }

    fn decide(&self, known: Known) -> Result<Plan<Operator>, Refusal> {
        second_factor::propose(&known, &self.shown, self.salt, &self.context)
    }
}

/// A change of one's own second factor, by a code.
struct Change {
    operator: OperatorId,
    session: AccessTokenId,
    code: Code,
    renewed: AccessToken,
    secret: String,
    keys: Keys,
    context: Context,
}

impl Change {
    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Known, StoreError> {
        known_of(reads, self.operator, self.session, &self.keys, &self.context).await
    }
}

struct Confirm {
    change: Change,
    recovery: Vec<SecretHash>,
}

impl Decision for Confirm {
    const NAME: &'static str = "second_factor.confirm";
    type Facts = Known;
    type Outcome = Confirmed;

    fn object(&self) -> Object {
        Object::Operator(self.change.operator)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Known, StoreError> {
        self.change.load(reads).await
    }

    fn decide(&self, known: Known) -> Result<Plan<Confirmed>, Refusal> {
        let Change { code, renewed, context, .. } = &self.change;
        second_factor::confirm(&known, code, self.recovery.clone(), renewed.clone(), context)
    }
}

struct Remove {
    change: Change,
    shown: PasswordHash,
}

impl Decision for Remove {
    const NAME: &'static str = "second_factor.remove";
    type Facts = Known;
    type Outcome = Confirmed;

    fn object(&self) -> Object {
        Object::Operator(self.change.operator)
    }

    async fn load<R: Reads + Unscoped>(&self, reads: &mut R) -> Result<Known, StoreError> {
        self.change.load(reads).await
    }

    fn decide(&self, known: Known) -> Result<Plan<Confirmed>, Refusal> {
        let Change { code, renewed, context, .. } = &self.change;
        second_factor::remove(&known, &self.shown, code, renewed.clone(), context)
    }
}

/// The counter of codes of an operator.
pub(crate) async fn codes<R: Reads>(
    reads: &mut R,
    keys: &Keys,
    context: &Context,
) -> Result<Counter, StoreError> {
    let counted = counters(reads, context.tenant, keys).await?;
    Ok(counted.into_iter().next().expect("one key gives one counter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, Appendix B, the SHA-1 column: eight digits, of which six are ours (RFC 4226 §5.3 takes the last ones).
    #[test]
    fn the_codes_are_those_of_the_rfc() {
        let ours = totp(b"12345678901234567890");
        for (second, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(ours.check(&eight[2..], second), Some(second / STEP), "{second}");
            assert_eq!(ours.check(&eight[2..], second + STEP), Some(second / STEP), "one step late");
            assert_eq!(ours.check(&eight[2..], second - STEP), Some(second / STEP), "one step early");
            assert_eq!(ours.check(&eight[2..], second + 2 * STEP), None, "two steps late");
            assert_eq!(ours.check(eight, second), None, "eight digits");
        }
    }

    #[test]
    fn the_address_is_as_authenticators_read_it_whatever_the_name_is() {
        let uri = uri("Zoë: a&b", "GEZDGNBV");
        let expected = "otpauth://totp/Muster:Zo%C3%AB%3A%20a%26b?secret=GEZDGNBV&issuer=Muster&algorithm=SHA1\
                        &digits=6&period=30";
        assert_eq!(uri, expected);
    }
}
