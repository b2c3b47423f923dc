//! One server takes over from another, and no client notices.

use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use headwater_net::server::{
    ConnLimits, Door, HandOverError, Inherited, QuicConfig, Server, ServerBuilder, Tls,
};
use headwater_net::{Clock, Protocol};
use quinn::{ReadError, ReadToEndError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, H3};
use crate::early_data::{known_client, return_to, with_early_data};
use crate::http2_frames::{
    END_HEADERS, END_STREAM, HEADERS, Heard, NO_ERROR, frame, open, request,
};
use crate::http3_frames::{REQUEST_REJECTED, addr, connect, goaway, headers, server_control};
use crate::relay::Relay;
use crate::service::{Running, pattern, start_with, start_with_tls, until};
use crate::websockets::{PROTOCOLS, Socket, echo};

const WITHIN: Duration = Duration::from_secs(60);

/// A server that takes over from the one whose door is at `path`, which has a `server`.
async fn succeed(server: &Running, path: &Path) -> Running {
    succeed_with(server, path, |builder| builder).await
}

async fn succeed_with(
    server: &Running,
    path: &Path,
    tune: impl FnOnce(ServerBuilder) -> ServerBuilder,
) -> Running {
    let door = Door::open(path).unwrap();
    let old = async {
        let successor = door.successor().await.unwrap();
        assert_eq!(successor.pid(), Some(std::process::id()));
        successor.hand_over(&[&server.handle], WITHIN).await.unwrap();
    };
    let new = async {
        let inherited = Inherited::take_over(path, WITHIN).await.unwrap();
        let tls = server.tls.clone();
        let new = start_with_tls(tls, |builder| tune(builder.inherit(&inherited)));
        inherited.begin(WITHIN).await.unwrap();
        new
    };
    tokio::join!(old, new).1
}

fn door(dir: &tempfile::TempDir) -> std::path::PathBuf {
    dir.path().join("hand-over.sock")
}

/// What clients that ask without end came to.
#[derive(Default)]
struct Count {
    stop: AtomicBool,
    answers: AtomicU64,
}

/// Asks over one connection after another until told to stop; a connection that says it is ending
/// is replaced, and nothing else may fail.
async fn ask(server: Arc<Running>, protocol: Protocol, count: Arc<Count>) {
    let wanted = pattern(100_000);
    let mut client = Client::new(&server, protocol).await;
    while !count.stop.load(Ordering::Relaxed) {
        match client.get("/bytes/100000").await {
            Ok(answer) => {
                assert_eq!(answer.body, wanted, "{protocol}");
                count.answers.fetch_add(1, Ordering::Relaxed);
            }
            // RFC 9114 §5.2: the request was not processed, and belongs on another connection.
            Err(error) if protocol == Protocol::H3 && is_gone(&error) => {
                client = Client::new(&server, protocol).await;
            }
            Err(error) => panic!("{protocol}: {error}"),
        }
    }
}

