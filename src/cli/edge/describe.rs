//! What a started edge says of itself, for the person at the terminal or in the journal.

use headwater::net::server::ServerHandle;
use headwater::proto::config::Edge as Config;

/// Where it serves, a line for each place.
pub(super) fn serving(
    config: &Config,
    main: &ServerHandle,
    operator: Option<&ServerHandle>,
) -> String {
    let mut lines = vec![match config.sites.len() {
        1 => "headwater edge serves one site:".to_owned(),
        sites => format!("headwater edge serves {sites} sites:"),
    }];
    let mut line = |what: &str, place: String| lines.push(format!("  {what:<9} {place}"));
    for addr in main.https_addrs() {
        line("https", format!("https://{addr}"));
    }
    for addr in main.http_addrs() {
        line("http", format!("http://{addr}"));
    }
    if let Some(path) = &config.server.listen_unix {
        line("http", path.display().to_string());
    }
    for addr in operator.map_or(&[][..], ServerHandle::http_addrs) {
        line("operator", format!("http://{addr}"));
    }
    if let Some(path) = &config.operator.listen_unix {
        line("operator", path.display().to_string());
    }
    lines.join("\n")
}
