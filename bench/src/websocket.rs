//! The client's half of a WebSocket (RFC 6455) on a lean connection: as much of it as holding a channel takes.

use anyhow::{Context as _, Result, bail, ensure};

use crate::http::{Client, Place};

/// Answers a ping, and is answered by a server that echoes binary frames.
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// What a frame is sent as to be answered with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// A ping, answered with a pong.
    Ping,
    /// Data, answered with the same.
    Echo,
}

/// A WebSocket that is open.
pub(crate) struct Socket {
    client: Client,
}

impl Socket {
    /// Opens one at a path.
    pub(crate) async fn open(place: &Place, path: &str) -> Result<Self> {
        let mut client = place.connect().await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: {}\r\n\r\n",
            muster_wire::channel::SUBPROTOCOL
        );
        client.send(request.as_bytes()).await?;
        let head = client.head().await?;
        ensure!(client.buffer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&client.buffer));
        client.buffer.drain(..head);
        client.buffer.shrink_to(256);
        Ok(Self { client })
    }

    /// Sends a frame and reads until its answer.
    pub(crate) async fn beat(&mut self, beat: Beat) -> Result<()> {
        let (sent, answered) = match beat {
            Beat::Ping => (PING, PONG),
            Beat::Echo => (BINARY, BINARY),
        };
        self.client.send(&frame(sent)).await?;
        while self.next().await? != answered {}
        Ok(())
    }

    /// Answers whatever the server asks, until it ends.
    pub(crate) async fn hold(mut self) -> Result<()> {
        while self.next().await? != CLOSE {}
        Ok(())
    }

    /// The kind of the next frame. A ping was answered already.
    async fn next(&mut self) -> Result<u8> {
        loop {
            if let Some((kind, length)) = parse(&self.client.buffer)? {
                self.client.buffer.drain(..length);
                if kind == PING {
                    self.client.send(&frame(PONG)).await?;
                }
                return Ok(kind);
            }
            self.client.more().await?;
        }
    }
}

/// A frame of four bytes, with a mask that changes nothing.
fn frame(kind: u8) -> [u8; 10] {
    [0x80 | kind, 0x84, 0, 0, 0, 0, b'b', b'e', b'a', b't']
}

/// Kind and whole length of the frame that a buffer begins with, once it is complete.
fn parse(buffer: &[u8]) -> Result<Option<(u8, usize)>> {
    let [first, second, rest @ ..] = buffer else { return Ok(None) };
    let (head, length) = match second {
        0..=125 => (2, usize::from(*second)),
        126 => match rest {
            [high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return Ok(None),
        },
        _ => bail!("a frame that no channel sends"),
    };
    let whole = usize::checked_add(head, length).context("a frame too long")?;
    Ok((buffer.len() >= whole).then_some((first & 0x0f, whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_when_they_are_whole() {
        assert_eq!(parse(&[0x89]).expect("short"), None);
        assert_eq!(parse(&[0x89, 2, 1]).expect("short"), None);
        assert_eq!(parse(&[0x89, 2, 1, 2, 3]).expect("whole"), Some((PING, 4)));
        let mut long = vec![0x81, 126, 1, 0];
        assert_eq!(parse(&long).expect("short"), None);
        long.resize(260, 0);
        assert_eq!(parse(&long).expect("whole"), Some((1, 260)));
        assert!(parse(&[0x81, 0xff]).is_err());
    }
}
