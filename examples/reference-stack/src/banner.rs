//! What a started stack says of itself, on the terminal and to its pages.

use std::net::SocketAddr;

use crate::Args;
use crate::ready::Ready;

/// What the pages know of the stack they come from.
pub fn stack_json(own_certificate: bool, https: SocketAddr, spki: &str) -> serde_json::Value {
    let base = format!("https://{https}");
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "certificate": if own_certificate { "self-signed" } else { "given" },
        "spki_sha256": spki,
        "h3_command": h3_command(&base, spki, &format!("{base}/")),
    })
}

/// The command line of a Chromium that plays over HTTP/3 from a stack with a self-signed
/// certificate: one in a profile of its own, since the flags hold for the whole browser.
pub fn h3_command(base: &str, spki: &str, page: &str) -> String {
    let authority = base.trim_start_matches("https://");
    format!(
        "chromium --user-data-dir=\"$(mktemp -d)\" --origin-to-force-quic-on={authority} \
         --ignore-certificate-errors-spki-list={spki} '{page}'"
    )
}

/// Prints where everything is.
pub fn print(ready: &Ready, own_certificate: bool, args: &Args) {
    let mut lines = vec![String::new(), "Headwater is running.".into(), String::new()];
    let mut line = |what: &str, url: &str| lines.push(format!("  {what:<11} {url}"));
    line("pages", &format!("{}/", ready.base));
    line("plain HTTP", &format!("{}/", ready.http));
    line("metrics", &ready.metrics);
    for asset in ready.assets.iter().take(SHOWN) {
        line("", "");
        line(&asset.name, "");
        line("  watch", &asset.player);
        line("  HLS", &asset.hls);
        line("  DASH", &asset.dash);
    }
    if ready.assets.len() > SHOWN {
        line("", &format!("… and {} more, on the pages", ready.assets.len() - SHOWN));
    }
    if own_certificate && !args.role.has_upstream() {
        let page = ready.assets.first().map_or(ready.base.as_str(), |asset| &asset.player);
        let command = h3_command(&ready.base, &ready.spki_sha256, page);
        lines.push(format!("\n{CERTIFICATE}\n\n  {command}"));
    }
    lines.push("\nCtrl-C ends it.".into());
    crate::say(&lines.join("\n"));
}

/// Assets told of one by one.
const SHOWN: usize = 20;

const CERTIFICATE: &str = "\
The certificate is self-signed: a browser asks before it shows the page, and then stays on HTTP/2,
because it refuses QUIC behind a certificate that was clicked through. This plays over HTTP/3:";
