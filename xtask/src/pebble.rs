//! Pebble, Let's Encrypt's own ACME server for tests, which `crates/net/tests/acme.rs` asks.

use std::path::PathBuf;

use crate::cli::Outcome;
use crate::golang::{self, Module};
use crate::places::Places;
use crate::ui;

/// What its newest version needs.
const GO: (u32, u32) = (1, 24);

static PEBBLE: Module = Module {
    name: "pebble",
    what: "an authority for tests of certificates",
    pins: [
        ("go.mod", include_str!("../pebble/go.mod")),
        ("go.sum", include_str!("../pebble/go.sum")),
        ("tools.go", include_str!("../pebble/tools.go")),
    ],
    programs: &[
        "github.com/letsencrypt/pebble/v2/cmd/pebble",
        "github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv",
    ],
};

/// The folder with its programs; `None`, with a word, where the Go that is there is too old for it.
pub(crate) fn programs(places: &Places) -> Outcome<Option<PathBuf>> {
    if golang::version() < Some(GO) {
        let (major, minor) = GO;
        ui::line(&format!("pebble needs Go {major}.{minor}: tests of ACME with it are skipped"));
        return Ok(None);
    }
    PEBBLE.build(places).map(Some)
}
