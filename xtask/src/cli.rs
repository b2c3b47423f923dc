//! Reading a command line, and the two things every answer to a wrong one needs: one sentence, and
//! the near miss.
//!
//! Written by hand because an argument parser would multiply xtask's build time by ten.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::Path;

/// One clear sentence about what went wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

/// What every step gives back.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// The sentence for a file operation that failed.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a subcommand takes.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// One line, for the list of commands.
    pub(crate) summary: &'static str,
    /// What follows `Usage: cargo xtask`.
    pub(crate) usage: &'static str,
    /// What `--help` says before the options.
    pub(crate) about: &'static str,
    /// The words it takes without dashes, each with its explanation; empty when it takes none.
    pub(crate) names: &'static [(&'static str, &'static str)],
    pub(crate) flags: &'static [Flag],
}

/// One option of a subcommand.
pub(crate) struct Flag {
    /// With its dashes.
    pub(crate) name: &'static str,
    /// What its value is called; none for a switch.
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
}

/// What was typed.
#[derive(Debug, Default)]
pub(crate) struct Given {
    flags: BTreeMap<&'static str, Vec<OsString>>,
    /// The words without dashes, all of them known.
    pub(crate) names: Vec<&'static str>,
}

/// What to do with it.
#[derive(Debug)]
pub(crate) enum Parsed {
    Help,
    Run(Given),
}

/// Reads `args` against `spec`.
pub(crate) fn parse(spec: &'static Spec, args: Vec<OsString>) -> Outcome<Parsed> {
    let mut given = Given::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        if matches!(text.as_str(), "--help" | "-h") {
            return Ok(Parsed::Help);
        }
        if !text.starts_with('-') {
            given.names.push(known_name(spec, &text)?);
            continue;
        }
        let (typed, inline) = match text.split_once('=') {
            Some((typed, value)) => (typed, Some(OsString::from(value))),
            None => (text.as_str(), None),
        };
        let Some(flag) = spec.flags.iter().find(|flag| flag.name == typed) else {
            let known = spec.flags.iter().map(|flag| flag.name).chain(["--help"]);
            return Err(Failure::new(unknown("option", typed, known)));
        };
        let value = match (flag.value, inline) {
            (None, Some(_)) => {
                return Err(Failure::new(format!("{typed} takes no value")));
            }
            (None, None) => OsString::new(),
            (Some(_), Some(value)) => value,
            (Some(name), None) => args
                .next()
                .ok_or_else(|| Failure::new(format!("{typed} needs a value: {typed} {name}")))?,
        };
        given.flags.entry(flag.name).or_default().push(value);
    }
    Ok(Parsed::Run(given))
}

fn known_name(spec: &'static Spec, typed: &str) -> Outcome<&'static str> {
    if spec.names.is_empty() {
        return Err(Failure::new(format!(
            "`cargo xtask {}` takes options only, not `{typed}`",
            spec.name
        )));
    }
    spec.names
        .iter()
        .map(|(name, _)| *name)
        .find(|name| *name == typed)
        .ok_or_else(|| Failure::new(unknown("name", typed, spec.names.iter().map(|(n, _)| *n))))
}

impl Given {
    /// Whether a switch was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.contains_key(flag)
    }

    /// Every value of an option, in the order typed.
    pub(crate) fn all(&self, flag: &str) -> &[OsString] {
        self.flags.get(flag).map_or(&[], Vec::as_slice)
    }

    /// The last value of an option: what is typed later wins.
    pub(crate) fn last(&self, flag: &str) -> Option<&OsStr> {
        self.all(flag).last().map(OsString::as_os_str)
    }
}

impl Spec {
    /// What `--help` prints.
    pub(crate) fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage: cargo xtask {}\n", wrap(self.about, 0), self.usage);
        if !self.names.is_empty() {
            text.push_str("\nNames:\n");
            for (name, help) in self.names {
                text.push_str(&entry(name, help));
            }
        }
        text.push_str("\nOptions:\n");
        for flag in self.flags {
            let title = match flag.value {
                Some(value) => format!("{} {value}", flag.name),
                None => flag.name.to_owned(),
            };
            text.push_str(&entry(&title, flag.help));
        }
        text.push_str(&entry("--help", "Print this text"));
        text.truncate(text.trim_end().len());
        text
    }
}

/// One line or more of a list: a title, and its explanation beside it.
pub(crate) fn entry(title: &str, help: &str) -> String {
    format!("  {title:<16} {}\n", wrap(help, 19))
}

/// Breaks each paragraph of `text` into lines of at most 88 columns, all but the first indented.
fn wrap(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for (number, paragraph) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let mut column = indent;
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if column > indent && column + 1 + word.len() > 88 {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else if column > indent {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += word.len();
        }
    }
    out
}

/// The sentence for a word that is not known, with the known word it most resembles, or all.
pub(crate) fn unknown<'a>(
    what: &str,
    typed: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let near = known
        .clone()
        .map(|word| (distance(typed, word), word))
        .filter(|(far, word)| *far <= (word.len() / 3).max(2) || word.starts_with(typed))
        .min();
    if let Some((_, word)) = near {
        return format!("there is no {what} `{typed}`; did you mean `{word}`?");
    }
    let all = known.collect::<Vec<_>>().join(", ");
    format!("there is no {what} `{typed}`; there are: {all}")
}

/// How many letters must be added, dropped, changed or swapped with a neighbour to get from one
/// word to the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(64).collect();
    let to: Vec<char> = to.chars().take(64).collect();
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost =
                (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                cost = cost.min(rows[i - 1][j - 1] + 1);
            }
            row.push(cost);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

    use super::*;

    static SPEC: Spec = Spec {
        name: "play",
        summary: "Play.",
        usage: "play NAME [OPTIONS]",
        about: "Plays.",
        names: &[("one", "the first"), ("two", "the second")],
        flags: &[
            Flag { name: "--input", value: Some("PATH"), help: "what to play" },
            Flag { name: "--check", value: None, help: "check only" },
        ],
    };

    fn given(args: &[&str]) -> Outcome<Given> {
        match parse(&SPEC, args.iter().map(Into::into).collect())? {
            Parsed::Run(given) => Ok(given),
            Parsed::Help => panic!("help was not asked for"),
        }
    }

    #[test]
    fn values_repeat_in_order_and_may_follow_an_equals_sign() {
        let given = given(&["--input", "a b", "two", "--input=c", "--check"]).unwrap();
        assert_eq!(given.all("--input"), ["a b", "c"]);
        assert_eq!(given.last("--input").unwrap(), "c");
        assert_eq!(given.names, ["two"]);
        assert!(given.has("--check"));
    }

    #[test]
    fn wrong_lines_get_one_sentence() {
        for (args, sentence) in [
            (&["--imput", "x"][..], "there is no option `--imput`; did you mean `--input`?"),
            (&["--input"], "--input needs a value: --input PATH"),
            (&["--check=yes"], "--check takes no value"),
            (&["tow"], "there is no name `tow`; did you mean `two`?"),
            (&["seventeen"], "there is no name `seventeen`; there are: one, two"),
        ] {
            assert_eq!(given(args).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn help_wins_over_everything_after_the_mistake_free_part() {
        assert!(matches!(parse(&SPEC, vec!["one".into(), "-h".into()]).unwrap(), Parsed::Help));
    }

    #[test]
    fn help_lines_are_short_and_aligned() {
        let text = entry("--flag", &"word ".repeat(60));
        assert!(text.lines().all(|line| line.len() <= 88));
        assert!(text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(19))));
    }
}
