//! Putting a server together: this room alone names the concrete store, issuer and clock.
