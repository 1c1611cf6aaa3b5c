//! A package's `control` file: one paragraph of fields (deb-control(5), deb822(5)).

use crate::{Error, Result};

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
            let twice = fields
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name));
            if twice {
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
