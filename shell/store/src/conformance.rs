//! What every adapter must do, as tests that any adapter runs.
