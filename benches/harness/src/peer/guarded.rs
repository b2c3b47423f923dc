//! nginx with what it has of the layers that [ours](super::layered()) has on, as its manual says: a token that
//! expires (`secure_link`), limits of requests by address and by token (`limit_req`), of connections by
//! address (`limit_conn`, ours counts them at the listener), of bytes (`limit_rate`), addresses (`deny`),
//! countries (`geo`, `map`), referrers (`valid_referers`), CORS and fields of security (`map`, `add_header`).
//!
//! Each where it costs nginx less: the token is in the query, where no pattern looks for it, holds for a
//! constant and not for the path that is asked for, and is an MD5 and no HMAC; countries come from a table
//! and no database; a limit of bytes is each request's own. Patterns are compiled (`pcre_jit`). Sessions,
//! CMCD, CMSD, shedding and steering it has not.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use headwater_net::Clock;

use super::layered::{CMCD, PAGE};
use super::nginx::{More, cache};
use super::{Server, Setting};
use crate::load::{Player, Result};

/// What signs its tokens.
const SECRET: &str = "a secret of links that is long enough";

/// How long a token holds.
const VALID: Duration = Duration::from_secs(24 * 3600);

/// Starts nginx with one worker.
///
/// # Errors
/// When it does not start, or no token can be made; the message holds the last words.
pub fn guarded(binary: &Path, setting: &Setting) -> Result<Server> {
    let dir = setting.dir.join("guarded");
    std::fs::create_dir_all(&dir)?;
    let setting = Setting {
        dir,
        certificate: setting.certificate.clone(),
        key: setting.key.clone(),
        ..*setting
    };
    let expires = Clock::system().now().plus(VALID).as_secs();
    let token = digest(&format!("{expires}/media/ {SECRET}"))?;
    let after = format!("{CMCD}&expires={expires}&md5={token}");
    let location = guards();
    let more = More { main: "pcre_jit on;\n", http: rules("$arg_md5"), location };
    let mut server = cache(binary, &setting, &more)?.called("nginx, layered");
    server.player = Player { before: String::new(), after, page: Some(PAGE), token };
    Ok(server)
}

/// The MD5 of a text in base64url, as the manual of `secure_link_md5` makes it.
fn digest(text: &str) -> Result<String> {
    const MAKE: &str =
        "printf %s \"$1\" | openssl md5 -binary | openssl base64 | tr +/ -_ | tr -d '=\\n'";
    let mut sh = Command::new("sh");
    let made = sh.args(["-c", MAKE, "sh", text]).stdin(Stdio::null()).output()?;
    let digest = String::from_utf8(made.stdout)?;
    if digest.len() == 22 { Ok(digest) } else { Err("openssl makes no MD5 for nginx".into()) }
}

/// What its tables and limits are: those of ours, with a limit for each value of `holder`.
pub(super) fn rules(holder: &str) -> String {
    r#"    geo $country {
        default "";
        127.0.0.0/8 DE;
        192.0.2.0/24 FR;
        2001:db8::/32 JP;
    }
    map $country $served {
        default 1;
        FR 0;
        JP 0;
    }
    map $http_origin $page {
        default "";
        "~^https://[a-z0-9][a-z0-9._-]*\.video\.example$" $http_origin;
    }
    map $scheme $sts {
        default "";
        https "max-age=31536000";
    }
    limit_req_zone $binary_remote_addr zone=address:10m rate=1000000r/s;
    limit_req_zone $holder zone=token:10m rate=1000000r/s;
    limit_conn_zone $binary_remote_addr zone=connections:10m;
"#
    .replace("$holder", holder)
}

/// What stands before the cache, and what answers say.
fn guards() -> String {
    let rest = behind_the_token();
    format!(
        r#"            secure_link $arg_md5,$arg_expires;
            secure_link_md5 "$secure_link_expires/media/ {SECRET}";
            if ($secure_link = "") {{ return 403; }}
            if ($secure_link = "0") {{ return 403; }}
            proxy_cache_key $uri;
{rest}"#
    )
}

/// What is asked of everyone, token or not, and what answers say.
pub(super) const fn behind_the_token() -> &'static str {
    r"            if ($served = 0) { return 403; }
            valid_referers none *.video.example;
            if ($invalid_referer) { return 403; }
            deny 192.0.2.0/24;
            deny 198.51.100.0/24;
            deny 2001:db8::/32;
            limit_req zone=address burst=1000000 nodelay;
            limit_req zone=token burst=1000000 nodelay;
            limit_conn connections 60000;
            limit_rate 1048576m;
            add_header Access-Control-Allow-Origin $page;
            add_header Access-Control-Expose-Headers cmsd-dynamic;
            add_header Vary Origin;
            add_header Strict-Transport-Security $sts;
            add_header X-Frame-Options SAMEORIGIN;
            add_header Cross-Origin-Resource-Policy cross-origin;
"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of its manual.
    #[test]
    fn a_token_is_what_the_manual_of_nginx_makes() {
        let made = digest("2147483647/s/link127.0.0.1 secret").unwrap();
        assert_eq!(made, "_e4Nc3iduzkWRm01TBBNYw");
    }
}
