//! As much of an HTTP/3 client (RFC 9114) as a download or an upload needs: requests by static QPACK entries,
//! DATA frames both ways, and GOAWAY; and 0-RTT for one that comes back.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt as _;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clients::{Answer, Ended, Pieces};

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const GOAWAY: u64 = 0x7;
/// `:method` in the static table.
const GET: u8 = 17;
const POST: u8 = 20;
/// H3_NO_ERROR (RFC 9114 §8.1).
const NO_ERROR: u32 = 0x100;
/// H3_REQUEST_REJECTED: it was not processed (RFC 9114 §4.1.1).
const REJECTED: u32 = 0x10b;

/// One connection.
pub struct Connection {
    quic: quinn::Connection,
    authority: String,
    /// The lowest stream that the server said it would not process; at first there is none. Who tells it is
    /// gone when the connection is closed and all that came before is read.
    goaway: watch::Receiver<u64>,
    /// Drives the socket.
    _endpoint: quinn::Endpoint,
}

/// The settings of a client, which keeps the sessions that servers give it.
pub fn settings(mut tls: rustls::ClientConfig) -> Result<quinn::ClientConfig, String> {
    tls.alpn_protocols = vec![b"h3".to_vec()];
    tls.enable_early_data = true;
    let config = QuicClientConfig::try_from(tls).map_err(|error| error.to_string())?;
    Ok(quinn::ClientConfig::new(Arc::new(config)))
}

impl Connection {
    /// Connects; a socket of its own for each connection.
    pub async fn open(addr: SocketAddr, tls: rustls::ClientConfig) -> Result<Self, String> {
        Self::first(addr, &settings(tls)?).await
    }

    /// Connects, and keeps what the server gives it for the next time in `settings`.
    pub async fn first(addr: SocketAddr, settings: &quinn::ClientConfig) -> Result<Self, String> {
        let (endpoint, connecting) = Self::connect(addr, settings)?;
        let quic = connecting.await.map_err(|error| format!("QUIC handshake: {error}"))?;
        Ok(Self::over(endpoint, quic, addr))
    }

    /// Comes back with what is in `settings`: what is asked now goes out before the handshake is done. The
    /// other one tells whether the server took it so. `None` where there is nothing to come back with.
    pub fn again(
        addr: SocketAddr,
        settings: &quinn::ClientConfig,
    ) -> Result<Option<(Self, quinn::ZeroRttAccepted)>, String> {
        let (endpoint, connecting) = Self::connect(addr, settings)?;
        let Ok((quic, accepted)) = connecting.into_0rtt() else { return Ok(None) };
        Ok(Some((Self::over(endpoint, quic, addr), accepted)))
    }

