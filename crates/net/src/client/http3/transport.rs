//! QUIC as the client of h3 asks for it, over quinn.
//!
//! What is received goes on without a copy; of what is sent, which are heads of requests, quinn makes one.
//! A stream that is given up before its end is reset: nobody takes a request that was cut short for whole.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::stream::{Stream, StreamExt as _, unfold};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};

/// The most that one read takes from quinn.
const READ: usize = 64 << 10;

type Both = (quinn::SendStream, quinn::RecvStream);
type Opening<T> = Pin<Box<dyn Stream<Item = Result<T, ConnectionError>> + Send + Sync>>;

/// A quinn connection as h3 sees it.
pub struct Transport {
    bidi: Opening<Both>,
    uni: Opening<quinn::RecvStream>,
    opener: Opener,
}

impl Transport {
    /// Over a connection whose handshake is done.
    pub fn new(conn: quinn::Connection) -> Self {
        let bidi =
            Box::pin(unfold(conn.clone(), |conn| async { Some((conn.accept_bi().await, conn)) }));
        let uni =
            Box::pin(unfold(conn.clone(), |conn| async { Some((conn.accept_uni().await, conn)) }));
        Self { bidi, uni, opener: Opener::new(conn) }
    }
}

impl quic::Connection<Bytes> for Transport {
    type RecvStream = RecvHalf;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvHalf, ConnectionErrorIncoming>> {
        poll_next(&mut self.uni, cx).map_ok(RecvHalf)
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BothHalves, ConnectionErrorIncoming>> {
        poll_next(&mut self.bidi, cx).map_ok(BothHalves::new)
    }

    fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

impl quic::OpenStreams<Bytes> for Transport {
    type BidiStream = BothHalves;
    type SendStream = SendHalf;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BothHalves, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

/// Opens streams.
pub struct Opener {
    conn: quinn::Connection,
    bidi: Opening<Both>,
    uni: Opening<quinn::SendStream>,
}

impl Opener {
    fn new(conn: quinn::Connection) -> Self {
        let bidi =
            Box::pin(unfold(conn.clone(), |conn| async { Some((conn.open_bi().await, conn)) }));
        let uni =
            Box::pin(unfold(conn.clone(), |conn| async { Some((conn.open_uni().await, conn)) }));
        Self { conn, bidi, uni }
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self::new(self.conn.clone())
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = BothHalves;
    type SendStream = SendHalf;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BothHalves, StreamErrorIncoming>> {
        poll_next(&mut self.bidi, cx).map_ok(BothHalves::new).map_err(of_connection)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendHalf, StreamErrorIncoming>> {
        poll_next(&mut self.uni, cx).map_ok(SendHalf::new).map_err(of_connection)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.conn.close(var_int(code.value()), reason);
    }
}

fn poll_next<T>(
    streams: &mut Opening<T>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, ConnectionErrorIncoming>> {
    let next = ready!(streams.poll_next_unpin(cx));
    let ended = || ConnectionErrorIncoming::InternalError("there are no more streams".to_owned());
    Poll::Ready(next.ok_or_else(ended)?.map_err(connection_error))
}

/// A stream on which both sides send.
pub struct BothHalves(SendHalf, RecvHalf);

impl BothHalves {
    fn new((send, recv): Both) -> Self {
        Self(SendHalf::new(send), RecvHalf(recv))
    }
}

impl quic::BidiStream<Bytes> for BothHalves {
    type SendStream = SendHalf;
    type RecvStream = RecvHalf;

    fn split(self) -> (SendHalf, RecvHalf) {
        (self.0, self.1)
    }
}

impl quic::SendStream<Bytes> for BothHalves {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.0.poll_ready(cx)
    }
    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.0.send_data(data)
    }
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.0.poll_finish(cx)
    }
    fn reset(&mut self, reset_code: u64) {
        self.0.reset(reset_code);
    }
    fn send_id(&self) -> StreamId {
        self.0.send_id()
    }
}

impl quic::RecvStream for BothHalves {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.1.poll_data(cx)
    }
    fn stop_sending(&mut self, error_code: u64) {
        self.1.stop_sending(error_code);
    }
    fn recv_id(&self) -> StreamId {
        self.1.recv_id()
    }
}

/// What is sent on a stream.
pub struct SendHalf {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    ended: bool,
}

impl SendHalf {
    fn new(stream: quinn::SendStream) -> Self {
        Self { stream, writing: None, ended: false }
    }
}

impl quic::SendStream<Bytes> for SendHalf {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(writing) = &mut self.writing {
            while writing.has_remaining() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, writing.chunk()));
                writing.advance(written.map_err(write_error)?);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            // h3 waits until a frame is written.
            return Err(StreamErrorIncoming::Unknown("a frame is being written".into()));
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.ended = true;
        let _ = self.stream.finish();
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, reset_code: u64) {
        self.ended = true;
        let _ = self.stream.reset(var_int(reset_code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for SendHalf {
    /// quinn alone would end the stream, and a request that was given up would look complete.
    fn drop(&mut self) {
        if !self.ended {
            quic::SendStream::reset(self, Code::H3_REQUEST_CANCELLED.value());
        }
    }
}

/// What is received on a stream.
pub struct RecvHalf(quinn::RecvStream);

impl quic::RecvStream for RecvHalf {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let read = ready!(pin!(self.0.read_chunk(READ, true)).poll(cx));
        Poll::Ready(read.map(|chunk| chunk.map(|chunk| chunk.bytes)).map_err(read_error))
    }

    fn stop_sending(&mut self, error_code: u64) {
        let _ = self.0.stop(var_int(error_code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.0.id())
    }
}

fn var_int(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

#[expect(clippy::expect_used, reason = "quinn's own number is of as many bits as h3's")]
fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(VarInt::from(id))).expect("both are of 62 bits")
}

fn connection_error(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn of_connection(connection_error: ConnectionErrorIncoming) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

fn read_error(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        ReadError::ConnectionLost(error) => of_connection(connection_error(error)),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

fn write_error(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into() }
        }
        WriteError::ConnectionLost(error) => of_connection(connection_error(error)),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}
