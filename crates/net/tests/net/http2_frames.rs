//! HTTP/2 told by its frames, on the plain port with prior knowledge.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use headwater_net::server::ConnLimits;

use crate::service::{start, start_with};

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The fields of a request by http for what is at `path`, `:method` in the first byte, as literals with
/// static names (RFC 7541 §6.2.2).
fn fields(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x01, 1, b'x']);
    block
}

/// Those of a GET.
pub(crate) fn request(path: &str) -> Vec<u8> {
    fields(0x82, path)
}

/// Those of a POST.
pub(crate) fn post(path: &str) -> Vec<u8> {
    fields(0x83, path)
}

/// A connection with prior knowledge on which the client's settings are these (RFC 9113 §6.5.1).
pub(crate) async fn open(port: u16, settings: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut open = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    open.extend(frame(SETTINGS, 0, 0, settings));
    stream.write_all(&open).await.unwrap();
    stream
}

/// The next frame: type, flags, stream.
pub(crate) async fn next(stream: &mut TcpStream) -> (u8, u8, u32) {
    let (head, _) = read(stream).await;
    let on = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    (head[3], head[4], on)
}

/// The next frame: type and payload.
pub(crate) async fn next_whole(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let (head, payload) = read(stream).await;
    (head[3], payload)
}

pub(crate) async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> ([u8; 9], Vec<u8>) {
    let mut head = [0; 9];
    let read = stream.read_exact(&mut head);
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap().unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.unwrap();
    (head, payload)
}

/// What a server has said on a connection.
#[derive(Default)]
pub(crate) struct Heard {
    /// The last stream and the error code of each GOAWAY (RFC 9113 §6.8).
    pub(crate) goaways: Vec<(u32, u32)>,
    /// What came in DATA frames.
    pub(crate) body: Vec<u8>,
    /// Streams whose answers are whole.
    pub(crate) whole: Vec<u32>,
}

impl Heard {
    /// Listens until this is `enough`, and answers PINGs meanwhile, as clients do. False if the server ended
    /// the connection before.
    pub(crate) async fn listen(
        &mut self,
        stream: &mut TcpStream,
        enough: impl Fn(&Self) -> bool,
    ) -> bool {
        while !enough(self) {
            let mut ahead = [0];
            let peek = tokio::time::timeout(Duration::from_secs(60), stream.peek(&mut ahead));
            if peek.await.unwrap().unwrap() == 0 {
                return false;
            }
            let (head, payload) = read(stream).await;
            let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
            match (head[3], head[4]) {
                (PING, 0) => stream.write_all(&frame(PING, ACK, 0, &payload)).await.unwrap(),
                (GOAWAY, _) => self.goaways.push((number(0), number(4))),
                (RST_STREAM, _) => panic!("a stream is reset: {}", number(0)),
                (kind, flags) => {
                    if kind == DATA {
                        self.body.extend(payload);
                    }
                    if (kind == DATA || kind == HEADERS) && flags & END_STREAM != 0 {
                        self.whole.push(u32::from_be_bytes(head[5..].try_into().unwrap()));
                    }
                }
            }
        }
        true
    }

    /// Listens until the server ends the connection, which it does not reset.
    pub(crate) async fn listen_to_the_end(&mut self, stream: &mut TcpStream) {
        self.listen(stream, |_| false).await;
    }
}

/// Limit: `ConnLimits::h2_receive_window`.
#[tokio::test]
async fn bodies_are_taken_ahead_up_to_the_window() {
    const WINDOW: u32 = 512 << 10;
    let mut limits = ConnLimits::default();
    limits.h2_receive_window = WINDOW;
    let server = start_with(|builder| builder.limits(limits));
    let mut stream = TcpStream::connect(("127.0.0.1", server.plain_port())).await.unwrap();
    let mut open = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    open.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&open).await.unwrap();
    let (mut of_a_stream, mut of_all) = (0, 0);
    while of_a_stream == 0 || of_all == 0 {
        let (kind, payload) = next_whole(&mut stream).await;
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match kind {
            // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
            SETTINGS => {
                let mut settings = payload.chunks(6);
                let window = settings.find(|setting| setting[..2] == [0, 4]);
                of_a_stream = window.map_or(of_a_stream, |setting| number(&setting[2..]));
            }
            WINDOW_UPDATE => of_all = 65_535 + number(&payload),
            _ => {}
        }
    }
    assert_eq!((of_a_stream, of_all), (WINDOW / 4, WINDOW));
}

/// Some clients throw the answer away when the stream is reset after it, RFC 9113 §8.1 or not.
#[tokio::test]
async fn a_short_body_that_nobody_reads_is_read_away_and_not_reset() {
    let server = start();
    let mut stream = TcpStream::connect(("127.0.0.1", server.plain_port())).await.unwrap();
    let mut open = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    open.extend(frame(0x4, 0, 0, &[]));
    // POST, http, `/bytes/7` and `localhost` as literals with static names (RFC 7541 §6.2.2).
    let mut block = vec![0x83, 0x86, 0x04, 8];
    block.extend(b"/bytes/7");
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    open.extend(frame(HEADERS, END_HEADERS, 1, &block));
    stream.write_all(&open).await.unwrap();
    loop {
        let (kind, flags, on) = next(&mut stream).await;
        assert_ne!(kind, RST_STREAM);
        if on == 1 && kind == DATA && flags & END_STREAM != 0 {
            break;
        }
    }
    // The answer is whole; only now comes the body that it did not wait for.
    stream.write_all(&frame(DATA, 0, 1, &[0; 5000])).await.unwrap();
    stream.write_all(&frame(DATA, END_STREAM, 1, &[])).await.unwrap();
    // A PING after it is answered; no reset came before.
    stream.write_all(&frame(0x6, 0, 0, &[7; 8])).await.unwrap();
    loop {
        let (kind, flags, _) = next(&mut stream).await;
        assert_ne!(kind, RST_STREAM);
        if kind == 0x6 && flags == 1 {
            break;
        }
    }
}
