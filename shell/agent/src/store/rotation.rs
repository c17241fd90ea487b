//! What a rotation writes, in this order: the next key, `rotation.json`; its credential and certificate; the slot in
//! `identity.json`; and then the files of the key before go.
//!
//! A crash between any two leaves something that says how to go on. A key is spoken of only once it and its note are durable.

use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use muster_wire::rotate::{RotateRequest, statement};

use super::records::{RotationNote, Slot, VERSION};
use super::slots::{self, Spare};
use super::{Damage, Enrolled, ROTATION, Store};
use crate::AgentError;
use crate::key::MachineKey;

impl Store {
    /// The next key and its proposal, durable. A key that lies in the other slot and was never spoken of is taken.
    pub(crate) fn begin_rotation(
        &self,
        present: &Enrolled,
        now: Timestamp,
    ) -> Result<(Spare, RotationNote), AgentError> {
        let slot = present.identity.slot.other();
        let key = match slots::load_key(&self.dir, slot) {
            Ok(key) => key,
            Err(error @ AgentError::Permissions { .. }) => return Err(error),
            Err(error) => {
                if self.dir.exists(slot.key_file()) {
                    self.mend(&[Damage::new(slot.key_file(), &error)], now)?;
                }
                present.key.successor().map_err(no_key)?
            }
        };
        // A note that a start passed over would be taken for this key's proposal by the next one.
        if self.dir.exists(ROTATION) {
            self.dir.remove(ROTATION)?;
        }
        // Once more where it is there already: what an fsync failed for is not durable.
        self.dir.write(slot.key_file(), &key.to_pem())?;
        self.dir.remove(slot.certificate_file())?;
        let note = RotationNote {
            version: VERSION,
            slot,
            begun_at: now,
            by: present.key.fingerprint().to_string(),
            request: proposal(present, &key)?,
            credential: None,
        };
        self.write_json(ROTATION, &note)?;
        Ok((Spare { slot, key: Arc::new(key), chain: Vec::new() }, note))
    }

    /// The next key's certificate, durable. It is written last: by it a restart knows that the next step is to use it.
    pub(crate) fn save_certified(&self, note: &RotationNote, certificate: &str) -> Result<(), AgentError> {
        self.write_json(ROTATION, note)?;
        self.dir.write(note.slot.certificate_file(), certificate)
    }

    /// Removes what a rotation leaves over, its note last. What is in this slot is of no use to anybody: to keep it would be
    /// to keep a secret that raises an alarm wherever it is shown.
    pub(crate) fn forget(&self, slot: Slot) -> Result<(), AgentError> {
        self.dir.remove(slot.certificate_file())?;
        self.dir.remove(slot.key_file())?;
        self.dir.remove(ROTATION)
    }

    /// Renames damaged files, so that they are out of the way and can be looked at.
    pub(crate) fn mend(&self, damage: &[Damage], now: Timestamp) -> Result<(), AgentError> {
        for Damage { name, what } in damage {
            tracing::error!(file = name, what, "a damaged file is set aside");
            self.dir.set_aside(name, "corrupt", now.as_second())?;
        }
        Ok(())
    }
}

fn proposal(present: &Enrolled, key: &MachineKey) -> Result<RotateRequest, AgentError> {
    let mut rotation = [0; 16];
    aws_lc_rs::rand::fill(&mut rotation)
        .map_err(|error| AgentError::config(format!("this machine gives no random numbers: {error}")))?;
    let csr = key.csr().map_err(no_key)?;
    let signature = key.sign(&statement(present.key.fingerprint(), &rotation, &csr)).map_err(no_key)?;
    Ok(RotateRequest {
        rotation: HEXLOWER.encode(&rotation),
        csr: BASE64.encode(&csr),
        signature: BASE64.encode(&signature),
    })
}

fn no_key(error: rcgen::Error) -> AgentError {
    AgentError::config(format!("this machine cannot make a key: {error}"))
}
