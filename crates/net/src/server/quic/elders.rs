//! Older processes of this server that still have connections on an address, and the way there.
//!
//! The process that took over reads the UDP sockets. What is for an older one's connections it
//! passes on over a Unix socket for each of that one's workers, which keeps messages apart and
//! order among them; the older one answers by the UDP socket itself, which both have. Where such a
//! socket is full, datagrams are dropped: to QUIC that is a loss like any other. Once an older
//! process has ended, what is still sent to it is answered by a stateless reset (RFC 9000 §10.3)
//! like anything that nobody knows.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quinn::udp::RecvMeta;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recv,
    sendmsg, socketpair,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::cid::Owner;
use super::handshakes::Handshakes;
use super::passed;
use super::steering::Mailbox;

/// Bytes that may wait in one such socket; the system may grant less.
const BUFFER: usize = 4 << 20;

/// Older processes that may have connections at a time; those of one that is older still are reset.
pub(in crate::server) const MAX_ELDERS: usize = 16;

/// An older process, as far as one address goes.
#[derive(Debug)]
pub(in crate::server) struct Elder {
    pub(in crate::server) generation: u8,
    /// One for each of its workers, in order of their numbers.
    ways: Vec<Way>,
}

impl Elder {
    /// An older process whose workers are at the other ends of `channels`.
    pub(in crate::server) fn new(generation: u8, channels: Vec<OwnedFd>) -> Self {
        let mut elder = Self { generation, ways: Vec::new() };
        elder.extend(channels);
        elder
    }

    /// Adds further workers of it.
    pub(in crate::server) fn extend(&mut self, channels: Vec<OwnedFd>) {
        let way = |channel| Way { channel, gone: AtomicBool::new(false) };
        self.ways.extend(channels.into_iter().map(way));
    }

    /// The ways to all of its workers, also those that have ended: a worker is known by its place.
    pub(in crate::server) fn channels(&self) -> Vec<BorrowedFd<'_>> {
        self.ways.iter().map(|way| way.channel.as_fd()).collect()
    }

    fn is_gone(&self) -> bool {
        self.ways.iter().all(Way::is_gone)
    }
}

/// The way to one worker of an older process. That worker may end long before others there do.
#[derive(Debug)]
pub(super) struct Way {
    channel: OwnedFd,
    gone: AtomicBool,
}

impl Way {
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self, datagram: &[u8], meta: &RecvMeta) {
        let head = passed::head(meta);
        let parts = [IoSlice::new(&head), IoSlice::new(datagram)];
        let mut nothing = SendAncillaryBuffer::default();
        // Any other error is that the way is full.
        if let Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) =
            sendmsg(&self.channel, &parts, &mut nothing, SendFlags::DONTWAIT)
        {
            self.gone.store(true, Ordering::Relaxed);
        }
    }
}

/// Those of one address.
#[derive(Debug)]
pub(in crate::server) struct Elders {
    all: Vec<Elder>,
    /// Counts the datagrams that they were passed.
    passed_on: Arc<AtomicU64>,
    /// Handshakes that they have under way.
    pub(in crate::server) handshakes: Handshakes,
}

impl Elders {
    /// Of more than [`MAX_ELDERS`], the last; what they are passed is counted.
    pub(in crate::server) fn new(mut all: Vec<Elder>, passed_on: Arc<AtomicU64>) -> Self {
        let too_many = all.len().saturating_sub(MAX_ELDERS);
        all.drain(..too_many);
        Self { all, passed_on, handshakes: Handshakes::default() }
    }

    /// Those that are still there, the oldest first.
    pub(in crate::server) fn living(&self) -> impl Iterator<Item = &Elder> {
        self.all.iter().filter(|elder| !elder.is_gone())
    }

