//! Who may know whom: the arrows of DESIGN between the crates.

use serde_json::Value;

use super::Finding;

/// Each library crate, and the crates of the workspace it may depend on. No crate of the media
/// path is above this table; what composes (the facade, examples, benches, xtask) is not in it.
const FLOORS: [(&str, &[&str]); 9] = [
    ("headwater-net", &[]),
    ("headwater-proto", &[]),
    // It checks what the others write, and so shares no code with them.
    ("headwater-conform", &[]),
    (SCHEDULES, &["headwater-net"]),
    ("headwater-transcode", &[]),
    ("headwater-cache", &["headwater-net"]),
    ("headwater-packager", &["headwater-net", "headwater-transcode"]),
    ("headwater-edge", &["headwater-net", "headwater-cache", "headwater-proto"]),
    ("headwater-origin", &["headwater-net", "headwater-cache", "headwater-proto"]),
];

/// The cache's source, built with stand-ins for its locks.
const SCHEDULES: &str = "headwater-schedules";

/// Those that put crates together.
const COMPOSERS: [&str; 8] = [
    "headwater",
    "headwater-reference-stack",
    "headwater-bench",
    "headwater-bench-index",
    "headwater-bench-shield",
    "headwater-bench-traces",
    "headwater-fuzz",
    "xtask",
];

/// External crates that one crate alone may link.
const ALONE: [(&str, &str); 1] = [("ffmpeg-next", "headwater-transcode")];

/// Checks every dependency that members declare; tests may compose, so what only they use is free.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let members = members(metadata);
    let names: Vec<&str> = members.iter().filter_map(|member| member["name"].as_str()).collect();
    let mut findings = Vec::new();
    for member in &members {
        let Some(name) = member["name"].as_str() else { continue };
        let file = manifest(member, metadata);
        let floor = FLOORS.iter().find(|(known, _)| *known == name).map(|(_, below)| *below);
        if floor.is_none() && !COMPOSERS.contains(&name) {
            let what = format!("{name} stands on no floor: give it a row in tidy's table");
            findings.push(Finding::new(&file, 0, what));
            continue;
        }
        let dependencies = member["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"] != "dev") {
            let Some(on) = dependency["name"].as_str() else { continue };
            if let Some(below) = floor
                && names.contains(&on)
                && !below.contains(&on)
            {
                let what = format!("{name} must not depend on {on}: it runs against the floors");
                findings.push(Finding::new(&file, 0, what));
            }
            if let Some((_, only)) =
                ALONE.iter().find(|(alone, only)| *alone == on && *only != name)
            {
                findings.push(Finding::new(&file, 0, format!("only {only} may link {on}")));
            }
        }
    }
    findings.extend(one_source(&members, metadata));
    findings
}

/// What [`SCHEDULES`] builds is the cache's source: it is built by nothing less.
fn one_source(members: &[&Value], metadata: &Value) -> Option<Finding> {
    let find = |name: &str| members.iter().find(|member| member["name"] == name);
    let (cache, schedules) = (find("headwater-cache")?, find(SCHEDULES)?);
    let of = |member: &Value| {
        let dependencies = member["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        let normal = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        normal.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let has = of(schedules);
    let missing: Vec<String> = of(cache).into_iter().filter(|name| !has.contains(name)).collect();
    let what =
        format!("{SCHEDULES} builds headwater-cache's source, and lacks {}", missing.join(", "));
    (!missing.is_empty()).then(|| Finding::new(&manifest(schedules, metadata), 0, what))
}

/// The packages of the workspace.
pub(super) fn members(metadata: &Value) -> Vec<&Value> {
    let ids = metadata["workspace_members"].as_array().map_or(&[][..], Vec::as_slice);
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    packages.iter().filter(|package| ids.contains(&package["id"])).collect()
}

/// The path of a package's manifest from the root of the workspace.
fn manifest(package: &Value, metadata: &Value) -> String {
    let path = package["manifest_path"].as_str().unwrap_or("Cargo.toml");
    let root = metadata["workspace_root"].as_str().unwrap_or("");
    path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace(packages: &[(&str, &[(&str, Value)])]) -> Value {
        let packages: Vec<Value> = packages
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<Value> = dependencies
                    .iter()
                    .map(|(name, kind)| json!({ "name": name, "kind": kind }))
                    .collect();
                json!({ "id": name, "name": name, "dependencies": dependencies,
                        "manifest_path": format!("/r/{name}/Cargo.toml") })
            })
            .collect();
        let ids: Vec<&Value> = packages.iter().map(|package| &package["id"]).collect();
        json!({ "workspace_members": ids, "workspace_root": "/r", "packages": packages })
    }

    #[test]
    fn an_arrow_against_the_floors_is_found() {
        let found = check(&workspace(&[
            ("headwater-net", &[("bytes", Value::Null)]),
            (
                "headwater-edge",
                &[("headwater-net", Value::Null), ("headwater-origin", Value::Null)],
            ),
            ("headwater-origin", &[("headwater-edge", json!("dev"))]),
            ("headwater-cache", &[("ffmpeg-next", Value::Null)]),
            ("headwater", &[("headwater-edge", Value::Null)]),
        ]));
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "error: headwater-edge/Cargo.toml: headwater-edge must not depend on \
                 headwater-origin: it runs against the floors",
                "error: headwater-cache/Cargo.toml: only headwater-transcode may link ffmpeg-next",
            ]
        );
    }

    #[test]
    fn what_builds_the_same_source_lacks_nothing() {
        let found = check(&workspace(&[
            ("headwater-cache", &[("moka", Value::Null), ("tower", json!("dev"))]),
            (SCHEDULES, &[("shuttle", Value::Null)]),
        ]));
        assert_eq!(found.len(), 1);
        assert!(found[0].what.ends_with("source, and lacks moka"));
    }

    #[test]
    fn a_crate_without_a_floor_is_found() {
        let found = check(&workspace(&[("headwater-util", &[])]));
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("stands on no floor"));
    }
}
