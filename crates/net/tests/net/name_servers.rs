//! Name servers of one's own: a scripted one on loopback, and what its answers' TTL does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_net::client::{NameServers, Resolve as _, Unconnected, Upstream, UpstreamError};
use headwater_net::{Clock, Timestamp};
use tokio::net::UdpSocket;

use crate::names::{ask, servers};
use crate::service::until;

/// A name server (RFC 1035 §4) that knows one name.
struct Scripted {
    at: SocketAddr,
    /// Its address, and how many seconds that counts; nothing is "there is no such name".
    says: Arc<Mutex<Option<(Ipv4Addr, u32)>>>,
    /// Questions for addresses of IPv4.
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    async fn start(address: Ipv4Addr, ttl: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let (says, asked) = (Arc::new(Mutex::new(Some((address, ttl)))), Arc::default());
        tokio::spawn(serve(socket, Arc::clone(&says), Arc::clone(&asked)));
        Self { at, says, asked }
    }

    fn say(&self, says: Option<(Ipv4Addr, u32)>) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(
    socket: UdpSocket,
    says: Arc<Mutex<Option<(Ipv4Addr, u32)>>>,
    asked: Arc<AtomicUsize>,
) {
    const A: [u8; 4] = [0, 1, 0, 1];
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let query = &buffer[..length];
        // The question: a name, its type and class.
        let name = query[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
        let question = &query[12..name + 4];
        let name = question[..question.len() - 4].to_ascii_lowercase();
        let says = says.lock().unwrap().filter(|_| name == b"\x06origin\x04test\0");
        let of_v4 = question.ends_with(&A);
        if of_v4 {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        let answers = u8::from(of_v4 && says.is_some());
        // A response, recursion wanted and there, and whether the name is known.
        let flags = [0x81, if says.is_some() { 0x80 } else { 0x83 }];
        let mut response =
            [&query[..2], &flags, &[0, 1, 0, answers, 0, 0, 0, 0], question].concat();
        if let Some((address, ttl)) = says.filter(|_| of_v4) {
            response.extend([0xc0, 12]);
            response.extend(A);
            response.extend(ttl.to_be_bytes());
            response.extend([0, 4]);
            response.extend(address.octets());
        }
        let _ = socket.send_to(&response, from).await;
    }
}

/// Limit: `UpstreamBuilder::dns_ttl`.
#[tokio::test]
async fn rfc_1035_3_2_1_an_answer_counts_for_its_ttl() {
    let (one, two) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2));
    let (_servers, port) = servers(&["127.0.0.1", "127.0.0.2"], None);
    let names = Scripted::start(one, 2).await;
    let clock = Clock::manual(Timestamp::from_secs(1_700_000_000));
    let mut upstream = Upstream::builder(format!("http://origin.test:{port}"))
        .resolver(Arc::new(NameServers::new([names.at]).unwrap()))
        .dns_ttl(Duration::from_secs(3600))
        .clock(clock.clone())
        .build()
        .unwrap();
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1");
    names.say(Some((two, 60)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1");
    assert_eq!(names.asked(), 1, "it counts for two seconds");
    clock.advance(Duration::from_secs(2));
    assert_eq!(ask(&mut upstream).await.unwrap(), "127.0.0.1", "nobody waits for the answer");
    until("it is asked again", || names.asked() == 2).await;
    // The answer is heard a moment after it was asked for.
    let mut last = String::new();
    for _ in 0..1000 {
        last = ask(&mut upstream).await.unwrap();
        if last == "127.0.0.2" {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(last, "127.0.0.2");
}

#[tokio::test]
async fn a_name_that_the_server_does_not_know_is_told_as_such() {
    let names = Scripted::start(Ipv4Addr::LOCALHOST, 60).await;
    let resolver = Arc::new(NameServers::new([names.at]).unwrap());
    let answer = resolver.resolve("origin.test").await.unwrap();
    assert_eq!(answer.ttl, Some(Duration::from_secs(60)));
    assert_eq!(answer.addresses, [Ipv4Addr::LOCALHOST]);
    names.say(None);
    let mut upstream =
        Upstream::builder("http://origin.test:1").resolver(resolver).build().unwrap();
    let error = ask(&mut upstream).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Connect(Unconnected::Name, _)), "{error:?}");
    assert!(matches!(NameServers::new([]).unwrap_err(), UpstreamError::Config(_)));
}