    /// Who is to get a datagram that is for `owner`, or, without one, that came from a client
    /// whose handshake was begun by an older process.
    pub(super) fn whose(
        &self,
        owner: Option<Owner>,
        datagram: &[u8],
        meta: &RecvMeta,
    ) -> Option<&Way> {
        if self.all.is_empty() {
            return None;
        }
        let find = |owner: Owner| {
            let elder = self.all.iter().find(|elder| elder.generation == owner.generation)?;
            elder.ways.get(usize::from(owner.worker)).filter(|way| !way.is_gone())
        };
        let by_client = || self.handshakes.owner(meta.addr, datagram).and_then(find);
        owner.and_then(find).or_else(by_client).inspect(|_| {
            self.passed_on.fetch_add(1, Ordering::Relaxed);
        })
    }
}

/// Two ends of a way: what is sent into the first is received by the second.
pub(in crate::server) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    let (from, to) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let _ = SockRef::from(&from).set_send_buffer_size(BUFFER);
    Ok((from, to))
}

/// Puts what the process that took over passes on into the mailbox of a worker, until there is no
/// such process any more.
pub(super) async fn receive(channel: OwnedFd, mailboxes: Arc<[Mailbox]>, worker: u16) {
    let Some(mailbox) = mailboxes.get(usize::from(worker)) else { return };
    // A stream by its type alone: tokio has none for sockets that keep messages apart.
    let Ok(channel) = UnixStream::from_std(channel.into()) else {
        tracing::error!("datagrams of this process's connections cannot be received any more");
        return;
    };
    let mut buf = vec![0; passed::MAX_MESSAGE];
    loop {
        let receive = || Ok(recv(&channel, &mut buf[..], RecvFlags::DONTWAIT)?.0);
        match channel.async_io(Interest::READABLE, receive).await {
            Ok(0) | Err(_) => return,
            Ok(len) => {
                if let Some((meta, datagram)) = buf.get(..len).and_then(passed::read) {
                    mailbox.put(datagram, meta);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use super::*;

    fn meta() -> RecvMeta {
        let addr = "192.0.2.1:5".parse().unwrap();
        RecvMeta { addr, len: 0, stride: 0, ecn: None, dst_ip: None }
    }

    #[tokio::test]
    async fn what_is_an_elders_is_passed_to_the_worker_it_names() {
        let (one, two) = (channel().unwrap(), channel().unwrap());
        let elders = Elders::new(vec![Elder::new(3, vec![one.0, two.0])], Arc::default());
        let mailboxes: Arc<[Mailbox]> = (0..2).map(|_| Mailbox::default()).collect();
        let receiving = tokio::spawn(receive(two.1, Arc::clone(&mailboxes), 1));
        let owner = Owner { generation: 3, worker: 1 };
        let whose = elders.whose(Some(owner), b"", &meta()).unwrap();
        for datagram in [&b"first"[..], b"second"] {
            whose.pass(datagram, &meta());
        }
        while mailboxes[1].waiting() < 2 {
            tokio::task::yield_now().await;
        }
        for (generation, worker) in [(4, 1), (3, 2)] {
            assert!(elders.whose(Some(Owner { generation, worker }), b"", &meta()).is_none());
        }
        receiving.abort();
        let _ = receiving.await;
        whose.pass(b"third", &meta());
        assert!(elders.whose(Some(owner), b"", &meta()).is_none(), "this worker has ended");
        let other = elders.whose(Some(Owner { worker: 0, ..owner }), b"", &meta()).unwrap();
        assert_eq!(elders.living().count(), 1, "and another has connections still");
        drop(one.1);
        other.pass(b"fourth", &meta());
        assert_eq!(elders.living().count(), 0, "its process has ended");
    }

    #[test]
    fn a_way_that_is_full_drops_what_comes() {
        let (from, _to) = channel().unwrap();
        let elder = Elder::new(0, vec![from]);
        for _ in 0..20_000 {
            elder.ways[0].pass(&[0; 1200], &meta());
        }
        assert!(!elder.is_gone());
    }
}
