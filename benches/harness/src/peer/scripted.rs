//! nginx with the same work scripted in Lua, as an operator would who has no Headwater: Debian's, with its
//! module `libnginx-mod-http-lua` (LuaJIT, resty.core), which speaks no HTTP/3.
//!
//! In Lua ([`edge.lua`](scripted/edge.lua) and its parts): the very tokens of [ours](super::layered()), in the
//! path, verified by HMAC-SHA-256 of OpenSSL and remembered, taken off before cache and log; CMCD read key by
//! key and taken off the cache key; a session for each `sid`; CMSD-Dynamic in the answer. By its own modules
//! what [the other](super::guarded()) has beside its token.
//!
//! Each where it costs it less: sessions are a table of the worker's, with no lock and no copy, which several
//! workers would have to add up; a session's bytes are those that the head of an answer promises, so that there is
//! no phase for the log; what TCP says of a connection is asked for as often as ours asks, and the length
//! of a segment is taken as known. It tells its sessions at [`SESSIONS`] to the loopback alone. It has no HTTP/3,
//! no view that is in order of anything but the last answer, no events, no steering, no shedding by queue delay,
//! no limit of bytes by token, and no priorities.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::guarded::{behind_the_token, rules};
use super::layered::{CMCD, PAGE, SECRET, signed};
use super::nginx::{TUNED, caching, free_port, start};
use super::{Server, Setting};
use crate::load::{Player, Protocol, Result};

/// Where it tells its sessions.
pub const SESSIONS: &str = "/sessions";

/// What it is scripted with.
const SCRIPTS: [(&str, &str); 4] = [
    ("edge.lua", include_str!("scripted/edge.lua")),
    ("tokens.lua", include_str!("scripted/tokens.lua")),
    ("cmcd.lua", include_str!("scripted/cmcd.lua")),
    ("sessions.lua", include_str!("scripted/sessions.lua")),
];

/// An nginx of the system that can be scripted.
pub struct Scripted {
    binary: PathBuf,
    /// Its folder of modules.
    modules: PathBuf,
}

/// The modules, in the order that they are loaded in.
const MODULES: [&str; 2] = ["ndk_http_module.so", "ngx_http_lua_module.so"];

/// The system's, where it has all modules.
pub fn scripted_nginx() -> Option<Scripted> {
    let binary = super::installed("nginx")?;
    let said = Command::new(&binary).arg("-V").stdin(Stdio::null()).output().ok()?;
    let modules = modules_of(&String::from_utf8_lossy(&said.stderr))?;
    let has_all = MODULES.iter().all(|module| modules.join(module).is_file());
    has_all.then_some(Scripted { binary, modules })
}

/// Where an nginx that was asked for its version says that its modules are.
fn modules_of(said: &str) -> Option<PathBuf> {
    said.split_whitespace().find_map(|word| word.strip_prefix("--modules-path=")).map(PathBuf::from)
}

/// Starts it with one worker. `headwater` is the command that signs its token.
///
/// # Errors
/// When it does not start, or no token can be made; the message holds the last words.
pub fn scripted(nginx: &Scripted, headwater: &Path, setting: &Setting) -> Result<Server> {
    let dir = setting.dir.join("scripted");
    let home = dir.join("nginx");
    std::fs::create_dir_all(home.join("cache"))?;
    for (name, text) in SCRIPTS {
        std::fs::write(home.join(name), text)?;
    }
    let secret = home.join("secret");
    std::fs::write(&secret, SECRET)?;
    let token = signed(headwater, &secret)?;
    let (plain, secure) = (free_port()?, free_port()?);
    let addresses = [plain.to_string(), secure.to_string()];
    let configuration = |home: &Path| configuration(setting, &nginx.modules, home, &addresses);
    let mut server =
        start(&nginx.binary, &dir, configuration, (plain, secure))?.called("nginx, scripted");
    server.protocols = &[Protocol::H1, Protocol::H1Tls, Protocol::H2];
    let before = format!("/t/{token}");
    server.player = Player { before, after: CMCD.to_owned(), page: Some(PAGE), token };
    Ok(server)
}

fn configuration(
    setting: &Setting,
    modules: &Path,
    home: &Path,
    [plain, secure]: &[String; 2],
) -> String {
    // A token is not for the log.
    let log = if setting.log {
        format!(
            "log_format said '$remote_addr - $remote_user [$time_local] \"$request_method $uri$is_args$args \
             $server_protocol\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"';\n    \
             access_log {}/access.log said buffer=64k flush=1s;",
            home.display()
        )
    } else {
        "access_log off;".to_owned()
    };
    let load = |module: &&str| format!("load_module {}/{module};\n", modules.display());
    format!(
        r#"{load}user root root;
worker_processes 1;
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log error;
pcre_jit on;
events {{ worker_connections 4096; }}
http {{
    {log}
{TUNED}{cache}    lua_code_cache on;
    lua_package_path "{home}/?.lua;;";
    init_by_lua_block {{
        edge = require "edge"
        edge.start("{home}/secret")
    }}
{rules}    server {{
        listen {plain};
        listen {secure} ssl http2;
        location / {{ return 401; }}
        location = {SESSIONS} {{
            allow 127.0.0.1;
            deny all;
            content_by_lua_block {{ edge.tell() }}
        }}
        location /t/ {{
            set $holder "";
            rewrite_by_lua_block {{ edge.enter() }}
            header_filter_by_lua_block {{ edge.answered() }}
            proxy_pass http://{origin};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache objects;
            proxy_cache_lock on;
            proxy_cache_valid 200 1d;
            proxy_cache_key $uri$is_args$args;
            add_header Cache-Status $upstream_cache_status;
            add_header X-Content-Type-Options nosniff;
{behind}        }}
    }}
}}
"#,
        load = MODULES.iter().map(load).collect::<String>(),
        home = home.display(),
        cache = caching(setting, home),
        rules = rules("$holder"),
        origin = setting.origin,
        behind = behind_the_token(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nginx_says_where_its_modules_are() {
        let said = "nginx version: nginx/1.22.1\nconfigure arguments: --with-compat \
                    --modules-path=/usr/lib/nginx/modules --with-threads\n";
        assert_eq!(modules_of(said), Some(PathBuf::from("/usr/lib/nginx/modules")));
        assert_eq!(modules_of("configure arguments: --with-threads"), None);
    }
}
