//! muster-app
