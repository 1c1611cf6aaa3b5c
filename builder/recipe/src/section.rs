//! Reading TOML tables with exact places, and refusing keys that nobody asked for.
//!
//! A [`Section`] is a table. Whoever reads it asks for its keys one by one; [`Section::finish`]
//! refuses the keys that are left. So what is known is what is read, with no second list.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, ErrorKind, Result, nearest};
use crate::source::{Located, Mark, Source, SourceKind};

/// Parses a text and reads it.
pub(crate) fn read<T>(
    source: &Arc<Source>,
    read: impl FnOnce(&mut Section<'_>) -> Result<T>,
) -> Result<T> {
    let document = DeTable::parse(&source.text).map_err(|error| {
        let range = error.span().unwrap_or(0..0);
        let message = error.message().trim().replace('\n', ", ");
        Mark::new(source.clone(), range).error(ErrorKind::Syntax { message })
    })?;
    let mut section = Section {
        source: source.clone(),
        path: String::new(),
        pattern: String::new(),
        mark: Mark::new(source.clone(), 0..0),
        table: Some(document.get_ref()),
        asked: Vec::new(),
    };
    let value = read(&mut section)?;
    section.finish()?;
    Ok(value)
}

/// A table that is being read. One that is not there reads as an empty one.
pub(crate) struct Section<'d> {
    source: Arc<Source>,
    /// Keys that lead to it, with dots; empty: the document.
    path: String,
    /// The same with `*` where a free name stands.
    pattern: String,
    mark: Mark,
    table: Option<&'d DeTable<'d>>,
    asked: Vec<&'static str>,
}

/// A value that is being read.
pub(crate) struct Value<'d> {
    source: Arc<Source>,
    path: String,
    pattern: String,
    pub(crate) mark: Mark,
    value: &'d DeValue<'d>,
}

