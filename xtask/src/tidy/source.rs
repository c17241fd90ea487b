//! A Rust file seen the way the rules need it: code without comments and literals, comments alone, which bytes belong
//! to tests, and where functions are.
//!
//! This is a scanner, not a parser: it knows comments, literals and brackets, and nothing of macros or types. Its
//! views have the length of the file, byte for byte, so an offset means the same place in all of them.

use std::ops::Range;

/// One Rust file and its views.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) raw: String,
    /// Comments are blanks and the insides of literals are underscores.
    pub(super) code: String,
    /// Everything but comments is blank.
    pub(super) comments: String,
    tests: Vec<Range<usize>>,
}

/// A function with its name, parameters and body, as ranges of the file.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) start: usize,
    pub(super) parameters: Range<usize>,
    /// None in a trait or an extern block.
    pub(super) body: Option<Range<usize>>,
}

impl Source {
    pub(super) fn new(path: &str, raw: &str) -> Self {
        let (code, comments) = views(raw.as_bytes());
        let tests = test_ranges(&code, is_test_path(path));
        Self { path: path.to_owned(), raw: raw.to_owned(), code, comments, tests }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.raw.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Whether the byte belongs to test code: a test file, or an item under `#[cfg(test)]`.
    pub(super) fn in_tests(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// Lines of the file that are not test code, and the first line past `limit` of them where there is one.
    pub(super) fn production_lines(&self) -> usize {
        let mut offset = 0;
        let mut lines = 0;
        for line in self.raw.split_inclusive('\n') {
            lines += usize::from(!self.in_tests(offset));
            offset += line.len();
        }
        lines
    }

    /// Lines of a range that hold code: blank ones and comments are free.
    pub(super) fn code_lines(&self, range: Range<usize>) -> usize {
        self.code[range].lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// Offsets at which the code has this text, at the boundary of a word where the text begins with one.
    pub(super) fn find<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
        let bounded = needle.as_bytes().first().is_some_and(|b| is_word(*b));
        self.code.match_indices(needle).map(|(at, _)| at).filter(move |at| {
            let before = at.checked_sub(1).map(|i| self.code.as_bytes()[i]);
            !bounded || !before.is_some_and(is_word)
        })
    }

    /// Whether this line or the one above it has a comment.
    pub(super) fn has_comment_near(&self, offset: usize) -> bool {
        let line = self.line(offset);
        let lines = self.comments.lines().skip(line.saturating_sub(2)).take(line.min(2));
        lines.into_iter().any(|text| text.trim().len() > "//".len())
    }

    /// All functions of the file, nested ones too, in order.
    pub(super) fn functions(&self) -> Vec<Function> {
        self.find("fn ").filter_map(|start| function(&self.code, start)).collect()
    }
}

/// Test code by its place: a `tests` or `benches` folder, or a module file of that name.
pub(super) fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "tests.rs"))
}

/// The offset just past the bracket that closes the one at `open`, or the end of the text.
pub(super) fn past_closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (i, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return i + 1;
        }
    }
    code.len()
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn function(code: &str, start: usize) -> Option<Function> {
    let bytes = code.as_bytes();
    let name_at = start + "fn ".len();
    let name_end = name_at + bytes[name_at..].iter().take_while(|b| is_word(**b)).count();
    // `fn (` is a type and `fn $name` is a macro's pattern.
    if name_end == name_at {
        return None;
    }
    let open = past_generics(bytes, name_end);
    if bytes.get(open) != Some(&b'(') {
        return None;
    }
    let close = past_closing(code, open);
    let name = code[name_at..name_end].to_owned();
    Some(Function { name, start, parameters: open + 1..close.saturating_sub(1), body: body(code, close) })
}

/// From the end of a name to what follows its `<…>`, where it has one.
fn past_generics(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0usize;
    for (i, b) in bytes.iter().enumerate().skip(from) {
        match b {
            b'<' => depth += 1,
            b'>' if !matches!(bytes[i - 1], b'-' | b'=') => depth = depth.saturating_sub(1),
            _ if depth == 0 && !b.is_ascii_whitespace() => return i,
            _ => {}
        }
    }
    bytes.len()
}

fn body(code: &str, from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while let Some(b) = code.as_bytes().get(at) {
        match b {
            b'{' => return Some(at..past_closing(code, at)),
            b';' => return None,
            // A `;` in `[u8; 32]` ends nothing.
            b'(' | b'[' => at = past_closing(code, at),
            _ => at += 1,
        }
    }
    None
}

