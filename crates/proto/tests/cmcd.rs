//! CMCD as another library writes and reads it (npm `@svta/cml-cmcd`), drawn by chance: both versions, in
//! the query, in fields and in reports.
//!
//! The library is one of the pages' modules, so this runs where `HEADWATER_CMCD` names
//! `web/test/cmcd.mjs` beside them; `cargo xtask test` sees to that.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail loudly, and say what they skip"
)]

use std::process::Command;
use std::sync::Arc;

use headwater_proto::cmcd::{Cmcd, Reports};
use serde_json::{Value, json};

const VECTORS: usize = 2_000;

/// What was read, as the script tells of it.
fn told(cmcd: &Cmcd) -> Value {
    let named = |name: Option<String>| name.map_or(Value::Null, Value::from);
    let next: Vec<_> = cmcd
        .next
        .iter()
        .map(|next| {
            let range = named(next.range.map(|range| range.to_string()));
            json!({"reference": next.reference, "range": range})
        })
        .collect();
    json!({
        "version": cmcd.version,
        "session": cmcd.session,
        "content": cmcd.content,
        "buffer": cmcd.buffer,
        "throughput": cmcd.throughput,
        "bitrate": cmcd.bitrate,
        "top_bitrate": cmcd.top_bitrate,
        "duration": cmcd.duration,
        "max_rate": cmcd.max_rate,
        "next": next,
        "object": named(cmcd.object.map(|object| format!("{object:?}"))),
        "format": cmcd.format,
        "live": cmcd.live,
        "startup": cmcd.startup,
        "starved": cmcd.starved,
        "state": named(cmcd.state.map(|state| format!("{state:?}"))),
        "event": named(cmcd.event.map(|event| format!("{event:?}"))),
        "at": cmcd.at,
        "startup_delay": cmcd.startup_delay,
        "starved_for": cmcd.starved_for,
        "latency": cmcd.latency,
        "errors": cmcd.errors,
    })
}

#[test]
fn what_another_library_writes_is_read_as_it_reads_it() {
    let Some(script) = std::env::var_os("HEADWATER_CMCD") else {
        println!("skipped: HEADWATER_CMCD is unset");
        return;
    };
    let drawn = Command::new("node").arg(script).arg(VECTORS.to_string()).output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let (mut vectors, mut reports, mut of_version_2) = (0, 0, 0);
    for line in std::str::from_utf8(&drawn.stdout).unwrap().lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| vector[key].as_str().unwrap();
        let fields = vector["fields"].as_array().unwrap();
        let (dictionary, expected) = (text("text"), &vector["told"]);
        let by_query = Cmcd::read_query(&format!("a=1&{}&b", text("query"))).unwrap().unwrap();
        let by_fields = Cmcd::read_all(fields.iter().map(|field| field.as_str().unwrap())).unwrap();
        let mut read = vec![Cmcd::read(dictionary).unwrap()];
        read.extend([by_query, by_fields].map(Arc::unwrap_or_clone));
        if vector["report"] == true {
            let body = Reports::read(&format!("{dictionary}\n"));
            assert_eq!((body.read.len(), body.refused), (1, 0), "{dictionary}");
            read.extend(body.read);
            reports += 1;
        }
        for cmcd in read {
            assert_eq!(&told(&cmcd), expected, "{dictionary}");
        }
        of_version_2 += usize::from(expected["version"] == 2);
        vectors += 1;
    }
    assert!(vectors > VECTORS * 9 / 10, "{vectors}");
    assert!(reports > VECTORS / 20 && of_version_2 > VECTORS / 4, "{reports} {of_version_2}");
}
