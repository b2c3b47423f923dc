//! Tokens: each key has one source, and there is one.

use super::Found;
use crate::config::bounded::KEYS;
use crate::config::quantity::Time;
use crate::config::site::Site;
use crate::config::tokens::{TokenForm, Tokens};
use crate::config::tree::Step;

pub(super) fn check(found: &mut Found, site: &Site, number: usize) {
    let of_site = |key: &str| -> Vec<Step> { vec!["site".into(), number.into(), key.into()] };
    let Some(tokens) = &site.tokens else { return };
    let at = |key: &str| {
        let mut at = of_site("tokens");
        at.push(key.into());
        at
    };
    if tokens.keys.is_empty() {
        found.section(&of_site("tokens"), "[site.tokens] needs a [[site.tokens.key]]");
    }
    found.bounded(&at("key"), &tokens.keys, KEYS);
    if tokens.path.as_ref().is_some_and(|path| !path.starts_with('/') || !path.ends_with('/')) {
        found.add(&at("path"), "it begins and ends with '/', such as '/t/'");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if tokens.parameter.is_empty() || tokens.parameter.contains(['&', '=', '?', '#']) {
        found.add(&at("parameter"), "it is no query parameter's name");
    }
    if tokens.cookie.is_empty() || !tokens.cookie.bytes().all(plain) {
        found.add(&at("cookie"), "it is letters, digits, '_' and '-'");
    }
    found.within(&at("leeway"), tokens.leeway, Time::default(), Time::secs(300));
    keys(found, tokens, &at("key"));
}

fn keys(found: &mut Found, tokens: &Tokens, at: &[Step]) {
    for (number, key) in tokens.keys.iter().enumerate() {
        let mut of_key = at.to_vec();
        of_key.push(number.into());
        let sources =
            [key.secret_file.is_some(), key.secret_env.is_some(), key.public_key.is_some()];
        if sources.iter().filter(|given| **given).count() != 1 {
            let says = "[[site.tokens.key]] has one of secret_file, secret_env and public_key";
            found.section(&of_key, says);
        }
        let mut before = tokens.keys.iter().take(number);
        if before.any(|one| one.form == key.form && one.id == key.id) {
            let says =
                "[[site.tokens.key]]: another key of this form has the same id, or none, too";
            found.section(&of_key, says);
        }
        if key.form == TokenForm::Signed && key.public_key.is_some() {
            of_key.push("public_key".into());
            found.add(&of_key, "tokens of the form 'signed' have a secret");
        }
    }
}
