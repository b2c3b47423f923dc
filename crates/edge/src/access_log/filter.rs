//! Which lines a live view shows: comparisons of fields, joined by `and`, `or` and `not`.
//!
//! ```text
//! status >= 500 and not path ~ /health
//! (cache = miss or cache = collapsed) and host = video.example
//! peer = 192.0.2.0/24 and duration_us > 250000
//! user_agent ~ "Smart TV"
//! ```
//!
//! | fields | operators | values |
//! |---|---|---|
//! | `status`, `bytes`, `duration_us` | `=` `!=` `<` `<=` `>` `>=` | a whole number |
//! | `method`, `host`, `path`, `query`, `route`, `user_agent` | `=` `!=`, `~` and `!~` for what is part of it | a word, or a text in `"` in which `\"` and `\\` stand for themselves |
//! | `protocol`, `cache`, `end` | `=` `!=` | a word of the log |
//! | `peer` | `=` `!=` | an address, or a network such as `10.0.0.0/8` |
//!
//! `and` binds closer than `or`. A filter is at most [`MAX_FILTER`] bytes long, with at most
//! [`MAX_COMPARISONS`] comparisons in at most [`MAX_DEPTH`] brackets.

use std::net::IpAddr;
use std::str::FromStr;

use headwater_net::Protocol;

use super::record::Record;
use crate::cache_result::CacheResult;
use crate::watch::End;

/// The longest filter, in bytes.
pub const MAX_FILTER: usize = 1024;
/// The most comparisons of one.
pub const MAX_COMPARISONS: usize = 32;
/// The most brackets, and `not`s, inside each other.
pub const MAX_DEPTH: usize = 8;

/// See the module. The default shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Option<Node>);

