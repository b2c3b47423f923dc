//! The claims that are Common Access Tokens' own, held against a request.

use coset::cbor::value::Value;
use headwater_net::{Protocol, Timestamp};
use http::{HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;

use super::super::asked::Asked;
use super::super::places::Places;
use super::super::refusal::Refusal;
use super::matching::Match;
use super::renewal::{Renewal, Renewed};
use super::{Signer, field, integer, nets, text, texts, time};
use crate::Subdivision;

/// The most entries of a claim that is a list or a map.
const MAX_ENTRIES: usize = 64;

/// What a token asks of a request.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Rules {
    uri: Vec<(Part, Vec<Match>)>,
    methods: Option<Vec<String>>,
    protocols: Option<Vec<Vec<u8>>>,
    headers: Vec<(HeaderName, Vec<Match>)>,
    countries: Option<Vec<String>>,
    networks: Option<Vec<IpNet>>,
    chance: Option<(f64, Option<Timestamp>)>,
    replay: Replay,
    instead: Vec<(i64, Instead)>,
    renewal: Option<Renewal>,
    /// The claims as they were written and what signs them, where they may be signed anew.
    anew: Option<(Signer, Vec<(Value, Value)>)>,
}

/// How often a token may be used (`catreplay`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Replay {
    #[default]
    Permitted,
    /// For one request.
    Prohibited,
    /// By one holder.
    Detected,
}

/// What is answered where a claim refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Instead {
    pub(in super::super) status: StatusCode,
    pub(in super::super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// A part of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Scheme,
    Host,
    Port,
    Path,
    Query,
    ParentPath,
    FileName,
    Stem,
    Extension,
}

const PARTS: [Part; 9] = [
    Part::Scheme,
    Part::Host,
    Part::Port,
    Part::Path,
    Part::Query,
    Part::ParentPath,
    Part::FileName,
    Part::Stem,
    Part::Extension,
];

