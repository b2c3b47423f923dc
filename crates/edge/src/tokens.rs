//! Who may have what: tokens that are verified before the cache is asked.
//!
//! A [`TokenLayer`] takes the token off a request, verifies it and lets the request on without it:
//! no key, no upstream and no log sees it, so that viewers with different tokens share what is
//! cached. It works around any service over `http` types. [`Verifier`] is what it knows, without
//! any I/O: keys, rules, a time and a request in; claims or a [`Refusal`] out.
//!
//! ```
//! use headwater_edge::tokens::{Grant, Key, Verifier};
//! use headwater_net::Timestamp;
//!
//! let key = Key::signing("2026-11", b"a secret of thirty-two bytes, or more")?;
//! let token = Grant::below("/films/7/", Timestamp::from_secs(2_000_000_000))?.sign(&key)?;
//! assert!(token.starts_with("hw1.2026-11.2000000000."));
//! let verifier = Verifier::new([key])?;
//! # let _ = verifier;
//! # Ok::<(), headwater_edge::tokens::BadKey>(())
//! ```
//!
//! | form | signed by | where it comes from |
//! |---|---|---|
//! | [signed]: ours, a path and an expiry | HMAC-SHA-256 | path, query, `Authorization: Bearer`, cookie |
//! | [JSON Web Token](jwt) | EdDSA, ES256, HS256 | the same |
//! | [Common Access Token](cat) (CTA-5007) | ES256, PS256, HS256 | the same, and where CTA-5007 puts it |
//!
//! A token is read where it is first found: in the path (`/t/TOKEN/…`, where the layer is told to),
//! the query, the header, the cookie. Of several, the others are taken off unread; but where the first has
//! expired, the next that is another counts in its place, and no third: one made anew ([cat]) may stand in a
//! cookie beside a URL that has the old one.
//!
//! What holds: the algorithm is the key's, whatever a token says of it. Signatures are compared in
//! constant time. No decision is kept: a token that has expired is refused by the next request. What is
//! remembered, of some thousand tokens of each verifier, is that a signature was good.
//! A refusal says why in a sentence that is ours, and never repeats a piece of the token.

mod asked;
pub mod cat;
mod claims;
mod grant;
pub mod jwt;
mod key;
mod known;
mod layer;
mod places;
mod refusal;
mod replays;
pub mod signed;
mod verifier;

pub use asked::Asked;
pub use grant::Grant;
pub use key::{BadKey, Key};
pub use layer::{TakePaths, TokenLayer, TokenRules, Tokens, TokensHere};
pub use places::{Place, Places};
pub use refusal::Refusal;
pub use replays::{MAX_REPLAYS, MAX_SHARED};
pub use verifier::{Allowed, Refused, Verifier};

/// The longest token that is read, in bytes; a longer one is refused.
pub const MAX_TOKEN: usize = 4096;

/// The most keys of one verifier.
pub const MAX_KEYS: usize = 32;

/// The longest identifier of a key, in bytes.
pub const MAX_KEY_ID: usize = 64;
