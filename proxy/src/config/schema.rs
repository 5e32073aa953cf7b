//! The vocabulary in which the keys of a configuration file are described, and the JSON Schema made from it.
//!
//! The tables themselves are in [`super::keys`]. They alone say which keys exist, what each default is and
//! which keys belong to a later version; the reader, `config schema` and the reference in
//! `docs/configuration.md` all follow them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::keys;
use super::units;

/// A table of the file and the keys that may stand in it.
#[derive(Debug)]
pub(super) struct Section {
    /// How the table is written, say `[[listener]]`.
    pub header: &'static str,
    /// What the table is for; one sentence or two.
    pub summary: &'static str,
    /// In the order of the documentation.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What holds where it is not written.
    pub default: Default,
    /// What it means, or for a key of a later version, what to do without it.
    pub summary: &'static str,
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    /// This value, in TOML.
    Toml(&'static str),
    /// Nothing: the key has no effect unless it is written.
    Absent,
    /// A value that depends on something else; the text says on what.
    Depends(&'static str),
    /// The key must be written.
    Required,
}

/// What a key may hold.
#[derive(Debug)]
pub(super) enum Kind {
    /// Any text of one line.
    Text,
    /// Text of a syntax of its own: what it is, and the pattern that the schema offers to editors.
    Syntax(&'static str, &'static str),
    /// A path, relative to the file.
    Path,
    /// `true` or `false`.
    Boolean,
    /// A whole number, within bounds.
    Integer(u64, u64),
    /// A duration of at least this.
    Duration(Duration),
    /// A size in bytes, within bounds.
    Size(u64, u64),
    /// A rate in bytes a second.
    Rate,
    /// One of these words.
    OneOf(fn() -> Vec<&'static str>),
    /// An array.
    List(&'static Kind),
    /// An array, or this word for an empty one.
    ListOr(&'static str, &'static Kind),
    /// A table.
    Table(&'static Section),
    /// A table of tables, whose names the operator chooses.
    NamedTables(&'static Section),
    /// An array of tables.
    Tables(&'static Section),
    /// Text, or a table that says more.
    TextOrTable(&'static str, &'static Section),
    /// One of these words, or a table that says more.
    WordOrTable(fn() -> Vec<&'static str>, &'static Section),
    /// Known, but not available in this version.
    Later,
}

impl Section {
    /// The description of a key that the reader asks for.
    pub(super) fn key(&self, name: &str) -> &'static Key {
        let key = self.keys.iter().find(|key| key.name == name);
        key.expect("the reader asks only for keys that the tables of this section have")
    }

    /// This section and all below it, each once, in the order of the documentation.
    #[must_use]
    pub(super) fn all() -> Vec<&'static Section> {
        fn collect(section: &'static Section, all: &mut Vec<&'static Section>) {
            all.push(section);
            for key in section.keys {
                if let Some(below) = key.kind.section() {
                    collect(below, all);
                }
            }
        }
        let mut all = Vec::new();
        collect(&keys::FILE, &mut all);
        all
    }
}

impl Key {
    /// Whether the key belongs to a later version.
    #[must_use]
    pub(super) fn is_later(&self) -> bool {
        matches!(self.kind, Kind::Later)
    }
}

impl Kind {
    /// What a value must be, for "must be …".
    #[must_use]
    pub(super) fn expectation(&self) -> String {
        match self {
            Self::Text => "text in quotes".to_owned(),
            Self::Syntax(what, _) | Self::TextOrTable(what, _) => (*what).to_owned(),
            Self::Path => "a path in quotes".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Integer(min, max) if min == max => format!("{min}"),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Duration(_) => quantity(units::Quantity::Duration),
            Self::Size(..) => quantity(units::Quantity::Size),
            Self::Rate => quantity(units::Quantity::Rate),
            Self::OneOf(words) => alternatives(&words(), None),
            Self::WordOrTable(words, _) => alternatives(&words(), Some("a table")),
            Self::List(element) => format!("an array; each element {}", element.expectation()),
            Self::ListOr(word, element) => {
                format!("\"{word}\" or an array; each element {}", element.expectation())
            }
            Self::Table(section) => format!("a table {}", section.header),
            Self::NamedTables(section) => format!("tables {}", section.header),
            Self::Tables(section) => format!("one or more tables {}", section.header),
            Self::Later => "absent".to_owned(),
        }
    }

    fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Table(section)
            | Self::NamedTables(section)
            | Self::Tables(section)
            | Self::TextOrTable(_, section)
            | Self::WordOrTable(_, section)
            | Self::List(Kind::Table(section) | Kind::TextOrTable(_, section)) => Some(section),
            Self::Text
            | Self::Syntax(..)
            | Self::Path
            | Self::Boolean
            | Self::Integer(..)
            | Self::Duration(_)
            | Self::Size(..)
            | Self::Rate
            | Self::OneOf(_)
            | Self::List(_)
            | Self::ListOr(..)
            | Self::Later => None,
        }
    }

    fn to_json_schema(&self) -> Value {
        match self {
            Self::Text | Self::Path => json!({ "type": "string" }),
            Self::Syntax(_, pattern) => json!({ "type": "string", "pattern": pattern }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Self::Duration(_) => json!({ "type": "string", "pattern": r"^\s*\d+\s*(ms|s|m|min|h|d)\s*$" }),
            Self::Size(..) => json!({ "type": "string", "pattern": r"^\s*\d+\s*([KMG]i?)?B\s*$" }),
            Self::Rate => json!({ "type": "string", "pattern": r"^\s*\d+\s*([KMG]i?)?B/s\s*$" }),
            Self::OneOf(words) => json!({ "enum": words() }),
            Self::List(element) => json!({ "type": "array", "items": element.to_json_schema() }),
            Self::ListOr(word, element) => json!({
                "oneOf": [{ "const": word }, { "type": "array", "items": element.to_json_schema() }]
            }),
            Self::Table(section) => table_schema(section),
            Self::NamedTables(section) => {
                json!({ "type": "object", "additionalProperties": table_schema(section) })
            }
            Self::Tables(section) => {
                json!({ "type": "array", "minItems": 1, "items": table_schema(section) })
            }
            Self::TextOrTable(_, section) => {
                json!({ "oneOf": [{ "type": "string" }, table_schema(section)] })
            }
            Self::WordOrTable(words, section) => {
                json!({ "oneOf": [{ "enum": words() }, table_schema(section)] })
            }
            Self::Later => json!(false),
        }
    }
}

/// The JSON Schema of a configuration file, for editors. Keys of later versions are left out.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = table_schema(&keys::FILE);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("ftpsgate configuration");
    schema
}

fn table_schema(section: &Section) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in section.keys.iter().filter(|key| !key.is_later()) {
        let mut property = key.kind.to_json_schema();
        property["description"] = json!(key.summary);
        match key.default {
            Default::Toml(text) => property["default"] = json_of(text),
            Default::Required => required.push(key.name),
            Default::Absent | Default::Depends(_) => {}
        }
        properties.insert(key.name.to_owned(), property);
    }
    let mut schema = json!({
        "type": "object",
        "description": section.summary,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// A default of the tables as JSON.
fn json_of(toml: &str) -> Value {
    let table: Map<String, Value> = toml::from_str(&format!("value = {toml}"))
        .expect("defaults of the tables are TOML; a test reads each");
    table["value"].clone()
}

/// `"a", "b" or "c"`, with a further alternative that is no word.
fn alternatives(words: &[&str], further: Option<&str>) -> String {
    let mut all: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    all.extend(further.map(str::to_owned));
    match all.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn quantity(quantity: units::Quantity) -> String {
    format!("{} such as {}", quantity.noun(), quantity.example())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_stands_once_and_says_what_it_is_for() {
        for section in Section::all() {
            let names: BTreeSet<_> = section.keys.iter().map(|key| key.name).collect();
            assert_eq!(names.len(), section.keys.len(), "{}", section.header);
            assert!(!section.summary.is_empty(), "{}", section.header);
            for key in section.keys {
                assert!(!key.summary.is_empty(), "{} {}", section.header, key.name);
                if let Default::Toml(text) = key.default {
                    json_of(text);
                }
            }
        }
    }

    #[test]
    fn the_schema_knows_keys_bounds_and_defaults_but_no_later_key() {
        let schema = json_schema();
        let listener = &schema["properties"]["listener"]["items"]["properties"];
        assert_eq!(listener["mode"]["enum"], json!(["explicit", "implicit", "plain"]));
        assert_eq!(listener["login_attempts"]["minimum"], json!(1));
        assert_eq!(listener["idle_timeout"]["default"], json!("5m"));
        assert_eq!(listener["intercept"], Value::Null);
        assert_eq!(listener["user_at_host"]["oneOf"][0], json!({ "const": "off" }));
        let backend = &schema["properties"]["backend"]["items"]["properties"];
        assert_eq!(backend["tls"]["enum"], json!(["off", "explicit", "implicit"]));
        assert_eq!(backend["paths"]["enum"], json!(["unix", "windows", "opaque"]));
        assert_eq!(backend["destinations"], Value::Null);
        let server = &backend["servers"]["items"]["oneOf"][1];
        assert_eq!(server["properties"]["weight"]["maximum"], json!(256));
        let check = &backend["check"]["oneOf"];
        assert_eq!(check[0]["enum"][5], json!("data"));
        assert_eq!(check[1]["properties"]["every"]["default"], json!("10s"));
        assert_eq!(schema["properties"]["route"]["items"]["properties"]["users"]["type"], json!("array"));
        assert_eq!(schema["properties"]["backend"]["items"]["required"], json!(["servers"]));
        assert_eq!(schema["required"], json!(["listener", "backend"]));
    }
}
