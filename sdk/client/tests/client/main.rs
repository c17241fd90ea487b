//! The client against servers that say one thing each: over a Unix socket, and over TLS with a CA made for the test.

mod first_contact;
mod requests;
mod support;
