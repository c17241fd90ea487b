//! The program that libFuzzer drives. `MUSTER_FUZZ_TARGET` names the target.

#![no_main]

use std::sync::LazyLock;

use muster_fuzz::{Target, guided, target};

static CHOSEN: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(guided::TARGET).unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("{} names no target: {name:?}", guided::TARGET))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (CHOSEN.check)(bytes));
