//! A document as a tree whose every value knows where it was written: read from TOML (1.1), with
//! overrides from the environment put in.
//!
//! Only this tree knows lines. What is read from it names what is wrong by its path, and
//! [`Tree::place`] says where that is.

use std::borrow::Cow;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::near;
use super::wrong::{Place, Wrong};

/// What the names of variables that override keys begin with.
pub const VARIABLES: &str = "HEADWATER__";

/// The longest document in bytes. Longer ones are refused unread.
pub const MAX_DOCUMENT: usize = 1 << 20;

/// One step from a value to one within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a table.
    Key(Box<str>),
    /// Into a list.
    Item(usize),
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    /// From the environment: it is what its key wants it to be.
    Loose(String),
    Whole(i128),
    Flag(bool),
    /// What no key takes, by its name: a float or a date.
    Other(&'static str),
    List(Vec<Node>),
    Table(Vec<(Name, Node)>),
}

/// A key as it was written.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) text: Box<str>,
    pub(super) place: Place,
}

/// A document.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) root: Node,
}

impl Tree {
    /// Reads TOML.
    pub(super) fn read(text: &str) -> Result<Self, Vec<Wrong>> {
        if text.len() > MAX_DOCUMENT {
            let what = format!("the document is longer than {MAX_DOCUMENT} bytes");
            return Err(vec![Wrong::at(Place::Line(1), what)]);
        }
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { root: lines.table(Place::Line(1), table.get_ref()) });
        }
        let errors = errors.iter().take(super::MAX_WRONGS).map(|error| {
            let place = lines.place(error.span().map_or(0, |span| span.start));
            Wrong::at(place, format!("this is no TOML: {}", error.message()))
        });
        Err(errors.collect())
    }

    /// Puts in what a variable says, such as `HEADWATER__SERVER__LISTEN`.
    pub(super) fn set(&mut self, variable: &str, text: String) -> Result<(), Wrong> {
        let place = Place::Variable(variable.into());
        let wrong = |what: String| Err(Wrong::at(place.clone(), what));
        let names = variable.strip_prefix(VARIABLES).unwrap_or_default();
        let steps: Vec<String> = names.split("__").map(str::to_ascii_lowercase).collect();
        if steps.iter().any(String::is_empty) {
            return wrong(format!("it names no key: {VARIABLES}SECTION__KEY does"));
        }
        let value = match text.trim_start().chars().next() {
            Some('[' | '{') => match DeValue::parse(&text) {
                Ok(value) => Node::of(&place, value.get_ref()).value,
                Err(error) => return wrong(format!("this is no TOML: {}", error.message())),
            },
            _ => Value::Loose(text),
        };
        let mut at = &mut self.root;
        for step in &steps {
            at = match at.enter(step, &place) {
                Ok(next) => next,
                Err(what) => return wrong(what),
            };
        }
        *at = Node { place, value };
        Ok(())
    }

    /// Where the value at a path was written; of one that is not there, what would hold it.
    pub(super) fn place(&self, path: &[Step]) -> Place {
        let (mut at, mut place) = (&self.root, &self.root.place);
        for step in path {
            let next = match (step, &at.value) {
                (Step::Key(key), Value::Table(entries)) => {
                    let found = entries.iter().find(|(name, _)| name.text == *key);
                    found.map(|(name, node)| (node, &name.place))
                }
                (Step::Item(item), Value::List(list)) => {
                    list.get(*item).map(|node| (node, &node.place))
                }
                _ => None,
            };
            let Some((node, found)) = next else { break };
            (at, place) = (node, found);
        }
        place.clone()
    }

    /// Takes out the value at a path; `false` where there is none.
    pub(super) fn remove(&mut self, path: &[Step]) -> bool {
        let Some((last, way)) = path.split_last() else { return false };
        let mut at = &mut self.root;
        for step in way {
            let next = match (step, &mut at.value) {
                (Step::Key(key), Value::Table(entries)) => {
                    entries.iter_mut().find(|(name, _)| name.text == *key).map(|(_, node)| node)
                }
                (Step::Item(item), Value::List(list)) => list.get_mut(*item),
                _ => None,
            };
            let Some(node) = next else { return false };
            at = node;
        }
        match (last, &mut at.value) {
            (Step::Key(key), Value::Table(entries)) => {
                let before = entries.len();
                entries.retain(|(name, _)| name.text != *key);
                entries.len() < before
            }
            (Step::Item(item), Value::List(list)) if *item < list.len() => {
                list.remove(*item);
                true
            }
            _ => false,
        }
    }
}

