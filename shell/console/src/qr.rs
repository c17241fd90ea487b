//! A text as a QR code, for a camera to read off a page.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// Longer texts make codes that cameras do not read off a screen.
const LONGEST: usize = 1024;

/// An SVG of the text; `None` where it is too long.
pub fn qr(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L).ok()?;
    Some(code.render::<svg::Color<'_>>().quiet_zone(false).min_dimensions(320, 320).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_fits_and_a_book_does_not() {
        let invite = qr(&format!("muster1:{}", "a".repeat(330))).expect("it fits");
        assert!(invite.contains("<svg") && !invite.contains("muster1"), "{invite}");
        assert_eq!(qr(&"a".repeat(LONGEST + 1)), None);
    }
}
