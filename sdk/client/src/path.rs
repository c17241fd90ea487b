//! Paths of the API. An identifier becomes one path segment or nothing is sent: it can never become two, or none
//!

use crate::ClientError;

const MAX: usize = 128;

/// Joins literal parts and checked identifiers: `path(&["machines", id, "suspend"])` is `/v1/machines/…/suspend`.
pub(crate) fn path(parts: &[&str]) -> Result<String, ClientError> {
    let mut path = String::from("/v1");
    for part in parts {
        path.push('/');
        path.push_str(segment(part)?);
    }
    Ok(path)
}

fn segment(text: &str) -> Result<&str, ClientError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let dots_only = text.chars().all(|c| c == '.');
    if text.is_empty() || text.len() > MAX || dots_only || !text.chars().all(allowed) {
        return Err(ClientError::Segment { text: text.chars().take(MAX).collect() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_one_segment_each() {
        assert_eq!(
            path(&["machines", "mch_01", "suspend"]).expect("well formed"),
            "/v1/machines/mch_01/suspend"
        );
    }

    #[test]
    fn q_11_what_would_change_the_path_is_not_sent() {
        for bad in ["", ".", "..", "a/b", "a%2fb", "a?b", "a#b", "a b", "é", "a\0b", &"x".repeat(MAX + 1)] {
            assert!(matches!(path(&["machines", bad]), Err(ClientError::Segment { .. })), "{bad:?}");
        }
    }
}
