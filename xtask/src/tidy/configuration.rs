//! docs/configuration.md: every key of an edge's configuration, with its meaning, default, bound and
//! danger.
//!
//! Made from the structures in `crates/proto/src/config`: a field's documentation says what the key
//! means, where it takes a number `Unit: …`, then `Default …`, `Bound: …` and `Danger: …`; or
//! ``As `ConnLimits::max_body`.`` where the code that heeds it says it already. A key without these is an
//! error. `cargo xtask tidy --write` writes the page, and `cargo xtask tidy` finds it stale.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::limits::{self, Limit};
use super::{File, Finding};

/// The page.
pub(super) const PAGE: &str = "docs/configuration.md";

/// Where the structures are.
const CODE: &str = "crates/proto/src/config";

/// The structure of the whole document.
const ROOT: &str = "Edge";

/// What a key takes that has a unit, or says that it has none.
const NUMBER: &str = "a number";

/// What stands before the keys.
const INTRODUCTION: &str = include_str!("configuration.md");

#[derive(Debug, Default)]
struct Struct {
    what: String,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Key {
    file: String,
    line: usize,
    name: String,
    kind: String,
    words: String,
}

/// The page as it should be.
pub(super) fn page(files: &[File]) -> String {
    Page::of(files).text
}

/// Finds keys without documentation, and the page missing or stale.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let Page { text, mut findings, .. } = Page::of(files);
    let there = files.iter().find(|file| file.path == PAGE).map(|file| file.text.as_str());
    if there != Some(text.as_str()) {
        findings.push(Finding::new(PAGE, 0, "is stale: `cargo xtask tidy --write` writes it"));
    }
    findings
}

struct Page {
    structs: BTreeMap<String, Struct>,
    limits: BTreeMap<String, Limit>,
    /// Where each structure is written out.
    written: BTreeMap<String, String>,
    text: String,
    findings: Vec<Finding>,
}

impl Page {
    fn of(files: &[File]) -> Self {
        let mut structs = BTreeMap::new();
        for File { path, text } in files.iter().filter(|file| file.path.starts_with(CODE)) {
            read(&mut structs, path, text);
        }
        let limits = limits::known(files);
        let mut page = Self {
            structs,
            limits,
            written: BTreeMap::new(),
            text: INTRODUCTION.to_owned(),
            findings: Vec::new(),
        };
        if page.structs.contains_key(ROOT) {
            page.section("", ROOT, "");
        } else {
            page.findings.push(Finding::new(CODE, 0, format!("there is no struct {ROOT}")));
        }
        page
    }

    /// Whether it is a structure that a document has keys of, and not a value.
    fn has_keys(&self, name: &str) -> bool {
        self.structs.get(name).is_some_and(|of| !of.keys.is_empty())
    }

    /// Writes a section's keys, and then the sections within it.
    fn section(&mut self, at: &str, name: &str, what: &str) {
        let Some(Struct { what: of_struct, keys }) = self.structs.remove(name) else { return };
        if !at.is_empty() {
            let what = if what.is_empty() { &of_struct } else { what };
            let _ = write!(self.text, "\n## `{at}`\n\n{what}\n");
        }
        if let Some(heading) = self.written.get(name) {
            let _ = write!(self.text, "\nIts keys and sections are those of `{heading}`.\n");
            self.structs.insert(name.to_owned(), Struct { what: of_struct, keys });
            return;
        }
        self.written.insert(name.to_owned(), at.to_owned());
        let (sections, values): (Vec<&Key>, Vec<&Key>) =
            keys.iter().partition(|key| self.has_keys(within(&key.kind)));
        if !values.is_empty() {
            self.text.push_str(
                "\n| key | takes | default | what it is | bound | danger |\n|---|---|---|---|---|---|\n",
            );
        }
        for key in values {
            match self.row(key) {
                Ok(row) => self.text.push_str(&row),
                Err(what) => self.findings.push(Finding::new(
                    &key.file,
                    key.line,
                    format!("the key `{}` {what}", key.name),
                )),
            }
        }
        let inner = at.trim_matches(['[', ']']);
        for key in sections {
            let path =
                if inner.is_empty() { key.name.clone() } else { format!("{inner}.{}", key.name) };
            let is_list = key.kind.starts_with("Vec<");
            let heading = if is_list { format!("[[{path}]]") } else { format!("[{path}]") };
            self.section(&heading, within(&key.kind), &key.words);
        }
        self.structs.insert(name.to_owned(), Struct { what: of_struct, keys });
    }