impl<'d> Section<'d> {
    /// A value below `key`, which a pattern calls `name`.
    fn value(&self, key: &str, name: &str, value: &'d Spanned<DeValue<'d>>) -> Value<'d> {
        Value {
            source: self.source.clone(),
            path: join(&self.path, key),
            pattern: join(&self.pattern, name),
            mark: Mark::new(self.source.clone(), value.span()),
            value: value.get_ref(),
        }
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Value<'d>> {
        self.asked.push(key);
        let value = self.table?.get(key)?;
        Some(self.value(key, key, value))
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&mut self, key: &'static str) -> Result<Value<'d>> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        // A slip of the pen is told as such, at its place.
        let slips = self.table.into_iter().flat_map(|table| table.keys());
        let slip = slips
            .filter(|slip| !self.asked.contains(&slip.get_ref().as_ref()))
            .find(|slip| strsim::normalized_damerau_levenshtein(slip.get_ref(), key) >= 0.7);
        Err(match slip {
            // The keys that come after are not known yet, so none are listed.
            Some(slip) => {
                let kind = ErrorKind::UnknownKey {
                    key: slip.get_ref().to_string(),
                    within: self.path.clone(),
                    nearest: Some(key.to_owned()),
                    known: Vec::new(),
                };
                Mark::new(self.source.clone(), slip.span()).error(kind)
            }
            None => self.mark.error(ErrorKind::MissingKey {
                key: key.to_owned(),
                within: self.path.clone(),
            }),
        })
    }

    /// A truth value.
    pub(crate) fn truth(&mut self, key: &'static str) -> Result<Option<Located<bool>>> {
        self.get(key).map(|value| value.truth()).transpose()
    }

    /// A small whole number within bounds.
    pub(crate) fn small(
        &mut self,
        key: &'static str,
        least: u32,
        most: u32,
    ) -> Result<Option<Located<u32>>> {
        let number = self
            .get(key)
            .map(|value| value.number(least.into(), most.into()))
            .transpose()?;
        // Within bounds that are of this type, so it fits.
        Ok(number.map(|number| number.map(|number| u32::try_from(number).unwrap_or(most))))
    }

    /// A size in bytes.
    pub(crate) fn size(&mut self, key: &'static str) -> Result<Option<Located<u64>>> {
        self.get(key).map(|value| value.size()).transpose()
    }

    /// A text that must pass a check.
    pub(crate) fn parsed(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<Option<Located<String>>> {
        self.get(key).map(|value| value.parsed(check)).transpose()
    }

    /// A list of texts that must pass a check; one that is not there is empty.
    pub(crate) fn checked(
        &mut self,
        key: &'static str,
        check: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<Located<String>>> {
        self.get(key)
            .map_or(Ok(Vec::new()), |value| value.checked(check))
    }

    /// A table below a key.
    pub(crate) fn section(&mut self, key: &'static str) -> Result<Section<'d>> {
        match self.get(key) {
            Some(value) => value.section(),
            None => Ok(Section {
                source: self.source.clone(),
                path: join(&self.path, key),
                pattern: join(&self.pattern, key),
                mark: self.mark.clone(),
                table: None,
                asked: Vec::new(),
            }),
        }
    }

    /// The tables of an array of tables.
    pub(crate) fn sections(&mut self, key: &'static str) -> Result<Vec<Section<'d>>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let DeValue::Array(array) = value.value else {
            return Err(value.wrong_type("an array of tables"));
        };
        array
            .iter()
            .map(|element| self.value(key, key, element).section())
            .collect()
    }

    /// The entries of a table whose keys are free names, in the order of the file.
    pub(crate) fn names(mut self) -> Vec<(Located<String>, Value<'d>)> {
        self.asked.clear();
        let mut names: Vec<_> = self
            .table
            .into_iter()
            .flatten()
            .map(|(key, value)| {
                let mark = Mark::new(self.source.clone(), key.span());
                (
                    key.span().start,
                    Located::new(key.get_ref().to_string(), mark),
                    self.value(key.get_ref(), "*", value),
                )
            })
            .collect();
        names.sort_by_key(|(start, _, _)| *start);
        names
            .into_iter()
            .map(|(_, name, value)| (name, value))
            .collect()
    }

    /// Whether the table is there.
    pub(crate) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Refuses the keys that nobody asked for.
    pub(crate) fn finish(&self) -> Result<()> {
        #[cfg(test)]
        known::record(&self.pattern, &self.asked);
        let unknown = self
            .table
            .into_iter()
            .flat_map(|table| table.keys())
            .filter(|key| !self.asked.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        let Some(key) = unknown else {
            return Ok(());
        };
        let mut known: Vec<String> = self.asked.iter().map(|&key| key.to_owned()).collect();
        known.sort();
        known.dedup();
        let kind = ErrorKind::UnknownKey {
            key: key.get_ref().to_string(),
            within: self.path.clone(),
            nearest: nearest(key.get_ref(), known.iter().map(String::as_str)),
            known,
        };
        Err(Mark::new(self.source.clone(), key.span()).error(kind))
    }
}

impl<'d> Value<'d> {
    fn wrong_type(&self, expected: &'static str) -> Error {
        let got = match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.mark.error(ErrorKind::WrongType {
            key: self.path.clone(),
            expected,
            got,
        })
    }

    /// The error that a value cannot be.
    pub(crate) fn bad(&self, got: impl ToString, why: impl Into<String>) -> Error {
        self.mark.error(ErrorKind::BadValue {
            key: self.path.clone(),
            got: got.to_string(),
            why: why.into(),
        })
    }

    /// A text. On the command line `1.2` is one too, where a text is asked for.
    pub(crate) fn text(&self) -> Result<Located<String>> {
        let bare = self.source.kind == SourceKind::Option;
        match self.value {
            DeValue::String(text) => Ok(Located::new(text.to_string(), self.mark.clone())),
            DeValue::Array(_) | DeValue::Table(_) => Err(self.wrong_type("a text")),
            _ if bare => Ok(Located::new(self.mark.written(), self.mark.clone())),
            _ => Err(self.wrong_type("a text")),
        }
    }

    /// A text that means something.
    pub(crate) fn parsed<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Located<T>> {
        let text = self.text()?;
        match parse(&text.value) {
            Ok(value) => Ok(Located::new(value, text.mark)),
            Err(why) => Err(self.bad(&text.value, why)),
        }
    }

    /// One of several words.
    pub(crate) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<Located<T>> {
        self.parsed(|text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let meant = nearest(text, all.iter().copied())
                    .map_or_else(String::new, |word| format!("; did you mean `{word}`?"));
                format!("it must be one of {}{meant}", all.join(", "))
            })
        })
    }

    /// A truth value.
    pub(crate) fn truth(&self) -> Result<Located<bool>> {
        match self.value {
            DeValue::Boolean(truth) => Ok(Located::new(*truth, self.mark.clone())),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, least: i64, most: i64) -> Result<Located<i64>> {
        let DeValue::Integer(integer) = self.value else {
            return Err(self.wrong_type("a whole number"));
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if (least..=most).contains(&number) => {
                Ok(Located::new(number, self.mark.clone()))
            }
            _ => Err(self.bad(integer, format!("it must be from {least} to {most}"))),
        }
    }

    /// A size in bytes: a number, or a text with a binary unit, such as `256M`.
    pub(crate) fn size(&self) -> Result<Located<u64>> {
        if let DeValue::Integer(_) = self.value {
            return Ok(self.number(0, i64::MAX)?.map(i64::unsigned_abs));
        }
        if let DeValue::String(_) = self.value {
            return self.parsed(|text| {
                parse_size(text).ok_or_else(|| {
                    "a size is a number of bytes, or one with K, M, G or T (of 1024) behind it"
                        .to_owned()
                })
            });
        }
        Err(self.wrong_type("a size such as \"256M\", or a number of bytes"))
    }

    /// The size of a partition in bytes: whole blocks of 4096.
    pub(crate) fn partition_size(&self) -> Result<Located<u64>> {
        let size = self.size()?;
        if size.value == 0 || size.value % 4096 != 0 {
            return Err(self.bad(size.value, "a partition is a multiple of 4096 bytes"));
        }
        Ok(size)
    }

    /// A list of texts that must pass a check, none of them twice. An option of the command line
    /// may give a single one without brackets.
    pub(crate) fn checked(
        &self,
        check: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<Located<String>>> {
        self.texts()?
            .into_iter()
            .map(|text| text.named(&self.path, &check))
            .collect()
    }

    fn texts(&self) -> Result<Vec<Located<String>>> {
        let DeValue::Array(array) = self.value else {
            if self.source.kind == SourceKind::Option && matches!(self.value, DeValue::String(_)) {
                return Ok(vec![self.text()?]);
            }
            return Err(self.wrong_type("a list of texts"));
        };
        let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
        let mut texts = Vec::with_capacity(array.len());
        for element in array.iter() {
            let text = Value {
                source: self.source.clone(),
                path: self.path.clone(),
                pattern: self.pattern.clone(),
                mark: Mark::new(self.source.clone(), element.span()),
                value: element.get_ref(),
            };
            let text = text
                .text()
                .map_err(|_| text.wrong_type("a list of texts"))?;
            if let Some(first) = seen.insert(text.value.clone(), text.mark.clone()) {
                return Err(text.mark.twice("value", &text.value, &first));
            }
            texts.push(text);
        }
        Ok(texts)
    }

    /// Whether it is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// Whether it is a text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    /// A table.
    pub(crate) fn section(&self) -> Result<Section<'d>> {
        match self.value {
            DeValue::Table(table) => Ok(Section {
                source: self.source.clone(),
                path: self.path.clone(),
                pattern: self.pattern.clone(),
                mark: self.mark.clone(),
                table: Some(table),
                asked: Vec::new(),
            }),
            _ => Err(self.wrong_type("a table")),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// `256M` and `256MiB` are 256 times 1024 squared.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return None,
    };
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(1 << shift)
        .filter(|size| i64::try_from(*size).is_ok())
}

/// Which keys were ever asked for, so that a test can hold the reference against them.
#[cfg(test)]
pub(crate) mod known {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static KEYS: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub(super) fn record(pattern: &str, asked: &[&'static str]) {
        KEYS.with_borrow_mut(|keys| {
            keys.extend(asked.iter().map(|key| super::join(pattern, key)));
        });
    }

    /// The keys that were asked for since the last call.
    pub(crate) fn take() -> BTreeSet<String> {
        KEYS.take()
    }
}
