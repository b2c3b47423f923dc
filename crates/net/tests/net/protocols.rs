//! The same requests on every protocol.

use std::net::IpAddr;

use bytes::Bytes;
use headwater_net::Protocol;
use http::{Method, StatusCode, Version};

use crate::client::Client;
use crate::service::{pattern, start};

const fn version(protocol: Protocol) -> Version {
    match protocol {
        Protocol::H1 => Version::HTTP_11,
        Protocol::H2 => Version::HTTP_2,
        Protocol::H3 => Version::HTTP_3,
    }
}

#[tokio::test]
async fn bodies_of_known_and_unknown_length_arrive_whole() {
    let server = start();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        for len in [0, 1, 1024, 1 << 20, 3_000_001] {
            let answer = client.get(&format!("/bytes/{len}")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.version, version(protocol));
            assert_eq!(answer.headers["content-length"], len.to_string(), "{protocol}");
            assert!(answer.body == pattern(len), "{protocol} {len}");
            assert!(answer.headers.contains_key("date"), "{protocol}");
            let answer = client.get(&format!("/stream/{len}")).await.unwrap();
            assert_eq!(answer.body.len(), len, "{protocol}");
            assert!(answer.body.iter().all(|byte| *byte == b'x'));
        }
        let metrics = server.handle.metrics();
        assert_eq!(metrics.requests(protocol), 10, "{protocol}");
        assert!(metrics.connections_accepted(protocol) >= 1, "{protocol}");
    }
}

#[tokio::test]
async fn an_answer_to_head_and_a_304_and_a_204_have_no_body() {
    let server = start();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        let answer = client.send(Method::HEAD, "/bytes/1024", Bytes::new()).await.unwrap();
        assert_eq!(answer.headers["content-length"], "1024", "{protocol}");
        assert!(answer.body.is_empty());
        let answer = client.send(Method::HEAD, "/stream/1024", Bytes::new()).await.unwrap();
        assert!(answer.body.is_empty(), "{protocol}");
        assert!(!answer.headers.contains_key("content-length"), "{protocol}");
        let answer = client.get("/no-content").await.unwrap();
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert!(!answer.headers.contains_key("content-length"), "{protocol}");
        let answer = client.get("/not-modified").await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
        assert!(answer.body.is_empty(), "{protocol}");
        // The connection is still in step.
        assert_eq!(client.get("/bytes/7").await.unwrap().body, pattern(7));
    }
}

/// RFC 9110 §8.6.
#[tokio::test]
async fn a_length_that_is_none_is_never_passed_on() {
    let server = start();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        for said in ["x", "-5", "5,6", "0x5", "5+5", "99999999999999999999"] {
            for method in [Method::GET, Method::HEAD] {
                let path = format!("/length/{said}");
                let answer = client.send(method.clone(), &path, Bytes::new()).await.unwrap();
                assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{protocol} {said}");
                let length: u64 =
                    answer.headers["content-length"].to_str().unwrap().parse().unwrap();
                assert!(method == Method::HEAD || answer.body.len() as u64 == length);
            }
        }
        // Equal ones are one.
        let answer = client.get("/length/5,5").await.unwrap();
        assert_eq!(answer.headers["content-length"], "5", "{protocol}");
        assert_eq!(answer.body, "xxxxx", "{protocol}");
    }
}

#[tokio::test]
async fn request_bodies_stream_in_and_out() {
    let server = start();
    for protocol in Protocol::ALL {
        let client = Client::new(&server, protocol).await;
        for len in [1, 70_000, 5_000_000] {
            let sent = pattern(len);
            let answer = client.send(Method::POST, "/echo", sent.clone()).await.unwrap();
            assert!(answer.body == sent, "{protocol} {len}");
            let answer = client.send(Method::POST, "/count", sent).await.unwrap();
            assert_eq!(answer.body, format!("{len} bytes"), "{protocol}");
        }
        // A body that the service does not read is declined without harm.
        let answer = client.send(Method::POST, "/bytes/9", pattern(100)).await.unwrap();
        assert_eq!(answer.body, pattern(9), "{protocol}");
    }
}

#[tokio::test]
async fn both_families_are_served_and_conn_info_is_right() {
    let server = start();
    for ip in ["127.0.0.1", "::1"] {
        let ip: IpAddr = ip.parse().unwrap();
        for protocol in Protocol::ALL {
            let client = Client::at(&server, protocol, ip).await;
            let text = client.get("/info").await.unwrap().body;
            let text = std::str::from_utf8(&text).unwrap();
            let local = std::net::SocketAddr::new(ip, server.port());
            let start = format!("{protocol} tls=true sni=Some(\"localhost\") peer=");
            assert!(text.starts_with(&start), "{text}");
            assert!(text.ends_with(&format!("local={local}")), "{text}");
        }
    }
}

#[tokio::test]
async fn plain_http_speaks_h1_and_h2_with_prior_knowledge() {
    let server = start();
    let url = format!("http://127.0.0.1:{}/info", server.plain_port());
    let builder = || reqwest::Client::builder().no_proxy();
    for (protocol, client) in [
        ("h1", builder().http1_only().build().unwrap()),
        ("h2", builder().http2_prior_knowledge().build().unwrap()),
    ] {
        let response = client.get(&url).send().await.unwrap();
        assert!(!response.headers().contains_key("alt-svc"), "nothing to go to from here");
        let text = response.text().await.unwrap();
        assert!(text.starts_with(&format!("{protocol} tls=false sni=None")), "{text}");
    }
    assert_eq!(server.handle.metrics().connections_accepted(Protocol::H2), 1);
}

#[tokio::test]
async fn h3_is_offered_by_alt_svc_to_the_others() {
    let server = start();
    let offered = format!("h3=\":{}\"; ma=86400", server.port());
    for protocol in [Protocol::H1, Protocol::H2] {
        let client = Client::new(&server, protocol).await;
        assert_eq!(client.get("/bytes/1").await.unwrap().headers["alt-svc"], offered);
    }
    let client = Client::new(&server, Protocol::H3).await;
    assert!(!client.get("/bytes/1").await.unwrap().headers.contains_key("alt-svc"));
}
