//! Dependencies are named once, in the workspace manifest, used by somebody, and explained in
//! docs/dependencies.md; lock files name public registries only.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Finding;
use super::crates::members;

const WORKSPACE: &str = "Cargo.toml";
const EXPLAINED: &str = "docs/dependencies.md";

/// Checks the workspace manifest against its explanation and its use.
pub(super) fn workspace(manifest: &str, explained: &str, metadata: &Value) -> Vec<Finding> {
    let named = named(manifest);
    let explained = rows(explained);
    let used: BTreeSet<&str> = members(metadata)
        .iter()
        .filter_map(|member| member["dependencies"].as_array())
        .flatten()
        .filter_map(|dependency| dependency["name"].as_str())
        .collect();
    let mut findings = Vec::new();
    for (line, name) in &named {
        if !name.starts_with("headwater") && !explained.iter().any(|(_, row)| row == name) {
            let what = format!("{name} has no row in {EXPLAINED}");
            findings.push(Finding::new(WORKSPACE, *line, what));
        }
        if !used.contains(name.as_str()) {
            findings.push(Finding::new(WORKSPACE, *line, format!("no crate depends on {name}")));
        }
    }
    for (line, row) in
        explained.iter().filter(|(_, row)| !named.iter().any(|(_, name)| name == row))
    {
        let what = format!("{row} is explained and is no dependency");
        findings.push(Finding::new(EXPLAINED, *line, what));
    }
    findings
}

/// Checks that a member takes versions and lints from the workspace.
pub(super) fn member(path: &str, manifest: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut dependencies, mut lints) = (false, false);
    let mut section = "";
    for (number, line) in manifest.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        if line.starts_with('[') {
            section = line;
            dependencies = line.trim_matches(['[', ']']).ends_with("dependencies");
        } else if section == "[lints]" && line.replace(' ', "") == "workspace=true" {
            lints = true;
        } else if dependencies && !line.is_empty() && !line.starts_with('#') {
            let compact = line.replace(' ', "");
            if !compact.contains("workspace=true") {
                let what = format!("its version is not the workspace's: {line}");
                findings.push(Finding::new(path, number + 1, what));
            }
        }
    }
    if !lints {
        findings.push(Finding::new(path, 0, "it does not take the workspace's lints"));
    }
    findings
}

/// Checks that a lock file would install from the public registries, and so on any machine.
pub(super) fn lock(path: &str, text: &str) -> Vec<Finding> {
    let (key, public): (&str, &[&str]) = match path.rsplit('/').next() {
        Some("Cargo.lock") => {
            ("source = \"", &["registry+https://github.com/rust-lang/crates.io-index"])
        }
        // npm's names no place at all: each machine asks the registry that it is set up with.
        Some("package-lock.json") => ("\"resolved\": \"", &[]),
        _ => return Vec::new(),
    };
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((_, from)) = line.split_once(key) else { continue };
        if !public.iter().any(|public| from.starts_with(public)) {
            let from = from.split('"').next().unwrap_or(from);
            let what = format!("does not come from the public registry: {from}");
            findings.push(Finding::new(path, number + 1, what));
        }
    }
    findings
}

/// The names in `[workspace.dependencies]`, with their lines.
fn named(manifest: &str) -> Vec<(usize, String)> {
    let mut inside = false;
    let mut names = Vec::new();
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[workspace.dependencies]";
        } else if inside
            && let Some((name, _)) = line.split_once('=')
            && !line.starts_with(['#', ' ', '\t'])
        {
            names.push((number + 1, name.trim().to_owned()));
        }
    }
    names
}

/// The first column of the tables, where it is a name in backticks, with its line.
fn rows(explained: &str) -> Vec<(usize, String)> {
    let mut rows = Vec::new();
    for (number, line) in explained.lines().enumerate() {
        let Some(cell) = line.strip_prefix("| `") else { continue };
        let names = cell.split('|').next().unwrap_or("");
        rows.extend(
            names
                .split([',', '`', ' '])
                .filter(|n| !n.is_empty())
                .map(|n| (number + 1, n.to_owned())),
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|f| format!("{}:{} {}", f.file, f.line, f.what)).collect()
    }

    #[test]
    fn a_dependency_that_is_unexplained_unused_or_gone_is_found() {
        let manifest = "[workspace.dependencies]\nheadwater = { path = \".\" }\nbytes = \"1\"\nhttp = \"1\"\n\n[profile.dev]\ndebug = 1";
        let explained =
            "| crate | why |\n|---|---|\n| `http` | types |\n| `gone`, `http` | was here |";
        let metadata = json!({ "workspace_members": ["a"], "packages": [
            { "id": "a", "dependencies": [{ "name": "bytes" }, { "name": "headwater" }] } ] });
        assert_eq!(
            said(&workspace(manifest, explained, &metadata)),
            [
                "Cargo.toml:3 bytes has no row in docs/dependencies.md",
                "Cargo.toml:4 no crate depends on http",
                "docs/dependencies.md:4 gone is explained and is no dependency",
            ]
        );
    }

    #[test]
    fn a_member_with_a_version_or_lints_of_its_own_is_found() {
        let good = "[dependencies]\nhttp.workspace = true\nbytes = { workspace = true, optional = true } # why\n\n[lints]\nworkspace = true\n";
        assert_eq!(said(&member("a/Cargo.toml", good)), [""; 0]);
        let bad = "[dev-dependencies]\nhttp = \"1\"\n[target.'cfg(unix)'.dependencies]\nnix = { version = \"1\" }\n";
        assert_eq!(
            said(&member("a/Cargo.toml", bad)),
            [
                "a/Cargo.toml:2 its version is not the workspace's: http = \"1\"",
                "a/Cargo.toml:4 its version is not the workspace's: nix = { version = \"1\" }",
                "a/Cargo.toml:0 it does not take the workspace's lints",
            ]
        );
    }

    #[test]
    fn a_lock_file_that_names_another_registry_is_found() {
        let cargo = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://example.com/x\"";
        assert_eq!(lock("Cargo.lock", cargo).len(), 1);
        let npm = "\"version\": \"1.0.0\"\n\"resolved\": \"https://mirror.example/a\"";
        assert_eq!(lock("web/package-lock.json", npm).len(), 1);
        assert_eq!(lock("notes.md", npm), []);
    }
}
