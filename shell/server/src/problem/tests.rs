//! What the table of problems must hold as a whole.

use muster_wire::problem::AgentAction;

use super::*;

#[test]
fn q_09_row_9_is_the_same_whatever_the_cause() {
    let document =
        |cause| Failed::refused(&Refusal::NotEntitled { cause }).document("req_1", Timestamp::UNIX_EPOCH);
    assert_eq!(document("secret_unknown"), document("grant_expired"));
    assert_eq!(document("secret_unknown").request_id, None);
}

#[test]
fn every_code_has_one_row_and_every_row_says_what_to_do() {
    let problems = problems();
    let mut codes: Vec<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), problems.len());
    for problem in &problems {
        assert!(problem.help.ends_with('.') && problem.title.ends_with('.'), "{}", problem.code);
        assert!((400..600).contains(&problem.status), "{}", problem.code);
    }
}

#[test]
fn q_14_only_revoked_and_unknown_machine_tell_an_agent_to_enroll_again() {
    let problems = problems();
    let ending: Vec<&str> =
        problems.iter().filter(|p| p.action == AgentAction::EnrollAgain).map(|p| p.code.as_str()).collect();
    assert_eq!(ending, ["revoked", "unknown_machine"]);
}

#[test]
fn an_outage_is_never_an_answer() {
    let (what, cause) = ("commit", || "gone".into());
    let outages = [
        Error::Stale,
        Error::Store(StoreError::Full { cause: cause() }),
        Error::Store(StoreError::Unavailable { what, cause: cause() }),
        Error::Store(StoreError::Unknown { what, cause: cause() }),
        Error::Store(StoreError::Fenced { job: "expiry" }),
    ];
    for outage in outages {
        let failed = Failed::from(&outage);
        let told = (failed.row.code, failed.row.status, failed.retry_after);
        assert_eq!(told, ("unavailable", StatusCode::SERVICE_UNAVAILABLE, Some(5)), "{outage}");
        assert!(failed.row.help.contains("repeating the same request is safe"));
    }
    let restored = Failed::from(&Error::Restored);
    assert_eq!((restored.row.code, restored.retry_after), ("restored", Some(30)));
    assert!(restored.row.help.contains("muster restore accept"));
}
