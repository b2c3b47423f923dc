//! Reads structures from a [`Tree`] by serde, and goes on after what is wrong.
//!
//! serde ends at the first error. So what was wrong is noted and taken out of the tree, and the rest
//! is read again, until nothing is wrong: every key has a default, so that what is missing is no
//! error of its own. A document costs at most [`MAX_WRONGS`](super::MAX_WRONGS) readings.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

use super::near;
use super::text::LIST;
use super::tree::{Node, Step, Tree, Value};
use super::wrong::Wrong;

/// What was read, the tree without what could not be, and what was wrong with that. Nothing is read where a
/// list of sections is too long: others refer to what is in it.
pub(super) fn read<T: for<'de> Deserialize<'de> + Default>(
    mut tree: Tree,
) -> (Option<T>, Tree, Vec<Wrong>) {
    let mut wrongs = Vec::new();
    while wrongs.len() < super::MAX_WRONGS {
        let unknown = RefCell::default();
        let reader = Reader { node: &tree.root, trail: None, unknown: &unknown };
        let done = T::deserialize(reader);
        let mut found = unknown.into_inner();
        let done = match done {
            Ok(done) => Some(done),
            Err(fault) => {
                found.push(fault);
                None
            }
        };
        let too_long = found.iter().any(|fault| fault.too_long);
        // From the last: what is taken out of a list moves those after it.
        let mut moved = false;
        for fault in found.into_iter().rev() {
            let path = fault.path.unwrap_or_default();
            let wrong = Wrong::of(path, fault.says).placed(|path| tree.place(path));
            moved |= tree.remove(wrong.path());
            wrongs.push(wrong);
        }
        match done {
            _ if too_long => return (None, tree, wrongs),
            Some(done) => return (Some(done), tree, wrongs),
            None if !moved => break,
            None => {}
        }
    }
    (Some(T::default()), tree, wrongs)
}

/// What serde stopped at.
#[derive(Debug)]
struct Fault {
    path: Option<Vec<Step>>,
    says: String,
    /// It is a list of more sections than are read.
    too_long: bool,
}

impl Fault {
    fn at(mut self, trail: Option<&Trail<'_>>) -> Self {
        self.path.get_or_insert_with(|| path(trail));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(says: T) -> Self {
        Self { path: None, says: says.to_string(), too_long: false }
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self { too_long: true, ..Self::custom(format_args!("it takes {expected}")) }
    }

    fn invalid_type(given: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match given {
            Unexpected::Map => Self::custom(format_args!("it takes {expected}, not a section")),
            Unexpected::Seq => Self::custom(format_args!("it takes {expected}, not a list")),
            given => Self::custom(format_args!("it takes {expected}, not {given}")),
        }
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        Self::custom(format_args!(
            "'{given}' is unknown{}",
            near::hint(given, known.iter().copied())
        ))
    }
}

/// The way back to the root.
struct Trail<'t> {
    before: Option<&'t Trail<'t>>,
    step: Step,
}

fn path(mut trail: Option<&Trail<'_>>) -> Vec<Step> {
    let mut path = Vec::new();
    while let Some(Trail { before, step }) = trail {
        path.push(step.clone());
        trail = *before;
    }
    path.reverse();
    path
}

/// A value of the tree for serde.
#[derive(Clone, Copy)]
struct Reader<'t> {
    node: &'t Node,
    trail: Option<&'t Trail<'t>>,
    /// Keys that no structure has.
    unknown: &'t RefCell<Vec<Fault>>,
}

impl Reader<'_> {
    /// The key that this value is of.
    fn key(&self) -> Option<&str> {
        let mut trail = self.trail;
        while let Some(Trail { before, step }) = trail {
            if let Step::Key(key) = step {
                return Some(key);
            }
            trail = *before;
        }
        None
    }

    /// A fault of this value, unless it is one of what is within.
    fn own(&self, mut fault: Fault) -> Fault {
        if fault.path.is_none()
            && let Some(key) = self.key()
        {
            fault.says = format!("key '{key}': {}", fault.says);
        }
        fault.at(self.trail)
    }

    fn takes(&self, what: &str) -> Fault {
        self.own(de::Error::custom(format_args!("it takes {what}, not {}", self.node.describe())))
    }

    fn whole(&self, least: i128, most: i128) -> Result<i128, Fault> {
        let number = match &self.node.value {
            Value::Whole(number) => Some(*number),
            Value::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            let what = match number {
                Some(_) => format!("a whole number from {least} to {most}"),
                None => "a whole number".to_owned(),
            };
            self.takes(&what)
        })
    }
}