fn is_gone(error: &str) -> bool {
    ["H3_NO_ERROR", "H3_REQUEST_REJECTED", "closing", "GOAWAY"]
        .iter()
        .any(|word| error.contains(word))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hand_overs_in_a_row_fail_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Arc::new(start_with(|builder| builder));
    let mut counts = Vec::new();
    let mut clients = Vec::new();
    for protocol in Protocol::ALL {
        let count = Arc::<Count>::default();
        for _ in 0..4 {
            clients.push(tokio::spawn(ask(Arc::clone(&server), protocol, Arc::clone(&count))));
        }
        counts.push((protocol, count));
    }
    let first = Arc::clone(&server);
    let mut drains = Vec::new();
    for round in 1..=3 {
        let before: Vec<u64> =
            counts.iter().map(|(_, count)| count.answers.load(Ordering::Relaxed)).collect();
        let next = Arc::new(succeed(&server, &door(&dir)).await);
        assert_eq!(next.port(), first.port());
        let old = std::mem::replace(&mut server, next);
        drains.push(tokio::spawn(async move { old.handle.drain(WITHIN).await }));
        let went_on = || {
            let mut all = counts.iter().zip(&before);
            all.all(|((_, count), before)| count.answers.load(Ordering::Relaxed) > before + 20)
        };
        until(&format!("clients go on after hand-over {round}"), went_on).await;
    }
    for (_, count) in &counts {
        count.stop.store(true, Ordering::Relaxed);
    }
    for client in clients {
        client.await.unwrap();
    }
    for drained in drains {
        assert_eq!(drained.await.unwrap().cut, 0);
    }
    for protocol in Protocol::ALL {
        let asked = server.handle.metrics().requests(protocol);
        assert!(asked > 0, "nobody came to the last server by {protocol}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_go_on_across_a_hand_over() {
    let through = echo().await;
    let dir = tempfile::tempdir().unwrap();
    let first = Arc::new(start_with(|builder| builder.extended_connect(true)));
    let mut sockets = Vec::new();
    for protocol in PROTOCOLS {
        for path in [through.as_str(), "/websocket"] {
            sockets.push(Socket::open(&first, protocol, path).await);
        }
    }
    let second = succeed(&first, &door(&dir)).await;
    let drain = tokio::spawn({
        let first = Arc::clone(&first);
        async move { first.handle.drain(Duration::from_secs(3600)).await }
    });
    // Longer than it waits for clients that may yet ask something.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for socket in &mut sockets {
        socket.echoes("in the process where it began").await;
    }
    let client = Client::new(&second, Protocol::H1).await;
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    assert_eq!(first.handle.metrics().requests(Protocol::H1), 2);
    assert!(!drain.is_finished(), "nobody has ended them");
    drop(sockets);
    let drained = tokio::time::timeout(WITHIN, drain).await.expect("all are over").unwrap();
    assert_eq!((drained.finished, drained.cut), (4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_comes_to_its_end_in_the_process_where_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let first = Arc::new(start_with(|builder| builder));
    let mut begun = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::new(&first, protocol).await;
        begun.push(tokio::spawn(async move { (protocol, client.get("/wait").await) }));
    }
    let waiting = &first.play.waiting;
    until("three wait", || waiting.load(Ordering::SeqCst) == 3).await;
    // Two processes later, the first one's datagrams still find it.
    let second = succeed(&first, &door(&dir)).await;
    let third = succeed(&second, &door(&dir)).await;
    second.handle.drain(WITHIN).await;
    let draining = tokio::spawn({
        let first = Arc::clone(&first);
        async move { first.handle.drain(WITHIN).await }
    });
    for protocol in Protocol::ALL {
        let client = Client::new(&third, protocol).await;
        assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    }
    assert_eq!(third.handle.metrics().requests(Protocol::H3), 1);
    first.play.gate.add_permits(3);
    for request in begun {
        let (protocol, answer) = request.await.unwrap();
        assert_eq!(answer.unwrap_or_else(|e| panic!("{protocol}: {e}")).body.len(), 300_000);
    }
    assert_eq!(draining.await.unwrap().cut, 0);
}

/// A client that has heard nothing yet names a connection ID of its own making: what it sends after the
/// hand-over reaches the process that it began with, because that one told of its handshakes.
#[tokio::test]
async fn a_handshake_under_way_comes_to_its_end_in_the_process_where_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let mut limits = ConnLimits::default();
    limits.handshake_timeout = Duration::from_secs(120);
    let first = start_with(|builder| builder.limits(limits.clone()));
    let relay = Relay::new(addr(&first)).await;
    relay.hold(true);
    let (to, tls) = (relay.addr, first.tls.clone());
    let client = tokio::spawn(async move { H3::connect(to, "localhost", &tls).await });
    until("the first process has answered", || relay.held() > 0).await;
    let second = succeed_with(&first, &door(&dir), |builder| builder.limits(limits)).await;
    // Sent again, since nothing is heard.
    let metrics = second.handle.metrics();
    until("passed on", || metrics.datagrams_passed_on() > 0).await;
    relay.hold(false);
    let client = Client::H3(Box::new(client.await.unwrap()));
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    let asked = [&first, &second].map(|server| server.handle.metrics().requests(Protocol::H3));
    assert_eq!(asked, [1, 0]);
}

/// RFC 9000 §8.1.2.
#[tokio::test]
async fn what_asked_a_client_to_come_again_is_understood_after_the_hand_over() {
    let dir = tempfile::tempdir().unwrap();
    let wary = |builder: ServerBuilder| {
        let mut quic = QuicConfig::default();
        quic.retry_above = 0;
        builder.quic(quic)
    };
    let first = start_with(wary);
    let relay = Relay::new(addr(&first)).await;
    relay.hold(true);
    let (to, tls) = (relay.addr, first.tls.clone());
    let client = tokio::spawn(async move { H3::connect(to, "localhost", &tls).await });
    until("a Retry", || relay.held() > 0).await;
    let second = succeed_with(&first, &door(&dir), wary).await;
    first.handle.drain(WITHIN).await;
    drop(first);
    relay.hold(false);
    let client = Client::H3(Box::new(client.await.unwrap()));
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    assert_eq!(second.handle.metrics().requests(Protocol::H3), 1);
}

/// RFC 9000 §10.3: a process resets connections of the one before that has ended, so that their
/// clients believe it.
#[tokio::test]
async fn a_connection_of_a_process_that_has_ended_is_reset() {
    let dir = tempfile::tempdir().unwrap();
    let first = start_with(|builder| builder);
    let relay = Relay::new(addr(&first)).await;
    let client = H3::connect(relay.addr, "localhost", &first.tls).await;
    let quic = client.quic.clone();
    let client = Client::H3(Box::new(client));
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    // Its last words are lost.
    relay.hold(true);
    let second = succeed(&first, &door(&dir)).await;
    first.handle.drain(WITHIN).await;
    drop(first);
    relay.lose();
    relay.hold(false);
    assert!(quic.close_reason().is_none());
    let mut stream = quic.open_uni().await.unwrap();
    // Of a type that nobody knows; long enough to be answered.
    stream.write_all(&[0x21; 1000]).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(60), quic.closed()).await.unwrap();
    assert!(matches!(closed, quinn::ConnectionError::Reset), "{closed}");
    drop(second);
}

