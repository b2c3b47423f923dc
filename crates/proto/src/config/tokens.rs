//! `[site.tokens]`: which tokens let a request in. docs/access.md tells of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::quantity::Time;
use super::text::List;

/// Tokens that a site's requests need, but those of its public routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Tokens {
    /// What a path with a token in it begins with, such as `/t/`: what a manifest there names by relative
    /// URLs keeps the token. Default none. Bound: it begins and ends with `/`. Danger: origins have no
    /// paths of their own below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The query's parameter that holds a token; `CAT` does, too. Default `token`. Bound: not empty.
    /// Danger: none.
    pub parameter: String,
    /// The cookie that holds one; `CTA-Common-Access-Token` does, too. Default `headwater-token`. Bound:
    /// a name of letters, digits, `_` and `-`. Danger: none.
    pub cookie: String,
    /// Whether who comes with a token in the query is given it as that cookie. Default false. Bound: none.
    /// Danger: who has the browser has the token.
    pub give_cookie: bool,
    /// Issuers that are believed, of JSON Web Tokens and Common Access Tokens. Default none:
    /// whoever it is. Bound: none. Danger: without, whoever has a key is believed as anybody.
    pub issuers: List<String>,
    /// Who this site is: tokens for an audience are for one of these. Default none: such tokens are
    /// refused. Bound: none. Danger: none.
    pub audiences: List<String>,
    /// How much longer and earlier than it says a token is good, since clocks differ. Default 5 s. Bound:
    /// at most 5 min. Danger: who was let in stays in for so long.
    pub leeway: Time,
    /// Whether tokens without an end are taken. Default false. Bound: none. Danger: they are good until
    /// their key is taken away.
    pub endless: bool,
    /// Keys that sign tokens: at most 32 of a site.
    #[serde(rename = "key", skip_serializing_if = "Vec::is_empty")]
    #[serde(deserialize_with = "super::bounded::keys")]
    pub keys: Vec<TokenKey>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            path: None,
            parameter: "token".to_owned(),
            cookie: "headwater-token".to_owned(),
            give_cookie: false,
            issuers: List::default(),
            audiences: List::default(),
            leeway: Time::secs(5),
            endless: false,
            keys: Vec::new(),
        }
    }
}

/// A key. Files and variables are read anew at SIGHUP: so keys rotate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenKey {
    /// What tokens call it. Default none: it is for tokens that name no key. Bound: at most 64 letters,
    /// digits, `_` and `-`; one key of a form for each. Danger: none.
    pub id: String,
    /// The form of tokens it signs: `signed`, as `headwater sign` makes them, `jwt` or `cat`. Default
    /// `signed`. Bound: `signed`, `jwt` or `cat`. Danger: none.
    pub form: TokenForm,
    /// The file of a secret of at least 32 bytes. Default none. Bound: one of this, `secret_env` and
    /// `public_key`. Danger: who can read it can let anybody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The environment variable of such a secret. Default none. Bound: as for `secret_file`. Danger: who
    /// may read the process's environment can let anybody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// The file of a public key in PEM: P-256 or Ed25519 for `jwt`, P-256 or RSA for `cat`. Default none.
    /// Bound: as for `secret_file`; not for `signed`. Danger: who can write to it can let anybody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PathBuf>,
}

/// A form of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TokenForm {
    /// Headwater's own.
    #[default]
    Signed,
    /// JSON Web Tokens.
    Jwt,
    /// Common Access Tokens.
    Cat,
}