    fn connect(
        addr: SocketAddr,
        settings: &quinn::ClientConfig,
    ) -> Result<(quinn::Endpoint, quinn::Connecting), String> {
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())
            .map_err(|error| error.to_string())?;
        let connecting = endpoint.connect_with(settings.clone(), addr, "localhost");
        Ok((endpoint, connecting.map_err(|error| error.to_string())?))
    }

    fn over(endpoint: quinn::Endpoint, quic: quinn::Connection, addr: SocketAddr) -> Self {
        let (seen, goaway) = watch::channel(u64::MAX);
        let accepts = quic.clone();
        tokio::spawn(async move {
            // The control stream: its type, then an empty SETTINGS frame (RFC 9114 §6.2.1).
            let Ok(mut control) = accepts.open_uni().await else { return };
            let _ = control.write_all(&[0x00, 0x04, 0x00]).await;
            let mut streams = JoinSet::new();
            while let Ok(stream) = accepts.accept_uni().await {
                streams.spawn(look_for_goaway(stream, seen.clone()));
            }
            streams.join_all().await;
        });
        let authority = format!("localhost:{}", addr.port());
        Self { quic, authority, goaway, _endpoint: endpoint }
    }

    /// Downloads `path`.
    pub async fn get(&self, path: &str) -> Result<Answer, Ended> {
        self.ask(GET, path, None).await
    }

    /// Sends `pieces` as a body, each in a DATA frame, when they come.
    pub async fn post(&self, path: &str, pieces: Pieces) -> Result<Answer, Ended> {
        self.ask(POST, path, Some(pieces)).await
    }

    async fn ask(&self, method: u8, path: &str, body: Option<Pieces>) -> Result<Answer, Ended> {
        if self.is_going() {
            return Err(Ended::Told);
        }
        let failed = |error: &dyn std::error::Error| Ended::Failed(format!("{error:?}"));
        let (mut send, receive) = match self.quic.open_bi().await {
            Ok(stream) => stream,
            // Closed in order before this request was sent.
            Err(quinn::ConnectionError::ApplicationClosed(close))
                if close.error_code == NO_ERROR.into() =>
            {
                return Err(if self.went().await { Ended::Told } else { Ended::Idle });
            }
            Err(error) => return Err(failed(&error)),
        };
        let id = quinn::VarInt::from(send.id()).into_inner();
        let request = encode(method, &self.authority, path);
        let sending = async {
            send.write_all(&request).await?;
            if let Some(mut pieces) = body {
                while let Some(piece) = pieces.next().await {
                    // A DATA frame whose length takes four bytes.
                    let length = 0x8000_0000 | piece.len() as u32;
                    send.write_all(&[&[DATA as u8][..], &length.to_be_bytes()].concat()).await?;
                    send.write_chunk(piece).await?;
                }
            }
            let _ = send.finish();
            Ok::<_, quinn::WriteError>(())
        };
        let (sent, answer) = tokio::join!(sending, self.receive(id, receive));
        match (sent, answer) {
            // Why it could not be sent tells more, but where the server said so.
            (Err(error), Err(Ended::Failed(_))) if !self.is_going() => Err(failed(&error)),
            (_, answer) => answer,
        }
    }

    /// Reads the answer on stream `id`.
    async fn receive(&self, id: u64, mut receive: quinn::RecvStream) -> Result<Answer, Ended> {
        let failed = |error: &dyn std::error::Error| Ended::Failed(format!("{error:?}"));
        let mut frames = Frames::default();
        let mut body = BytesMut::new();
        loop {
            match receive.read_chunk(usize::MAX, true).await {
                Ok(Some(chunk)) => frames.take(&chunk.bytes, |kind, payload| {
                    if kind == DATA {
                        body.extend_from_slice(payload);
                    }
                }),
                Ok(None) => break,
                Err(quinn::ReadError::Reset(code)) if code == REJECTED.into() => {
                    return Err(Ended::Told);
                }
                // RFC 9114 §5.2: a request that a GOAWAY is at or below was not processed.
                Err(quinn::ReadError::ConnectionLost(_))
                    if body.is_empty() && *self.goaway.borrow() <= id =>
                {
                    return Err(Ended::Told);
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(Answer { body: body.freeze(), last: self.is_going() })
    }

    fn is_going(&self) -> bool {
        *self.goaway.borrow() != u64::MAX
    }

    /// Whether the server said that the connection ends, now that it has: the last words may not be read yet.
    async fn went(&self) -> bool {
        let mut goaway = self.goaway.clone();
        while goaway.changed().await.is_ok() {}
        self.is_going()
    }
}

impl Drop for Connection {
    /// Says so, as clients do: the server would keep it until it is idle for long enough.
    fn drop(&mut self) {
        self.quic.close(NO_ERROR.into(), b"");
    }
}

/// Reads a stream of the server's away, and looks for a GOAWAY on its control stream.
async fn look_for_goaway(mut stream: quinn::RecvStream, goaway: watch::Sender<u64>) {
    let mut kind = [0];
    if stream.read_exact(&mut kind).await.is_err() {
        return;
    }
    let mut frames = Frames::default();
    while let Ok(Some(chunk)) = stream.read_chunk(64 << 10, true).await {
        if kind == [0] {
            frames.take(&chunk.bytes, |kind, payload| {
                if kind == GOAWAY {
                    let id = varint(payload).map_or(0, |(id, _)| id);
                    goaway.send_modify(|lowest| *lowest = id.min(*lowest));
                }
            });
        }
    }
}

/// A request as one HEADERS frame: `:method` and `:scheme https` by static index, `:authority` and `:path` as
/// literals with static names (RFC 9204 §4.5, appendix A).
fn encode(method: u8, authority: &str, path: &str) -> Bytes {
    let mut block = vec![0, 0, 0xc0 | method, 0xc0 | 0x17];
    for (name, value) in [(0, authority), (1, path)] {
        block.push(0x50 | name);
        assert!(value.len() < 0x7f + 0x80, "a longer length is not written here");
        match value.len().checked_sub(0x7f) {
            None => block.push(value.len() as u8),
            Some(rest) => block.extend_from_slice(&[0x7f, rest as u8]),
        }
        block.extend_from_slice(value.as_bytes());
    }
    let mut frame = vec![HEADERS as u8];
    frame.extend_from_slice(&(0x4000 | block.len() as u16).to_be_bytes());
    frame.extend_from_slice(&block);
    frame.into()
}

/// Frames (RFC 9114 §7.1) out of chunks; payloads are told of piece by piece.
#[derive(Default)]
struct Frames {
    pending: BytesMut,
    kind: u64,
    rest: u64,
}

impl Frames {
    fn take(&mut self, chunk: &[u8], mut told: impl FnMut(u64, &[u8])) {
        self.pending.extend_from_slice(chunk);
        loop {
            if self.rest > 0 {
                let here = (self.pending.len() as u64).min(self.rest) as usize;
                if here == 0 {
                    return;
                }
                told(self.kind, &self.pending[..here]);
                self.pending.advance(here);
                self.rest -= here as u64;
                continue;
            }
            let Some((kind, first)) = varint(&self.pending) else { return };
            let Some((length, second)) = varint(&self.pending[first..]) else { return };
            self.pending.advance(first + second);
            (self.kind, self.rest) = (kind, length);
            if length == 0 {
                told(kind, &[]);
            }
        }
    }
}

/// A variable-length integer (RFC 9000 §16), and its length in bytes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let rest = bytes.get(1..length)?;
    let start = u64::from(first & 0x3f);
    Some((rest.iter().fold(start, |value, byte| value << 8 | u64::from(*byte)), length))
}

/// A configuration that takes any certificate: who answers is not what is tested.
pub fn trusting_anything() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
