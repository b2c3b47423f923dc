//! HTTP/3 over quinn, with a request that was encoded once (RFC 9114, RFC 9204).
//!
//! Only what a load client needs: static QPACK entries and literals out, no dynamic table in; of
//! an answer it reads the status, and counts the bytes of DATA frames.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;

use super::{Load, Objects, Result, Tally};

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
/// How often a handshake is tried.
const TRIES: usize = 4;
/// The most bytes of a HEADERS frame this client reads.
const MAX_HEADERS: u64 = 64 << 10;

/// Shakes hands. quinn sends a transport parameter of a reserved number, drawn anew for each connection
/// (RFC 9000 §18.1); nginx 1.28 reads 16 bits of numbers, takes one in some thousand for a parameter
/// that it knows, and refuses it. Such a handshake is tried again.
async fn connect(
    endpoint: &quinn::Endpoint,
    config: &quinn::ClientConfig,
    addr: SocketAddr,
) -> Result<quinn::Connection> {
    for _ in 1..TRIES {
        match endpoint.connect_with(config.clone(), addr, "localhost")?.await {
            Err(quinn::ConnectionError::ConnectionClosed(close))
                if close.error_code == quinn::TransportErrorCode::TRANSPORT_PARAMETER_ERROR => {}
            shaken => return Ok(shaken?),
        }
    }
    Ok(endpoint.connect_with(config.clone(), addr, "localhost")?.await?)
}

/// One connection, shared by its streams.
#[derive(Clone)]
pub(super) struct Connection {
    quic: quinn::Connection,
    authority: String,
    objects: Objects,
    only: Option<Bytes>,
    /// Kept alive as long as the connection: it drives the socket.
    _endpoint: quinn::Endpoint,
}

impl Connection {
    pub(super) async fn open(load: &Load) -> Result<Self> {
        let mut tls = load.tls.clone();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let mut transport = quinn::TransportConfig::default();
        transport
            .stream_receive_window((8u32 << 20).into())
            .receive_window((32u32 << 20).into())
            .max_idle_timeout(Some(Duration::from_secs(30).try_into()?));
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(Arc::new(transport));
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
        let quic = connect(&endpoint, &config, load.addr).await?;
        // The control stream: its type, then an empty SETTINGS frame (RFC 9114 §6.2.1).
        let mut control = quic.open_uni().await?;
        control.write_all(&[0x00, 0x04, 0x00]).await?;
        let drain = quic.clone();
        tokio::task::spawn_local(async move {
            // Keeps our control stream open, and reads away the server's.
            let _control = control;
            while let Ok(mut stream) = drain.accept_uni().await {
                tokio::task::spawn_local(async move {
                    while let Ok(Some(_)) = stream.read_chunk(64 << 10, false).await {}
                });
            }
        });
        let authority = format!("localhost:{}", load.addr.port());
        let only =
            load.objects.only().map(|path| encode(&authority, &path, load.objects.player.page));
        Ok(Self { quic, authority, objects: load.objects.clone(), only, _endpoint: endpoint })
    }

    pub(super) async fn drive(self, tally: Rc<Tally>) -> Result<()> {
        tally.started().await;
        while let Some(asked) = tally.next() {
            let (status, length) = self.ask().await?;
            tally.done(asked, status, length)?;
        }
        Ok(())
    }

    /// Asks once; gives status and length of the answer.
    pub(super) async fn ask(&self) -> Result<(u16, u64)> {
        let (mut send, mut receive) = self.quic.open_bi().await?;
        let request = match &self.only {
            Some(only) => only.clone(),
            None => encode(&self.authority, &self.objects.path(), self.objects.player.page),
        };
        send.write_chunk(request).await?;
        send.finish()?;
        let mut answer = Answer::default();
        while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? {
            answer.take(chunk.bytes)?;
        }
        Ok((answer.status, answer.length))
    }

    /// Ends the connection, and says so.
    pub(super) fn close(&self) {
        self.quic.close(0x100u32.into(), b"");
    }
}

