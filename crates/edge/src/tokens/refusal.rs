//! Why a token does not let a request in, and what is answered (RFC 6750 §3, RFC 9457).

use headwater_net::{Body, Problem};
use http::{HeaderValue, Response, StatusCode, header};

/// Why a request was not let in. Displayed, it is a sentence for strangers: nothing of the token is
/// in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no token.
    #[error("a token is needed here")]
    Missing,
    /// It is no token of a form that is verified here.
    #[error("the token cannot be read")]
    Malformed,
    /// It is longer than [`MAX_TOKEN`](super::MAX_TOKEN).
    #[error("the token is too long")]
    TooLong,
    /// No key of its form has the identifier that it names, or is there for tokens that name none.
    #[error("the token is signed by a key that is not known here")]
    UnknownKey,
    /// The signature is not its key's; or the token is bound to an address, and not to this one.
    #[error("the token's signature does not hold for this client")]
    Signature,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It will be good.
    #[error("the token is not valid yet")]
    NotYet,
    /// It has no end, and those are not taken here.
    #[error("the token has no end")]
    Endless,
    /// It is signed by somebody who is not believed here.
    #[error("the token's issuer is not believed here")]
    Issuer,
    /// It is for others.
    #[error("the token is for another audience")]
    Audience,
    /// It makes a condition that is not known here, or in a way that is not.
    #[error("the token makes a condition that is not known here")]
    Unknown,
    /// Renewed, it would stand in a cookie or a field that is not looked at here (`catr` of a Common Access
    /// Token).
    #[error("the token is to be renewed into a cookie or a field that is not read here")]
    Renewal,
    /// It is for other methods.
    #[error("the token is not for this method")]
    Method,
    /// It is for other protocols.
    #[error("the token is not for this protocol")]
    Protocol,
    /// It asks for other fields of the request.
    #[error("the token asks for other header fields")]
    Header,
    /// It is for other countries, or nobody knows which this one is.
    #[error("the token is not for this country")]
    Country,
    /// It is for other networks.
    #[error("the token is not for this network")]
    Network,
    /// It is refused by chance, as it says itself.
    #[error("the token was refused by chance, as it says")]
    Chance,
    /// It was for one request, and there was one.
    #[error("the token was for one request")]
    Replayed,
    /// It has come from more networks than one holder has.
    #[error("the token is used by too many")]
    Shared,
    /// Nobody can tell whether it has been used: too many are remembered.
    #[error("too many tokens are in use that are remembered")]
    Crowded,
    /// It is for one request, and this one may be a replay (RFC 8470).
    #[error("a token for one request is not taken in early data")]
    Early,
    /// It is for other paths.
    #[error("the token is for something else")]
    Path,
    /// The path cannot be judged: it means something else to one reader than to another.
    #[error("the path is ambiguous")]
    Ambiguous,
}

impl Refusal {
    /// 401 where another token would help, 403 where this one is good, but not for this request.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Missing
            | Self::Malformed
            | Self::TooLong
            | Self::UnknownKey
            | Self::Signature
            | Self::Expired
            | Self::NotYet
            | Self::Endless
            | Self::Issuer
            | Self::Audience
            | Self::Unknown
            | Self::Renewal
            | Self::Replayed
            | Self::Shared => StatusCode::UNAUTHORIZED,
            Self::Path
            | Self::Method
            | Self::Protocol
            | Self::Header
            | Self::Country
            | Self::Network
            | Self::Chance => StatusCode::FORBIDDEN,
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::Early => StatusCode::TOO_EARLY,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The challenge that goes with a 401 (RFC 6750 §3): without an error where there was no token.
    const fn challenge(self) -> Option<HeaderValue> {
        match self {
            Self::Missing => Some(HeaderValue::from_static("Bearer")),
            _ if self.status().as_u16() == 401 => {
                Some(HeaderValue::from_static("Bearer error=\"invalid_token\""))
            }
            _ => None,
        }
    }

    /// The answer: a problem document that no cache keeps.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Problem::new(self.status()).detail(self.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
