//! What is asked of a replica and what it answers: the handlers of the server, without HTTP.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

use muster_app::{Action, App, Caller, Channel, Error, MachineCaller, Origin};
use muster_lifecycle::rotate::Right;
use muster_model::{HoldId, MachineId, Refusal};
use muster_testkit::world::{Device, Signed};
use muster_wire::channel::ServerFrame;
use muster_wire::enroll::{EnrollAnswer, EnrollRequest, Renewed};
use muster_wire::hold::{Approve, Choice};
use muster_wire::problem::Problem;
use muster_wire::rotate::{self, RotateRequest, Slot};

use super::bend;
use super::plant::Plant;
use super::steps::Step;
use super::store::SeatStore;

/// What sort of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Token,
    SiteKey,
    /// By a site key, for hardware that is known under another key.
    Known,
    Poll,
    Renew,
    FirstChannel,
    Channel,
    /// A certificate for the next key.
    Rotate,
    /// A channel by the next key.
    Next,
    /// That the next key is the durable one now.
    Confirm,
    Approve,
    Reject,
    End,
    /// An order to rotate.
    Order,
    Other,
}

impl Kind {
    /// The step of whoever asks.
    pub(super) fn asked(self) -> Option<Step> {
        match self {
            Self::Request => Some(Step::AskByRequest),
            Self::Token => Some(Step::Redeem),
            Self::SiteKey | Self::Known => Some(Step::AskBySiteKey),
            Self::Poll => Some(Step::Poll),
            Self::Renew => Some(Step::AskRenewal),
            Self::FirstChannel => Some(Step::FirstUse),
            Self::Channel => Some(Step::Heartbeat),
            Self::Rotate => Some(Step::AskRotation),
            Self::Next => Some(Step::UseNext),
            Self::Confirm => Some(Step::NameBase),
            Self::Approve | Self::Reject | Self::End | Self::Order | Self::Other => None,
        }
    }

    /// The step of the server that this transaction is.
    pub(super) fn served(self, name: &str) -> Option<Step> {
        match (self, name) {
            (_, "credential.issue") => Some(Step::Sign),
            (Self::Request, "machine.enroll") => Some(Step::InsertRequest),
            (Self::Token, "machine.enroll") => Some(Step::BindToken),
            (Self::SiteKey, "machine.enroll") => Some(Step::Admit),
            (Self::Known, "machine.enroll") => Some(Step::KnownHardware),
            (Self::Poll, "hold.collect") => Some(Step::Collect),
            (Self::Renew, "credential.renew" | "machine.signed_request") => Some(Step::Renew),
            (Self::Rotate, "key.propose") => Some(Step::Propose),
            (Self::Next, "key.use") => Some(Step::UseNext),
            (_, "key.use") => Some(Step::NameBase),
            (_, "key.adopt") => Some(Step::Adopt),
            (Self::Order, "machine.act") => Some(Step::OrderRotation),
            (Self::Approve, "hold.approve") => Some(Step::Approve),
            (Self::Reject, "hold.reject") => Some(Step::Reject),
            (Self::End, "machine.act") => Some(Step::End),
            _ => None,
        }
    }

    /// The step of the server that a request of this kind is about.
    pub(super) fn about(self) -> Option<Step> {
        match self {
            Self::Request => Some(Step::InsertRequest),
            Self::Token => Some(Step::BindToken),
            Self::SiteKey => Some(Step::Admit),
            Self::Known => Some(Step::KnownHardware),
            Self::Poll => Some(Step::Collect),
            Self::Renew => Some(Step::Renew),
            Self::Approve => Some(Step::Approve),
            Self::Reject => Some(Step::Reject),
            Self::End => Some(Step::End),
            Self::Rotate => Some(Step::Propose),
            Self::Order => Some(Step::OrderRotation),
            Self::FirstChannel | Self::Channel | Self::Next | Self::Confirm | Self::Other => None,
        }
    }
}

