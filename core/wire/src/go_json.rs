//! JSON byte for byte as the encoder of Go's standard library writes it, for those who verify a signature over its bytes.
//!
//! It differs from others in three ways: `<`, `>`, `&`, U+2028 and U+2029 are escaped, a whole number that is kept as a
//! float has no point, and very small and very large floats have an exponent.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

struct Go;

/// Writes a value whose floats are finite.
pub fn to_string(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut bytes, Go))
        .expect("it is JSON, and memory takes it");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

impl Formatter for Go {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            return write!(writer, "{value}");
        }
        let text = format!("{value:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => write!(writer, "{digits}e+{exponent}"),
            _ => writer.write_all(text.as_bytes()),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(place) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, from) = rest.split_at(place);
            let mut chars = from.chars();
            let escaped = chars.next().map_or(0, u32::from);
            write!(writer, "{before}\\u{escaped:04x}")?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_the_contract_shows() {
        assert_eq!(to_string(&"a<b>&c\u{2028}é\"\\"), r#""a\u003cb\u003e\u0026c\u2028é\"\\""#);
        assert_eq!(to_string(&"\u{2029}\n\t"), r#""\u2029\n\t""#);
    }

    #[test]
    fn floats_are_written_in_their_shortest_form() {
        let table = [
            (0.0, "0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (2.5, "2.5"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
        ];
        for (value, expected) in table {
            assert_eq!(to_string(&value), expected);
        }
    }
}