/// Everything in a test file; otherwise each item under `#[cfg(test)]`, the attribute included.
fn test_ranges(code: &str, whole: bool) -> Vec<Range<usize>> {
    if whole || code.contains("#![cfg(test)]") {
        return std::iter::once(0..code.len()).collect();
    }
    let starts =
        code.match_indices("#[cfg(").filter(|(at, _)| is_test_cfg(&code[*at..past_closing(code, *at + 1)]));
    starts.map(|(at, _)| at..item_end(code, past_closing(code, at + 1))).collect()
}

fn is_test_cfg(attribute: &str) -> bool {
    !attribute.contains("not(") && attribute.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
}

fn item_end(code: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(b) = code.as_bytes().get(at) {
        match b {
            b'{' => return past_closing(code, at),
            b';' => return at + 1,
            b'(' | b'[' => at = past_closing(code, at),
            _ => at += 1,
        }
    }
    code.len()
}

/// The code and the comments of a file, each blank where the other is.
fn views(raw: &[u8]) -> (String, String) {
    let blank = |b: &u8| if *b == b'\n' { b'\n' } else { b' ' };
    let mut code: Vec<u8> = raw.iter().map(blank).collect();
    let mut comments = code.clone();
    let mut at = 0;
    while at < raw.len() {
        let end = token_end(raw, at);
        match kind(raw, at) {
            Kind::Comment => comments[at..end].copy_from_slice(&raw[at..end]),
            Kind::Literal => {
                code[at..end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b'_');
                code[at] = b'"';
                code[end - 1] = b'"';
            }
            Kind::Code => code[at..end].copy_from_slice(&raw[at..end]),
        }
        at = end;
    }
    let text =
        |bytes| String::from_utf8(bytes).expect("tokens are copied whole, so characters are never cut");
    (text(code), text(comments))
}

enum Kind {
    Comment,
    Literal,
    Code,
}

fn kind(raw: &[u8], at: usize) -> Kind {
    match &raw[at..] {
        [b'/', b'/' | b'*', ..] => Kind::Comment,
        [b'"', ..] => Kind::Literal,
        [b'\'', ..] if char_end(raw, at).is_some() => Kind::Literal,
        [b'r', ..] if raw_string_hashes(raw, at).is_some() => Kind::Literal,
        _ => Kind::Code,
    }
}

/// The end of the comment or literal at `at`, or of the one byte of code.
fn token_end(raw: &[u8], at: usize) -> usize {
    match kind(raw, at) {
        Kind::Code => at + 1,
        Kind::Comment if raw[at + 1] == b'/' => position(raw, at, b"\n").unwrap_or(raw.len()),
        Kind::Comment => block_comment_end(raw, at),
        Kind::Literal => match raw[at] {
            b'\'' => char_end(raw, at).unwrap_or(at + 1),
            b'r' => raw_string_end(raw, at),
            _ => string_end(raw, at),
        },
    }
}

fn position(raw: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    raw[from..].windows(needle.len()).position(|window| window == needle).map(|i| from + i)
}

fn block_comment_end(raw: &[u8], at: usize) -> usize {
    let (mut depth, mut i) = (0usize, at);
    while i < raw.len() {
        match &raw[i..] {
            [b'/', b'*', ..] => (depth, i) = (depth + 1, i + 2),
            [b'*', b'/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    raw.len()
}

fn string_end(raw: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < raw.len() {
        match raw[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    raw.len()
}

/// The number of `#` where a raw string begins at this `r`; none for a raw name (`r#type`) or the end of a word.
fn raw_string_hashes(raw: &[u8], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).map(|i| raw[i]);
    let prefix = matches!(before, Some(b'b' | b'c')) && !(at >= 2 && is_word(raw[at - 2]));
    if before.is_some_and(is_word) && !prefix {
        return None;
    }
    let hashes = raw[at + 1..].iter().take_while(|b| **b == b'#').count();
    (raw.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn raw_string_end(raw: &[u8], at: usize) -> usize {
    let hashes = raw_string_hashes(raw, at).unwrap_or(0);
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    position(raw, at + hashes + 2, &close).map_or(raw.len(), |i| i + close.len())
}

/// The end of a character literal; none where the quote begins a lifetime.
fn char_end(raw: &[u8], at: usize) -> Option<usize> {
    if raw.get(at + 1) == Some(&b'\\') {
        return position(raw, at + 3, b"'").map(|i| i + 1);
    }
    let width = raw[at + 1..].iter().skip(1).take_while(|b| **b & 0b1100_0000 == 0b1000_0000).count() + 1;
    (raw.get(at + 1 + width) == Some(&b'\'')).then_some(at + width + 2)
}

#[cfg(test)]
#[path = "source/tests.rs"]
mod tests;
