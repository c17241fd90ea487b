//! muster-doors
