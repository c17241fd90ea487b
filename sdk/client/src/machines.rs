//! `/v1/machines`.

use muster_wire::ending::{EndMachines, EndedMachines, Readmit};
use muster_wire::machine::{
    CreateMachine, CreatedMachine, Machine, MachineDetail, Reasoned, Revoke, Revoked,
};
use muster_wire::{ListQuery, Page};

use crate::path::path;
use crate::sites::Nothing;
use crate::{Client, ClientError};

impl Client {
    /// One page of the machines.
    pub async fn machines(&self, query: &ListQuery) -> Result<Page<Machine>, ClientError> {
        self.list("/v1/machines", query).await
    }

    /// One machine with its credentials.
    pub async fn machine(&self, id: &str) -> Result<MachineDetail, ClientError> {
        self.get(&path(&["machines", id])?).await
    }

    /// Makes a pending machine and an invite that only it can use.
    pub async fn create_machine(&self, request: &CreateMachine) -> Result<CreatedMachine, ClientError> {
        self.post("/v1/machines", request).await
    }

    /// Pauses a machine.
    pub async fn suspend_machine(&self, id: &str, reason: Option<String>) -> Result<Machine, ClientError> {
        self.post(&path(&["machines", id, "suspend"])?, &Reasoned { reason }).await
    }

    /// Ends a pause.
    pub async fn resume_machine(&self, id: &str, reason: Option<String>) -> Result<Machine, ClientError> {
        self.post(&path(&["machines", id, "resume"])?, &Reasoned { reason }).await
    }

    /// Ends a machine.
    pub async fn retire_machine(&self, id: &str, reason: Option<String>) -> Result<Machine, ClientError> {
        self.post(&path(&["machines", id, "retire"])?, &Reasoned { reason }).await
    }

    /// Tells a machine to get its next certificate now.
    pub async fn renew_machine(&self, id: &str) -> Result<Machine, ClientError> {
        self.post(&path(&["machines", id, "renew"])?, &Nothing {}).await
    }

    /// Tells a machine to make its next key now.
    pub async fn rotate_machine(&self, id: &str) -> Result<Machine, ClientError> {
        self.post(&path(&["machines", id, "rotate"])?, &Nothing {}).await
    }

    /// Ends a part of the machines that are meant, or tells what would end.
    pub async fn end_machines(&self, request: &EndMachines) -> Result<EndedMachines, ClientError> {
        self.post("/v1/machines/end", request).await
    }

    /// Permits that the hardware of a retired machine comes back as it, once.
    pub async fn readmit_machine(&self, id: &str, request: &Readmit) -> Result<Machine, ClientError> {
        self.post(&path(&["machines", id, "readmit"])?, request).await
    }

    /// Undoes that a machine was paused or ended for its silence.
    pub async fn restore_machine(&self, id: &str, reason: Option<String>) -> Result<Machine, ClientError> {
        self.post(&path(&["machines", id, "restore"])?, &Reasoned { reason }).await
    }

    /// Ends one credential of a machine, or all.
    pub async fn revoke_machine(&self, id: &str, request: &Revoke) -> Result<Revoked, ClientError> {
        self.post(&path(&["machines", id, "revoke"])?, request).await
    }
}
