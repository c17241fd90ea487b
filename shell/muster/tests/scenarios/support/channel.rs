//! A bare channel client: holds the channel, answers pings, and keeps what it was ordered. Tens of them cost nothing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use muster_wire::channel::{PATH, SUBPROTOCOL};
use serde_json::{Value, json};

use super::Http;
use super::http::Connection;

const UPGRADE: [(&str, &str); 4] = [
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", SUBPROTOCOL),
];
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
/// Longer than any server is away in a scenario: who holds a channel ends it.
const PATIENCE: Duration = Duration::from_secs(120);

/// A channel that is open. Ends when it is dropped.
pub(crate) struct Channel {
    /// What the server said first.
    pub(crate) hello: Value,
    orders: Receiver<Value>,
    socket: TcpStream,
    holding: Option<JoinHandle<()>>,
}

impl Channel {
    /// Opens the channel of the machine that the way in shows.
    pub(crate) fn open(http: &Http) -> io::Result<Self> {
        let (head, mut stream) = http.upgrade(PATH, &UPGRADE)?;
        if !head.starts_with("HTTP/1.1 101") {
            return Err(io::Error::other(head));
        }
        stream.sock.set_read_timeout(Some(PATIENCE))?;
        let socket = stream.sock.try_clone()?;
        let hello = loop {
            if let Some(frame) = next(&mut stream)? {
                break frame;
            }
        };
        let (send, orders) = mpsc::channel();
        let holding = std::thread::spawn(move || {
            // However it ends: whoever asks finds it ended.
            while let Ok(frame) = next(&mut stream) {
                let Some(order) = frame else { continue };
                let ack = json!({"type": "ack", "id": order["id"]}).to_string();
                if write_frame(&mut stream, TEXT, ack.as_bytes()).is_err() || send.send(order).is_err() {
                    return;
                }
            }
        });
        Ok(Self { hello, orders, socket, holding: Some(holding) })
    }

    /// The next order, if one comes in time.
    pub(crate) fn order(&self, limit: Duration) -> Option<String> {
        let order = self.orders.recv_timeout(limit).ok()?;
        Some(order["order"].as_str().unwrap_or_else(|| panic!("no order: {order}")).to_owned())
    }

    /// Whether the server holds it still, as far as can be seen from here.
    pub(crate) fn is_open(&self) -> bool {
        self.holding.as_ref().is_some_and(|holding| !holding.is_finished())
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.socket.shutdown(Shutdown::Both).ok();
        if let Some(holding) = self.holding.take() {
            holding.join().expect("it only ever reads and answers");
        }
    }
}

/// The next frame: what it says, or nothing where it was a ping, which is answered.
fn next(stream: &mut Connection) -> io::Result<Option<Value>> {
    let (kind, payload) = read_frame(stream)?;
    match kind {
        TEXT => serde_json::from_slice(&payload).map(Some).map_err(io::Error::other),
        PING => write_frame(stream, PONG, &payload).map(|()| None),
        CLOSE => Err(io::ErrorKind::ConnectionAborted.into()),
        _ => Ok(None),
    }
}

/// A frame as a server sends it: its kind, and what is in it.
pub(crate) fn read_frame(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let length = match head[1] {
        short @ 0..=125 => usize::from(short),
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            usize::from(u16::from_be_bytes(length))
        }
        _ => return Err(io::Error::other("a frame that no channel sends")),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((head[0] & 0x0f, payload))
}

/// A frame with a mask that changes nothing.
pub(crate) fn write_frame(stream: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u16::try_from(payload.len()).expect("what a machine says is short");
    let mut frame = vec![0x80 | kind];
    match u8::try_from(length) {
        Ok(short @ 0..=125) => frame.push(0x80 | short),
        Ok(_) | Err(_) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    stream.write_all(&frame)?;
    stream.flush()
}
