//! muster-issuer
