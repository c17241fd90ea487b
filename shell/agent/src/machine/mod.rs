//! The machine the agent runs on: its hardware signal, its facts, its owner's hooks.

pub(crate) mod facts;
pub(crate) mod hardware;
pub(crate) mod hooks;
