//! Planted mistakes: each is one that somebody made, or could make. A simulation that does not find them proves nothing.
//!
//! Most bend a plan on its way into the store; the others sit in what serves a request, or in what carries out the wishes of
//! an agent's core.

use super::steps::Step;

macro_rules! plants {
    ($($(#[doc = $says:literal])+ $name:ident at $step:ident),+ $(,)?) => {
        /// A planted mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Plant {
            $($(#[doc = $says])+ $name,)+
        }

        impl Plant {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What is wrong with it.
            pub fn says(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($says),+).trim_ascii(),)+
                }
            }

            /// The step at which it shows soonest.
            pub(super) fn step(self) -> Step {
                match self {
                    $(Self::$name => Step::$step,)+
                }
            }
        }
    };
}

plants! {
    /// A one-time token is not bound to the key that spends it.
    TokenNotBound at BindToken,
    /// A token is spent, and what it was spent for is not written.
    TokenBurnt at BindToken,
    /// A hold becomes accepted by itself.
    HoldOpensItself at KnownHardware,
    /// A claim by known hardware puts its key on the existing machine.
    HardwareTakesOver at KnownHardware,
    /// Revoking leaves the key.
    RevokedKeyStays at End,
    /// Revoking leaves the credentials.
    RevokedCredentialsStay at End,
    /// Retiring leaves the credentials.
    RetiredCredentialsStay at End,
    /// What an operator does to a machine does not reach its row.
    ActForgotten at End,
    /// A pause is told and not made.
    PauseForgotten at End,
    /// A machine is let in and its key is not written.
    KeyNotRegistered at Admit,
    /// A certificate leaves the house and its row does not know.
    IssueNotNoted at Sign,
    /// A renewal reserves nothing.
    RenewalNotReserved at Renew,
    /// A generation falls.
    GenerationFalls at UseNext,
    /// A nonce is not remembered.
    NonceForgotten at AskRotation,
    /// After a person let a machine in again, its older key still counts.
    OlderKeyStays at KnownHardware,
    /// After a person let a machine in again, its older certificates still count.
    OlderCertificatesStay at KnownHardware,
    /// A rejection is told and not written.
    RejectionNotWritten at Reject,
    /// A second machine is made beside each.
    TwinMade at BindToken,
    /// The audit entry tells of something else.
    ToldElsewhere at End,
    /// A hold is over as soon as it is opened.
    HoldOverAtOnce at InsertRequest,
    /// A hold is answered and not written.
    HoldNotWritten at InsertRequest,
    /// A certificate lives ten years.
    LongLife at BindToken,
    /// What is reserved counts as issued.
    ReservedCountsAsIssued at BindToken,
    /// A hold forgets whose key it is.
    HoldWithoutKey at InsertRequest,
    /// A revoked key keeps the right to ask for a rotation.
    RevokedMayRotate at End,
    /// A machine is let in without its hardware.
    HardwareForgotten at Admit,
    /// An approval is nobody's.
    ApprovedByNobody at Approve,
    /// A replica answers from what it read half a minute ago.
    ReadsFromCache at End,
    /// A store that does not answer reads as a machine that is not there.
    OutageIsUnknownMachine at Heartbeat,
    /// A store that does not answer reads as a token that opens nothing.
    OutageIsRefusal at Redeem,
    /// An answer is given although nothing could be written.
    AnsweredUnwritten at InsertRequest,
    /// A commit of which nobody knows counts as done.
    UnknownCountsAsDone at BindToken,
    /// A replica that is cut off answers from what it last read.
    CutOffReadsOn at End,
    /// A replica does not heed what others did.
    NothingHeeded at End,
    /// Orders get lost between the server and its channels.
    OrdersLost at End,
    /// A key is used before it is durable.
    KeyNotWritten at MakeKey,
    /// What makes a machine enrolled is written before its certificate.
    IdentityBeforeCertificate at StoreRedeemed,
    /// The certificate is kept in memory alone.
    CertificateInMemory at StoreRedeemed,
    /// A stranger's answer is believed.
    StrangerBelieved at Heartbeat,
    /// Any no ends the identity.
    AnyNoEnds at Redeem,
    /// A restart makes another key.
    AnotherKeyAtRestart at NoteHold,
    /// A file that cannot be read counts as none.
    CorruptIsNothing at StoreRedeemed,
    /// A request that failed is sent again at once.
    NoBackOff at AskByRequest,
    /// An expired certificate counts as the end.
    ExpiredIsTheEnd at Renew,
    /// A file that others can reach is used.
    PermissionsIgnored at MakeKey,
    /// A rejected agent asks again.
    RejectionForgotten at Reject,
    /// Files are set aside before it is noted why.
    AsideBeforeNote at SetAside,
    /// A file is written in place.
    WrittenInPlace at StoreRenewed,
    /// The next key is the present one as soon as it is proposed.
    NextCountsAtOnce at Propose,
    /// The present key ends as soon as another one is proposed.
    OldDroppedAtProposal at Propose,
    /// The first use of a key ends the one before it, whatever the machine has in its durable slot.
    BaseNotAsked at Settle,
    /// The key before the present one keeps every right.
    PreviousMayEverything at Settle,
    /// A second proposal leaves the first one standing.
    ProposalsPileUp at Propose,
    /// The first use of a key is not written.
    FirstUseNotWritten at UseNext,
    /// A proposal is answered and not written.
    ProposalNotWritten at Propose,
    /// The key before the present one keeps its right to recover for good.
    PreviousStays at NameBase,
    /// A certificate that is in no row is taken for what it says, whenever it was issued.
    ForgottenTakenUnseen at Adopt,
    /// The next key is proposed before it is durable.
    NextKeyNotWritten at MakeNext,
    /// Each attempt to rotate makes another key.
    AnotherKeyEachTry at AskRotation,
    /// The key that is shown is told as the durable one.
    BaseFollowsMemory at Settle,
    /// The slot of the next key is told and not noted.
    SlotNotNoted at NameBase,
}
