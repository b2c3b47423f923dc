//! Inside a crate a module imports only what lies on its own floor or below.
//!
//! DESIGN, "Sans-I/O inside, thin shell outside": what decides knows nothing of sockets, tasks,
//! clocks or the shell around it.

use super::Finding;
use super::source::{code_only, paths, without_tests};

/// Modules that must not know others.
struct Floor {
    /// The crate's folder.
    folder: &'static str,
    /// The modules it binds, with all below them.
    modules: &'static [&'static str],
    /// What they must not name: modules of their crate, and other crates.
    never: &'static [&'static str],
    crates: &'static [&'static str],
    why: &'static str,
}

const IO: &[&str] =
    &["tokio", "hyper", "hyper_util", "quinn", "h3", "rustls", "socket2", "reqwest", "tower"];

const FLOORS: [Floor; 5] = [
    Floor {
        folder: "crates/net",
        modules: &["body", "clock", "conditional", "conn", "problem", "range"],
        never: &["server", "client"],
        crates: &["hyper", "hyper_util", "quinn", "h3", "rustls", "socket2"],
        why: "what both listeners and clients build on knows neither",
    },
    Floor {
        folder: "crates/net",
        modules: &["client"],
        never: &["server"],
        crates: &[],
        why: "listeners and clients do not know each other",
    },
    Floor {
        folder: "crates/net",
        modules: &["server"],
        never: &["client"],
        crates: &[],
        why: "listeners and clients do not know each other",
    },
    Floor {
        folder: "crates/cache",
        modules: &["policy"],
        never: &["engine", "fill", "layer", "service", "storage", "store"],
        crates: IO,
        why: "freshness is decided by pure functions over headers and time",
    },
    Floor {
        folder: "crates/packager",
        modules: &[
            "cmaf",
            "codec",
            "dash",
            "error",
            "hls",
            "identity",
            "index",
            "isobmff",
            "limits",
            "media",
            "plan",
            "presentation",
            "report",
            "segments",
            "timeline",
            "track",
            "units",
        ],
        never: &["http", "service", "shell", "source"],
        crates: IO,
        why: "the core of the packager is sans-I/O and builds without the shell",
    },
];

/// Checks one file against the floors of its crate.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let Some((folder, module)) = module_of(path) else { return Vec::new() };
    let floors: Vec<&Floor> = FLOORS
        .iter()
        .filter(|floor| {
            floor.folder == folder && module.first().is_some_and(|top| floor.modules.contains(top))
        })
        .collect();
    if floors.is_empty() {
        return Vec::new();
    }
    let code = code_only(text);
    let mut findings = Vec::new();
    for path_used in paths(without_tests(&code)) {
        let parts: Vec<&str> = path_used.parts.iter().map(String::as_str).collect();
        let local = resolve(&module, &parts);
        for floor in &floors {
            let wrong = match &local {
                Some(local) => floor.never.iter().find(|never| local.first() == Some(never)),
                None => floor.crates.iter().find(|never| parts.first() == Some(never)),
            };
            if let Some(wrong) = wrong {
                let module = module.join("::");
                let what = format!("`{module}` must not know `{wrong}`: {}", floor.why);
                findings.push(Finding::new(path, path_used.line, what));
            }
        }
    }
    findings
}

/// The crate's folder and the module a file is, from the root of its crate.
fn module_of(path: &str) -> Option<(&str, Vec<&str>)> {
    let (folder, inside) = path.split_once("/src/")?;
    let inside = inside.strip_suffix(".rs")?;
    let mut module: Vec<&str> = inside.split('/').collect();
    if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
        module.pop();
    }
    // Tests in files of their own may look anywhere.
    if module.contains(&"tests") {
        return None;
    }
    Some((folder, module))
}

/// A path that begins with `crate`, `self` or `super`, from the root of the crate; none for others.
fn resolve<'a>(module: &[&'a str], parts: &[&'a str]) -> Option<Vec<&'a str>> {
    let supers = parts.iter().take_while(|part| **part == "super").count();
    let (base, rest) = match parts.first() {
        Some(&"crate") => (&[][..], &parts[1..]),
        Some(&"self") => (module, &parts[1..]),
        Some(&"super") => (&module[..module.len().saturating_sub(supers)], &parts[supers..]),
        _ => return None,
    };
    Some(base.iter().chain(rest).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_that_knows_the_shell_is_found() {
        for (path, text, line) in [
            ("crates/packager/src/plan.rs", "//! a\nuse crate::{units, service::Packager};", 2),
            ("crates/packager/src/index/samples.rs", "\n\nsuper::super::source::read();", 3),
            ("crates/cache/src/policy/mod.rs", "async fn a() { tokio::spawn(b) }", 1),
            ("crates/net/src/body.rs", "use super::client::Upstream;", 1),
            ("crates/net/src/server/h1.rs", "use crate::client;", 1),
        ] {
            let lines: Vec<usize> = check(path, text).iter().map(|finding| finding.line).collect();
            assert_eq!(lines, [line], "{path}");
        }
    }

    #[test]
    fn shells_know_cores_and_tests_know_all() {
        for (path, text) in [
            ("crates/packager/src/service.rs", "use crate::plan::Plan; use tokio::spawn;"),
            (
                "crates/packager/src/plan.rs",
                "use crate::units;\n#[cfg(test)]\nmod tests { use crate::service; }",
            ),
            (
                "crates/packager/src/plan.rs",
                "//! Not `crate::service`.\n/// [`crate::service`]\nfn a() {}",
            ),
            ("crates/packager/src/index/tests.rs", "use crate::service;"),
            ("crates/net/src/body.rs", "use self::chunks::Chunks; use http::Request;"),
        ] {
            assert_eq!(check(path, text), [], "{path}");
        }
    }
}
