//! UDP sockets that hand each other the datagrams of each other's connections.
//!
//! The system spreads datagrams over the workers' sockets by the addresses of both ends. When a
//! client's address changes (RFC 9000 §9: another network, a NAT that forgot), they come to another
//! worker than the one its connection lives on; that one passes them on by the connection ID, to a
//! worker of this process or of an older one ([`super::elders`]). Where a mailbox is full, datagrams
//! are dropped: to QUIC that is a loss like any other.
//!
//! Where there are fewer sockets than workers, as may be with those that another process gave, the
//! workers without one send by another's, and the others spread what begins a connection over all.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::cid::{self, Ids};
use super::elders::{Elders, Way};

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
    pub(super) fn put(&self, bytes: &[u8], meta: RecvMeta) {
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

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
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

/// Whether the sockets of an address are read: by one process at a time.
#[derive(Debug, Default)]
pub(super) struct Reads {
    on: AtomicBool,
    waker: AtomicWaker,
}

impl Reads {
    pub(super) fn set(&self, on: bool) {
        self.on.store(on, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, cx: &Context<'_>) -> bool {
        if self.on.load(Ordering::Acquire) {
            return true;
        }
        self.waker.register(cx.waker());
        self.on.load(Ordering::Acquire)
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
    pub(super) elders: Arc<Elders>,
    /// Whether the socket is read now; `None` for one that only sends.
    pub(super) reads: Option<Arc<Reads>>,
    /// What spreads beginning connections over all workers, where some have no socket.
    pub(super) spread: Option<RandomState>,
}

/// Who is to get a datagram that is not for the worker that received it.
enum Whose<'a> {
    Worker(&'a Mailbox),
    Elder(&'a Way),
}

impl Steered {
    /// Passes on what is another's, and closes up what stays. A buffer may hold several
    /// datagrams, one after the other, all but the last of the same length.
    fn sort(&self, buf: &mut [u8], meta: &mut RecvMeta) {
        let stride = meta.stride.max(1);
        let len = meta.len.min(buf.len());
        if !buf[..len].chunks(stride).any(|datagram| self.whose(datagram, meta).is_some()) {
            return;
        }
        let (mut kept, mut from) = (0, 0);
        while from < len {
            let to = (from + stride).min(len);
            match self.whose(&buf[from..to], meta) {
                Some(Whose::Worker(mailbox)) => mailbox.put(&buf[from..to], *meta),
                Some(Whose::Elder(way)) => way.pass(&buf[from..to], meta),
                None => {
                    buf.copy_within(from..to, kept);
                    kept += to - from;
                }
            }
            from = to;
        }
        meta.len = kept;
    }

    fn whose(&self, datagram: &[u8], meta: &RecvMeta) -> Option<Whose<'_>> {
        let owner = self.ids.owner(datagram);
        let ours = owner.filter(|owner| owner.generation == self.ids.generation);
        let worker = if let Some(owner) = ours {
            owner.worker
        } else if let Some(way) = self.elders.whose(owner, datagram, meta) {
            return Some(Whose::Elder(way));
        } else {
            let spread = self.spread.as_ref().filter(|_| cid::is_long(datagram))?;
            (spread.hash_one(meta.addr) % self.mailboxes.len() as u64) as u16
        };
        if worker == self.worker {
            return None;
        }
        self.mailboxes.get(usize::from(worker)).map(Whose::Worker)
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
        if !self.reads.as_ref().is_some_and(|reads| reads.poll(cx)) {
            return Poll::Pending;
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
