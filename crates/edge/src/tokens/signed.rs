//! Tokens of our own: a path, an expiry, perhaps a client's address, signed by HMAC-SHA-256.
//!
//! ```text
//! hw1.KEY.EXPIRES.PATH.BOUND.MAC
//! ```
//!
//! | field | holds |
//! |---|---|
//! | `KEY` | the key's identifier, or nothing |
//! | `EXPIRES` | seconds since 1970-01-01T00:00:00Z, in decimal |
//! | `PATH` | the path, in base64url without padding (RFC 4648 §5); all below it where it ends in `/` |
//! | `BOUND` | `a` where the token is for one client's address, else nothing |
//! | `MAC` | HMAC-SHA-256, in base64url, of `headwater token 1`, a line feed, all that stands before the last dot, and where it is bound a line feed and the address: `4` and four bytes, or `6` and the first eight |
//!
//! The address itself is not in the token.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use headwater_net::Timestamp;

use super::asked::Asked;
use super::grant::{Grant, takes_in};
use super::key::{BadKey, Key, Material};
use super::refusal::Refusal;
use super::verifier::{Allowed, Verifier};
use super::{MAX_TOKEN, Refusal as Why};
use crate::rates::Holder;
use crate::table::Table;

/// What a token of this form begins with.
pub const BEGINS: &str = "hw1.";

const CONTEXT: &[u8] = b"headwater token 1\n";
const BOUND: &str = "a";

pub(super) fn sign(grant: &Grant, key: &Key) -> Result<String, BadKey> {
    let Material::Signed(secret) = &key.material else { return Err(BadKey::NoSigner) };
    let mut token = format!(
        "{BEGINS}{}.{}.{}.{}",
        key.id().unwrap_or_default(),
        grant.expires.as_secs(),
        BASE64.encode(&*grant.path),
        if grant.address.is_some() { BOUND } else { "" },
    );
    let mut mac = mac_of(secret, &token);
    if let Some(address) = grant.address {
        Bound::of(address).put_into(&mut mac);
    }
    let mac = mac.sign();
    token.push('.');
    BASE64.encode_string(mac.as_ref(), &mut token);
    if token.len() > MAX_TOKEN { Err(BadKey::Long) } else { Ok(token) }
}

fn mac_of(secret: &hmac::Key, before: &str) -> hmac::Context {
    let mut mac = hmac::Context::with_key(secret);
    mac.update(CONTEXT);
    mac.update(before.as_bytes());
    mac
}

/// What a token says whose signature is good.
#[derive(Clone, Debug)]
struct Signed {
    expires: Timestamp,
    path: Arc<str>,
    holder: Holder,
    /// Whose it is, where it is one client's.
    bound: Option<Bound>,
}

/// A client as tokens are bound to it: an address of IPv4, or a network of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Bound {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [network @ .., _, _, _, _, _, _, _, _] = address.octets();
                Self::V6(network)
            }
        }
    }

    fn put_into(&self, mac: &mut hmac::Context) {
        match self {
            Self::V4(address) => {
                mac.update(b"\n4");
                mac.update(address);
            }
            Self::V6(network) => {
                mac.update(b"\n6");
                mac.update(network);
            }
        }
    }
}

/// Tokens whose signatures were found good, so that a player's thousand requests cost one verification.
/// Which of them lie together nobody outside knows, and who makes tokens up puts none here.
#[derive(Default)]
pub(super) struct Seen(OnceLock<Table<(Box<str>, Signed)>>);

/// Tokens that are remembered, and the longest of them in bytes.
const SEEN: usize = 2048;
const LONGEST_SEEN: usize = 512;

/// What tokens say is nobody's business.
impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").finish_non_exhaustive()
    }
}

impl Seen {
    fn table(&self) -> &Table<(Box<str>, Signed)> {
        self.0.get_or_init(|| Table::new(SEEN))
    }

    fn get(&self, token: &str) -> Option<Signed> {
        let table = self.table();
        let same =
            |(one, signed): &mut (Box<str>, Signed)| (**one == *token).then(|| signed.clone());
        table.get(table.key(token), same).flatten()
    }

    fn put(&self, token: &str, signed: &Signed, now: Timestamp) {
        if token.len() > LONGEST_SEEN {
            return;
        }
        let table = self.table();
        let make = || (token.into(), signed.clone());
        // One whose key is another's stays out.
        table.with(table.key(token), now.as_millis(), make, drop, |_| ());
    }
}

