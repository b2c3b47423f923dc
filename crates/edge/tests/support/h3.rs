//! An HTTP/3 client by hand: fields and frames as they are given, and no more checks than that.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test files")]

// The settings of QUIC are those of the client that h3 makes.
#[path = "../../../net/tests/support/h3_client.rs"]
mod h3_client;

use std::net::SocketAddr;

use headwater_net::server::Tls;

use h3_client::{endpoint, quic_config};

/// A field line: name and value.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// A connection with the client's control stream on it.
pub struct Client {
    _endpoint: quinn::Endpoint,
    pub quic: quinn::Connection,
    _control: quinn::SendStream,
}

impl Client {
    pub async fn connect(addr: SocketAddr, tls: &Tls) -> Self {
        let endpoint = endpoint(addr);
        let config = quic_config(tls, quinn::TransportConfig::default());
        let quic = endpoint.connect_with(config, addr, "localhost").unwrap().await.unwrap();
        let mut control = quic.open_uni().await.unwrap();
        // A control stream, and SETTINGS that set nothing.
        control.write_all(&[0, 4, 0]).await.unwrap();
        Self { _endpoint: endpoint, quic, _control: control }
    }
}

fn var_int(number: usize) -> Vec<u8> {
    if number < 64 {
        return vec![number as u8];
    }
    (u32::try_from(number).unwrap() | 0x8000_0000).to_be_bytes().to_vec()
}

/// A frame (RFC 9114 §7.1).
pub fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind][..], &var_int(payload.len()), payload].concat()
}

/// A HEADERS frame of literals with literal names (RFC 9204 §4.5.6).
pub fn headers(fields: &[Field<'_>]) -> Vec<u8> {
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
    framed(1, &section)
}
