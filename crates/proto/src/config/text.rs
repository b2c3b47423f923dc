//! Values that are texts of a certain form: checked once, when they are read.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::str::FromStr;

use http::{HeaderName, HeaderValue, Method, Uri};
use serde::de::{self, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Has serde read and write a type by its `FromStr` and `Display`.
macro_rules! as_text {
    ($type:ty, $what:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Read;

                impl serde::de::Visitor<'_> for Read {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                from.deserialize_str(Read)
            }
        }
    };
}
pub(super) use as_text;

/// A text that `check` has found to be what it should.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(text).map(|()| Self(text.into()))
            }
        }

        impl $name {
            /// One that is known here to be good.
            #[allow(dead_code, reason = "not every kind has a default")]
            pub(super) fn fixed(text: &'static str) -> Self {
                debug_assert!(text.parse::<Self>().is_ok(), "{text}");
                Self(text.into())
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        as_text!($name, $what);
    };
}

checked!(
    /// Where to listen, `ADDR:PORT`: `[::]:443`, `192.0.2.7:8443`, `localhost:8080`. Port 0 is any
    /// free one.
    Address,
    "an address such as \"[::]:443\"",
    |text| {
        let named = |(host, port): (&str, &str)| is_host(host) && port.parse::<u16>().is_ok();
        if text.parse::<SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(named) {
            return Ok(());
        }
        let meant = match text {
            _ if text.parse::<u16>().is_ok() => format!("; did you mean '[::]:{text}'?"),
            _ if text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()) => {
                format!("; did you mean '[::]{text}'?")
            }
            _ if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) => {
                format!("; did you mean '[{text}]:443'?")
            }
            _ if is_host(text) => format!("; did you mean '{text}:443'?"),
            _ => "; an address is ADDR:PORT, such as '[::]:443'".to_owned(),
        };
        Err(format!("'{text}' is no address to listen on{meant}"))
    }
);

impl Address {
    /// As an address and a port, where it is one and no name.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.parse().ok()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
    }
}

checked!(
    /// Where a name server is asked, `IP` (port 53) or `IP:PORT`: `10.0.0.2`, `[fd00::2]:5353`.
    NameServer,
    "a name server such as \"10.0.0.2\"",
    |text| match name_server(text) {
        Some(at) if at.port() > 0 => Ok(()),
        Some(_) => Err(format!("'{text}' is no name server: nobody answers at port 0")),
        None => Err(format!(
            "'{text}' is no name server: it is an address, with a port or without one, such as \
             10.0.0.2, 10.0.0.2:5353 or [fd00::2]:5353"
        )),
    }
);

impl NameServer {
    /// Its address, with the port 53 (RFC 1035 §4.2) where none is named.
    pub fn socket(&self) -> SocketAddr {
        name_server(self).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

checked!(
    /// An address, a network such as `10.0.0.0/8`, or `unix` for who comes by a Unix socket.
    Network,
    "a network such as \"10.0.0.0/8\"",
    |text| {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let most = address.parse::<IpAddr>().map(|ip| if ip.is_ipv4() { 32 } else { 128 });
        let fits = |bits: &str| bits.parse().is_ok_and(|bits: u8| most.as_ref().is_ok_and(|most| bits <= *most));
        if text == "unix" || (most.is_ok() && bits.is_none_or(fits)) {
            return Ok(());
        }
        Err(format!(
            "'{text}' is neither an IP address, nor a network such as 10.0.0.0/8, nor unix"
        ))
    }
);

checked!(
    /// The base of an origin, `http://` or `https://`, host, port if need be, path if there is one.
    Url,
    "a URL such as \"https://origin.example\"",
    |text| {
        // What may hold a secret is not repeated.
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
            let what = "it names a user, and secrets do not stand in a configuration";
            return Err(format!("this is no URL of an origin: {what}"));
        }
        let wrong = |what: &str| Err(format!("'{text}' is no URL of an origin: {what}"));
        let Ok(uri) = text.parse::<Uri>() else { return wrong("it cannot be read") };
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return wrong("its scheme is neither http nor https"),
            None => return Err(format!(
                "'{text}' is no URL of an origin; did you mean 'http://{text}'?"
            )),
        }
        if uri.query().is_some() || text.contains('#') {
            return wrong("it has a query or a fragment");
        }
        Ok(())
    }
);

