//! Another system that connectors are tried against: what may go wrong with it, and what can be seen of it.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done and nothing answered.
    Silent,
    /// It is done; the answer is lost.
    AnswerLost,
    /// It is done; the answer never comes.
    AnswerNever,
    /// Nothing is done; 500.
    Broken,
    /// It is done; 500.
    BrokenAfter,
    /// Nothing is done: somebody changed the account at the same time.
    Raced,
    /// Something on the way hands it on twice; the second answer comes.
    Twice,
    /// It is done, and takes a while.
    Slow,
    /// Nothing is wrong.
    None,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::AnswerLost,
        Self::AnswerNever,
        Self::Broken,
        Self::BrokenAfter,
        Self::Raced,
        Self::Twice,
        Self::Slow,
        Self::None,
    ];

    /// Answers as it lets it.
    pub(crate) async fn answer(self, stream: &mut TcpStream, answer: &str) -> std::io::Result<()> {
        match self {
            Self::Silent | Self::AnswerNever => std::future::pending().await,
            Self::AnswerLost => Ok(()),
            Self::Broken | Self::BrokenAfter => {
                stream.write_all(http(500, "text/plain", "broken").as_bytes()).await
            }
            Self::Slow => {
                for byte in answer.bytes() {
                    tokio::task::yield_now().await;
                    stream.write_all(&[byte]).await?;
                }
                Ok(())
            }
            Self::Raced | Self::Twice | Self::None => stream.write_all(answer.as_bytes()).await,
        }
    }
}

/// Another system, from the side where it can be looked at.
pub trait Downstream: Send + Sync {
    /// These faults, one for each of the next calls.
    fn fail(&self, faults: &[Fault]);

    /// An account that somebody else made.
    fn make(&self, name: &str, passphrase: &str);

    /// Whether somebody gets in with this.
    fn lets_in(&self, name: &str, passphrase: &str) -> bool;

    /// The accounts that are there, locked ones too, folded.
    fn names(&self) -> Vec<String>;
}

/// Head and body of a request; nothing where the caller went away.
pub(crate) async fn request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.and_then(|n| n.trim().parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok(Some((head, body)))
}

/// An answer, after which the connection ends.
pub(crate) fn http(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}
