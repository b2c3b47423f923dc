//! A UDP socket that joins what a connection sends in one go into fewer, longer sends.
//!
//! quinn makes ten datagrams at most for one call of the system, of which each costs about 3 µs
//! beside what its bytes cost: for a body of 1 MiB a third of all its CPU time
//! (docs/results/edge.md). A send of ten, after which more mostly come, is held here until what comes
//! next is known: it goes out with that, where it is for the same client and of the same length, and
//! before it otherwise, so that datagrams keep their order. What nothing follows goes out when the
//! endpoint has its turn, which it is given at once: held is nothing longer than the tasks that are
//! ready to run take.
//!
//! Short sends, those of most answers, are not held, and pay a look at whether something is.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Datagrams of a send after which more are to be expected: as many as quinn makes at a time.
const FULL_SEGMENTS: usize = 10;

/// The longest send, in bytes: what a UDP datagram over IPv6 may hold (RFC 768, RFC 8200 §3) less
/// what any headers take.
const LONGEST_BYTES: usize = 65_000;

/// A socket whose long sends are joined.
#[derive(Debug)]
pub(super) struct Joined<S> {
    socket: Arc<S>,
    held: Mutex<Held>,
    /// Gives the endpoint its turn.
    endpoint: AtomicWaker,
}

/// What is held: datagrams of one connection, all of the same length.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    way: Option<Way>,
    /// Tells when a full socket takes more.
    poller: Option<Pin<Box<dyn UdpPoller>>>,
}

/// What sends must have in common to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    src_ip: Option<IpAddr>,
    segment: usize,
}

impl Way {
    fn of(transmit: &Transmit<'_>) -> Self {
        Self {
            destination: transmit.destination,
            ecn: transmit.ecn,
            src_ip: transmit.src_ip,
            segment: transmit.segment_size.unwrap_or(transmit.contents.len()),
        }
    }

    /// The longest send of datagrams of this length.
    fn longest(self, most_segments: usize) -> usize {
        LONGEST_BYTES.min(most_segments.saturating_mul(self.segment))
    }

    fn is_full(self, transmit: &Transmit<'_>) -> bool {
        let len = transmit.contents.len();
        len >= FULL_SEGMENTS * self.segment && len.is_multiple_of(self.segment.max(1))
    }
}

impl Held {
    /// Whether a send can be put behind what is held: a single datagram may be shorter than the rest
    /// where it is the last.
    fn takes(&self, transmit: &Transmit<'_>, most_segments: usize) -> bool {
        let Some(held) = self.way else { return false };
        let way = Way::of(transmit);
        let last = transmit.contents.len() <= held.segment && transmit.segment_size.is_none();
        let fits =
            Way { segment: held.segment, ..way } == held && (way.segment == held.segment || last);
        let whole = self.bytes.len().is_multiple_of(held.segment.max(1));
        let len = self.bytes.len() + transmit.contents.len();
        fits && whole && len <= held.longest(most_segments)
    }

    /// Sends all that is held. What the socket has no room for stays; any other failure loses it,
    /// as the path may.
    fn send(&mut self, socket: &impl AsyncUdpSocket) -> io::Result<()> {
        let Some(way) = self.way else { return Ok(()) };
        let sent = socket.try_send(&Transmit {
            destination: way.destination,
            ecn: way.ecn,
            contents: &self.bytes,
            segment_size: Some(way.segment),
            src_ip: way.src_ip,
        });
        if !is_full(&sent) {
            self.way = None;
            self.bytes.clear();
        }
        sent
    }
}

fn is_full(sent: &io::Result<()>) -> bool {
    sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

impl<S: AsyncUdpSocket> Joined<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket: Arc::new(socket), held: Mutex::default(), endpoint: AtomicWaker::new() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is held; while the socket has no room for it, has the task woken when it has.
    fn poll_flush(&self, cx: &mut Context<'_>) {
        self.endpoint.register(cx.waker());
        let mut held = self.held();
        while held.way.is_some() && is_full(&held.send(&*self.socket)) {
            let poller =
                held.poller.get_or_insert_with(|| Arc::clone(&self.socket).create_io_poller());
            if !matches!(poller.as_mut().poll_writable(cx), Poll::Ready(Ok(()))) {
                return;
            }
        }
    }
}

