//! What the tests share.

use std::fmt::Debug;

use muster_app::{Caller, Error, MachineCaller, Origin};
use muster_issuer::MachineIdentity;
use muster_model::{Refusal, SignedDuration};
use muster_testkit::world::{Device, Signed, World, leaf};
use muster_wire::enroll::{Enrolled, IssuedCredential};

/// The decided no.
pub(crate) fn refusal<T: Debug>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// The paths of the wrong fields.
pub(crate) fn wrong_fields<T: Debug>(result: Result<T, Error>) -> Vec<String> {
    match result {
        Err(Error::Malformed(errors)) => errors.0.into_iter().map(|error| error.path).collect(),
        other => panic!("not malformed: {other:?}"),
    }
}

/// Row 9, whatever is behind it.
pub(crate) fn is_row_9<T: Debug>(result: Result<T, Error>) -> bool {
    matches!(refusal(result), Refusal::NotEntitled { .. })
}

pub(crate) fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub(crate) fn der(credential: &IssuedCredential) -> Vec<u8> {
    leaf(credential.certificate.as_deref().expect("a certificate"))
}

pub(crate) fn identity(world: &World, enrolled: &Enrolled) -> MachineIdentity {
    MachineIdentity::from_certificate(&der(&enrolled.credential), world.app.authority().trust_domain())
        .expect("a machine's certificate")
}

/// A machine as the origin of what it asks for.
pub(crate) fn from(caller: MachineCaller) -> Origin {
    Origin { caller: Caller::Machine(caller), source: Some([192, 0, 2, 9].into()) }
}

/// A request signed over a fresh nonce.
pub(crate) fn signed<S: muster_store::Store>(world: &World<S>, device: &Device, path: &str) -> Signed {
    device.signs(&world.app.nonce().nonce, "POST", path, b"")
}

/// The one grant with a token that is listed.
pub(crate) async fn used(world: &World) -> Vec<(String, Option<u32>)> {
    let page = world.app.grants(&Default::default(), &world.admin()).await.expect("a list");
    page.items.into_iter().map(|grant| (grant.state, grant.used)).collect()
}