impl Rules {
    /// Reads one claim.
    pub(super) fn read(&mut self, label: i64, value: &Value) -> Result<(), Refusal> {
        few(value)?;
        match label {
            308 => {
                self.replay = match integer(value) {
                    Some(0) => Replay::Permitted,
                    Some(1) => Replay::Prohibited,
                    Some(2) => Replay::Detected,
                    _ => return Err(Refusal::Unknown),
                }
            }
            309 => self.chance = Some(chance(value)?),
            310 if integer(value) == Some(1) => {}
            311 => self.networks = Some(nets::read(value)?),
            312 => self.uri = uri(value)?,
            313 => self.methods = Some(list(value, |one| text(one).map(str::to_owned))?),
            314 => {
                let bytes = |one: &Value| one.as_bytes().cloned().ok_or(Refusal::Malformed);
                self.protocols = Some(list(value, bytes)?);
            }
            315 => {
                let map = value.as_map().ok_or(Refusal::Malformed)?;
                for (name, matches) in map {
                    let name = text(name)?.parse().map_err(|_| Refusal::Malformed)?;
                    self.headers.push((name, Match::read(matches)?));
                }
            }
            316 => self.countries = Some(texts(value)?),
            322 => self.instead = instead(value)?,
            323 => self.renewal = Some(Renewal::read(value)?),
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    /// Keeps what is needed to sign the claims anew.
    pub(super) fn keep(&mut self, set: Vec<(Value, Value)>, signer: Option<Signer>) {
        if self.renewal.is_some() && self.replay != Replay::Prohibited {
            self.anew = signer.map(|signer| (signer, set));
        }
    }

    /// How often a token may be used.
    pub(in super::super) const fn replay(&self) -> Replay {
        self.replay
    }

    /// Whether they take much to keep.
    pub(in super::super) fn are_large(&self) -> bool {
        let of_uri = self.uri.iter().flat_map(|(_, matches)| matches);
        of_uri.chain(self.headers.iter().flat_map(|(_, matches)| matches)).any(Match::is_large)
    }

    /// How likely a request is refused by chance.
    pub(in super::super) fn chance(&self, now: Timestamp) -> Option<f64> {
        let (chance, until) = self.chance?;
        until.is_none_or(|until| now < until).then_some(chance)
    }

    /// What is answered where a claim refuses, if the token says so.
    pub(in super::super) fn instead_of(&self, label: i64) -> Option<Box<Instead>> {
        let found = self.instead.iter().find(|(one, _)| *one == label);
        found.map(|(_, instead)| Box::new(instead.clone()))
    }

    /// Whether the token, if it is made anew, would stand where these look for it.
    pub(in super::super) fn are_found_by(&self, places: &Places) -> bool {
        let renewal = self.renewal.as_ref().filter(|_| self.anew.is_some());
        renewal.is_none_or(|renewal| renewal.is_found_by(places))
    }

    /// The token made anew, where it is near its end and we have the secret that it was signed by.
    pub(in super::super) fn renewed(&self, expires: Timestamp, now: Timestamp) -> Option<Renewed> {
        let renewal = self.renewal.as_ref().filter(|renewal| renewal.is_due(expires, now))?;
        let (signer, set) = self.anew.as_ref()?;
        renewal.renew(signer, set, now)
    }

    /// The path that all it lets in begins with, for a cookie; `None` where it does not say.
    pub(in super::super) fn path(&self) -> Option<&str> {
        let (_, matches) = self.uri.iter().find(|(part, _)| *part == Part::Path)?;
        let prefix = matches.iter().find_map(Match::prefix)?;
        prefix.rfind('/').and_then(|end| prefix.get(..=end))
    }

    /// Holds them against a request whose path an origin might read as `divided`; a claim that refuses is
    /// named.
    pub(in super::super) fn judge(
        &self,
        asked: &Asked<'_>,
        divided: Option<&str>,
    ) -> Result<(), (i64, Refusal)> {
        let all = |matches: &[Match], of: &str| matches.iter().all(|one| one.holds(of));
        let is_here =
            |asked: &Asked<'_>| self.uri.iter().all(|(part, matches)| all(matches, part.of(asked)));
        if !is_here(asked) || !divided.is_none_or(|path| is_here(&Asked { path, ..*asked })) {
            return Err((312, Refusal::Path));
        }
        let method = asked.method.as_str();
        if self.methods.as_ref().is_some_and(|all| all.iter().all(|one| one != method)) {
            return Err((313, Refusal::Method));
        }
        let alpn: Option<&[u8]> = asked.protocol.map(|protocol| match protocol {
            Protocol::H1 => &b"http/1.1"[..],
            Protocol::H2 => b"h2",
            Protocol::H3 => b"h3",
        });
        let speaks = |all: &Vec<Vec<u8>>| all.iter().any(|one| Some(one.as_slice()) == alpn);
        if self.protocols.as_ref().is_some_and(|all| !speaks(all)) {
            return Err((314, Refusal::Protocol));
        }
        for (name, matches) in &self.headers {
            let mut lines = asked.headers.get_all(name).iter().peekable();
            let holds = |line: &HeaderValue| line.to_str().is_ok_and(|line| all(matches, line));
            if lines.peek().is_none() || !lines.all(holds) {
                return Err((315, Refusal::Header));
            }
        }
        let here = |wanted: &String| {
            let (country, part) = match wanted.split_once('-') {
                Some((country, part)) => (country, Some(part)),
                None => (wanted.as_str(), None),
            };
            asked.country.is_some_and(|known| known.as_str() == country)
                && (part.is_none() || part == asked.subdivision.as_ref().map(Subdivision::as_str))
        };
        if self.countries.as_ref().is_some_and(|all| !all.iter().any(here)) {
            return Err((316, Refusal::Country));
        }
        let inside = |network: &IpNet| asked.address.is_some_and(|one| network.contains(&one));
        if self.networks.as_ref().is_some_and(|all| !all.iter().any(inside)) {
            return Err((311, Refusal::Network));
        }
        Ok(())
    }
}

impl Part {
    fn of<'a>(self, asked: &Asked<'a>) -> &'a str {
        let (parent, name) = asked.path.rsplit_once('/').unwrap_or(("", asked.path));
        let dot = name.rfind('.').unwrap_or(name.len());
        let (stem, extension) = name.split_at_checked(dot).unwrap_or((name, ""));
        let (host, port) = match asked.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
            _ => (asked.host, ""),
        };
        match self {
            Self::Scheme if asked.is_tls => "https",
            Self::Scheme => "http",
            Self::Host => host,
            Self::Port if !port.is_empty() => port,
            Self::Port if asked.is_tls => "443",
            Self::Port => "80",
            Self::Path => asked.path,
            Self::Query => asked.query.unwrap_or_default(),
            Self::ParentPath => parent,
            Self::FileName => name,
            Self::Stem => stem,
            Self::Extension => extension,
        }
    }
}

