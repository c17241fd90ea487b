//! muster-agent-core