/// What is wrong with a filter, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at} of the filter: {what}")]
pub struct FilterError {
    /// From 0.
    pub at: usize,
    what: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Is(Comparison),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Comparison {
    Number(NumberField, Order, u64),
    /// Whether it is to be part of the field; otherwise all of it.
    Text(TextField, bool, Box<[u8]>),
    Protocol(Protocol),
    Cache(CacheResult),
    End(End),
    Peer(IpAddr, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberField {
    Status,
    Bytes,
    DurationUs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextField {
    Method,
    Host,
    Path,
    Query,
    Route,
    UserAgent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    Greater,
}

const FIELDS: &str = "status, bytes, duration_us, method, host, path, query, route, user_agent, \
                      protocol, cache, end and peer";

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut parser = Parser { text, at: 0, comparisons: 0 };
        if text.len() > MAX_FILTER {
            return Err(parser.wrong(format!("it is longer than {MAX_FILTER} bytes")));
        }
        parser.blanks();
        if parser.rest().is_empty() {
            return Ok(Self(None));
        }
        let node = parser.any(0)?;
        match parser.rest() {
            "" => Ok(Self(Some(node))),
            _ => Err(parser.wrong("what follows is neither 'and' nor 'or'")),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    comparisons: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, what: impl Into<String>) -> FilterError {
        FilterError { at: self.at, what: what.into() }
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes a sign, and the blanks after it.
    fn sign(&mut self, sign: &str) -> bool {
        let there = self.rest().starts_with(sign);
        if there {
            self.at += sign.len();
            self.blanks();
        }
        there
    }

    /// The word that comes next, up to a blank, a bracket or an operator.
    fn word(&self, ends: &[char]) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || ends.contains(&c));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let there = self.word(&['(', ')']) == keyword;
        if there {
            self.at += keyword.len();
            self.blanks();
        }
        there
    }

    fn any(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.all(depth)?];
        while self.keyword("or") {
            nodes.push(self.all(depth)?);
        }
        Ok(one_or(nodes, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, FilterError> {
        let mut nodes = vec![self.one(depth)?];
        while self.keyword("and") {
            nodes.push(self.one(depth)?);
        }
        Ok(one_or(nodes, Node::All))
    }

    fn one(&mut self, depth: usize) -> Result<Node, FilterError> {
        if depth > MAX_DEPTH {
            return Err(self.wrong(format!("more than {MAX_DEPTH} brackets are open")));
        }
        if self.keyword("not") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.sign("(") {
            let inner = self.any(depth + 1)?;
            if self.sign(")") {
                return Ok(inner);
            }
            return Err(self.wrong("a bracket is not closed"));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, FilterError> {
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err(self.wrong(format!("it has more than {MAX_COMPARISONS} comparisons")));
        }
        let start = self.at;
        let field = self.word(&['(', ')', '=', '!', '<', '>', '~', '"']);
        let known = Field::of(field).ok_or_else(|| {
            let what = match field {
                "" => "a field is missing".to_owned(),
                _ => format!("'{field}' is no field"),
            };
            FilterError { at: start, what: format!("{what}; there are {FIELDS}") }
        })?;
        self.at += field.len();
        self.blanks();
        let operator_at = self.at;
        let operators = ["!=", "!~", "<=", ">=", "=", "<", ">", "~"];
        let operator = operators.into_iter().find(|operator| self.sign(operator));
        let taken = known.operators();
        let operator = operator.filter(|operator| taken.contains(operator)).ok_or_else(|| {
            let what = format!("'{field}' is compared by {}", taken.join(" "));
            FilterError { at: operator_at, what }
        })?;
        let value_at = self.at;
        let value = self.value()?;
        let (comparison, negated) =
            known.compare(operator, &value).map_err(|what| FilterError { at: value_at, what })?;
        let node = Node::Is(comparison);
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn value(&mut self) -> Result<String, FilterError> {
        if !self.rest().starts_with('"') {
            let word = self.word(&['(', ')', '"']);
            if word.is_empty() {
                return Err(self.wrong("a value is missing"));
            }
            self.at += word.len();
            self.blanks();
            return Ok(word.to_owned());
        }
        let (mut value, mut escaped) = (String::new(), false);
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    self.at += at + 1;
                    self.blanks();
                    return Ok(value);
                }
                _ => {
                    escaped = false;
                    value.push(c);
                }
            }
        }
        Err(self.wrong("a text is not closed"))
    }
}

fn one_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            many(nodes)
        }
    }
}

#[derive(Clone, Copy)]
enum Field {
    Number(NumberField),
    Text(TextField),
    Protocol,
    Cache,
    End,
    Peer,
}

impl Field {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "status" => Self::Number(NumberField::Status),
            "bytes" => Self::Number(NumberField::Bytes),
            "duration_us" => Self::Number(NumberField::DurationUs),
            "method" => Self::Text(TextField::Method),
            "host" => Self::Text(TextField::Host),
            "path" => Self::Text(TextField::Path),
            "query" => Self::Text(TextField::Query),
            "route" => Self::Text(TextField::Route),
            "user_agent" => Self::Text(TextField::UserAgent),
            "protocol" => Self::Protocol,
            "cache" => Self::Cache,
            "end" => Self::End,
            "peer" => Self::Peer,
            _ => return None,
        })
    }

    fn operators(self) -> &'static [&'static str] {
        match self {
            Self::Number(_) => &["=", "!=", "<", "<=", ">", ">="],
            Self::Text(_) => &["=", "!=", "~", "!~"],
            _ => &["=", "!="],
        }
    }

    /// The comparison, and whether it is to be false.
    fn compare(self, operator: &str, value: &str) -> Result<(Comparison, bool), String> {
        let negated = operator.starts_with('!');
        let comparison = match self {
            Self::Number(field) => {
                let number = value.parse().map_err(|_| format!("'{value}' is no whole number"))?;
                let (order, negated) = match operator {
                    "<" => (Order::Less, false),
                    "<=" => (Order::Greater, true),
                    ">" => (Order::Greater, false),
                    ">=" => (Order::Less, true),
                    _ => (Order::Equal, negated),
                };
                return Ok((Comparison::Number(field, order, number), negated));
            }
            Self::Text(field) => {
                Comparison::Text(field, operator.ends_with('~'), value.as_bytes().into())
            }
            Self::Protocol => Comparison::Protocol(word(value, Protocol::ALL, Protocol::as_str)?),
            Self::Cache => Comparison::Cache(word(value, CacheResult::ALL, CacheResult::as_str)?),
            Self::End => {
                let all = [End::Complete, End::Failed, End::Aborted];
                Comparison::End(word(value, all, End::as_str)?)
            }
            Self::Peer => network(value)?,
        };
        Ok((comparison, negated))
    }
}

