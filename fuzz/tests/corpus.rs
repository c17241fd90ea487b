//! Every input that is kept holds, and so do a fixed number of changed ones. The search for new ones is by hand.

use std::collections::BTreeSet;

use muster_fuzz::{TARGETS, Target, corpus, mutate, target};

fn holds(name: &str) {
    let target: &Target = target(name).expect("a target");
    let kept = corpus::inputs(target).expect("its corpus");
    assert!(!kept.is_empty(), "{name} has no corpus");
    for (path, bytes) in &kept {
        assert_eq!(path.file_name().expect("a name"), corpus::name(bytes).as_str(), "{}", path.display());
        (target.check)(bytes);
    }
    let kept: Vec<Vec<u8>> = kept.into_iter().map(|(_, bytes)| bytes).collect();
    if let Err(broken) = mutate::tries(target, &kept, 1, target.small) {
        panic!(
            "{name} does not hold for input {}: {:?}",
            broken.number,
            String::from_utf8_lossy(&broken.input)
        );
    }
}

macro_rules! hold {
    ($($test:ident, $name:literal;)+) => {
        $(#[test]
        fn $test() {
            holds($name);
        })+

        #[test]
        fn every_target_is_tried() {
            let tried = BTreeSet::from([$($name),+]);
            assert_eq!(tried, TARGETS.iter().map(|target| target.name).collect());
        }
    };
}

hold! {
    secrets_hold, "secret";
    invites_hold, "invite";
    signature_headers_hold, "signature-header";
    nouns_hold, "nouns";
    q_06_nonces_hold, "nonce";
    q_20_forwarded_addresses_hold, "forwarded";
    q_03_certificate_requests_hold, "csr";
    public_keys_hold, "public-key";
    certificates_hold, "certificate";
    q_21_tokens_hold, "jwt";
    engagements_that_are_signed_hold, "engagement-jws";
    signed_requests_hold, "signed-request";
    bodies_hold, "body";
    evidence_holds, "evidence";
    frames_hold, "frame";
    q_14_answers_hold, "answer";
    welcomes_hold, "welcome";
    engagements_hold, "engagement";
    marks_hold, "mark";
    exports_hold, "export";
    files_of_an_agent_hold, "agent-files";
    requests_hold, "request";
    requests_of_existing_clients_hold, "compat";
    answers_of_another_system_hold, "downstream";
}

#[test]
fn the_corpus_is_small() {
    let sizes = TARGETS.iter().flat_map(|target| corpus::inputs(target).expect("its corpus"));
    let whole: usize = sizes.map(|(_, bytes)| bytes.len()).sum();
    assert!(whole < 1024 * 1024, "{whole} bytes");
}

/// What is not on the page is not looked for by whoever reads it.
#[test]
fn the_page_lists_every_target() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/fuzz.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let listed: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(listed, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
}