impl<S: AsyncUdpSocket> AsyncUdpSocket for Joined<S> {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let mut held = self.held();
        let most = self.socket.max_transmit_segments();
        let joins = held.takes(transmit, most);
        if !joins && held.way.is_some() {
            let sent = held.send(&*self.socket);
            if is_full(&sent) {
                return sent;
            }
        }
        let way = Way::of(transmit);
        let len = held.bytes.len() + transmit.contents.len();
        let waits = way.is_full(transmit) && len + FULL_SEGMENTS * way.segment <= way.longest(most);
        if !joins && !waits {
            return self.socket.try_send(transmit);
        }
        held.way.get_or_insert(way);
        held.bytes.extend_from_slice(transmit.contents);
        if waits {
            self.endpoint.wake();
            return Ok(());
        }
        // Taken either way: what the socket has no room for goes out by the endpoint.
        if is_full(&held.send(&*self.socket)) {
            self.endpoint.wake();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.poll_flush(cx);
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// A socket that notes what it is given, and takes nothing while it is full.
    #[derive(Debug, Default)]
    struct Scripted {
        full: AtomicBool,
        sends: Mutex<Vec<(SocketAddr, usize, Vec<u8>)>>,
    }

    #[derive(Debug)]
    struct Writable(Arc<Scripted>);

    impl UdpPoller for Writable {
        fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0.full.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(Ok(())) }
        }
    }

    impl AsyncUdpSocket for Scripted {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            Box::pin(Writable(self))
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            if self.full.load(Ordering::SeqCst) {
                return Err(ErrorKind::WouldBlock.into());
            }
            let segment = transmit.segment_size.unwrap_or(transmit.contents.len());
            assert!(transmit.contents.len() <= segment * self.max_transmit_segments());
            assert!(transmit.contents.len() <= LONGEST_BYTES);
            let send = (transmit.destination, segment, transmit.contents.to_vec());
            self.sends.lock().unwrap().push(send);
            Ok(())
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Err(ErrorKind::Unsupported.into())
        }

        fn max_transmit_segments(&self) -> usize {
            64
        }
    }

    fn joined() -> (Joined<Scripted>, Arc<Scripted>) {
        let joined = Joined::new(Scripted::default());
        let scripted = Arc::clone(&joined.socket);
        (joined, scripted)
    }

    fn client(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn send(joined: &Joined<Scripted>, port: u16, segment: usize, bytes: &[u8]) -> io::Result<()> {
        joined.try_send(&Transmit {
            destination: client(port),
            ecn: None,
            contents: bytes,
            segment_size: (bytes.len() > segment).then_some(segment),
            src_ip: None,
        })
    }

    fn flush(joined: &Joined<Scripted>) {
        joined.poll_flush(&mut Context::from_waker(Waker::noop()));
    }

    /// How long each send was.
    fn lengths(scripted: &Scripted) -> Vec<usize> {
        scripted.sends.lock().unwrap().iter().map(|(_, _, bytes)| bytes.len()).collect()
    }

    #[test]
    fn full_sends_go_with_what_follows_them() {
        let (joined, scripted) = joined();
        for _ in 0..2 {
            send(&joined, 1, 100, &[1; 1_000]).unwrap();
        }
        send(&joined, 1, 100, &[1; 230]).unwrap();
        assert_eq!(lengths(&scripted), [2_230]);
        send(&joined, 1, 100, &[1; 1_000]).unwrap();
        send(&joined, 1, 100, &[1; 40]).unwrap();
        assert_eq!(lengths(&scripted), [2_230, 1_040]);
        send(&joined, 1, 100, &[1; 40]).unwrap();
        assert_eq!(lengths(&scripted), [2_230, 1_040, 40], "a short one waits for nothing");
    }

    #[test]
    fn what_nothing_follows_goes_out_at_the_endpoints_turn() {
        let (joined, scripted) = joined();
        send(&joined, 1, 100, &[1; 1_000]).unwrap();
        assert_eq!(lengths(&scripted), [0; 0]);
        flush(&joined);
        flush(&joined);
        assert_eq!(lengths(&scripted), [1_000]);
    }

    #[test]
    fn others_do_not_overtake() {
        let (joined, scripted) = joined();
        send(&joined, 1, 100, &[1; 1_000]).unwrap();
        send(&joined, 2, 100, &[2; 500]).unwrap();
        send(&joined, 1, 100, &[1; 1_000]).unwrap();
        send(&joined, 1, 120, &[1; 120]).unwrap();
        assert_eq!(lengths(&scripted), [1_000, 500, 1_000, 120], "120 is no end of hundreds");
    }

    #[test]
    fn no_send_is_longer_than_the_system_takes() {
        let (joined, scripted) = joined();
        for _ in 0..13 {
            send(&joined, 1, 1_452, &[1; 14_520]).unwrap();
        }
        flush(&joined);
        assert_eq!(lengths(&scripted), [58_080, 58_080, 58_080, 14_520]);
    }

    #[test]
    fn a_full_socket_loses_nothing() {
        let (joined, scripted) = joined();
        scripted.full.store(true, Ordering::SeqCst);
        send(&joined, 1, 100, &[1; 1_000]).unwrap();
        send(&joined, 1, 100, &[2; 250]).unwrap();
        assert!(is_full(&send(&joined, 2, 100, &[3; 100])), "the other waits for its turn");
        assert!(is_full(&send(&joined, 1, 100, &[3; 50])), "nothing follows a shorter datagram");
        flush(&joined);
        assert_eq!(lengths(&scripted), [0; 0]);
        scripted.full.store(false, Ordering::SeqCst);
        flush(&joined);
        send(&joined, 2, 100, &[3; 100]).unwrap();
        assert_eq!(lengths(&scripted), [1_250, 100]);
    }

    proptest! {
        /// Of any sends, each client gets its datagrams, in order.
        #[test]
        fn each_datagram_arrives_once_and_in_order(
            list in proptest::collection::vec(
                (0u16..3, prop_oneof![Just(100usize), Just(1_452)], 1usize..12, 0usize..3, any::<bool>()),
                0..60),
        ) {
            let (joined, scripted) = joined();
            let mut wanted: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
            for (number, (port, segment, segments, short, turn)) in list.into_iter().enumerate() {
                let len = segments * segment - [0, 1, segment / 2][short];
                let bytes: Vec<u8> = (0..len).map(|at| (number * 31 + at) as u8).collect();
                send(&joined, port, segment, &bytes).unwrap();
                wanted.extend(bytes.chunks(segment).map(|bytes| (client(port), bytes.to_vec())));
                if turn {
                    flush(&joined);
                }
            }
            flush(&joined);
            let sends = scripted.sends.lock().unwrap();
            let sent: Vec<_> = sends
                .iter()
                .flat_map(|(to, segment, bytes)| bytes.chunks(*segment).map(|c| (*to, c.to_vec())))
                .collect();
            prop_assert_eq!(sent, wanted);
        }
    }
}