fn few(value: &Value) -> Result<(), Refusal> {
    let len = match value {
        Value::Array(all) => all.len(),
        Value::Map(all) => all.len(),
        _ => 0,
    };
    if len > MAX_ENTRIES { Err(Refusal::Malformed) } else { Ok(()) }
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
    value.as_array().ok_or(Refusal::Malformed)?.iter().map(of).collect()
}

fn uri(value: &Value) -> Result<Vec<(Part, Vec<Match>)>, Refusal> {
    let map = value.as_map().ok_or(Refusal::Malformed)?;
    let part = |(part, matches): &(Value, Value)| {
        let part = integer(part).and_then(|part| usize::try_from(part).ok());
        let part = part.and_then(|part| PARTS.get(part)).ok_or(Refusal::Unknown)?;
        Ok((*part, Match::read(matches)?))
    };
    map.iter().map(part).collect()
}

fn chance(value: &Value) -> Result<(f64, Option<Timestamp>), Refusal> {
    let items = value.as_array().map(Vec::as_slice);
    let Some([likely, Value::Bytes(_), rest @ ..]) = items else {
        return Err(Refusal::Malformed);
    };
    let likely = match likely {
        Value::Float(likely) => *likely,
        Value::Integer(_) => {
            integer(likely).map(|likely| likely as f64).ok_or(Refusal::Malformed)?
        }
        _ => return Err(Refusal::Malformed),
    };
    let until = match rest {
        [] => None,
        [until] => Some(time(until)?),
        _ => return Err(Refusal::Malformed),
    };
    if (0.0..=1.0).contains(&likely) { Ok((likely, until)) } else { Err(Refusal::Malformed) }
}

/// `{ claim or [claims] => [status, { field: text }, ?key] }`. A field that is to hold a token made for
/// it is not known here.
fn instead(value: &Value) -> Result<Vec<(i64, Instead)>, Refusal> {
    let map = value.as_map().ok_or(Refusal::Malformed)?;
    let mut all = Vec::new();
    for (labels, value) in map {
        let items = value.as_array().map(Vec::as_slice);
        let Some([status, Value::Map(fields)] | [status, Value::Map(fields), _]) = items else {
            return Err(Refusal::Malformed);
        };
        let status = integer(status).and_then(|status| u16::try_from(status).ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.filter(|status| (300..600).contains(&status.as_u16()));
        let status = status.ok_or(Refusal::Malformed)?;
        let mut headers = Vec::new();
        for (name, value) in fields {
            let name = field(name)?;
            let value = value.as_text().ok_or(Refusal::Unknown)?;
            headers.push((name, value.parse().map_err(|_| Refusal::Malformed)?));
        }
        let labels = match labels {
            Value::Array(labels) => labels.iter().map(integer).collect(),
            one => vec![integer(one)],
        };
        for label in labels {
            let instead = Instead { status, headers: headers.clone() };
            all.push((label.ok_or(Refusal::Unknown)?, instead));
        }
    }
    if all.len() > MAX_ENTRIES { Err(Refusal::Malformed) } else { Ok(all) }
}
