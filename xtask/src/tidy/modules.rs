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
    binds: Bound,
    /// What they must not name of their own crate: modules, and what the root re-exports of them.
    never: &'static [&'static str],
    /// The crates they must not name.
    crates: &'static [&'static str],
    why: &'static str,
}

/// Which modules of a crate a floor binds.
enum Bound {
    /// These.
    Only(&'static [&'static str]),
    /// All but these, and the root.
    AllBut(&'static [&'static str]),
}

const IO: &[&str] =
    &["tokio", "hyper", "hyper_util", "quinn", "h3", "rustls", "socket2", "reqwest", "tower"];

const FLOORS: [Floor; 6] = [
    Floor {
        folder: "crates/net",
        binds: Bound::AllBut(&["server", "client", "spki", "authority"]),
        never: &["server", "client", "spki", "authority"],
        crates: &["hyper", "hyper_util", "quinn", "h3", "rustls", "socket2"],
        why: "what both listeners and clients build on knows neither",
    },
    Floor {
        folder: "crates/net",
        binds: Bound::Only(&["client", "spki", "authority"]),
        never: &["server"],
        crates: &[],
        why: "listeners and clients do not know each other",
    },
    Floor {
        folder: "crates/net",
        binds: Bound::Only(&["server", "spki"]),
        never: &["client"],
        crates: &[],
        why: "listeners and clients do not know each other",
    },
    Floor {
        folder: "crates/cache",
        binds: Bound::Only(&["directives", "headers", "key", "policy", "status", "vary"]),
        never: &[
            "cache",
            "engine",
            "fill",
            "service",
            "store",
            "upstream",
            "Builder",
            "Cache",
            "CacheLayer",
            "CacheService",
        ],
        crates: IO,
        why: "what may be stored and reused is decided by pure functions over headers and time",
    },
    Floor {
        folder: "crates/origin",
        binds: Bound::Only(&[
            "manners",
            "map",
            "prefetch::choose",
            "prefetch::recent",
            "prefetch::sessions",
        ]),
        never: &["learn", "shield", "upstream", "Shield", "ShieldBuilder"],
        crates: IO,
        why: "the segment map and what to prefetch are pure functions over manifests",
    },
    Floor {
        folder: "crates/packager",
        binds: Bound::AllBut(&["assets", "service", "source"]),
        never: &[
            "assets",
            "service",
            "source",
            "Assets",
            "FileSource",
            "MemorySource",
            "Packager",
            "ServiceLimits",
            "Source",
        ],
        crates: &[
            "tokio",
            "hyper",
            "hyper_util",
            "quinn",
            "h3",
            "rustls",
            "socket2",
            "reqwest",
            "tower",
            "headwater_net",
            "moka",
        ],
        why: "the core of the packager is sans-I/O and builds without the shell",
    },
];

impl Floor {
    fn binds(&self, folder: &str, module: &[&str]) -> bool {
        let within = |names: &[&str]| names.iter().any(|name| starts_with(module, name));
        self.folder == folder
            && match self.binds {
                Bound::Only(names) => within(names),
                Bound::AllBut(names) => !module.is_empty() && !within(names),
            }
    }
}

/// Whether a path begins with another, written with `::`.
fn starts_with(path: &[&str], start: &str) -> bool {
    let mut path = path.iter();
    start.split("::").all(|part| path.next() == Some(&part))
}

/// Checks one file against the floors of its crate.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let Some((folder, module)) = module_of(path) else { return Vec::new() };
    let floors: Vec<&Floor> = FLOORS.iter().filter(|floor| floor.binds(folder, &module)).collect();
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
                Some(local) => floor.never.iter().find(|never| starts_with(local, never)),
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
            ("crates/packager/src/units.rs", "fn a(b: &crate::Packager) {}", 1),
            ("crates/origin/src/prefetch/choose.rs", "use tokio::time::sleep;", 1),
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
            ("crates/packager/src/lib.rs", "pub use service::Packager; use crate::service;"),
            ("crates/origin/src/prefetch.rs", "use crate::upstream;"),
        ] {
            assert_eq!(check(path, text), [], "{path}");
        }
    }
}