    fn row(&self, key: &Key) -> Result<String, String> {
        let Key { name, kind, words, .. } = key;
        if words.is_empty() {
            return Err("has no documentation".to_owned());
        }
        let takes = takes(kind).ok_or_else(|| format!("is of a type unknown here, {kind}"))?;
        let (what, unit, default, bound, danger) = match words.strip_prefix("As `") {
            Some(rest) if rest.ends_with("`.") => {
                let limit = rest.trim_end_matches("`.");
                let limit = self.limits.get(limit);
                let limit = limit.ok_or_else(|| format!("is as a limit that is none: {words}"))?;
                let Limit { what, unit, default, bound, danger, .. } = limit;
                // The type tells the unit of what is no number; a limit that says none is a time.
                let counts = takes.contains(NUMBER) && unit != "time";
                let unit = counts.then(|| unit.clone());
                (what.clone(), unit, default.clone(), bound.clone(), danger.clone())
            }
            _ => {
                let parts = || {
                    let (what, rest) = words.split_once(" Default ")?;
                    let (default, rest) = rest.split_once(" Bound: ")?;
                    let (bound, danger) = rest.split_once(" Danger: ")?;
                    Some([what, default, bound, danger].map(cell))
                };
                let parts = parts().ok_or("does not say Default, Bound: and Danger:")?;
                let [what, default, bound, danger] = parts;
                match what.split_once(" Unit: ") {
                    Some((what, unit)) => (cell(what), Some(cell(unit)), default, bound, danger),
                    None => (what, None, default, bound, danger),
                }
            }
        };
        let takes = measured(&takes, unit.as_deref())?;
        Ok(format!("| `{name}` | {takes} | {default} | {what} | {bound} | {danger} |\n"))
    }
}

/// What a key takes, with the unit of its numbers.
fn measured(takes: &str, unit: Option<&str>) -> Result<String, String> {
    match (takes.contains(NUMBER), unit) {
        (false, None) | (true, Some("none")) => Ok(takes.to_owned()),
        (true, Some("percent")) => Ok(takes.replace(NUMBER, &format!("{NUMBER}, in percent"))),
        (true, Some(unit)) => Ok(takes.replace(NUMBER, &format!("{NUMBER} of {unit}"))),
        (true, None) => Err("takes a number and does not say its Unit:".to_owned()),
        (false, Some(unit)) => Err(format!("takes {takes}, which has no Unit: {unit}")),
    }
}

fn cell(text: &str) -> String {
    text.trim().trim_end_matches('.').replace('|', "\\|")
}

/// What a list or an option holds.
fn within(kind: &str) -> &str {
    let inner = ["Vec<", "Option<", "List<"].iter().find_map(|of| kind.strip_prefix(of));
    inner.and_then(|inner| inner.strip_suffix('>')).map_or(kind, within)
}

/// What a key of this type takes, for people.
fn takes(kind: &str) -> Option<String> {
    if let Some(inner) = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')) {
        return takes(inner);
    }
    if let Some(inner) = kind.strip_prefix("List<").and_then(|kind| kind.strip_suffix('>')) {
        return takes(inner).map(|one| format!("{one}, or a list"));
    }
    if let Some(inner) = kind.strip_prefix("BTreeMap<").and_then(|kind| kind.strip_suffix('>')) {
        let (name, value) = inner.split_once(", ")?;
        return Some(format!("a table: {} = {}", takes(name)?, takes(value)?));
    }
    let word = match kind {
        "bool" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" | "f64" => NUMBER,
        "Size" => "a size",
        "Time" => "a time",
        "Address" => "`ADDR:PORT`",
        "Network" => "a network",
        "NameServer" => "`IP` or `IP:PORT`",
        "PathBuf" => "a path",
        "Url" | "Directory" => "a URL",
        "Host" | "Authority" => "a host",
        "StoreUrl" => "a store",
        "Origin" | "PageOrigin" => "a page's origin",
        "PathPattern" => "a pattern",
        "PathQuery" => "a path of a URL",
        "Verb" => "a method",
        "Field" => "a field's name",
        "FieldValue" => "its value",
        "Name" => "a name",
        "Statuses" => "statuses",
        "String" => "a text",
        "Challenge" | "Choose" | "Clients" | "CompressLevel" | "Downstream" | "ForwardedField"
        | "Frames" | "HostOf" | "LimitPer" | "Loads" | "LogFormat" | "Redirects" | "TokenForm"
        | "WhenDown" => "a word",
        _ => return None,
    };
    Some(word.to_owned())
}

