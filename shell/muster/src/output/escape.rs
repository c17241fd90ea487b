//! The allow-list between what others said and this terminal (Q-34): letters and digits of any script, marks that
//! belong to them, plain punctuation and symbols. All else is shown as its code.

/// Makes a text harmless: one line, no control, no invisible and no direction-changing character.
pub(crate) fn escape(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if is_allowed(c) { clean.push(c) } else { clean.extend(c.escape_default()) }
    }
    clean
}

fn is_allowed(c: char) -> bool {
    let listed = c == ' '
        || c.is_ascii_graphic()
        || c.is_alphanumeric()
        || matches!(c,
            '\u{a1}'..='\u{ff}'          // Latin-1 punctuation
            | '\u{300}'..='\u{36f}'      // combining marks
            | '\u{64b}'..='\u{65f}'      // Arabic vowel signs
            | '\u{900}'..='\u{eff}'      // Indic, Thai and Lao signs
            | '\u{2010}'..='\u{2027}'    // dashes, quotes, ellipsis
            | '\u{2030}'..='\u{205e}'    // further punctuation
            | '\u{20a0}'..='\u{20cf}'    // currencies
            | '\u{2100}'..='\u{23ff}'    // letter-like, arrows, mathematics, technical
            | '\u{2500}'..='\u{27bf}'    // boxes, shapes, dingbats
            | '\u{3001}'..='\u{303f}'    // CJK punctuation
            | '\u{ff01}'..='\u{ff5e}'    // full-width forms
            | '\u{1f300}'..='\u{1faff}'); // pictographs
    listed && muster_model::text::is_printable(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_34_nothing_that_drives_a_terminal_comes_through() {
        let attacks = [
            "\u{1b}]52;c;aGk=\u{7}",          // OSC 52: clipboard
            "\u{1b}]8;;http://evil\u{1b}\\x", // OSC 8: link
            "\u{1b}[2J\u{1b}[1;31m",          // CSI
            "\u{1b}P+q\u{1b}\\",              // DCS
            "\u{9b}31m\u{9d}0;t\u{9c}\u{90}", // C1
            "a\rb\nc\td\u{8}\u{0}\u{7f}",     // C0, DEL
            "\u{202e}gnp.exe\u{2066}\u{200b}\u{feff}\u{2028}\u{ad}\u{e0041}",
        ];
        for attack in attacks {
            let shown = escape(attack);
            assert!(shown.chars().all(is_allowed), "{shown:?}");
            assert!(!shown.chars().any(|c| c.is_control()), "{shown:?}");
        }
    }

    #[test]
    fn escapes_are_visible_not_dropped() {
        assert_eq!(escape("a\u{1b}[0mb\nc"), r"a\u{1b}[0mb\nc");
    }

    #[test]
    fn names_of_every_script_stay_readable() {
        for name in [
            "web-1.example.org",
            "Zürich – Büro №3",
            "東京サーバー",
            "сервер",
            "خادم",
            "सर्वर",
            "lab 🧪",
            "a\u{301}",
        ] {
            assert_eq!(escape(name), name);
        }
    }
}
