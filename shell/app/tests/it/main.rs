//! Whole use cases over SQLite and a real authority, without HTTP.

mod access;
mod audit;
mod ca;
mod collect;
mod ending;
mod enroll;
mod fork;
mod found;
mod hold;
mod idempotency;
mod machine;
mod mode;
mod operator;
mod overview;
mod password;
mod presence;
mod reaper;
mod renew;
mod replica;
mod rotate;
mod second_factor;
mod signature;
mod support;
mod thief;
mod token;