#[tokio::test]
async fn who_asks_after_the_last_goaway_is_told_that_it_was_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let first = start_with(|builder| builder);
    let (_endpoint, quic, _control) = connect(&first).await;
    let mut control = server_control(&quic).await;
    let ask = async || {
        let (mut send, mut recv) = quic.open_bi().await.unwrap();
        send.write_all(&headers(false, "/bytes/5")).await.unwrap();
        let _ = send.finish();
        recv.read_to_end(1000).await
    };
    assert!(ask().await.unwrap().ends_with(&pattern(5)));
    let second = succeed(&first, &door(&dir)).await;
    let (drained, ()) = tokio::join!(first.handle.drain(WITHIN), async {
        assert!(goaway(&mut control).await > 1 << 40, "refuses nothing");
        assert_eq!(goaway(&mut control).await, 4, "took stream 0 only");
        let rejected = ReadToEndError::Read(ReadError::Reset(REQUEST_REJECTED.into()));
        assert_eq!(ask().await.unwrap_err(), rejected);
    });
    assert_eq!(drained.cut, 0);
    drop(second);
}

#[tokio::test]
async fn an_idle_connection_gets_one_more_request() {
    let dir = tempfile::tempdir().unwrap();
    let first = start_with(|builder| builder);
    let mut socket =
        tokio::net::TcpStream::connect(("127.0.0.1", first.plain_port())).await.unwrap();
    let asks = b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n";
    socket.write_all(asks).await.unwrap();
    let mut answer = vec![0; 1000];
    let len = socket.read(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer[..len]).contains("close"));
    let second = succeed(&first, &door(&dir)).await;
    let (_, answer) = tokio::join!(first.handle.drain(WITHIN), async {
        socket.write_all(asks).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    drop(second);
}

/// RFC 9113 §6.8.
#[tokio::test]
async fn a_request_that_crosses_the_first_goaway_of_http2_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let first = start_with(|builder| builder);
    let mut stream = open(first.plain_port(), &[]).await;
    let asks = |on| frame(HEADERS, END_HEADERS | END_STREAM, on, &request("/bytes/3"));
    stream.write_all(&asks(1)).await.unwrap();
    let mut heard = Heard::default();
    assert!(heard.listen(&mut stream, |heard| heard.whole == [1]).await);
    let second = succeed(&first, &door(&dir)).await;
    assert_eq!(heard.goaways, []);
    let (drained, ()) = tokio::join!(first.handle.drain(WITHIN), async {
        assert!(heard.listen(&mut stream, |heard| heard.goaways.len() == 1).await, "not told");
        // A server knows that its client has read that by the answer to a PING, which comes after this.
        stream.write_all(&asks(3)).await.unwrap();
        heard.listen_to_the_end(&mut stream).await;
    });
    assert_eq!(heard.goaways, [(0x7fff_ffff, NO_ERROR), (3, NO_ERROR)]);
    assert_eq!((heard.body, heard.whole), (pattern(3).repeat(2), vec![1, 3]));
    assert_eq!(drained.cut, 0);
    drop(second);
}

