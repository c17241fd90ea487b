//! A lean client: one TLS connection, requests written as the bytes they are, answers read and not looked at further.
//!
//! It shares the processors with what it measures, so it does as little as it can.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where to connect, and how.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Place {
    /// The same address with another TLS.
    pub(crate) fn with(&self, tls: Arc<ClientConfig>) -> Self {
        Self { tls, ..*self }
    }

    /// A connection whose handshake is done.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let stream = TcpStream::connect(self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(self.address.ip().into());
        let stream = TlsConnector::from(self.tls.clone()).connect(name, stream).await.context("handshake")?;
        Ok(Client { stream, buffer: Vec::with_capacity(1024), body: 0 })
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) buffer: Vec<u8>,
    body: usize,
}

impl Client {
    /// Sends a request and reads its whole answer. Gives the status.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<u16> {
        self.send(request).await?;
        let head = self.head().await?;
        let status = status(&self.buffer[..head])?;
        let end = head + length(&self.buffer[..head])?;
        while self.buffer.len() < end {
            self.more().await?;
        }
        self.body = head;
        Ok(status)
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body..]
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads until the end of a head. Gives where it ends; what came after it stays in the buffer.
    pub(crate) async fn head(&mut self) -> Result<usize> {
        self.buffer.clear();
        loop {
            self.more().await?;
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(at + 4);
            }
        }
    }

    /// Reads what comes next to the end of the buffer.
    pub(crate) async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn status(head: &[u8]) -> Result<u16> {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).context("not an answer of HTTP/1.1")
}

fn length(head: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(head)?;
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    let found = lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(found.map(|(_, value)| value.parse()).transpose()?.unwrap_or(0))
}

/// A `GET`, with a bearer key where there is one.
pub(crate) fn get(path: &str, bearer: Option<&str>) -> Vec<u8> {
    let shown = bearer.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{shown}\r\n").into_bytes()
}

/// A `POST` of JSON.
pub(crate) fn post(path: &str, json: &str) -> Vec<u8> {
    let length = json.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_whatever_the_case_of_their_names() {
        let head = b"HTTP/1.1 201 Created\r\nContent-Length: 42\r\nx: y\r\n\r\n";
        assert_eq!((status(head).expect("a status"), length(head).expect("a length")), (201, 42));
        assert_eq!(length(b"HTTP/1.1 204 No Content\r\n\r\n").expect("none"), 0);
        assert!(status(b"hello").is_err());
    }
}