impl Node {
    /// A value all of which has one place.
    fn of(place: &Place, value: &DeValue<'_>) -> Self {
        let place = place.clone();
        let value = convert(value, &mut |_| place.clone());
        Self { place, value }
    }

    /// Adds the way to each text within that is this one.
    pub(super) fn find(&self, wanted: &str, way: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
        let mut enter = |step: Step, node: &Self, found: &mut Vec<Vec<Step>>| {
            way.push(step);
            node.find(wanted, way, found);
            way.pop();
        };
        match &self.value {
            Value::Text(text) | Value::Loose(text) if text == wanted => found.push(way.clone()),
            Value::List(list) => {
                for (at, node) in list.iter().enumerate() {
                    enter(at.into(), node, found);
                }
            }
            Value::Table(entries) => {
                for (name, node) in entries {
                    enter((&*name.text).into(), node, found);
                }
            }
            _ => {}
        }
    }

    fn empty(place: &Place) -> Self {
        Self { place: place.clone(), value: Value::Table(Vec::new()) }
    }

    /// The value that a step of a variable's name leads to, made where it is not there: a key of a
    /// table; of a list of tables the number of one, or its `name`.
    fn enter(&mut self, step: &str, place: &Place) -> Result<&mut Self, String> {
        // A key whose section is not there yet.
        if !matches!(self.value, Value::Table(_) | Value::List(_)) {
            return Err(format!("what comes before '{step}' is a value and no section"));
        }
        match &mut self.value {
            Value::Table(entries) => {
                let found = entries.iter().position(|(name, _)| near::is_same(&name.text, step));
                let at = found.unwrap_or(entries.len());
                if found.is_none() {
                    let name = Name { text: step.into(), place: place.clone() };
                    entries.push((name, Self::empty(place)));
                }
                entries.get_mut(at).map(|(_, node)| node)
            }
            Value::List(list) => {
                let at = match step.parse::<usize>() {
                    Ok(number) => Some(number),
                    Err(_) => list.iter().position(|node| node.is_named(step)),
                };
                if at == Some(list.len()) {
                    list.push(Self::empty(place));
                }
                at.and_then(|at| list.get_mut(at))
            }
            _ => None,
        }
        .ok_or_else(|| format!("there is no '{step}': an entry is named by its name or from 0"))
    }

    fn is_named(&self, wanted: &str) -> bool {
        let Value::Table(entries) = &self.value else { return false };
        entries.iter().any(|(name, node)| {
            &*name.text == "name"
                && matches!(&node.value, Value::Text(text) if near::is_same(text, wanted))
        })
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect())
    }

    fn place(&self, offset: usize) -> Place {
        Place::Line(self.0.partition_point(|start| *start <= offset).max(1))
    }

    fn table(&self, place: Place, table: &DeTable<'_>) -> Node {
        let mut at = |span: std::ops::Range<usize>| self.place(span.start);
        Node { place, value: table_of(table, &mut at) }
    }
}

type At<'a> = dyn FnMut(std::ops::Range<usize>) -> Place + 'a;

fn table_of(table: &DeTable<'_>, at: &mut At<'_>) -> Value {
    let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        let name = Name { text: key.get_ref().as_ref().into(), place: at(key.span()) };
        let node = Node { place: at(value.span()), value: convert(value.get_ref(), at) };
        (name, node)
    };
    Value::Table(table.iter().map(entry).collect())
}

fn convert(value: &DeValue<'_>, at: &mut At<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("number that is too large"), Value::Whole),
        DeValue::Float(_) => Value::Other("number with a fraction"),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Array(list) => {
            let item = |value: &Spanned<DeValue<'_>>| Node {
                place: at(value.span()),
                value: convert(value.get_ref(), at),
            };
            Value::List(list.iter().map(item).collect())
        }
        DeValue::Table(table) => table_of(table, at),
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Item(item) => write!(f, "[{item}]"),
        }
    }
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Step {
    fn from(item: usize) -> Self {
        Self::Item(item)
    }
}

/// Shared with places of values that come from one variable.
pub(super) type Variable = Arc<str>;
