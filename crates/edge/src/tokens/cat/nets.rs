//! Networks as CBOR writes them (RFC 9164), in the claim `catnip`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use coset::cbor::value::Value;
use ipnet::IpNet;

use super::super::refusal::Refusal;
use super::integer;

const IPV4: u64 = 52;
const IPV6: u64 = 54;

/// The networks of a claim. A number of an autonomous system is read and takes in nobody.
pub(super) fn read(value: &Value) -> Result<Vec<IpNet>, Refusal> {
    let list = value.as_array().ok_or(Refusal::Malformed)?;
    let mut networks = Vec::new();
    for one in list {
        match one {
            Value::Tag(tag @ (IPV4 | IPV6), inner) => networks.push(network(*tag, inner)?),
            Value::Integer(_) => {
                let number = integer(one).and_then(|number| u32::try_from(number).ok());
                number.ok_or(Refusal::Malformed)?;
            }
            _ => return Err(Refusal::Unknown),
        }
    }
    Ok(networks)
}

/// An address, or a prefix as `[bits, bytes without zeros at their end]`.
fn network(tag: u64, value: &Value) -> Result<IpNet, Refusal> {
    let (bytes, bits) = match value {
        Value::Bytes(bytes) => (bytes, None),
        Value::Array(pair) => match pair.as_slice() {
            [bits, Value::Bytes(bytes)] => (bytes, Some(integer(bits).ok_or(Refusal::Malformed)?)),
            _ => return Err(Refusal::Malformed),
        },
        _ => return Err(Refusal::Malformed),
    };
    let whole = if tag == IPV4 { 4 } else { 16 };
    if bytes.len() > whole || (bits.is_none() && bytes.len() < whole) {
        return Err(Refusal::Malformed);
    }
    let bits = match bits {
        Some(bits) => u8::try_from(bits).map_err(|_| Refusal::Malformed)?,
        None => whole as u8 * 8,
    };
    let mut octets = [0; 16];
    for (octet, byte) in octets.iter_mut().zip(bytes) {
        *octet = *byte;
    }
    let [a, b, c, d, ..] = octets;
    let address = match tag {
        IPV4 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ => IpAddr::V6(Ipv6Addr::from(octets)),
    };
    IpNet::new(address, bits).map_err(|_| Refusal::Malformed)
}