/// What a token says, if one of our keys has signed it.
fn read(verifier: &Verifier, token: &str, asked: &Asked<'_>) -> Result<Signed, Refusal> {
    let (before, mac) = token.rsplit_once('.').ok_or(Why::Malformed)?;
    let mut fields = before.strip_prefix(BEGINS).ok_or(Why::Malformed)?.split('.');
    let mut next = || fields.next().ok_or(Why::Malformed);
    let (id, expires, path, bound) = (next()?, next()?, next()?, next()?);
    let is_bound = match bound {
        "" => false,
        BOUND => true,
        _ => return Err(Why::Malformed),
    };
    if fields.next().is_some() {
        return Err(Why::Malformed);
    }
    let id = Some(id).filter(|id| !id.is_empty());
    let secret = verifier.keys().find_map(|key| match &key.material {
        Material::Signed(secret) if key.id() == id => Some(secret),
        _ => None,
    });
    let secret = secret.ok_or(Why::UnknownKey)?;
    let given = BASE64.decode(mac).map_err(|_| Why::Malformed)?;
    let mut mac = mac_of(secret, before);
    let mut whose = None;
    if is_bound {
        let bound = Bound::of(asked.address.ok_or(Why::Signature)?);
        bound.put_into(&mut mac);
        whose = Some(bound);
    }
    let mac = mac.sign();
    aws_lc_rs::constant_time::verify_slices_are_equal(mac.as_ref(), &given)
        .map_err(|_| Why::Signature)?;

    // From here on the token is one that we signed.
    let expires = expires.parse().map(Timestamp::from_secs).map_err(|_| Why::Malformed)?;
    let path = BASE64.decode(path).ok().and_then(|path| String::from_utf8(path).ok());
    let path = path.ok_or(Why::Malformed)?.into();
    let holder = mac.as_ref().first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default();
    Ok(Signed { expires, path, holder: Holder(holder), bound: whose })
}

