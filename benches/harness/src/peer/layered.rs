//! Ours: `headwater edge` with every layer on that a request can meet: tokens, limits of requests by
//! address and by token, limits of bytes by token, CORS, addresses, countries, security fields, sessions
//! with CMCD, CMSD, shedding, steering.
//!
//! Players come with a token in the path, CMCD in the query and the origin of their page, and nothing is
//! refused: limits are wide.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Server, Setting, spawn, wait_for};
use crate::cores::on_the_first;
use crate::load::{Player, Protocol, Result};

#[path = "../../../../crates/edge/tests/support/mmdb.rs"]
mod mmdb;

/// The origin of the page that a player is on.
pub(super) const PAGE: &str = "https://tv.video.example";

/// Starts `headwater edge` with one worker.
///
/// # Errors
/// When it does not start; the message holds its last words.
pub fn layered(binary: &Path, setting: &Setting) -> Result<Server> {
    let home = setting.dir.join("layered");
    std::fs::create_dir_all(&home)?;
    let secret = home.join("secret");
    std::fs::write(&secret, SECRET)?;
    std::fs::write(home.join("geo.mmdb"), mmdb::database(&NETWORKS))?;
    let config = home.join("edge.toml");
    std::fs::write(&config, configuration(setting, &home))?;
    let token = signed(binary, &secret)?;
    let mut command = on_the_first(binary);
    command.arg("edge").arg("--config").arg(&config);
    let mut process = spawn(command, &setting.dir, "layered")?;
    let said = setting.dir.join("layered.out");
    let (plain, secure) = wait_for(&mut process, &setting.dir, "layered", || {
        let said = std::fs::read_to_string(&said).ok()?;
        Some((address(&said, "http")?, address(&said, "https")?))
    })?;
    let before = format!("/t/{token}");
    let player = Player { before, after: CMCD.to_owned(), page: Some(PAGE), token };
    // `taskset` becomes the program that it starts.
    let workers = vec![process.id()];
    Ok(Server {
        name: "headwater",
        process,
        workers,
        helper: None,
        player,
        protocols: &Protocol::ALL,
        plain,
        secure,
    })
}

/// What a player says with each request for a segment.
pub(super) const CMCD: &str = "?CMCD=bl%3D12000%2Cbr%3D4000%2Ccid%3D%22film%22%2Cd%3D4000%2Cmtp%3D25000%2Cot%3Dv%2C\
                    sf%3Dh%2Csid%3D%226e2fb550-c457-11e9-bb97-0800200c9a66%22%2Cst%3Dv%2Ctb%3D8000";

/// What signs its tokens.
pub(super) const SECRET: &str = "a secret of tokens that is long enough";

const NETWORKS: [(&str, &str); 3] =
    [("127.0.0.0/8", "DE"), ("192.0.2.0/24", "FR"), ("2001:db8::/32", "JP")];

/// A token for all of the media.
pub(super) fn signed(binary: &Path, secret: &Path) -> Result<String> {
    let mut sign = Command::new(binary);
    sign.args(["sign", "--path", "/media/", "--valid", "24 h", "--key-file"]).arg(secret);
    let output = sign.output()?;
    if !output.status.success() {
        return Err(format!("no token: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Where it says that it answers a scheme.
fn address(said: &str, scheme: &str) -> Option<SocketAddr> {
    let begin = format!("  {scheme} ");
    let line = said.lines().find_map(|line| line.strip_prefix(&begin))?;
    line.trim().split_once("://")?.1.parse().ok()
}

fn configuration(setting: &Setting, home: &Path) -> String {
    let (certificate, key) = (setting.certificate.display(), setting.key.display());
    let (origin, home) = (setting.origin, home.display());
    let log =
        if setting.log { format!("[log]\naccess = '{home}/access.log'\n") } else { String::new() };
    format!(
        r"
[server]
listen = '127.0.0.1:0'
listen_http = '127.0.0.1:0'
workers = 1
priorities = true
[server.tls]
certificate = '{certificate}'
key = '{key}'
[[upstream]]
name = 'media'
origins = 'http://{origin}'
{log}
[geo]
database = '{home}/geo.mmdb'
[sessions]
on = true
reports = '/cmcd'
[cmsd]
on = true
[shed]
on = true
target = '1 s'
[steering]
path = '/steering'
pathways = ['here', 'there']
here = 'here'
when_shedding = true
[[limit]]
name = 'address'
requests = 1000000
[[limit]]
name = 'token'
per = 'token'
requests = 1000000
[[limit]]
name = 'rate'
per = 'token'
bytes_per_second = '1 TiB'
[[site]]
hosts = '*'
upstream = 'media'
[site.tokens]
path = '/t/'
[[site.tokens.key]]
secret_file = '{home}/secret'
[[site.route]]
path = '/media/'
cors = {{ origins = ['https://*.video.example'], expose = ['cmsd-dynamic'] }}
security = {{ hsts = '365 d', frames = 'same-origin', loads = 'cross-origin' }}
addresses = {{ deny = ['192.0.2.0/24', '198.51.100.0/24', '2001:db8::/32'] }}
countries = {{ but = ['FR', 'JP'] }}
referrers = {{ hosts = '*.video.example', missing = true }}
"
    )
}
