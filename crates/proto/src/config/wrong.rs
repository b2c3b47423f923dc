//! What is wrong with a configuration: where it was written, which key it is about, and what to do.

use std::fmt;

use super::tree::{Step, Tree, Variable};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of the document, from 1.
    Line(usize),
    /// An environment variable.
    Variable(Variable),
    /// Nowhere that is known: the value came as a value.
    Unknown,
}

/// One thing that is wrong. [`Wrong::says`] is one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    place: Place,
    path: Vec<Step>,
    says: String,
}

impl Wrong {
    pub(super) fn at(place: Place, says: String) -> Self {
        Self { place, path: Vec::new(), says }
    }

    pub(super) fn of(path: Vec<Step>, says: impl Into<String>) -> Self {
        Self { place: Place::Unknown, path, says: says.into() }
    }

    /// What is wrong with the value at a path from the root, such as a file that is not there: who has
    /// the document's [`Places`] says where it was written.
    pub fn with(path: impl IntoIterator<Item = Step>, says: impl fmt::Display) -> Self {
        let path: Vec<Step> = path.into_iter().collect();
        let says = match keys(&path).next() {
            Some(key) => format!("key '{key}': {says}"),
            None => says.to_string(),
        };
        Self::of(path, says)
    }

    pub(super) fn placed(mut self, place: impl FnOnce(&[Step]) -> Place) -> Self {
        self.place = place(&self.path);
        self
    }

    /// Where it was written.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The way to it from the root; empty where it is about the whole.
    pub fn path(&self) -> &[Step] {
        &self.path
    }

    /// The way to the key that it is about, without which of its values.
    pub(super) fn of_key(&self) -> &[Step] {
        let items = self.path.iter().rev().take_while(|step| matches!(step, Step::Item(_)));
        self.path.get(..self.path.len() - items.count()).unwrap_or_default()
    }

    /// What is wrong, in one sentence that names the key.
    pub fn says(&self) -> &str {
        &self.says
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Variable(name) => write!(f, "{name}: {}", self.says),
            Place::Line(_) | Place::Unknown => f.write_str(&self.says),
        }
    }
}

impl std::error::Error for Wrong {}

/// Where the values of a document were written.
#[derive(Clone, Debug)]
pub struct Places {
    file: String,
    tree: Tree,
}

impl Places {
    pub(super) fn new(file: &str, tree: Tree) -> Self {
        Self { file: file.to_owned(), tree }
    }

    /// What is wrong with a file or an environment variable, of each key that names it, or each of those
    /// that are called `key`; empty where none does.
    pub fn naming(&self, named: &str, key: Option<&str>, says: impl fmt::Display) -> Vec<Wrong> {
        let mut all = Vec::new();
        self.tree.root.find(named, &mut Vec::new(), &mut all);
        if let Some(key) = key {
            all.retain(|path| keys(path).next() == Some(key));
        }
        // What is called as a file is, such as an `id`, does not name it.
        if all.iter().any(|path| names_something(path)) {
            all.retain(|path| names_something(path));
        }
        all.into_iter().map(|path| Wrong::with(path, &says)).collect()
    }

    /// What was found wrong with the document after it was read, in the order of its lines.
    pub fn wrongs(&self, found: impl IntoIterator<Item = Wrong>) -> Wrongs {
        let placed = found.into_iter().map(|wrong| wrong.placed(|path| self.tree.place(path)));
        Wrongs::new(&self.file, placed.collect())
    }
}

/// The keys on the way to a value, its own first.
fn keys(path: &[Step]) -> impl Iterator<Item = &str> {
    path.iter().rev().filter_map(|step| match step {
        Step::Key(key) => Some(&**key),
        Step::Item(_) => None,
    })
}

/// Whether a key holds the name of a file, a folder or a variable, by what it is called.
fn names_something(path: &[Step]) -> bool {
    const KEYS: [&str; 7] =
        ["ca", "certificate", "client_certificate", "database", "folder", "key", "public_key"];
    let mut keys = keys(path);
    let (last, before) = (keys.next().unwrap_or_default(), keys.next().unwrap_or_default());
    let ends = ["_ca", "_env", "_file", "_key"].iter().any(|end| last.ends_with(end));
    let of_many = before.ends_with("_files") || before.ends_with("_envs");
    ends || of_many || KEYS.contains(&last)
}

/// Everything that is wrong with a configuration, in the order of its lines; at most
/// [`MAX_WRONGS`](super::MAX_WRONGS). Displayed, each is a line `FILE:LINE: …` or `VARIABLE: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrongs {
    file: String,
    all: Vec<Wrong>,
}

impl Wrongs {
    pub(super) fn new(file: &str, mut all: Vec<Wrong>) -> Self {
        all.sort_by(|one, other| one.place.cmp(&other.place));
        all.dedup();
        all.truncate(super::MAX_WRONGS);
        Self { file: file.to_owned(), all }
    }

    /// Each of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Wrong> {
        self.all.iter()
    }
}

impl<'a> IntoIterator for &'a Wrongs {
    type Item = &'a Wrong;
    type IntoIter = std::slice::Iter<'a, Wrong>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Wrongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, wrong) in self.all.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            match wrong.place {
                Place::Line(line) => write!(f, "{}:{line}: {wrong}", self.file)?,
                Place::Variable(_) | Place::Unknown => write!(f, "{wrong}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Wrongs {}