/// Verifies a token that begins with [`BEGINS`], for a path that an origin might read as `divided`.
pub(super) fn verify(
    verifier: &Verifier,
    token: &str,
    asked: &Asked<'_>,
    divided: Option<&str>,
) -> Result<Allowed, Refusal> {
    // One that is for another client is looked at as if it were new.
    let is_theirs = |signed: &Signed| {
        signed.bound.is_none_or(|bound| asked.address.map(Bound::of) == Some(bound))
    };
    let signed = if let Some(signed) = verifier.seen().get(token).filter(is_theirs) {
        signed
    } else {
        let signed = read(verifier, token, asked)?;
        verifier.seen().put(token, &signed, asked.now);
        signed
    };
    let Signed { expires, path, holder, .. } = signed;
    verifier.check_expiry(expires, asked.now)?;
    if !takes_in(&path, asked.path, divided) {
        return Err(Why::Path);
    }
    Ok(Allowed {
        expires: Some(expires),
        path: Some(path),
        holder,
        once: None,
        shared: None,
        chance: None,
        renewed: None,
        instead_of_replay: None,
        instead_of_chance: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn key(id: &str, secret: &[u8]) -> Key {
        Key::signing(id, secret).unwrap()
    }

    fn asked(path: &str, secs: u64) -> Asked<'_> {
        let address = Some("192.0.2.7".parse().unwrap());
        Asked { address, ..Asked::get(path, Timestamp::from_secs(secs)) }
    }

    fn verify(verifier: &Verifier, token: &str, asked: &Asked<'_>) -> Result<Allowed, Refusal> {
        verifier.verify(token, asked).map_err(|refused| refused.why)
    }

    fn grant(path: &str) -> Grant {
        Grant::below(path, Timestamp::from_secs(1_000)).unwrap()
    }

    /// The form is a promise to whoever signs elsewhere; the same was computed with Python's hmac.
    #[test]
    fn the_form_is_what_it_was() {
        let token = grant("/films/7/").sign(&key("k1", SECRET)).unwrap();
        assert_eq!(token, "hw1.k1.1000.L2ZpbG1zLzcv..2a1tHrGxYrfVrT69_MUqCAFLnnhIlOqcJNrn0K9wrnc");
        let bound = grant("/films/7/").only_for("192.0.2.7".parse().unwrap());
        let token = bound.sign(&key("", SECRET)).unwrap();
        assert_eq!(token, "hw1..1000.L2ZpbG1zLzcv.a.rg3TY8VoIPawIxUURTGxYwJm7RO4RD04bcLuCtyVLBQ");
    }

    #[test]
    fn a_token_lets_in_what_is_below_its_path_until_it_expires() {
        let key = key("k1", SECRET);
        let token = grant("/films/7/").sign(&key).unwrap();
        let one = grant("/films/7/a.mp4").sign(&key).unwrap();
        let verifier = Verifier::new([key]).unwrap().leeway(Duration::from_secs(5));
        let ask = |token: &str, path, secs| {
            verify(&verifier, token, &asked(path, secs)).map(|allowed| allowed.expires)
        };
        let until = Ok(Some(Timestamp::from_secs(1_000)));
        assert_eq!(ask(&token, "/films/7/a/b.m4s", 0), until);
        assert_eq!(ask(&token, "/films/7/", 1_004), until, "clocks may differ by the leeway");
        assert_eq!(ask(&token, "/films/7/", 1_005), Err(Why::Expired));
        for path in ["/films/7", "/films/70/a", "/films/8/", "/"] {
            assert_eq!(ask(&token, path, 0), Err(Why::Path), "{path}");
        }
        assert_eq!(ask(&one, "/films/7/a.mp4", 0), until);
        assert_eq!(ask(&one, "/films/7/a.mp4/b", 0), Err(Why::Path));
    }

    #[test]
    fn what_was_verified_is_remembered_and_what_was_not_is_not() {
        let token = grant("/films/7/").sign(&key("k1", SECRET)).unwrap();
        let verifier = Verifier::new([key("k1", SECRET)]).unwrap();
        for _ in 0..2 {
            assert!(verify(&verifier, &token, &asked("/films/7/a", 0)).is_ok());
        }
        assert!(verifier.seen().get(&token).is_some());
        let end = if token.ends_with('A') { 'B' } else { 'A' };
        let made_up = format!("{}{end}", &token[..token.len() - 1]);
        assert!(verify(&verifier, &made_up, &asked("/films/7/a", 0)).is_err());
        assert!(verifier.seen().get(&made_up).is_none());
        let other = Verifier::new([key("k1", b"another secret of thirty-two bytes")]).unwrap();
        assert_eq!(verify(&other, &token, &asked("/films/7/a", 0)), Err(Why::Signature));
    }

    #[test]
    fn a_bound_token_holds_for_its_address_alone() {
        let key = key("", SECRET);
        let sign =
            |address: &str| grant("/").only_for(address.parse().unwrap()).sign(&key).unwrap();
        let verifier = Verifier::new([key.clone()]).unwrap();
        let ask = |token: &str, address: Option<&str>| {
            let address = address.map(|address| address.parse().unwrap());
            let asked = Asked { address, ..asked("/a", 0) };
            verify(&verifier, token, &asked).map(drop)
        };
        let four = sign("192.0.2.7");
        assert_eq!(ask(&four, Some("192.0.2.7")), Ok(()));
        assert_eq!(ask(&four, Some("::ffff:192.0.2.7")), Ok(()));
        assert_eq!(ask(&four, Some("192.0.2.8")), Err(Why::Signature));
        assert_eq!(ask(&four, None), Err(Why::Signature));
        let six = sign("2001:db8::1:2:3:4");
        assert_eq!(ask(&six, Some("2001:db8::9:8:7:6")), Ok(()), "the same network of 64 bits");
        assert_eq!(ask(&six, Some("2001:db8:0:1::1")), Err(Why::Signature));
        let unbound = six.replace(".a.", "..");
        assert_eq!(ask(&unbound, Some("2001:db8::1")), Err(Why::Signature));
    }

    #[test]
    fn keys_rotate_by_their_identifiers() {
        let (old, new) = (key("old", SECRET), key("new", b"another secret that is long enough!"));
        let tokens = [&old, &new].map(|key| grant("/").sign(key).unwrap());
        let both = Verifier::new([new.clone(), old]).unwrap();
        for token in &tokens {
            assert!(verify(&both, token, &asked("/", 0)).is_ok());
        }
        let later = Verifier::new([new]).unwrap();
        assert_eq!(verify(&later, &tokens[0], &asked("/", 0)).unwrap_err(), Why::UnknownKey);
        assert!(verify(&later, &tokens[1], &asked("/", 0)).is_ok());
        let renamed = tokens[0].replace(".old.", ".new.");
        assert_eq!(verify(&later, &renamed, &asked("/", 0)).unwrap_err(), Why::Signature);
    }

    #[test]
    fn what_is_no_token_is_refused_by_name() {
        let verifier = Verifier::new([key("", SECRET)]).unwrap();
        let good = grant("/").sign(&key("", SECRET)).unwrap();
        let long = format!("hw1.{}", "a".repeat(MAX_TOKEN));
        for (token, why) in [
            ("", Why::Malformed),
            ("hw1", Why::Malformed),
            ("hw1.", Why::Malformed),
            ("hw1....", Why::Malformed),
            ("hw1.....=", Why::Malformed),
            ("hw2.....AAAA", Why::Malformed),
            ("hw1......AAAA", Why::Malformed),
            ("hw1....b.AAAA", Why::Malformed),
            ("hw1.....AAAA", Why::Signature),
            ("hw1.x....AAAA", Why::UnknownKey),
            (&long, Why::TooLong),
            (&format!("{good}="), Why::Malformed),
            (&format!("{good}A"), Why::Signature),
        ] {
            let refused = verifier.verify(token, &asked("/", 0)).map(drop);
            assert_eq!(refused, Err(why.into()), "{token}");
        }
    }

    proptest! {
        /// No byte of a token can be changed.
        #[test]
        fn a_changed_token_is_refused(at in 0usize..60, to in "[ -~]") {
            let key = key("k1", SECRET);
            let token = grant("/films/7/").sign(&key).unwrap();
            let verifier = Verifier::new([key]).unwrap();
            let mut changed = token.clone();
            let at = at % token.len();
            changed.replace_range(at..=at, &to);
            let let_in = verifier.verify(&changed, &asked("/films/7/x", 0)).is_ok();
            prop_assert_eq!(let_in, changed == token);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(token in "(hw1)?[.a-zA-Z0-9_\\-=é]{0,80}") {
            let verifier = Verifier::new([key("", SECRET)]).unwrap();
            prop_assert!(verifier.verify(&token, &asked("/", 0)).is_err());
        }
    }
}
