//! UDP sockets that hand each other the datagrams of each other's connections.
//!
//! The system spreads datagrams over the workers' sockets by the addresses of both ends. When a
//! client's address changes (RFC 9000 §9: another network, a NAT that forgot), they come to another
//! worker than the one its connection lives on; that one passes them on by the connection ID.
//! Where a mailbox is full, datagrams are dropped: to QUIC that is a loss like any other.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::cid::Ids;

/// Datagrams that may wait for a worker, per address.
const MAILBOX: usize = 1024;

/// Where one worker gets what came to others.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    datagrams: Mutex<VecDeque<Passed>>,
    /// How many wait: looked at before the lock is taken.
    waiting: AtomicUsize,
    waker: AtomicWaker,
}

/// A datagram that came to another worker.
#[derive(Debug)]
struct Passed {
    bytes: Box<[u8]>,
    meta: RecvMeta,
}

impl Mailbox {
    fn put(&self, bytes: &[u8], meta: RecvMeta) {
        let mut datagrams = self.datagrams.lock().unwrap_or_else(PoisonError::into_inner);
        if datagrams.len() >= MAILBOX {
            return;
        }
        let meta = RecvMeta { len: bytes.len(), stride: bytes.len(), ..meta };
        datagrams.push_back(Passed { bytes: bytes.into(), meta });
        self.waiting.store(datagrams.len(), Ordering::Release);
        drop(datagrams);
        self.waker.wake();
    }

    /// Takes as many as there are places for.
    fn take(&self, cx: &Context<'_>, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        self.waker.register(cx.waker());
        if self.waiting.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let mut datagrams = self.datagrams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(passed) = datagrams.pop_front() else { break };
            let len = passed.bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&passed.bytes[..len]);
            *meta = RecvMeta { len, stride: len, ..passed.meta };
            taken += 1;
        }
        self.waiting.store(datagrams.len(), Ordering::Release);
        taken
    }
}

/// One worker's socket.
#[derive(Debug)]
pub(super) struct Steered {
    pub(super) socket: Arc<dyn AsyncUdpSocket>,
    pub(super) ids: Ids,
    pub(super) worker: u16,
    /// Those of all workers, in order of their numbers.
    pub(super) mailboxes: Arc<[Mailbox]>,
}

impl Steered {
    /// Passes on what is another worker's, and closes up what stays. A buffer may hold several
    /// datagrams, one after the other, all but the last of the same length.
    fn sort(&self, buf: &mut [u8], meta: &mut RecvMeta) {
        let stride = meta.stride.max(1);
        let others = |datagram: &[u8]| {
            let worker = self.ids.worker(datagram).filter(|&worker| worker != self.worker)?;
            self.mailboxes.get(usize::from(worker))
        };
        let len = meta.len.min(buf.len());
        if !buf[..len].chunks(stride).any(|datagram| others(datagram).is_some()) {
            return;
        }
        let (mut kept, mut from) = (0, 0);
        while from < len {
            let to = (from + stride).min(len);
            if let Some(mailbox) = others(&buf[from..to]) {
                mailbox.put(&buf[from..to], *meta);
            } else {
                buf.copy_within(from..to, kept);
                kept += to - from;
            }
            from = to;
        }
        meta.len = kept;
    }
}

impl AsyncUdpSocket for Steered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Some(mailbox) = self.mailboxes.get(usize::from(self.worker)) {
            let taken = mailbox.take(cx, bufs, meta);
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
        let received = self.socket.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(received)) = received {
            for (buf, meta) in bufs.iter_mut().zip(meta).take(received) {
                self.sort(buf, meta);
            }
        }
        received
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