/// A request. Copies of one are the same bytes.
#[derive(Clone)]
pub(super) enum Call {
    Enroll(Box<EnrollRequest>),
    Poll {
        hold: String,
        device: Arc<Device>,
        signed: Arc<OnceLock<Signed>>,
    },
    Renew {
        certificate: Vec<u8>,
        slot: Slot,
    },
    RenewSigned {
        device: Arc<Device>,
        slot: Slot,
        signed: Arc<OnceLock<Signed>>,
    },
    Rotate {
        device: Arc<Device>,
        slot: Slot,
        request: Box<RotateRequest>,
        signed: Arc<OnceLock<Signed>>,
    },
    Channel {
        certificate: Vec<u8>,
        slot: Slot,
    },
    /// How this machine stands: what it says of its slot is what it is for.
    Confirm {
        certificate: Vec<u8>,
        slot: Slot,
    },
    Operator(Wish),
}

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Approve(HoldId, Option<Choice>),
    Reject(HoldId),
    Suspend(MachineId),
    Resume(MachineId),
    Revoke(MachineId),
    Retire(MachineId),
    Renew(MachineId),
    Rotate(MachineId),
    AcceptRestore,
}

/// An answer.
pub(super) enum Reply {
    Enroll(EnrollAnswer),
    Renewed(Renewed),
    /// The certificate of the next key.
    Rotated(Renewed),
    Confirmed,
    Channel(Box<Channel>, ServerFrame),
    /// A channel that is held under this number.
    Opened(u64, ServerFrame),
    Done,
    /// Nobody was there.
    Refused,
    /// What the machine learned of the hour before it asked at all.
    Hour(muster_agent_core::Verdict),
    Failed(Box<Failure>),
}

/// An answer that is a problem document.
pub(super) struct Failure {
    pub(super) problem: Problem,
    /// A fault of our own, which no fault of the world excuses.
    pub(super) broken: Option<String>,
}

/// Serves a request.
pub(super) async fn serve(app: App<SeatStore>, call: Call, origin: Origin, plant: Option<Plant>) -> Reply {
    match handled(&app, call, origin, plant).await {
        Ok(reply) => reply,
        Err(error) => {
            let broken = matches!(&error, Error::Issue(_) | Error::Token(_) | Error::Malformed(_))
                || error.to_string().contains("violates")
                || error.to_string().contains("broken row");
            let broken = broken.then(|| format!("{error:?}"));
            let problem = muster_server::document(&error, app.now());
            Reply::Failed(Box::new(Failure { problem, broken }))
        }
    }
}

async fn handled(
    app: &App<SeatStore>,
    call: Call,
    origin: Origin,
    plant: Option<Plant>,
) -> Result<Reply, Error> {
    match call {
        Call::Enroll(request) => match app.enroll(*request, &origin).await {
            Err(Error::Store(_)) if plant == Some(Plant::OutageIsRefusal) => {
                Err(Refusal::NotEntitled { cause: "planted" }.into())
            }
            answer => answer.map(Reply::Enroll),
        },
        Call::Poll { hold, device, signed } => {
            let path = format!("/v1/enroll/{hold}");
            let signed = signed.get_or_init(|| device.signs(&app.nonce().nonce, "GET", &path, b""));
            let id = hold.parse().or(Err(Refusal::NotFound { what: "hold" }))?;
            app.collect(id, &signed.call(), origin.source).await.map(Reply::Enroll)
        }
        Call::Renew { certificate, slot } => {
            let caller = shown(app, &certificate, &slot, plant).await?;
            renewed(app, caller, origin).await
        }
        Call::RenewSigned { device, slot, signed } => {
            let path = "/v1/machines/self/renew";
            let caller = signed_by(app, &device, &slot, &signed, (path, b""), &origin).await?;
            renewed(app, caller, origin).await
        }
        Call::Rotate { device, slot, request, signed } => {
            let body = serde_json::to_vec(&*request).expect("a request is JSON");
            let caller = signed_by(app, &device, &slot, &signed, (rotate::PATH, &body), &origin).await?;
            Action::SelfRotate.permit(&caller)?;
            let machine = *caller.machine()?;
            let origin = Origin { caller, ..origin };
            app.rotate(*request, &machine, &origin).await.map(Reply::Rotated)
        }
        Call::Channel { certificate, slot } => {
            let caller = shown(app, &certificate, &slot, plant).await?;
            Action::Self_.permit(&caller)?;
            let caller = *caller.machine()?;
            let channel = app.channel_open(&caller).await?;
            let machine = app.self_view(&caller).await?;
            let hello =
                ServerFrame::Hello { machine: machine.id, state: machine.state, server_time: app.now() };
            Ok(Reply::Channel(Box::new(channel), hello))
        }
        Call::Confirm { certificate, slot } => {
            let caller = shown(app, &certificate, &slot, plant).await?;
            Action::Self_.permit(&caller)?;
            app.self_view(caller.machine()?).await.map(|_| Reply::Confirmed)
        }
        Call::Operator(wish) => wished(app, wish, &origin).await.map(|()| Reply::Done),
    }
}

