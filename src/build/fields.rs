//! The keys that settings read, asked of their `Deserialize`: for the test that holds the
//! reference to the code.

use std::collections::BTreeSet;

use serde::de::value::{BorrowedStrDeserializer, Error};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// How deep tables are looked into; none of ours is deeper.
const DEPTH_MAX: usize = 4;

/// What stands for a name that the file chooses.
const NAME: &str = "NAME";

/// The keys of a table, and of tables in it behind a dot. What a hand-written `Deserialize`
/// reads is not seen.
pub(super) fn of<S: DeserializeOwned>() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut ways: Vec<Vec<&'static str>> = vec![Vec::new()];
    while let Some(way) = ways.pop() {
        let mut found = Vec::new();
        let probe = Probe {
            way: &way,
            found: &mut found,
        };
        // The probe always ends with an error: it has no values.
        drop(S::deserialize(probe));
        for key in found {
            let next: Vec<&'static str> = way.iter().copied().chain([key]).collect();
            if key != NAME {
                all.insert(next.join("."));
            }
            if next.len() < DEPTH_MAX {
                ways.push(next);
            }
        }
    }
    all
}

/// Goes a way of keys, and notes the keys of the table at its end.
struct Probe<'p> {
    way: &'p [&'static str],
    found: &'p mut Vec<&'static str>,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no value"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(One(Some(self)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.enter(&[NAME], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name.contains("spanned_private") {
            return visitor.visit_map(Placed(fields, Some(self)));
        }
        self.enter(fields, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

impl Probe<'_> {
    fn enter<'de, V: Visitor<'de>>(
        self,
        fields: &[&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Some((first, rest)) = self.way.split_first() else {
            self.found.extend_from_slice(fields);
            return Err(Error::custom("found"));
        };
        let inner = Probe {
            way: rest,
            found: self.found,
        };
        visitor.visit_map(Entry(first, Some(inner)))
    }
}

/// An array of one.
struct One<'p>(Option<Probe<'p>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let probe = self.0.take();
        probe.map(|probe| seed.deserialize(probe)).transpose()
    }
}

/// A table of one entry.
struct Entry<'p>(&'static str, Option<Probe<'p>>);

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if self.1.is_none() {
            return Ok(None);
        }
        seed.deserialize(Key(self.0)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let probe = self.1.take().ok_or_else(|| Error::custom("no more"))?;
        seed.deserialize(probe)
    }
}

/// The key of an entry, with its place where that is asked for.
struct Key(&'static str);

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Placed(fields, Some(self)))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A value and where it stands: start, end, value.
struct Placed<D>(&'static [&'static str], Option<D>);

impl<'de, D: Deserializer<'de, Error = Error>> MapAccess<'de> for Placed<D> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, _)) = self.0.split_first() else {
            return Ok(None);
        };
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        self.0 = self.0.get(1..).unwrap_or_default();
        if !self.0.is_empty() {
            return seed.deserialize(0_usize.into_deserializer());
        }
        let value = self.1.take().ok_or_else(|| Error::custom("no more"))?;
        seed.deserialize(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use toml::Spanned;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its names are asked for")]
    struct Outer {
        plain: u8,
        #[serde(default)]
        spanned: Option<Spanned<Vec<Spanned<Inner>>>>,
        #[serde(default)]
        named: BTreeMap<Spanned<String>, Inner>,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its names are asked for")]
    struct Inner {
        #[serde(rename = "try")]
        attempts: Vec<String>,
    }

    #[test]
    fn fields_of_tables_in_tables() {
        let expected = ["named", "named.NAME.try", "plain", "spanned", "spanned.try"];
        assert_eq!(of::<Outer>(), expected.map(str::to_owned).into());
    }
}
