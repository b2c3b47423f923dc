//! The configuration of an edge: what is read reads the same when it is written out, and whatever is
//! wrong is told of in a bounded number of lines. As TOML, which its operator writes, and as JSON, which
//! a control plane pushes.

use headwater_proto::config::{Edge, MAX_DOCUMENT, MAX_WRONGS};

use crate::seeds::Seed;

/// Documents with something of everything that has no default, one with faults, and none.
const DOCUMENTS: &[(&str, &str)] = &[
    ("options", include_str!("config/options.toml")),
    ("others", include_str!("config/others.toml")),
    ("self-signed", SELF_SIGNED),
    ("faults", FAULTS),
    ("none", ""),
];

const SELF_SIGNED: &str = "[server]\nlisten = 'localhost:8443'\n[server.tls]\n\
     self_signed = 'localhost'\n[[upstream]]\nname = 'a'\norigins = 'http://c'\n[[site]]\nhosts = '*'\n\
     upstream = 'a'\n";

const FAULTS: &str = "[server]\nlistn = 1\nlisten_http = ':80'\ndrain = '10'\n[[upstream]]\n\
     origins = 'a:b@c'\n[[site]]\nhosts = 'A'\nroute = [1, { path = 'x' }]\n[[limit]]\nper = 'tokn'\n\
     requests = -1\n[site.tokens]\nleeway = '1 fortnight'\n[[site.tokens.key]]\nform = 'jws'\n";

/// Whole files that operators copy.
const RECIPES: &str = include_str!("../../../docs/recipes.md");

fn documents() -> Vec<(String, String)> {
    let own = DOCUMENTS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let recipes = RECIPES.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let recipes = recipes.enumerate();
    own.chain(recipes.map(|(number, text)| (format!("recipe-{number}"), text.to_owned()))).collect()
}

/// Those documents, and one with every default written out.
pub(crate) fn seeds() -> Vec<Seed> {
    let mut all = documents();
    all.push(("written".to_owned(), read(DOCUMENTS[0].1).to_toml()));
    all.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

/// The same as JSON.
pub(crate) fn pushed_seeds() -> Vec<Seed> {
    let json = |(name, text): (String, String)| {
        let table = text.parse::<toml::Table>().ok()?;
        Some((name, serde_json::to_vec(&table).ok()?))
    };
    let mut all: Vec<Seed> = documents().into_iter().filter_map(json).collect();
    let written = serde_json::to_vec(&read(DOCUMENTS[0].1)).unwrap_or_default();
    all.push(("written".to_owned(), written));
    all
}

/// A document that is right, or else the defaults.
fn read(text: &str) -> Edge {
    Edge::parse("edge.toml", text, []).unwrap_or_default()
}

/// Reads the input as a document.
pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match Edge::parse("edge.toml", text, []) {
        Ok(edge) => {
            let written = edge.to_toml();
            let again = Edge::parse("edge.toml", &written, []);
            assert_eq!(again.as_ref(), Ok(&edge), "{written}");
        }
        Err(wrongs) => {
            let count = wrongs.iter().count();
            assert!((1..=MAX_WRONGS).contains(&count), "{count} faults are told of");
        }
    }
}

/// Reads the input as what is pushed: it is what a document can say, and wrong where that is.
pub(crate) fn run_pushed(input: &[u8]) {
    let Ok(edge) = serde_json::from_slice::<Edge>(input) else { return };
    let wrongs = edge.check().len();
    assert!(wrongs <= MAX_WRONGS, "{wrongs} faults are told of");
    let written = edge.to_toml();
    assert!(!written.is_empty(), "what was read cannot be written");
    // With what was left out, it may be longer than a document may be.
    if written.len() <= MAX_DOCUMENT {
        match Edge::parse("edge.toml", &written, []) {
            Ok(again) => assert_eq!((again, wrongs), (edge.clone(), 0), "{written}"),
            Err(told) => assert!(wrongs > 0, "{told}\n{written}"),
        }
    }
    if let Ok(pushed) = serde_json::to_vec(&edge) {
        assert_eq!(serde_json::from_slice::<Edge>(&pushed).ok().as_ref(), Some(&edge));
    }
}
