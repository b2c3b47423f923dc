//! What docs/configuration.md says, and the files that are given to people.

use headwater_proto::config::quantity::{Size, Time};
use toml::{Table, Value};

use crate::{SMALL, wrongs};

const PAGE: &str = include_str!("../../../../docs/configuration.md");
const DEPLOYED: &str = include_str!("../../../../deploy/edge.toml");

#[test]
fn the_file_that_is_installed_and_the_pages_first_are_good() {
    assert_eq!(wrongs(DEPLOYED), "");
    let example = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(wrongs(example.unwrap()), "");
}

/// A document whose sections all have an entry, with defaults.
fn defaults() -> Table {
    let origins = "origins = \"http://127.0.0.1:8080\"\n";
    let more = "check = {}\nsign = { region = 'a', key_id = 'a', secret_file = 'a' }\n";
    let small = SMALL.replace(origins, &format!("{origins}{more}"));
    let text = format!(
        "{small}[site.tokens]\n[[site.tokens.key]]\nsecret_env = 'x'\n\
         [[site.device]]\nclass = 'tv'\nagents = 'x'\n[[site.route]]\npath = '/'\n\
         answer = {{ status = 200 }}\nrewrite = {{ from = '/', to = '/' }}\n\
         cors = {{ origins = '*' }}\nsecurity = {{}}\naddresses = {{}}\ncountries = {{ only = 'DE' }}\n\
         referrers = {{ hosts = 'a' }}\n\
         request_headers = {{ remove = 'a' }}\nresponse_headers = {{ remove = 'a' }}\n\
         [[upstream]]\nname = 'objects'\nstore = {{ url = 's3://b' }}\n\
         [[limit]]\nname = 'a'\nrequests = 1\n[geo]\ndatabase = '/a'\n"
    );
    let edge = headwater_proto::config::Edge::parse("edge.toml", &text, []).unwrap();
    edge.resolved().to_toml().parse().unwrap()
}

/// The section of a heading such as `[[site.route]]`.
fn section<'t>(table: &'t Table, heading: &str) -> &'t Table {
    let path: Vec<&str> = heading.trim_matches(['[', ']']).split('.').collect();
    within(table, &path).unwrap_or_else(|| panic!("{heading} is not there"))
}

/// Of a list, the first in which there is what is wanted.
fn within<'t>(table: &'t Table, path: &[&str]) -> Option<&'t Table> {
    let Some((key, rest)) = path.split_first() else { return Some(table) };
    match table.get(*key)? {
        Value::Table(table) => within(table, rest),
        Value::Array(all) => {
            all.iter().filter_map(Value::as_table).find_map(|one| within(one, rest))
        }
        _ => None,
    }
}

fn is_same(said: &str, value: &Value) -> bool {
    match value {
        Value::Array(all) if all.is_empty() => said == "none",
        Value::Array(all) => {
            let texts: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
            said.trim_matches('`') == texts.join(", ")
        }
        Value::String(text) => {
            let times = (said.parse::<Time>(), text.parse::<Time>());
            let sizes = (said.parse::<Size>(), text.parse::<Size>());
            said.trim_matches('`') == text
                || matches!(times, (Ok(one), Ok(other)) if one == other)
                || matches!(sizes, (Ok(one), Ok(other)) if one == other)
        }
        Value::Table(_) => true,
        other => said.replace(',', "") == other.to_string(),
    }
}

#[test]
fn each_default_is_what_the_page_says() {
    let table = defaults();
    let mut rows = 0;
    let mut heading = "";
    for line in PAGE.lines() {
        if let Some(of) = line.strip_prefix("## `") {
            heading = of.trim_end_matches('`');
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let mut cells = row.split(" | ");
        let (key, said) = (cells.next().unwrap().trim_end_matches('`'), cells.nth(1).unwrap());
        let of = section(&table, heading);
        rows += 1;
        // What has no default of its own is set here, or not written out.
        let of_site = said == "the site's `upstream`";
        let is_set = !said.starts_with("none") && said != "empty" && !of_site;
        if let Some(value) = of.get(key).filter(|_| is_set) {
            assert!(
                is_same(said, value),
                "{heading} {key}: the page says {said}, and it is {value}"
            );
        } else {
            let unset = ["none", "empty", "one for each core", "all", "the site's `upstream`"];
            let unset =
                unset.contains(&said) || said.starts_with("none:") || said.starts_with("as ");
            assert!(unset, "{heading} {key}: the page says {said}");
        }
    }
    assert!(rows > 100, "{rows} keys");
}
