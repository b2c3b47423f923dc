//! The tokens of a site, from its configuration and the files and variables that hold its keys.

use std::fmt::Display;
use std::sync::Arc;

use headwater::edge::tokens::{Key, Places, TokenRules, Verifier};
use headwater::proto::config::site::Site;
use headwater::proto::config::tokens::{TokenForm, TokenKey, Tokens};

use super::super::named::Named;
use super::super::{Error, secret};
use super::settings::read;

/// What a configuration says of tokens. Reads its keys.
pub(super) fn rules(config: &Tokens) -> Result<Arc<TokenRules>, Error> {
    let keys = config.keys.iter().map(key).collect::<Result<Vec<_>, _>>()?;
    let mut verifier = Verifier::new(keys)?.leeway(config.leeway.get()).endless(config.endless);
    if !config.issuers.is_empty() {
        verifier = verifier.issuers(config.issuers.iter().map(String::as_str));
    }
    if !config.audiences.is_empty() {
        verifier = verifier.audiences(config.audiences.iter().map(String::as_str));
    }
    let places = Places::default()
        .parameter(config.parameter.as_str())
        .cookie(config.cookie.as_str())
        .give_cookie(config.give_cookie);
    let places = match &config.path {
        Some(path) => places.path(path.as_str()),
        None => places,
    };
    Ok(Arc::new(TokenRules::new(verifier, places)))
}

fn key(config: &TokenKey) -> Result<Key, Error> {
    let made = if let Some(path) = &config.public_key {
        let pem = read(path)?;
        match config.form {
            TokenForm::Jwt => Key::jwt_public(&config.id, &pem),
            _ => Key::cat_public(&config.id, &pem),
        }
    } else {
        let secret = secret::read(config.secret_file.as_deref(), config.secret_env.as_deref())?;
        let secret = secret.unwrap_or_default();
        match config.form {
            TokenForm::Jwt => Key::jwt_secret(&config.id, &secret),
            TokenForm::Cat => Key::cat_secret(&config.id, &secret),
            _ => Key::signing(&config.id, &secret),
        }
    };
    Ok(made.map_err(|error| of_key(config, error))?)
}

/// Which file or variable is at fault for a key.
fn of_key(config: &TokenKey, error: impl Display) -> Named {
    let says = format!("it holds no key: {error}");
    match (&config.public_key, &config.secret_file, &config.secret_env) {
        (Some(path), _, _) => Named::file(path, says).under("public_key"),
        (None, Some(path), _) => Named::file(path, says).under("secret_file"),
        (None, None, name) => {
            Named::new(name.as_deref().unwrap_or_default(), says).under("secret_env")
        }
    }
}

/// Each fault of the keys of sites.
pub(super) fn look<'a>(sites: impl IntoIterator<Item = &'a Site>) -> Vec<Error> {
    let keys = sites.into_iter().filter_map(|site| site.tokens.as_ref()).flat_map(|one| &one.keys);
    keys.filter_map(|config| key(config).err()).collect()
}
