//! docs/recipes.md: each recipe is started as it stands there, and asked for what it promises. Only
//! addresses and the places of files are set otherwise: of files by variables, and in commands by their text;
//! and once more with lower bounds and shorter times, where what is promised takes thousands of viewers.

mod caching;
mod links;
mod viewers;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater::proto::config::Edge as Config;

use crate::process::{Answer, Edge, Files, Origin, ask, command};

const PAGE: &str = include_str!("../../docs/recipes.md");

/// Tests of recipes by their headings, and the list of them.
macro_rules! recipes {
    ($($module:ident: $($name:ident)*;)*) => {
        $($(
            #[test]
            fn $name() {
                $module::$name(&files(stringify!($name)));
            }
        )*)*
        const TESTED: &[&str] = &[$($(stringify!($name)),*),*];
    };
}

recipes! {
    caching: a_cache_before_a_web_site live purging_by_tag large_files_that_outlive_a_restart;
    links: several_origins survive_an_origin_that_is_down a_shield_behind_edges an_origin_shield
        edges_known_by_their_certificates many_sites certificates_that_the_edge_gets_for_itself
        a_new_origin_for_a_few;
    viewers: video_on_demand_with_signed_links limits_for_strangers what_viewers_see
        an_application_beside_the_video a_player_on_another_site who_is_let_in_and_from_where;
}

/// A heading as the name of its test.
fn slug(heading: &str) -> String {
    heading.trim().to_ascii_lowercase().replace(' ', "_")
}

/// The files of one recipe, as they stand in the text.
fn files(name: &str) -> Vec<&'static str> {
    blocks(name, "toml")
}

/// The blocks of a language in one recipe.
fn blocks(name: &str, language: &str) -> Vec<&'static str> {
    let begins = format!("```{language}\n");
    let sections = PAGE.split("\n## ").skip(1);
    let mut named =
        sections.filter(|section| section.lines().next().map(slug).as_deref() == Some(name));
    let section = named.next().unwrap_or_else(|| panic!("there is no recipe {name}"));
    let blocks = section.split(&*begins).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.collect()
}

#[test]
fn every_recipe_is_tested_and_there_are_ten() {
    let headings: BTreeSet<String> = PAGE
        .split("\n## ")
        .skip(1)
        .filter_map(|section| section.lines().next().map(slug))
        .collect();
    let tested: BTreeSet<String> = TESTED.iter().copied().map(str::to_owned).collect();
    assert_eq!(headings, tested);
    assert!(headings.len() >= 10);
    for name in TESTED {
        for text in files(name) {
            // What files it names, no machine of a test has.
            let wrongs = Config::parse("recipe.toml", text, []).err();
            assert!(wrongs.is_none(), "{name}: {}", wrongs.unwrap());
        }
    }
}

#[test]
fn every_command_is_run() {
    let with_commands = TESTED.iter().filter(|name| !blocks(name, "sh").is_empty());
    // By the tests of these recipes.
    let run = [caching::PURGING_BY_TAG, viewers::SIGNED_LINKS];
    assert_eq!(with_commands.copied().collect::<Vec<_>>(), run);
    let other = PAGE.lines().filter_map(|line| line.strip_prefix("```"));
    let other = other.filter(|language| !matches!(*language, "" | "toml" | "sh"));
    assert_eq!(other.collect::<Vec<_>>(), [""; 0]);
}

/// A recipe's edge, with its files, which are there as long as it.
struct Kitchen {
    edge: Edge,
    files: Files,
}

impl Kitchen {
    /// Starts a recipe's file with some keys set by variables (`SERVER__LISTEN` and so on), on ports of
    /// the system's choice.
    fn start(text: &str, set: &[(&str, &str)]) -> Self {
        Self::start_in(Files::new(text), set)
    }

    /// Starts the file of a folder.
    fn start_in(files: Files, set: &[(&str, &str)]) -> Self {
        let text = fs::read_to_string(files.path("edge.toml")).unwrap();
        let mut command = command(&files, &[]);
        // The listeners that the recipe has, elsewhere.
        for (key, variable) in [
            ("\nlisten = \"[", "SERVER__LISTEN"),
            ("\nlisten_http = ", "SERVER__LISTEN_HTTP"),
            ("\n[operator]\nlisten = ", "OPERATOR__LISTEN"),
        ] {
            if text.contains(key) {
                command.env(format!("HEADWATER__{variable}"), "127.0.0.1:0");
            }
        }
        for (variable, value) in set {
            command.env(format!("HEADWATER__{variable}"), value);
        }
        Self { edge: Edge::spawn(&mut command), files }
    }

    fn http(&self) -> SocketAddr {
        self.edge.addr("http")
    }

    fn get(&self, host: &str, target: &str) -> Answer {
        ask(self.http(), "GET", host, target, "")
    }

    /// Runs a recipe's commands as they stand in the text, in the folder of its files, with other words for
    /// what lies elsewhere here; what they print. `None` where a program of theirs is not on this machine
    /// (POSIX, Shell Command Language, 2.8.2).
    fn run(&self, name: &str, elsewhere: &[(&str, &str)]) -> Option<String> {
        let commands = blocks(name, "sh");
        let [text] = &commands[..] else { panic!("{name}: {commands:?}") };
        let mut script = (*text).to_owned();
        for (there, here) in elsewhere {
            assert!(script.contains(there), "{there} is not in {text}");
            let file = files(name).iter().any(|file| file.contains(there));
            assert!(file, "{there} is not in the file of {name}");
            script = script.replace(there, here);
        }
        let command = Path::new(env!("CARGO_BIN_EXE_headwater"));
        let programs = std::env::var_os("PATH").unwrap_or_default();
        let programs = std::env::split_paths(&programs);
        let programs = command.parent().map(Path::to_owned).into_iter().chain(programs);
        let output = Command::new("sh")
            .args(["-ec", &script])
            .env("PATH", std::env::join_paths(programs).unwrap())
            // What it asks is on this machine.
            .env("no_proxy", "*")
            .current_dir(self.files.folder())
            .output()
            .unwrap();
        if output.status.code() == Some(127) {
            return None;
        }
        assert!(output.status.success(), "{script}: {output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// What the operator answers.
    fn operator(&self, method: &str, target: &str, more: &str) -> Answer {
        ask(self.edge.addr("operator"), method, "localhost", target, more)
    }
}

/// Whether an answer came from the cache that was asked: the last to put itself there (RFC 9211 §2).
fn is_hit(answer: &Answer) -> bool {
    answer.last("cache-status").rsplit(", ").next().is_some_and(|last| last.contains("; hit"))
}

/// An origin that can be broken, and answers with fields of its own beside the target.
fn origin(fields: &'static str) -> (Origin, Arc<AtomicBool>) {
    let broken = Arc::<AtomicBool>::default();
    let is_broken = Arc::clone(&broken);
    let origin = Origin::answering(move |asked| {
        let status = match (is_broken.load(Ordering::SeqCst), asked.target.contains("missing")) {
            (true, _) => 503,
            (false, true) => 404,
            (false, false) => 200,
        };
        (status, fields.to_owned(), asked.target.clone())
    });
    (origin, broken)
}