checked!(
    /// The directory of an authority that issues certificates: an `https` URL.
    Directory,
    "a URL such as \"https://authority.example/directory\"",
    |text| {
        let uri = text.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
        // What may hold a secret is not repeated.
        match uri.and_then(|uri| uri.authority().cloned()) {
            Some(authority) if !authority.as_str().contains('@') => Ok(()),
            _ => Err("this is no URL of a directory: it is https, and names no user".to_owned()),
        }
    }
);

checked!(
    /// What a site is called by: a host without a port, or `*.` and a host for all below it, or `*`
    /// for whatever is left. Lower case.
    Host,
    "a host such as \"video.example\"",
    |text| {
        if text == "*" {
            return Ok(());
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        if name.contains(|c: char| c.is_ascii_uppercase()) {
            return Err(format!("'{text}' is not in lower case; did you mean '{}'?", text.to_ascii_lowercase()));
        }
        if name.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok()) {
            return Err(format!("'{text}' has a port: a site has its hosts on all ports"));
        }
        let v6 = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if is_host(name) || v6.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()) {
            return Ok(());
        }
        Err(format!("'{text}' is no host: it is a name, or *. and a name, or *"))
    }
);

checked!(
    /// What a route is for: a path, in which `*` stands for any bytes of one segment and `**` for
    /// any number of segments; one that ends in `/` takes in all below it.
    PathPattern,
    "a path such as \"/live/**\"",
    |text| {
        let wrong = |what: &str| Err(format!("'{text}' is no path of a route: {what}"));
        let Some(path) = text.strip_prefix('/') else { return wrong("it begins with /") };
        if text.contains(['?', '#', ' ']) {
            return wrong("it has no query and no spaces");
        }
        // Nothing else comes by what the edge makes of a request's path (RFC 3986 §6.2.2).
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || !is_escaped(text) {
            return wrong(
                "it is written as requests are: what is no letter, digit or sign of ASCII as an \
                 escape in upper case, such as %C3%A9, and nothing else",
            );
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return wrong("it has no dot segments");
        }
        if path.split('/').count() > 32 {
            return wrong("it has more than 32 segments");
        }
        let doubles = path.split('/').filter(|segment| *segment == "**").count();
        let odd = |segment: &str| segment != "**" && segment.matches('*').count() > 1;
        if doubles > 1 || path.split('/').any(odd) {
            return wrong("** stands once and alone between slashes, and * once in a segment");
        }
        Ok(())
    }
);

impl PathPattern {
    /// The pattern with what a `/` at its end stands for written out.
    pub fn whole(&self) -> String {
        if self.ends_with('/') && !self.contains("**") {
            format!("{}**", &self.0)
        } else {
            self.0.to_string()
        }
    }
}

checked!(
    /// Where a page comes from, as browsers name it in `Origin`: a scheme, a host in lower case and, if it
    /// is not the usual one, a port.
    Origin,
    "a page's origin such as \"https://video.example\"",
    |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let plain = |rest: &str| {
            let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "0"));
            is_host(host) && port.parse::<u16>().is_ok()
        };
        if rest.is_some_and(|rest| plain(rest) && rest == rest.to_ascii_lowercase()) {
            return Ok(());
        }
        Err(format!("'{text}' is no origin of a page: it is a scheme and a host, without a path"))
    }
);

checked!(
    /// Where objects are: `s3://`, `gs://` or `az://`, the name of a bucket or container, and a path below
    /// it if there is one.
    StoreUrl,
    "a store such as \"s3://bucket/prefix\"",
    |text| {
        let of = |scheme: &str| text.strip_prefix(scheme);
        let rest = of("s3://").or_else(|| of("gs://")).or_else(|| of("az://"));
        let is_store = rest.is_some_and(|rest| {
            let bucket = rest.split('/').next().unwrap_or_default();
            let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$');
            !bucket.is_empty() && bucket.chars().all(known) && !rest.contains(['?', '#'])
        });
        if is_store {
            return Ok(());
        }
        Err(format!("'{text}' is no store: it is s3://BUCKET, gs://BUCKET or az://CONTAINER, with a path or without one"))
    }
);

