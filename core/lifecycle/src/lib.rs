//! muster-lifecycle
