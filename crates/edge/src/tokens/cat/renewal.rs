//! Renewal (the claim `catr`): a token near its end is made anew, with the same claims and a later
//! end, and handed to its holder.

use coset::cbor::value::Value;
use headwater_net::Timestamp;
use http::{HeaderName, StatusCode};

use super::super::places::Places;
use super::super::refusal::Refusal;
use super::{Signer, field, integer, text, texts};

/// How long before its end a token is made anew where it does not say so, in seconds.
const DEADLINE: u64 = 60;

/// The most seconds of any length, 136 years: an end that far off is a number that is read again.
const LONGEST: u64 = 1 << 32;

/// How a new token is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Way {
    /// As it came: in a cookie, unless it came in a header.
    Automatic,
    Cookie,
    Header,
    /// In the place that it was asked for with, of a URL that the client is sent to.
    Redirect(StatusCode),
}

/// What the claim says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    way: Way,
    /// How many seconds from its making a new token lasts.
    lasts: u64,
    deadline: u64,
    cookie: Option<String>,
    header: Option<HeaderName>,
    cookie_attributes: Vec<String>,
}

impl Renewal {
    /// Reads the claim.
    pub(super) fn read(value: &Value) -> Result<Self, Refusal> {
        let map = value.as_map().ok_or(Refusal::Malformed)?;
        let (mut way, mut lasts, mut deadline) = (None, None, DEADLINE);
        let mut status = StatusCode::FOUND;
        let (mut cookie, mut header, mut cookie_attributes) = (None, None, Vec::new());
        let seconds = |value: &Value| {
            let seconds = integer(value).and_then(|seconds| u64::try_from(seconds).ok());
            seconds.map(|seconds| seconds.min(LONGEST)).ok_or(Refusal::Malformed)
        };
        for (label, value) in map {
            match integer(label) {
                Some(0) => {
                    way = Some(match integer(value) {
                        Some(0) => Way::Automatic,
                        Some(1) => Way::Cookie,
                        Some(2) => Way::Header,
                        Some(3) => Way::Redirect(status),
                        _ => return Err(Refusal::Unknown),
                    });
                }
                Some(1) => lasts = Some(seconds(value)?),
                Some(2) => deadline = seconds(value)?,
                Some(3) => cookie = Some(cookie_name(value)?),
                Some(4) => header = Some(field(value)?),
                Some(5) => cookie_attributes = attributes(value)?,
                Some(7) => status = redirect(value)?,
                _ => return Err(Refusal::Unknown),
            }
        }
        let (mut way, lasts) = way.zip(lasts).ok_or(Refusal::Malformed)?;
        if matches!(way, Way::Redirect(_)) {
            way = Way::Redirect(status);
            // A new token that is due again at once would be sent round for ever.
            if lasts <= deadline {
                return Err(Refusal::Malformed);
            }
        }
        Ok(Self { way, lasts, deadline, cookie, header, cookie_attributes })
    }

    /// Whether a new token would stand where these look for it.
    pub(super) fn is_found_by(&self, places: &Places) -> bool {
        let cookie = self.cookie.as_deref().is_none_or(|name| places.is_cookie(name));
        let header = self.header.as_ref().is_none_or(Places::is_field);
        match self.way {
            Way::Automatic => cookie && header,
            Way::Cookie => cookie,
            Way::Header => header,
            Way::Redirect(_) => true,
        }
    }

    /// Whether a token that ends at `expires` is to be made anew by now.
    pub(super) const fn is_due(&self, expires: Timestamp, now: Timestamp) -> bool {
        expires.as_secs().saturating_sub(self.deadline) <= now.as_secs()
    }

    /// The same claims with a later end, signed anew; `None` where they cannot be.
    pub(super) fn renew(
        &self,
        signer: &Signer,
        set: &[(Value, Value)],
        now: Timestamp,
    ) -> Option<Renewed> {
        let expires = now.as_secs().saturating_add(self.lasts);
        let mut set = set.to_vec();
        let end = set.iter_mut().find(|(label, _)| integer(label) == Some(4))?;
        end.1 = Value::Integer(expires.into());
        Some(Renewed {
            token: signer.sign(set)?,
            expires: Timestamp::from_secs(expires),
            way: self.way,
            cookie: self.cookie.clone(),
            header: self.header.clone(),
            cookie_attributes: self.cookie_attributes.clone(),
        })
    }
}

/// The status of a redirect (RFC 9110 §15.4) that leads elsewhere.
fn redirect(value: &Value) -> Result<StatusCode, Refusal> {
    let status = integer(value).and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
    status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or(Refusal::Malformed)
}

/// A cookie's name (RFC 6265 §4.1.1): a token (RFC 9110 §5.6.2).
fn cookie_name(value: &Value) -> Result<String, Refusal> {
    let name = text(value)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let holds = !name.is_empty() && name.bytes().all(is_token);
    if holds { Ok(name.to_owned()) } else { Err(Refusal::Malformed) }
}

/// A cookie's attributes, each for itself (RFC 6265 §4.1.1). Whether a `Path` or `Domain` among them takes in what
/// the token is for is their issuer's to know: `catu` may match by more than what a path begins with.
fn attributes(value: &Value) -> Result<Vec<String>, Refusal> {
    let all = texts(value)?;
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
    let hold = all.iter().all(|one| !one.is_empty() && one.bytes().all(plain));
    if hold { Ok(all) } else { Err(Refusal::Malformed) }
}

/// A token that was made anew. Debugged, it says how it is handed over alone.
#[derive(Clone, PartialEq, Eq)]
pub(in super::super) struct Renewed {
    pub(in super::super) token: String,
    pub(in super::super) expires: Timestamp,
    pub(in super::super) way: Way,
    pub(in super::super) cookie: Option<String>,
    pub(in super::super) header: Option<HeaderName>,
    pub(in super::super) cookie_attributes: Vec<String>,
}

impl std::fmt::Debug for Renewed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewed").field("way", &self.way).finish_non_exhaustive()
    }
}