fn word<T: Copy, const N: usize>(
    value: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str,
) -> Result<T, String> {
    let names = || all.map(&name).join(", ");
    let found = all.into_iter().find(|one| name(*one) == value);
    found.ok_or_else(|| format!("'{value}' is none of {}", names()))
}

fn network(value: &str) -> Result<Comparison, String> {
    let (address, bits) = value.split_once('/').map_or((value, None), |(a, b)| (a, Some(b)));
    let wrong = || format!("'{value}' is neither an address nor a network such as 10.0.0.0/8");
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
    if bits > most { Err(wrong()) } else { Ok(Comparison::Peer(address, bits)) }
}

impl Filter {
    /// Whether a record is shown.
    pub(super) fn takes(&self, record: &Record<'_>) -> bool {
        self.0.as_ref().is_none_or(|node| node.takes(record))
    }
}

impl Node {
    fn takes(&self, record: &Record<'_>) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.takes(record)),
            Self::All(nodes) => nodes.iter().all(|node| node.takes(record)),
            Self::Not(node) => !node.takes(record),
            Self::Is(comparison) => comparison.takes(record),
        }
    }
}

impl Comparison {
    fn takes(&self, record: &Record<'_>) -> bool {
        let facts = record.facts;
        match self {
            Self::Number(field, order, number) => {
                let value = match field {
                    NumberField::Status => facts.status.into(),
                    NumberField::Bytes => facts.bytes,
                    NumberField::DurationUs => facts.duration_us,
                };
                match order {
                    Order::Equal => value == *number,
                    Order::Less => value < *number,
                    Order::Greater => value > *number,
                }
            }
            Self::Text(field, part, text) => {
                let value = match field {
                    TextField::Method => record.method,
                    TextField::Host => record.host,
                    TextField::Path => record.path,
                    TextField::Query => record.query,
                    TextField::Route => record.route,
                    TextField::UserAgent => record.user_agent,
                };
                if *part { contains(value.bytes, text) } else { value.bytes == &**text }
            }
            Self::Protocol(protocol) => facts.protocol == Some(*protocol),
            Self::Cache(result) => facts.cache == *result,
            Self::End(end) => facts.end == *end,
            Self::Peer(network, bits) => {
                facts.client.is_some_and(|client| is_within(client.ip(), *network, *bits))
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (address.to_canonical(), network) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let differ = one.to_bits() ^ other.to_bits();
            differ.checked_shr(32 - bits.min(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let differ = one.to_bits() ^ other.to_bits();
            differ.checked_shr(128 - bits.min(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use proptest::prelude::*;

    use super::super::address::Client;
    use super::super::record::tests::{WORDS, facts};
    use super::super::record::{Facts, Page, Words};
    use super::*;

    fn takes(filter: &str) -> bool {
        let client = Some(Client::At("192.0.2.7:4711".parse().unwrap()));
        let (host, user_agent) = (&b"video.example"[..], &b"a \"Smart\" TV"[..]);
        let words = Words { host, user_agent, route: b"films", ..WORDS };
        let mut page = Page::default();
        page.push(Facts { client, ..facts() }, words);
        filter.parse::<Filter>().unwrap().takes(&page.records().next().unwrap())
    }

    #[test]
    fn fields_are_compared() {
        for (filter, taken) in [
            ("", true),
            ("status = 206", true),
            ("status!=206", false),
            ("status<206", false),
            ("status <= 206", true),
            ("status > 205", true),
            ("status >= 207", false),
            ("bytes = 7 and duration_us = 12", true),
            ("path = /a", true),
            ("path ~ a", true),
            ("path !~ a", false),
            ("path = /", false),
            ("host ~ example", true),
            (r#"user_agent ~ "\"Smart\" TV""#, true),
            ("route = films", true),
            ("route = film or route !~ film", false),
            ("protocol = h3", true),
            ("cache = stale", true),
            ("cache != stale", false),
            ("end = failed", true),
            ("peer = 192.0.2.7", true),
            ("peer = 192.0.2.0/24", true),
            ("peer = 0.0.0.0/0", true),
            ("peer = ::/0", false),
            ("peer = 192.0.3.0/24", false),
            ("method=HEAD or status=206", true),
            ("method = HEAD or status = 206 and bytes = 0", false),
            ("(method = HEAD or status = 206) and bytes = 7", true),
            ("not (method = HEAD or method = GET)", false),
            ("not not status = 206", true),
        ] {
            assert_eq!(takes(filter), taken, "{filter}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (filter, said) in [
            (
                "stauts = 1",
                "at byte 0 of the filter: 'stauts' is no field; there are status, bytes",
            ),
            ("status = 1 and", "at byte 14 of the filter: a field is missing"),
            ("status ~ 1", "at byte 7 of the filter: 'status' is compared by = != < <= > >="),
            ("status", "at byte 6 of the filter: 'status' is compared by"),
            ("status = x", "at byte 9 of the filter: 'x' is no whole number"),
            ("status =", "at byte 8 of the filter: a value is missing"),
            ("cache = hti", "at byte 8 of the filter: 'hti' is none of hit, stale, revalidated"),
            ("peer = 10.0.0.0/33", "at byte 7 of the filter: '10.0.0.0/33' is neither"),
            ("path = \"a", "at byte 7 of the filter: a text is not closed"),
            ("(status = 1", "at byte 11 of the filter: a bracket is not closed"),
            ("status = 1 status = 2", "at byte 11 of the filter: what follows is neither"),
            ("status = 1)", "at byte 10 of the filter: what follows is neither"),
        ] {
            let error = filter.parse::<Filter>().unwrap_err().to_string();
            assert!(error.starts_with(said), "{filter}: {error}");
        }
    }

    /// Limit: what one filter may be.
    #[test]
    fn a_filter_is_bounded() {
        let many = |n: usize| vec!["status = 1"; n].join(" or ");
        assert!(many(MAX_COMPARISONS).parse::<Filter>().is_ok());
        assert!(many(MAX_COMPARISONS + 1).parse::<Filter>().is_err());
        let deep = |n: usize| format!("{}status = 1{}", "(".repeat(n), ")".repeat(n));
        assert!(deep(MAX_DEPTH).parse::<Filter>().is_ok());
        assert!(deep(MAX_DEPTH + 1).parse::<Filter>().is_err());
        assert!("(".repeat(MAX_FILTER).parse::<Filter>().is_err());
        assert!(" ".repeat(MAX_FILTER + 1).parse::<Filter>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ -~ä\\PC]{0,200}") {
            if let Err(error) = text.parse::<Filter>() {
                prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at));
            }
        }

        #[test]
        fn words_of_the_language_in_any_order(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("status"), Just("peer"), Just("path"), Just("="), Just("!="), Just("~"),
                    Just("<="), Just("1"), Just("::1/64"), Just("("), Just(")"), Just("and"),
                    Just("or"), Just("not"), Just("\"x\"")
                ],
                0..40,
            ),
        ) {
            let _ = words.join(" ").parse::<Filter>();
        }
    }
}