#[tokio::test]
async fn a_successor_that_fails_leaves_the_old_one_serving() {
    let dir = tempfile::tempdir().unwrap();
    let path = door(&dir);
    let server = start_with(|builder| builder);
    let door = Door::open(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // It ends before it is ready.
    let (failed, ()) = tokio::join!(
        async {
            let successor = door.successor().await.unwrap();
            successor.hand_over(&[&server.handle], WITHIN).await
        },
        async { drop(Inherited::take_over(&path, WITHIN).await.unwrap()) }
    );
    assert!(matches!(failed, Err(HandOverError::Lost)), "{failed:?}");

    // It is never ready.
    let (failed, _never) = tokio::join!(
        async {
            let successor = door.successor().await.unwrap();
            successor.hand_over(&[&server.handle], Duration::from_millis(100)).await
        },
        Inherited::take_over(&path, WITHIN)
    );
    assert!(matches!(failed, Err(HandOverError::TooLate)), "{failed:?}");

    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    }
    // And the next one can still take over.
    drop(door);
    assert!(!path.exists());
    let next = succeed(&server, &path).await;
    server.handle.drain(WITHIN).await;
    let client = Client::new(&next, Protocol::H3).await;
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
}

#[tokio::test]
async fn nobody_to_take_over_from_is_told_from_trouble() {
    let dir = tempfile::tempdir().unwrap();
    let path = door(&dir);
    let error = Inherited::take_over(&path, WITHIN).await.unwrap_err();
    assert!(matches!(error, HandOverError::Nobody { .. }), "{error}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = Inherited::take_over(&path, WITHIN).await.unwrap_err();
    assert!(!error.to_string().is_empty());
    // What a process left behind is in nobody's way.
    let _door = Door::open(&path).unwrap();
}

/// RFC 8446 §8.1: whichever process it comes to.
#[tokio::test]
async fn sessions_move_and_are_good_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = start_with(with_early_data);
    let [goes_on, again] = [known_client(&first).await, known_client(&first).await];
    let second = succeed_with(&first, &door(&dir), with_early_data).await;
    first.handle.drain(WITHIN).await;
    let metrics = second.handle.metrics();
    let addr = second.handle.https_addrs()[0];
    let relay = Relay::new(addr).await;
    relay.only_first_flight(true);
    let (client, accepted) = return_to(&relay, &goes_on).await;
    assert_eq!(client.get("/early").await.unwrap().body, "early=true");
    let recorded = relay.flight();
    relay.only_first_flight(false);
    assert!(accepted.await, "the ticket of the first process");
    drop(client);
    assert_eq!(metrics.tickets_refused(), 0);
    // The same flight to the process after that one.
    let third = succeed_with(&second, &door(&dir), with_early_data).await;
    second.handle.drain(WITHIN).await;
    let metrics = third.handle.metrics();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in &recorded {
        socket.send_to(datagram, addr).unwrap();
    }
    until("the replay is refused", || metrics.tickets_refused() == 1).await;
    assert_eq!(metrics.requests(Protocol::H3), 0);
    // One that was never used has come all the way.
    let relay = Relay::new(addr).await;
    let (client, accepted) = return_to(&relay, &again).await;
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    assert!(accepted.await, "two hand-overs later");
    assert_eq!(metrics.tickets_refused(), 1);
}

/// RFC 9000 §7.4.1: clients remember what they may send early.
#[tokio::test]
async fn sessions_made_under_other_limits_are_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let first = start_with(with_early_data);
    let config = known_client(&first).await;
    let second = succeed_with(&first, &door(&dir), |builder| {
        let mut quic = QuicConfig::default();
        quic.early_data = true;
        quic.max_streams = 2;
        builder.quic(quic)
    })
    .await;
    first.handle.drain(WITHIN).await;
    let relay = Relay::new(second.handle.https_addrs()[0]).await;
    let (client, accepted) = return_to(&relay, &config).await;
    assert!(!accepted.await);
    drop(client);
    assert_eq!(second.handle.metrics().tickets_refused(), 1);
    let client = Client::new(&second, Protocol::H3).await;
    assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
}

