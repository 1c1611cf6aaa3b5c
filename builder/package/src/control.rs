//! A package's `control` file: one paragraph of fields (deb-control(5), deb822(5)).

use crate::{Error, Result};
use std::collections::HashSet;

/// The fields of a `control` file in their order, values as written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Control {
    text: String,
    fields: Vec<(String, String)>,
}

impl Control {
    /// Reads a paragraph. `archive` is for messages.
    ///
    /// # Errors
    /// A line that is neither a field, its continuation nor a comment; a field that comes twice;
    /// more than one paragraph.
    pub fn parse(archive: &str, text: String) -> Result<Self> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut names = HashSet::new();
        let mut ended = false;
        for (index, line) in text.lines().enumerate() {
            let refuse = |reason: String| Error::Control {
                archive: archive.to_owned(),
                line: index + 1,
                reason,
            };
            if line.starts_with('#') {
                continue;
            }
            if line.trim().is_empty() {
                ended = !fields.is_empty();
                continue;
            }
            if ended {
                return Err(refuse("a second paragraph begins".into()));
            }
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = fields.last_mut() else {
                    return Err(refuse("a continuation comes before any field".into()));
                };
                value.push('\n');
                value.push_str(line);
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(refuse("is not of the form 'Field: value'".into()));
            };
            let is_name = |byte: u8| byte.is_ascii_graphic();
            if name.is_empty() || name.starts_with('-') || !name.bytes().all(is_name) {
                return Err(refuse(format!("{name:?} is no field name")));
            }
            if !names.insert(name.to_ascii_lowercase()) {
                return Err(refuse(format!("field {name} comes twice")));
            }
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self { text, fields })
    }

    /// The value of a field, its name in any case; further lines as written, each after a
    /// newline and with its leading space.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All fields in their order: name, value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The file as it was.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_comes_once_in_whatever_case() {
        let text = "Package: a\nversion: 1\nVERSION: 2\n";
        let error = Control::parse("a", text.to_owned()).unwrap_err();
        assert!(error.to_string().contains("VERSION comes twice"), "{error}");
    }

    /// As many fields as a control file may hold (1 MiB): time must not grow by their square.
    #[test]
    fn very_many_fields_are_read_at_once() {
        let text: String = (0..120_000).map(|number| format!("{number}:\n")).collect();
        let control = Control::parse("a", text).unwrap();
        assert_eq!(control.fields().count(), 120_000);
    }
}