/// Reads the structures of one file.
fn read(structs: &mut BTreeMap<String, Struct>, path: &str, text: &str) {
    let mut said: Vec<&str> = Vec::new();
    let mut renamed: Option<String> = None;
    let mut of: Option<String> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(more) = line.strip_prefix("///") {
            said.push(more.trim());
            continue;
        }
        if line.starts_with("#[") {
            let name = line.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next());
            renamed = name.map(str::to_owned).or(renamed);
            continue;
        }
        let words = said.join(" ");
        said.clear();
        let name = renamed.take();
        if let Some(rest) = line.strip_prefix("pub struct ").filter(|rest| rest.ends_with('{')) {
            let name = rest.trim_end_matches([' ', '{']).to_owned();
            structs.insert(name.clone(), Struct { what: words, keys: Vec::new() });
            of = Some(name);
        } else if line == "}" {
            of = None;
        } else if let (Some(of), Some((field, kind))) =
            (&of, line.strip_prefix("pub ").and_then(|field| field.split_once(": ")))
        {
            let key = Key {
                file: path.to_owned(),
                line: at + 1,
                name: name.unwrap_or_else(|| field.to_owned()),
                kind: kind.trim_end_matches(',').to_owned(),
                words,
            };
            structs.entry(of.clone()).or_default().keys.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "\
/// All.
pub struct Edge {
    /// Sites.
    #[serde(rename = \"site\", default)]
    pub sites: Vec<Site>,
}

/// A site.
pub struct Site {
    /// How many. Unit: things. Default 3. Bound: at
    /// least 1. Danger: a lot.
    pub count: u32,
    /// As `Limits::max_size`.
    pub max: Size,
}
";

    fn files(code: &str) -> Vec<File> {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let limit = "pub struct Limits {\n    /// Size of it. Unit: bytes. Default 1 KiB. Bound: none. \
                     Danger: memory.\n    pub max_size: u32,\n}\n";
        vec![file("crates/proto/src/config.rs", code), file("crates/net/src/limits.rs", limit)]
    }

    #[test]
    fn keys_make_rows_under_their_section() {
        let page = page(&files(CODE));
        let rows = "\n## `[[site]]`\n\nSites.\n\n\
                    | key | takes | default | what it is | bound | danger |\n\
                    |---|---|---|---|---|---|\n\
                    | `count` | a number of things | 3 | How many | at least 1 | a lot |\n\
                    | `max` | a size | 1 KiB | Size of it | none | memory |\n";
        assert!(page.ends_with(rows), "{page}");
    }

    #[test]
    fn what_a_number_counts_is_said() {
        let takes = |kind: &str, unit: &str| {
            let code = CODE.replace("count: u32", &format!("count: {kind}"));
            let page = page(&files(&code.replace("things", unit)));
            let row = page.lines().find_map(|line| line.strip_prefix("| `count` | "));
            row.and_then(|row| row.split(" |").next()).unwrap_or_default().to_owned()
        };
        for (kind, unit, said) in [
            ("Option<u64>", "things", "a number of things"),
            ("List<u32>", "shares", "a number of shares, or a list"),
            ("u8", "percent", "a number, in percent"),
            ("u16", "none", "a number"),
        ] {
            assert_eq!(takes(kind, unit), said);
        }
        // The limit that it is as says it.
        let code = CODE.replace("max: Size", "max: u32");
        assert!(page(&files(&code)).contains("| `max` | a number of bytes | 1 KiB |"));
    }

    #[test]
    fn what_two_keys_hold_is_written_once() {
        let code = CODE.replace(
            "    pub sites: Vec<Site>,\n",
            "    pub sites: Vec<Site>,\n    /// Another.\n    pub other: Site,\n",
        );
        let page = page(&files(&code));
        let end = "\n## `[other]`\n\nAnother.\n\nIts keys and sections are those of `[[site]]`.\n";
        assert!(page.ends_with(end), "{page}");
        assert_eq!(page.matches("| `count` |").count(), 1);
    }

    #[test]
    fn a_key_that_says_too_little_is_found() {
        let said = |code: &str| {
            check(&files(code)).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(said(CODE).lines().count(), 1, "only stale");
        for (was, is, says) in [
            ("    /// As `Limits::max_size`.\n", "", "the key `max` has no documentation"),
            ("Danger: a lot", "", "the key `count` does not say Default, Bound: and Danger:"),
            ("max_size`", "gone`", "is as a limit that is none"),
            ("max: Size", "max: f32", "the key `max` is of a type unknown here, f32"),
            (" Unit: things.", "", "the key `count` takes a number and does not say its Unit:"),
            (
                "count: u32",
                "count: Time",
                "the key `count` takes a time, which has no Unit: things",
            ),
        ] {
            let said = said(&CODE.replace(was, is));
            assert!(said.contains(says), "{said}");
        }
    }
}