#[tokio::test]
async fn a_unix_socket_and_several_servers_are_handed_over_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (path, socket) = (door(&dir), dir.path().join("edge.sock"));
    let tls = Tls::self_signed(["localhost"], None, &Clock::system()).unwrap();
    let main = |builder: ServerBuilder| builder.name("main").unix(&socket);
    let other = |builder: ServerBuilder| builder.name("other").workers(1);
    let old = [start_with_tls(tls.clone(), main), start_with_tls(tls.clone(), other)];
    let ports = old.each_ref().map(|server| (server.port(), server.plain_port()));
    let door = Door::open(&path).unwrap();
    let (handed, new) = tokio::join!(
        async {
            let successor = door.successor().await.unwrap();
            successor.hand_over(&[&old[0].handle, &old[1].handle], WITHIN).await
        },
        async {
            let inherited = Inherited::take_over(&path, WITHIN).await.unwrap();
            // In another order, and with more workers than there are sockets.
            let other = start_with_tls(tls.clone(), |builder| {
                other(builder.inherit(&inherited)).workers(3)
            });
            let main = start_with_tls(tls.clone(), |builder| main(builder.inherit(&inherited)));
            inherited.begin(WITHIN).await.unwrap();
            [main, other]
        }
    );
    handed.unwrap();
    assert_eq!(new.each_ref().map(|server| (server.port(), server.plain_port())), ports);
    for server in old {
        server.handle.drain(WITHIN).await;
    }
    for server in &new {
        for protocol in Protocol::ALL {
            for _ in 0..3 {
                let ip = IpAddr::from([127, 0, 0, 1]);
                let client = Client::at(server, protocol, ip).await;
                assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
            }
        }
    }
    let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    stream.write_all(b"GET /bytes/3 HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
    drop(new);
    until("the socket's file is gone", || !socket.exists()).await;
}

#[tokio::test]
async fn a_successor_that_fails_leaves_the_unix_socket_to_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, socket) = (door(&dir), dir.path().join("edge.sock"));
    let old = start_with(|builder| builder.unix(&socket));
    let door = Door::open(&path).unwrap();
    let (failed, ()) = tokio::join!(
        async { door.successor().await.unwrap().hand_over(&[&old.handle], WITHIN).await },
        async {
            let inherited = Inherited::take_over(&path, WITHIN).await.unwrap();
            let new = start_with_tls(old.tls.clone(), |builder| {
                builder.unix(&socket).inherit(&inherited)
            });
            new.handle.drain(Duration::ZERO).await;
        }
    );
    assert!(matches!(failed, Err(HandOverError::Lost)), "{failed:?}");
    tokio::net::UnixStream::connect(&socket).await.unwrap();
    drop(old);
    until("the socket's file is gone", || !socket.exists()).await;
}

#[tokio::test]
async fn a_door_that_closes_leaves_the_one_that_was_opened_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = door(&dir);
    let first = Door::open(&path).unwrap();
    let second = Door::open(&path).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_was_handed_over_is_not_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = door(&dir);
    let first = start_with(|builder| builder);
    let second = succeed(&first, &path).await;
    let door = Door::open(&path).unwrap();
    let (again, _) = tokio::join!(
        async { door.successor().await.unwrap().hand_over(&[&first.handle], WITHIN).await },
        Inherited::take_over(&path, WITHIN)
    );
    assert!(matches!(again, Err(HandOverError::Ending)), "{again:?}");
    for _ in 0..20 {
        let client = Client::new(&second, Protocol::H1).await;
        assert_eq!(client.get("/bytes/10").await.unwrap().body.len(), 10);
    }
    assert_eq!(first.handle.metrics().requests(Protocol::H1), 0);
}

#[tokio::test]
async fn a_server_that_drains_is_not_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = door(&dir);
    let server = Server::builder()
        .http("127.0.0.1:0")
        .serve(|_| tower::service_fn(crate::service::nothing))
        .unwrap();
    server.drain(Duration::ZERO).await;
    let door = Door::open(&path).unwrap();
    let (handed, taken) = tokio::join!(
        async { door.successor().await.unwrap().hand_over(&[&server], WITHIN).await },
        Inherited::take_over(&path, WITHIN)
    );
    assert!(matches!(handed, Err(HandOverError::Ending)), "{handed:?}");
    assert!(matches!(taken, Err(HandOverError::Refused(_))), "{taken:?}");
}