checked!(
    /// A host, with a port or without one.
    Authority,
    "a host such as \"origin.example\"",
    |text| {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
        if is_host(host) && port.parse::<u16>().is_ok() {
            return Ok(());
        }
        Err(format!("'{text}' is no host: it is a name or an address, with a port or without one"))
    }
);

checked!(
    /// A path, with a query if there is one.
    PathQuery,
    "a path such as \"/health\"",
    |text| match text.parse::<http::uri::PathAndQuery>() {
        Ok(_) if text.starts_with('/') => Ok(()),
        _ => Err(format!("'{text}' is no path: it begins with / and is written as requests are")),
    }
);

checked!(
    /// A method of HTTP, in upper case.
    Verb,
    "a method such as \"GET\"",
    |text| match text.parse::<Method>() {
        Ok(_) if text.bytes().all(|byte| !byte.is_ascii_lowercase()) => Ok(()),
        _ => Err(format!("'{text}' is no method: they are in upper case, such as GET")),
    }
);

checked!(
    /// The name of a field, in lower case.
    Field,
    "a field's name such as \"cache-control\"",
    |text| match text.parse::<HeaderName>() {
        Ok(name) if name.as_str() == text => Ok(()),
        Ok(name) => Err(format!("'{text}' is not in lower case; did you mean '{name}'?")),
        Err(_) => Err(format!("'{text}' is no field's name")),
    }
);

checked!(
    /// The value of a field.
    FieldValue,
    "a field's value",
    |text| match HeaderValue::from_str(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("'{}' is no field's value", text.escape_debug())),
    }
);

checked!(
    /// A name that other keys refer to: letters, digits, `-`, `_` and `.`, at most 64.
    Name,
    "a name",
    |text| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(known) {
            return Err(format!("'{text}' is no name: it is letters, digits, - _ and ., at most 64"));
        }
        Ok(())
    }
);

/// The statuses of errors that a rule is for: one, `404`, or several, `500-599`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statuses {
    first: u16,
    last: u16,
}

impl Statuses {
    /// Those that are known here to be of errors.
    pub(super) const fn new(first: u16, last: u16) -> Self {
        Self { first, last }
    }

    /// The first and the last of them.
    pub const fn range(self) -> std::ops::RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first >= 400 && last <= 599 && first <= last => {
                Ok(Self { first, last })
            }
            _ => Err(format!("'{text}' are no statuses of errors: '404' is, and '500-599'")),
        }
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

as_text!(Statuses, "statuses of errors such as \"500-599\"");

fn name_server(text: &str) -> Option<SocketAddr> {
    let bare = |ip: IpAddr| SocketAddr::new(ip, 53);
    text.parse().ok().or_else(|| text.parse().ok().map(bare))
}

/// Whether each escape of a path is in upper case, and of a byte that has to be escaped (RFC 3986 §3.3);
/// `*`, which stands for others, may be.
fn is_escaped(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let digits = rest.get(..2).unwrap_or_default();
        let upper = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        let meant = u8::from_str_radix(digits, 16).unwrap_or_default();
        let plain = meant.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@/".contains(&meant);
        digits.len() == 2 && digits.bytes().all(upper) && !plain
    })
}

/// A name of a host, or an IPv4 address.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// What serde is told that a [`List`] is: who reads a document gives it one value as a list of that.
pub(super) const LIST: &str = "List";

/// Several values of one kind: written as a list, or where it is one as that alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(all: Vec<T>) -> Self {
        Self(all)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(out)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("one value or a list of values")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                from: D,
            ) -> Result<List<T>, D::Error> {
                from.deserialize_any(self)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List<T>, E> {
                T::deserialize(text.into_deserializer()).map(|one| List(vec![one]))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<List<T>, E> {
                T::deserialize(number.into_deserializer()).map(|one| List(vec![one]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<List<T>, E> {
                T::deserialize(number.into_deserializer()).map(|one| List(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(List(all))
            }
        }

        from.deserialize_newtype_struct(LIST, Read(std::marker::PhantomData))
    }
}
