//! The tables of keys as Markdown, for `docs/configuration.md`.

use super::schema::{Default, Kind, Section};
use super::units::format_size;

/// A heading, a sentence and a table of keys for every section of the file.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for section in Section::all() {
        text += &format!("### {}\n\n{}\n\n", heading(section), section.summary);
        text += "| key | value | default | meaning |\n| --- | --- | --- | --- |\n";
        for key in section.keys.iter().filter(|key| !key.is_later()) {
            let default = match key.default {
                Default::Toml(text) => format!("`{text}`"),
                Default::Absent => "absent".to_owned(),
                Default::Depends(on) => on.to_owned(),
                Default::Required => "required".to_owned(),
            };
            text += &format!("| `{}` | {} | {default} | {} |\n", key.name, values(&key.kind), key.summary);
        }
        let later: Vec<_> = section.keys.iter().filter(|key| key.is_later()).collect();
        if !later.is_empty() {
            let names: Vec<_> = later.iter().map(|key| format!("`{}`", key.name)).collect();
            text += &format!("\nRefused as not available in this version: {}.\n", names.join(", "));
        }
        text.push('\n');
    }
    text
}

fn heading(section: &Section) -> String {
    match section.header.strip_prefix('[') {
        Some(_) => format!("`{}`", section.header),
        None => "Top level".to_owned(),
    }
}

fn values(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Syntax(what, _) | Kind::TextOrTable(what, _) => (*what).to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Duration(min) if min.is_zero() => "duration".to_owned(),
        Kind::Duration(_) => "duration, not zero".to_owned(),
        Kind::Size(min, max) => format!("size, {} to {}", format_size(*min), format_size(*max)),
        Kind::Rate => "rate".to_owned(),
        Kind::OneOf(words) => quoted(&words()),
        Kind::WordOrTable(words, section) => format!("{}, or `{}`", quoted(&words()), section.header),
        Kind::List(element) => format!("array of: {}", values(element)),
        Kind::ListOr(word, element) => format!("`\"{word}\"`, or array of: {}", values(element)),
        Kind::Table(section) | Kind::NamedTables(section) | Kind::Tables(section) => {
            format!("`{}`", section.header)
        }
        Kind::Boolean | Kind::Integer(..) | Kind::Later => kind.expectation(),
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
}