/// Who shows this certificate.
async fn shown(
    app: &App<SeatStore>,
    certificate: &[u8],
    slot: &Slot,
    plant: Option<Plant>,
) -> Result<Caller, Error> {
    let shown = app.by_certificate(certificate, Some(slot)).await;
    match (shown, plant) {
        (Err(Error::Refused(Refusal::NotAuthenticated { .. })), Some(Plant::ForgottenTakenUnseen)) => {
            bend::anyway(app, certificate)
        }
        (Err(Error::Store(_)), Some(Plant::OutageIsUnknownMachine)) => Err(Refusal::UnknownMachine.into()),
        (Ok(Caller::Machine(caller)), Some(Plant::PreviousMayEverything)) => {
            Ok(Caller::Machine(MachineCaller { right: Right::Everything, ..caller }))
        }
        (shown, _) => shown,
    }
}

/// Who signed a request. Copies of it are signed once, over the nonce of the first replica that it reached.
async fn signed_by(
    app: &App<SeatStore>,
    device: &Device,
    slot: &Slot,
    signed: &OnceLock<Signed>,
    (path, body): (&str, &[u8]),
    origin: &Origin,
) -> Result<Caller, Error> {
    let signed = signed.get_or_init(|| device.signs_from(slot, &app.nonce().nonce, "POST", path, body));
    app.plausible(&signed.header)?;
    app.by_signature(&signed.call(), origin).await
}

async fn renewed(app: &App<SeatStore>, caller: Caller, origin: Origin) -> Result<Reply, Error> {
    Action::SelfRenew.permit(&caller)?;
    let machine = *caller.machine()?;
    let origin = Origin { caller, ..origin };
    app.renew(&machine, &origin).await.map(Reply::Renewed)
}

async fn wished(app: &App<SeatStore>, wish: Wish, origin: &Origin) -> Result<(), Error> {
    match wish {
        Wish::Approve(hold, choice) => app.approve(hold, &Approve { choice }, origin).await.map(drop),
        Wish::Reject(hold) => app.reject(hold, None, origin).await.map(drop),
        Wish::Suspend(machine) => app.suspend(machine, None, origin).await.map(drop),
        Wish::Resume(machine) => app.resume(machine, None, origin).await.map(drop),
        Wish::Revoke(machine) => app.revoke(machine, None, None, false, origin).await.map(drop),
        Wish::Retire(machine) => app.retire(machine, None, origin).await.map(drop),
        Wish::Renew(machine) => app.order_renewal(machine, None, origin).await.map(drop),
        Wish::Rotate(machine) => app.order_rotation(machine, None, origin).await.map(drop),
        Wish::AcceptRestore => app.accept_restore(None, origin).await.map(drop),
    }
}

/// The address that a machine calls from: a network of its own.
pub(super) fn address(host: usize) -> IpAddr {
    let network = u16::try_from(host).unwrap_or(u16::MAX);
    IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, 1))
}
