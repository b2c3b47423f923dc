//! Rules about the packages that are really built: licences, one stack of each kind, one version of
//! what is heavy, and the oldest compiler.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, licences};
use crate::cli::{Failure, Outcome};

/// What `cargo tree` prints of each package.
pub(super) const FORMAT: &str = "{p}\t{l}";

const LOCK: &str = "Cargo.lock";

/// Of each row at most the first may be built: one that encrypts, one TLS, one QUIC, one HTTP/3.
const STACKS: [(&str, &str, &[&str]); 4] = [
    (
        "cryptography",
        "aws-lc-rs",
        &["ring", "openssl", "openssl-sys", "boring", "boring-sys", "mbedtls"],
    ),
    ("TLS", "rustls", &["native-tls", "openssl", "s2n-tls", "boring", "schannel"]),
    ("QUIC", "quinn", &["s2n-quic", "quiche", "neqo-transport", "tokio-quiche"]),
    ("HTTP/3 over quinn", "our own transport", &["h3-quinn", "h3-msquic-async"]),
];

/// What the core of the packager does without.
const SHELL: [&str; 8] =
    ["aws-lc-rs", "h3", "headwater-net", "hyper", "moka", "quinn", "rustls", "tokio"];

/// What costs most to compile and to carry, and what types cross crates in.
const HEAVY: [&str; 26] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "axum",
    "bytes",
    "clap",
    "ffmpeg-next",
    "ffmpeg-sys-next",
    "h2",
    "h3",
    "http",
    "http-body",
    "hyper",
    "hyper-util",
    "moka",
    "mp4-atom",
    "prometheus-client",
    "quinn",
    "quinn-proto",
    "reqwest",
    "rustls",
    "rustls-webpki",
    "serde",
    "serde_json",
    "tokio",
    "tower",
    "tracing",
];

/// A package of the graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    name: String,
    version: String,
    licence: String,
}

/// Reads what `cargo tree` prints: `name v1.2.3 (…)`, a tab, the licence, perhaps ` (*)`.
pub(super) fn parse(tree: &str) -> Outcome<Vec<Package>> {
    let mut packages = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let unread = || Failure::new(format!("cargo tree printed what tidy cannot read: {line}"));
        let (package, licence) = line.split_once('\t').ok_or_else(unread)?;
        let mut words = package.split(' ');
        let name = words.next().ok_or_else(unread)?;
        let version = words.next().and_then(|word| word.strip_prefix('v')).ok_or_else(unread)?;
        packages.insert(Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: licence.trim_end_matches("(*)").trim().to_owned(),
        });
    }
    Ok(packages.into_iter().collect())
}

/// Every licence can be met.
pub(super) fn licences(packages: &[Package]) -> Vec<Finding> {
    let wrong = packages.iter().filter(|package| !licences::accepted(&package.licence));
    wrong
        .map(|Package { name, version, licence }| {
            let licence = if licence.is_empty() { "no licence named" } else { licence };
            Finding::new(LOCK, 0, format!("{name} {version}: licence not accepted: {licence}"))
        })
        .collect()
}

/// One stack of each kind.
pub(super) fn stacks(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (kind, ours, others) in STACKS {
        for package in packages.iter().filter(|package| others.contains(&package.name.as_str())) {
            let what = format!("{} {} is built: {kind} is {ours}", package.name, package.version);
            findings.push(Finding::new(LOCK, 0, what));
        }
    }
    findings
}

/// The packager's core builds without a runtime, a socket or a crypto stack.
pub(super) fn packager_core(packages: &[Package]) -> Vec<Finding> {
    let shell = packages.iter().filter(|package| SHELL.contains(&package.name.as_str()));
    shell
        .map(|Package { name, .. }| {
            let what = format!("{name} is built into the packager without its default features");
            Finding::new("crates/packager/Cargo.toml", 0, what)
        })
        .collect()
}

/// One version of each heavy crate.
pub(super) fn duplicates(packages: &[Package]) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| HEAVY.contains(&package.name.as_str())) {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    versions
        .into_iter()
        .filter(|(_, versions)| versions.len() > 1)
        .map(|(name, versions)| {
            Finding::new(
                LOCK,
                0,
                format!("{name} is built {} times: {}", versions.len(), versions.join(", ")),
            )
        })
        .collect()
}

/// No package needs a newer compiler than the workspace promises to need.
pub(super) fn rust_version(packages: &[Package], metadata: &Value) -> Vec<Finding> {
    let known = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let ours = known.iter().find(|package| package["name"] == "headwater");
    let Some(ours) = ours.and_then(|package| package["rust_version"].as_str()) else {
        return vec![Finding::new("Cargo.toml", 0, "the workspace sets no rust-version")];
    };
    let mut findings = Vec::new();
    for Package { name, version, .. } in packages {
        let package = known.iter().find(|p| p["name"] == **name && p["version"] == **version);
        if let Some(needs) = package.and_then(|package| package["rust_version"].as_str())
            && number(needs) > number(ours)
        {
            let what =
                format!("{name} {version} needs Rust {needs}; the workspace promises {ours}");
            findings.push(Finding::new(LOCK, 0, what));
        }
    }
    findings
}

fn number(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use serde_json::json;

    use super::*;

    const TREE: &str = "headwater v0.1.0 (/r)\tMIT OR Apache-2.0\n\
        http v1.3.1\tMIT OR Apache-2.0\n\
        http v1.3.1\tMIT OR Apache-2.0 (*)\n\n\
        http v0.2.12\tMIT OR Apache-2.0\n\
        syn v2.0.1\tMIT\nsyn v3.0.1\tMIT\n\
        ring v0.17.14\tApache-2.0 AND ISC\n\
        copyleft v1.0.0 (proc-macro)\tGPL-3.0-only\n\
        unsaid v1.0.0\t\n";

    fn said(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.what.as_str()).collect()
    }

    #[test]
    fn a_licence_that_asks_too_much_is_found() {
        assert_eq!(
            said(&licences(&parse(TREE).unwrap())),
            [
                "copyleft 1.0.0: licence not accepted: GPL-3.0-only",
                "unsaid 1.0.0: licence not accepted: no licence named"
            ]
        );
    }

    #[test]
    fn a_second_stack_and_a_second_heavy_version_are_found() {
        let packages = parse(TREE).unwrap();
        assert_eq!(said(&stacks(&packages)), ["ring 0.17.14 is built: cryptography is aws-lc-rs"]);
        assert_eq!(said(&duplicates(&packages)), ["http is built 2 times: 0.2.12, 1.3.1"]);
    }

    #[test]
    fn a_runtime_in_the_packagers_core_is_found() {
        let packages = parse("bytes v1.0.0\tMIT\ntokio v1.54.1\tMIT").unwrap();
        assert_eq!(
            said(&packager_core(&packages)),
            ["tokio is built into the packager without its default features"]
        );
    }

    #[test]
    fn a_dependency_that_needs_a_newer_compiler_is_found() {
        let package =
            |name, version, rust| json!({ "name": name, "version": version, "rust_version": rust });
        let metadata = json!({ "packages": [
            package("headwater", "0.1.0", "1.88"),
            package("http", "1.3.1", "1.100.0"),
            package("http", "0.2.12", "1.88.0"),
        ] });
        assert_eq!(
            said(&rust_version(&parse(TREE).unwrap(), &metadata)),
            ["http 1.3.1 needs Rust 1.100.0; the workspace promises 1.88"]
        );
        assert_eq!(rust_version(&[], &json!({})).len(), 1);
    }

    #[test]
    fn what_cargo_never_prints_is_an_error() {
        assert!(parse("http 1.3.1").is_err());
    }
}
