//! One machine: what is known of it, what it holds, what became of it, and what can be done.

use askama::Template;
use muster_wire::audit::AuditEntry;
use muster_wire::machine::{Machine, MachineDetail};

use crate::act::{Act, Field, Gives, Kind};
use crate::frame::{Frame, Place};

/// One machine.
#[derive(Debug, Template)]
#[template(path = "machine.html")]
pub struct MachinePage {
    frame: Frame,
    place: Place,
    machine: Machine,
    detail: MachineDetail,
    log: Vec<AuditEntry>,
    acts: Vec<Act>,
}

impl MachinePage {
    /// A machine, with the newest entries of its log.
    pub fn new(frame: Frame, detail: MachineDetail, log: Vec<AuditEntry>) -> Self {
        let acts = acts(&detail);
        Self { frame, place: Place::Nowhere, machine: detail.machine.clone(), detail, log, acts }
    }
}

fn act(machine: &Machine, verb: &'static str, label: &'static str, effect: &'static str) -> Act {
    let id = &machine.id;
    Act {
        name: verb,
        label,
        effect,
        path: format!("/v1/machines/{id}/{verb}"),
        fields: Vec::new(),
        command: format!("machine {verb} {id}"),
        method: "POST",
        ends: false,
        gives: Gives::Nothing,
    }
}

/// What can be done to a machine that stands like this.
fn acts(detail: &MachineDetail) -> Vec<Act> {
    let machine = &detail.machine;
    let act = |verb, label, effect| act(machine, verb, label, effect);
    let ending =
        |verb, label, effect| Act { fields: vec![Field::REASON], ends: true, ..act(verb, label, effect) };
    let suspend = ending(
        "suspend",
        "Suspend",
        "Its channel is cut and its credentials count no more until it is resumed. It keeps its key.",
    );
    let resume = act("resume", "Resume", "It goes on where it was paused.");
    let renew = act("renew", "Renew", "It is told to fetch its next certificate now.");
    let rotate = act(
        "rotate",
        "Rotate key",
        "It is told to make its next key now. The one before ends with the first use.",
    );
    let revoke = ending(
        "revoke",
        "Revoke credentials",
        "All its credentials and keys end at once, and what was issued by them. It must enroll again.",
    );
    let retire = ending(
        "retire",
        "Retire",
        "It ends, with its credentials and accounts. Its name stays in the log, and its hardware does not come back by itself.",
    );
    let has_key = machine.key.is_some();
    match machine.state.as_str() {
        "active" if has_key => vec![renew, rotate, suspend, revoke, retire],
        "active" => vec![suspend, revoke, retire],
        "suspended" => vec![resume, revoke, retire],
        "pending" => vec![retire],
        "retired" if detail.silence.as_ref().is_some_and(|silence| silence.restorable_until.is_some()) => {
            vec![act("restore", "Restore", "It goes on as if it had not been retired for its silence.")]
        }
        "retired" => vec![act("readmit", "Readmit", "Its hardware may come back as it, once, within a day.")],
        _ => Vec::new(),
    }
}
