//! A writer of small databases in the MaxMind DB format (version 2.0), since no binary lies in the
//! repository: a tree of IPv6, with IPv4 below `::/96`, and of each record a country and perhaps a
//! subdivision.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test files")]

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A database of networks, each in a country (`DE`) or a part of one (`DE-BY`). Of two networks, none
/// is within the other.
pub fn database(networks: &[(&str, &str)]) -> Vec<u8> {
    let mut nodes: Vec<[Child; 2]> = vec![[Child::Nothing; 2]];
    let (mut data, mut offsets) = (Vec::new(), BTreeMap::new());
    for (network, place) in networks {
        let offset = *offsets.entry(*place).or_insert_with(|| {
            let offset = data.len();
            data.extend(record(place));
            offset
        });
        insert(&mut nodes, network, offset);
    }
    let count = u32::try_from(nodes.len()).unwrap();
    let mut file = Vec::new();
    for child in nodes.iter().flatten() {
        let value = match child {
            Child::Node(node) => *node,
            Child::Nothing => count,
            Child::Data(offset) => count + 16 + offset,
        };
        file.extend_from_slice(&value.to_be_bytes()[1..]);
    }
    file.extend_from_slice(&[0; 16]);
    file.extend(data);
    file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        ("build_epoch", number(9, 1_700_000_000)),
        ("database_type", text("Test-City")),
        ("description", map(&[("en", text("a test"))])),
        ("ip_version", number(5, 6)),
        ("languages", array(&[text("en")])),
        ("node_count", number(6, count)),
        ("record_size", number(5, 24)),
    ]));
    file
}

#[derive(Clone, Copy)]
enum Child {
    Nothing,
    Node(u32),
    Data(u32),
}

fn insert(nodes: &mut Vec<[Child; 2]>, network: &str, offset: usize) {
    let (address, length) = network.split_once('/').unwrap();
    let length: u8 = length.parse().unwrap();
    let (bits, length) = match address.parse().unwrap() {
        IpAddr::V4(four) => (u128::from(four.to_bits()), length + 96),
        IpAddr::V6(six) => (six.to_bits(), length),
    };
    let mut at = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            nodes[at][side] = Child::Data(u32::try_from(offset).unwrap());
            return;
        }
        at = if let Child::Node(node) = nodes[at][side] {
            node as usize
        } else {
            nodes.push([Child::Nothing; 2]);
            let node = u32::try_from(nodes.len() - 1).unwrap();
            nodes[at][side] = Child::Node(node);
            node as usize
        };
    }
}

fn record(place: &str) -> Vec<u8> {
    let (country, part) = place.split_once('-').unwrap_or((place, ""));
    let country = map(&[("iso_code", text(country))]);
    if part.is_empty() {
        return map(&[("country", country)]);
    }
    let parts = array(&[map(&[("iso_code", text(part))]), map(&[("iso_code", text("INNER"))])]);
    map(&[("country", country), ("subdivisions", parts)])
}

fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 29);
    [&[2 << 5 | length], text.as_bytes()].concat()
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![7 << 5 | u8::try_from(entries.len()).unwrap()];
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [&[u8::try_from(items.len()).unwrap(), 11 - 7], &*items.concat()].concat()
}

/// An unsigned number of four bytes or fewer; types beyond 7 are written in a second byte.
fn number(kind: u8, number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let bytes = &bytes[number.leading_zeros() as usize / 8..];
    let length = u8::try_from(bytes.len()).unwrap();
    let head = if kind > 7 { vec![length, kind - 7] } else { vec![kind << 5 | length] };
    [&head[..], bytes].concat()
}