impl Node {
    fn describe(&self) -> String {
        match &self.value {
            Value::Text(text) | Value::Loose(text) => format!("the text '{}'", text.escape_debug()),
            Value::Whole(number) => format!("the number {number}"),
            Value::Flag(flag) => flag.to_string(),
            Value::Other(what) => format!("a {what}"),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a section".to_owned(),
        }
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $type:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let number = self.whole(<$type>::MIN.into(), <$type>::MAX.into())?;
            let number = <$type>::try_from(number).map_err(|_| self.takes("a whole number"))?;
            visitor.$visit(number).map_err(|fault: Fault| self.own(fault))
        })*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let done = match &self.node.value {
            Value::Text(text) | Value::Loose(text) => visitor.visit_str(text),
            Value::Whole(number) => visitor.visit_i128(*number),
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::Other(what) => Err(de::Error::invalid_type(Unexpected::Other(what), &visitor)),
            Value::List(_) => return self.deserialize_seq(visitor),
            Value::Table(_) => return self.deserialize_map(visitor),
        };
        done.map_err(|fault| self.own(fault))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let flag = match &self.node.value {
            Value::Flag(flag) => Some(*flag),
            Value::Loose(text) => text.trim().parse().ok(),
            _ => None,
        };
        let flag = flag.ok_or_else(|| self.takes("true or false"))?;
        visitor.visit_bool(flag).map_err(|fault: Fault| self.own(fault))
    }

    numbers! {
        deserialize_i8, visit_i8, i8;
        deserialize_i16, visit_i16, i16;
        deserialize_i32, visit_i32, i32;
        deserialize_i64, visit_i64, i64;
        deserialize_u8, visit_u8, u8;
        deserialize_u16, visit_u16, u16;
        deserialize_u32, visit_u32, u32;
        deserialize_u64, visit_u64, u64;
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::Loose(text) => {
                visitor.visit_str(text).map_err(|fault: Fault| self.own(fault))
            }
            _ => {
                let fault: Fault = de::Error::custom(format_args!(
                    "it takes {}, not {}",
                    Expected(&visitor),
                    self.node.describe()
                ));
                Err(self.own(fault))
            }
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == LIST && !matches!(self.node.value, Value::List(_) | Value::Table(_)) {
            return visitor.visit_seq(Alone(Some(self))).map_err(|fault| self.own(fault));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::List(list) = &self.node.value else { return Err(self.takes("a list")) };
        let items = Items { of: self, list: list.iter(), at: 0 };
        visitor.visit_seq(items).map_err(|fault| self.own(fault))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.entries(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.entries(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) | Value::Loose(text) => {
                visitor.visit_enum(Word(text)).map_err(|fault| self.own(fault))
            }
            _ => Err(self.takes("a text")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// What a visitor says that it takes.
struct Expected<'v, V>(&'v V);

impl<'de, V: Visitor<'de>> fmt::Display for Expected<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

impl Reader<'_> {
    fn entries<'de, V: Visitor<'de>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Value::Table(entries) = &self.node.value else {
            return Err(self.takes("a section"));
        };
        let entries = Entries { of: self, rest: entries.iter(), known, value: None };
        visitor.visit_map(entries).map_err(|fault| self.own(fault))
    }
}

struct Items<'t> {
    of: Reader<'t>,
    list: std::slice::Iter<'t, Node>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.list.next() else { return Ok(None) };
        let trail = Trail { before: self.of.trail, step: Step::Item(self.at) };
        self.at += 1;
        let reader = Reader { node, trail: Some(&trail), unknown: self.of.unknown };
        seed.deserialize(reader).map(Some).map_err(|fault| fault.at(Some(&trail)))
    }
}

/// One value in the place of a list.
struct Alone<'t>(Option<Reader<'t>>);

impl<'de> SeqAccess<'de> for Alone<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        self.0.take().map(|reader| seed.deserialize(reader)).transpose()
    }
}

struct Entries<'t> {
    of: Reader<'t>,
    rest: std::slice::Iter<'t, (super::tree::Name, Node)>,
    known: Option<&'static [&'static str]>,
    value: Option<(&'t str, &'t Node)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        for (name, node) in self.rest.by_ref() {
            let key = &*name.text;
            let trail = Trail { before: self.of.trail, step: Step::Key(key.into()) };
            if let Some(known) = self.known
                && !known.contains(&key)
            {
                if self.of.unknown.borrow().len() >= super::MAX_WRONGS {
                    continue;
                }
                let hint = near::hint(key, known.iter().copied());
                let says = format!("key '{key}' is unknown{hint}");
                let fault = Fault { path: Some(path(Some(&trail))), says, too_long: false };
                self.of.unknown.borrow_mut().push(fault);
                continue;
            }
            self.value = Some((key, node));
            let reader: StrDeserializer<'_, Fault> = key.into_deserializer();
            return seed.deserialize(reader).map(Some).map_err(|mut fault| {
                fault.says = format!("key '{key}': {}", fault.says);
                fault.at(Some(&trail))
            });
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value without a key"));
        };
        let trail = Trail { before: self.of.trail, step: Step::Key(key.into()) };
        let reader = Reader { node, trail: Some(&trail), unknown: self.of.unknown };
        seed.deserialize(reader).map_err(|fault| fault.at(Some(&trail)))
    }
}

/// A variant without a value.
struct Word<'t>(&'t str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let reader: StrDeserializer<'_, Fault> = self.0.into_deserializer();
        Ok((seed.deserialize(reader)?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Fault> {
        Err(de::Error::custom("it takes a word alone"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Fault> {
        Err(de::Error::custom("it takes a word alone"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fault> {
        Err(de::Error::custom("it takes a word alone"))
    }
}
