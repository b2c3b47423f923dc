//! HTTP/3 in (RFC 9114 §4), HTTP/1.1 out.

use std::sync::Arc;
use std::time::Duration;

use crate::h2::{Ended, Field, MALFORMED, NEXT, WELL_FORMED, fields, name};
use crate::rig::Reaches::{Cut, Nothing, Once};
use crate::rig::Rig;

struct Client {
    _endpoint: quinn::Endpoint,
    quic: quinn::Connection,
    _control: quinn::SendStream,
}

impl Client {
    async fn connect(rig: &Rig) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(rig.tls.leaf_der().into()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h3".to_vec()];
        let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(config));
        let addr = rig.edge.https_addrs()[0];
        let quic = endpoint.connect_with(config, addr, "localhost").unwrap().await.unwrap();
        let mut control = quic.open_uni().await.unwrap();
        // A control stream, and SETTINGS that set nothing.
        control.write_all(&[0, 4, 0]).await.unwrap();
        Self { _endpoint: endpoint, quic, _control: control }
    }

    async fn send(&self, fields: &[Field<'_>], body: Option<&[u8]>) -> Ended {
        let Ok((mut send, mut recv)) = self.quic.open_bi().await else { return Ended::Reset };
        let mut frames = framed(1, &section(fields));
        if let Some(body) = body {
            frames.extend(framed(0, body));
        }
        let _ = send.write_all(&frames).await;
        let _ = send.finish();
        let answer = tokio::time::timeout(Duration::from_secs(10), recv.read_to_end(10_000));
        match answer.await.expect("no answer in ten seconds") {
            // `:status: 200` in the static table (RFC 9204 appendix A), after the prefix.
            Ok(answer) if answer.first() == Some(&1) => {
                let status = answer.iter().skip(2).skip_while(|byte| **byte != 0).nth(2);
                if status == Some(&0xd9) { Ended::Ok } else { Ended::Refused }
            }
            Ok(_) | Err(_) => Ended::Reset,
        }
    }
}

fn var_int(number: usize) -> Vec<u8> {
    if number < 64 {
        return vec![number as u8];
    }
    (u16::try_from(number).unwrap() | 0x4000).to_be_bytes().to_vec()
}

fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &var_int(payload.len()), payload].concat()
}

/// Literals with literal names (RFC 9204 §4.5.6).
fn section(fields: &[Field<'_>]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        match name.len() {
            len @ ..7 => section.push(0x20 | len as u8),
            len => section.extend([0x27, (len - 7) as u8]),
        }
        section.extend_from_slice(name);
        section.push(u8::try_from(value.len()).ok().filter(|len| *len < 127).unwrap());
        section.extend_from_slice(value);
    }
    section
}

async fn case(rig: &Rig, fields: &[Field<'_>], body: Option<&[u8]>) -> [Ended; 2] {
    let client = Client::connect(rig).await;
    let first = client.send(fields, body).await;
    [first, client.send(&NEXT, None).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn malformed_requests_reach_nobody() {
    let rig = Rig::start();
    for others in MALFORMED {
        let [first, next] = case(&rig, &fields("GET", others), None).await;
        assert_ne!(first, Ended::Ok, "{}", name(others));
        rig.check(&name(others), Nothing, next == Ended::Ok);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn well_formed_requests_pass_once() {
    let rig = Rig::start();
    for others in WELL_FORMED {
        let ended = case(&rig, &fields("GET", others), None).await;
        assert_eq!(ended, [Ended::Ok; 2], "{}", name(others));
        rig.check(&name(others), Once("GET /x HTTP/1.1", b""), true);
    }
    let cookies = fields("GET", &[(b"cookie", b"a=1"), (b"cookie", b"b=2")]);
    assert_eq!(case(&rig, &cookies, None).await, [Ended::Ok; 2]);
    assert_eq!(rig.upstream.take()[0].values("cookie"), [b"a=1; b=2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn bodies_are_as_long_as_they_say() {
    let rig = Rig::start();
    let length: &[Field<'_>] = &[(b"content-length", b"5")];
    for others in [&[][..], length] {
        let ended = case(&rig, &fields("POST", others), Some(b"hello")).await;
        assert_eq!(ended, [Ended::Ok; 2], "{}", name(others));
        rig.check(&name(others), Once("POST /x HTTP/1.1", b"hello"), true);
    }
    for len in [&b"4"[..], b"6", b"x", b"5, 5", b"-5"] {
        let others = [(&b"content-length"[..], len)];
        let [first, next] = case(&rig, &fields("POST", &others), Some(b"hello")).await;
        assert_ne!(first, Ended::Ok, "{}", name(&others));
        rig.check(&name(&others), Cut, next == Ended::Ok);
    }
}
