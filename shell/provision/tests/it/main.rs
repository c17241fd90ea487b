//! The connectors against other systems that fail as they are told, under the use cases of a whole deployment.

mod conformance;
mod ergo;
mod support;
mod webhook;