/// A GET as one HEADERS frame: `:method GET`, `:scheme https` by static index, `:authority`, `:path`
/// and `origin` as literals with static names (RFC 9204 §4.5, appendix A).
fn encode(authority: &str, path: &str, page: Option<&str>) -> Bytes {
    let mut block = vec![0, 0, 0xc0 | 0x11, 0xc0 | 0x17];
    for (name, value) in [(0, authority), (1, path)].into_iter().chain(page.map(|page| (90, page)))
    {
        put_integer(&mut block, 0x50, 4, name);
        put_integer(&mut block, 0, 7, value.len());
        block.extend_from_slice(value.as_bytes());
    }
    let mut frame = vec![HEADERS as u8];
    // A varint of two bytes holds any length up to 16,383 (RFC 9000 §16).
    frame.extend_from_slice(&(0x4000 | (block.len() as u16 & 0x3fff)).to_be_bytes());
    frame.extend_from_slice(&block);
    frame.into()
}

/// An integer behind the bits of its first byte that mean something else (RFC 7541 §5.1).
fn put_integer(block: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        block.push(first | value as u8);
        return;
    }
    block.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        block.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// An answer as far as it has come.
#[derive(Default)]
struct Answer {
    status: u16,
    length: u64,
    /// Bytes of a frame header or of a HEADERS frame that is not whole yet.
    pending: BytesMut,
    /// Bytes of the running frame still to be passed over, and whether they are DATA.
    rest: u64,
    data: bool,
}

impl Answer {
    fn take(&mut self, mut chunk: Bytes) -> Result<()> {
        loop {
            if self.rest > 0 {
                let here = self.rest.min(chunk.len() as u64);
                chunk.advance(here as usize);
                self.rest -= here;
                if self.data {
                    self.length += here;
                }
            }
            if chunk.is_empty() {
                return Ok(());
            }
            self.pending.extend_from_slice(&chunk);
            chunk.clear();
            let Some((kind, length, head)) = frame_head(&self.pending) else { return Ok(()) };
            if kind == HEADERS {
                if length > MAX_HEADERS {
                    return Err("the answer's headers are too long".into());
                }
                if (self.pending.len() - head) < length as usize {
                    return Ok(());
                }
                self.pending.advance(head);
                let block = self.pending.split_to(length as usize);
                self.status = status(&block)?;
            } else {
                self.pending.advance(head);
                self.rest = length;
                self.data = kind == DATA;
            }
            chunk = self.pending.split().freeze();
        }
    }
}

/// Type, length and the bytes both took, once they are there.
fn frame_head(bytes: &[u8]) -> Option<(u64, u64, usize)> {
    let (kind, first) = varint(bytes)?;
    let (length, second) = varint(&bytes[first..])?;
    Some((kind, length, first + second))
}

/// A variable-length integer (RFC 9000 §16) and the bytes it took.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1usize << (first >> 6);
    let bytes = bytes.get(1..length)?;
    let value =
        bytes.iter().fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte));
    Some((value, length))
}

/// The status, which stands first in the field section (RFC 9114 §4.3): by its index in QPACK's
/// static table, or as a literal with an indexed name.
fn status(block: &[u8]) -> Result<u16> {
    match block.get(2) {
        Some(0xd9) => Ok(200),
        Some(first) => Err(format!("the answer's status is not 200 (field {first:#x})").into()),
        None => Err("the answer has no status".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_however_it_is_cut() {
        let mut bytes = vec![0x01, 0x03, 0x00, 0x00, 0xd9, 0x00, 0x40, 0x64];
        bytes.extend_from_slice(&[7; 100]);
        bytes.extend_from_slice(&[0x21, 0x02, 1, 2, 0x00, 0x01, 9]);
        for step in 1..bytes.len() {
            let mut answer = Answer::default();
            for piece in bytes.chunks(step) {
                answer.take(Bytes::copy_from_slice(piece)).unwrap();
            }
            assert_eq!((answer.status, answer.length), (200, 101), "in steps of {step}");
        }
    }

    #[test]
    fn a_long_path_is_encoded_whole() {
        let frame = encode("localhost:1", &"x".repeat(300), None);
        assert_eq!(frame.len(), 3 + 4 + (1 + 1 + 11) + (1 + 3 + 300));
        let frame = encode("localhost:1", "/", Some("https://a"));
        // Entry 90, of which the prefix holds 15.
        assert!(frame.ends_with(b"\x5f\x4b\x09https://a"));
    }
}
