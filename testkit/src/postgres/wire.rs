//! Just enough of PostgreSQL's protocol to run a statement and read text: the test kit needs no driver for it.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a statement of a test may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs statements on a server of this host as its superuser, and gives the rows of all of them as text.
///
/// # Errors
/// What the network says, or the server.
pub fn query(port: u16, database: &str, sql: &str) -> io::Result<Vec<Vec<Option<String>>>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let parameters = format!("user\0postgres\0database\0{database}\0\0");
    let mut start = 196_608_u32.to_be_bytes().to_vec();
    start.extend(parameters.as_bytes());
    stream.write_all(&[&length(&start), &start[..]].concat())?;
    answers(&mut stream)?;
    let text = [sql.as_bytes(), b"\0"].concat();
    stream.write_all(&[b"Q", &length(&text)[..], &text].concat())?;
    let rows = answers(&mut stream);
    stream.write_all(b"X\0\0\0\x04").and(rows)
}

fn length(body: &[u8]) -> [u8; 4] {
    u32::try_from(body.len() + 4).expect("a test's statement is short").to_be_bytes()
}

/// Everything until the server is ready for the next statement.
fn answers(stream: &mut TcpStream) -> io::Result<Vec<Vec<Option<String>>>> {
    let (mut rows, mut failure) = (Vec::new(), None);
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let size = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut body = vec![0; size.saturating_sub(4)];
        stream.read_exact(&mut body)?;
        match head[0] {
            b'D' => rows.push(row(&body)),
            b'E' => failure = Some(said(&body)),
            b'Z' => return failure.map_or(Ok(rows), |said| Err(io::Error::other(said))),
            _ => {}
        }
        if let Some(said) = failure.take_if(|said| said.starts_with("FATAL")) {
            return Err(io::Error::other(said));
        }
    }
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = body.get(2..).unwrap_or_default();
    let mut cells = Vec::new();
    while let Some((size, after)) = rest.split_first_chunk::<4>() {
        let Ok(size) = usize::try_from(i32::from_be_bytes(*size)) else {
            cells.push(None);
            rest = after;
            continue;
        };
        let (cell, after) = after.split_at(size.min(after.len()));
        cells.push(Some(String::from_utf8_lossy(cell).into_owned()));
        rest = after;
    }
    cells
}

/// Severity, code and message of an error.
fn said(body: &[u8]) -> String {
    let fields: Vec<String> =
        body.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned()).collect();
    let field = |mark: char| fields.iter().find_map(|field| field.strip_prefix(mark)).unwrap_or_default();
    format!("{} {} {}", field('V'), field('C'), field('M'))
}
