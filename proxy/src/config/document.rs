//! Walks the tables of a TOML document by the tables of [`super::keys`].
//!
//! Every key is judged on its own, so that one wrong key hides no other: unknown keys and keys of later
//! versions first, then each value where it is read. A value that cannot be read is reported, and its default
//! takes its place until the whole file has been walked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity, Source, Span};
use super::schema::{Default, Key, Kind, Section};
use super::syntax::{SyntaxError, printable};

/// A file under examination, and what has been found in it.
pub(super) struct Document {
    pub(super) source: Arc<Source>,
    /// What relative paths are relative to.
    pub(super) base_dir: PathBuf,
    repaired: Repaired,
    found: RefCell<Vec<Diagnostic>>,
    places: RefCell<BTreeMap<String, Span>>,
}

/// Where the TOML had to be repaired before it could be walked; what is wrong there is a consequence.
#[derive(Debug, Default)]
pub(super) struct Repaired {
    /// These lines, counted from 1.
    pub(super) lines: BTreeSet<usize>,
    /// Everything from this line on.
    pub(super) from: Option<usize>,
}

/// What a finding rests on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// One value.
    Value,
    /// Several values, or that something is missing: not to be trusted where the TOML was repaired.
    Whole,
}

impl Document {
    pub(super) fn new(source: Arc<Source>, base_dir: PathBuf, repaired: Repaired) -> Self {
        Self { source, base_dir, repaired, found: RefCell::default(), places: RefCell::default() }
    }

    /// Everything found, and where each key that was read stands.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, BTreeMap<String, Span>) {
        (self.found.into_inner(), self.places.into_inner())
    }

    /// Reports an error.
    pub(super) fn error(
        &self,
        basis: Basis,
        span: &Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.report(basis, Diagnostic::new(Severity::Error, &self.source, span.clone(), message, hint));
    }

    /// Reports an error that another place explains.
    pub(super) fn conflict(
        &self,
        span: &Span,
        message: impl Into<String>,
        hint: impl Into<String>,
        related: (&Span, &str),
    ) {
        let diagnostic = Diagnostic::new(Severity::Error, &self.source, span.clone(), message, hint);
        self.report(Basis::Whole, diagnostic.with_related(related.0.clone(), related.1));
    }

    /// Reports something doubtful.
    pub(super) fn warning(&self, span: &Span, message: impl Into<String>, hint: impl Into<String>) {
        let diagnostic = Diagnostic::new(Severity::Warning, &self.source, span.clone(), message, hint);
        self.report(Basis::Whole, diagnostic);
    }

    fn report(&self, basis: Basis, diagnostic: Diagnostic) {
        let line = diagnostic.position().map_or(0, |(line, _)| line);
        let consequence = match basis {
            Basis::Value => {
                self.repaired.lines.contains(&line) || self.repaired.from.is_some_and(|from| line >= from)
            }
            Basis::Whole => !self.repaired.lines.is_empty(),
        };
        if !consequence {
            self.found.borrow_mut().push(diagnostic);
        }
    }

    fn place(&self, path: String, span: &Span) {
        self.places.borrow_mut().insert(path, span.clone());
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    /// Of the value where it is written, else of the table's header.
    pub(super) span: Span,
    pub(super) origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Written,
    Default,
    /// Written, reported as wrong, replaced by the default.
    Faulty,
}

impl<T> Located<T> {
    pub(super) fn is_written(&self) -> bool {
        self.origin == Origin::Written
    }

    /// Whether conclusions may be drawn from the value.
    pub(super) fn is_sound(&self) -> bool {
        self.origin != Origin::Faulty
    }
}

/// One table of the document, together with what may stand in it.
pub(super) struct Table<'d> {
    pub(super) document: &'d Document,
    section: &'static Section,
    /// How messages call it, say `[tls.default]`.
    title: String,
    /// Where its keys are registered, say `listener[0].passive`.
    path: String,
    /// Of its header.
    pub(super) span: Span,
    /// None where the table is not written.
    entries: Option<&'d DeTable<'d>>,
}

/// Reads one value; the kind carries the bounds.
pub(super) type Read<T> = fn(&DeValue<'_>, &Kind) -> Result<T, SyntaxError>;

impl<'d> Table<'d> {
    /// The document's top level.
    pub(super) fn root(document: &'d Document, entries: &'d DeTable<'d>) -> Self {
        let section = &super::keys::FILE;
        Self::open(document, section, section.header.to_owned(), String::new(), 0..0, Some(entries))
    }

    /// A table that is not written.
    pub(super) fn unwritten(document: &'d Document, section: &'static Section) -> Self {
        Self::open(document, section, section.header.to_owned(), String::new(), 0..0, None)
    }

    /// Opens a table: keys that do not belong into it are reported now.
    fn open(
        document: &'d Document,
        section: &'static Section,
        title: String,
        path: String,
        span: Span,
        entries: Option<&'d DeTable<'d>>,
    ) -> Self {
        let table = Self { document, section, title, path, span, entries };
        for (name, _) in entries.into_iter().flatten() {
            let written = printable(name.get_ref());
            match section.keys.iter().find(|key| key.name == name.get_ref().as_ref()) {
                Some(key) if key.is_later() => document.error(
                    Basis::Value,
                    &name.span(),
                    format!("`{written}` is not available in this version"),
                    format!("remove it; {}", key.summary),
                ),
                Some(_) => {}
                None => document.error(
                    Basis::Value,
                    &name.span(),
                    format!("unknown key `{written}` in {}", table.title),
                    table.hint_for_unknown(name.get_ref()),
                ),
            }
        }
        table
    }

    /// How messages call this table.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// A value with a default of its own.
    pub(super) fn read<T>(&self, name: &str, read: Read<T>) -> Located<T> {
        let key = self.section.key(name);
        self.optional(name, read).or_default(|| {
            let Default::Toml(text) = key.default else {
                panic!("`{name}` has no default in the tables and must be read as optional or required");
            };
            let value = DeValue::parse(text).expect("defaults of the tables are TOML");
            read(value.get_ref(), &key.kind).expect("defaults of the tables are valid; every file reads them")
        })
    }

    /// A value that may be absent.
    pub(super) fn optional<T>(&self, name: &str, read: Read<T>) -> Located<Option<T>> {
        let key = self.section.key(name);
        match self.entry(name) {
            None => Located { value: None, span: self.span.clone(), origin: Origin::Default },
            Some(entry) => self.located(key, name, entry, read),
        }
    }

    /// A value that must be written.
    pub(super) fn required<T>(&self, name: &str, read: Read<T>) -> Located<Option<T>> {
        self.require(name);
        self.optional(name, read)
    }

    /// The elements of an array, each with the path under which its findings are registered; none where the
    /// key is absent.
    pub(super) fn elements(&self, name: &str) -> Vec<Element<'d>> {
        let key = self.section.key(name);
        let Some(entry) = self.entry(name) else { return Vec::new() };
        let Kind::List(kind) = &key.kind else { panic!("`{name}` is not an array in the tables") };
        let DeValue::Array(array) = entry.get_ref() else {
            self.fault(key, name, &entry.span(), wrong_type(entry.get_ref(), &key.kind));
            return Vec::new();
        };
        let path = self.path_of(name);
        let numbered = array.iter().enumerate();
        numbered.map(|(index, value)| Element { value, kind, path: format!("{path}[{index}]") }).collect()
    }

    /// Reads an element of an array.
    pub(super) fn element<T>(&self, name: &str, element: &Element<'d>, read: Read<T>) -> Option<Located<T>> {
        let key = self.section.key(name);
        self.document.place(element.path.clone(), &element.value.span());
        match read(element.value.get_ref(), element.kind) {
            Ok(value) => Some(Located { value, span: element.value.span(), origin: Origin::Written }),
            Err(error) => {
                self.fault(key, name, &element.value.span(), error);
                None
            }
        }
    }

    /// Opens an element that is a table.
    pub(super) fn element_table(&self, name: &str, element: &Element<'d>) -> Option<Table<'d>> {
        let key = self.section.key(name);
        let section = match element.kind {
            Kind::Table(section) | Kind::TextOrTable(_, section) => section,
            other => panic!("elements of `{name}` are {other:?} in the tables, not tables"),
        };
        let span = element.value.span();
        let DeValue::Table(entries) = element.value.get_ref() else {
            self.fault(key, name, &span, wrong_type(element.value.get_ref(), element.kind));
            return None;
        };
        let title = format!("`{name}` of {}", self.title);
        let path = element.path.clone();
        self.document.place(path.clone(), &span);
        Some(Table::open(self.document, section, title, path, span, Some(entries)))
    }

    /// A table below this one, empty where it is not written.
    pub(super) fn table(&self, name: &str) -> Table<'d> {
        let Kind::Table(section) = self.section.key(name).kind else {
            panic!("`{name}` is not a table in the tables")
        };
        let (span, entries) = match self.entry(name) {
            None => (self.span.clone(), None),
            Some(entry) => match entry.get_ref() {
                DeValue::Table(entries) => (entry.span(), Some(entries)),
                other => {
                    self.document.error(
                        Basis::Value,
                        &entry.span(),
                        format!("`{name}` must be one table, not {}", type_name(other)),
                        format!("write {} once, in single brackets", section.header),
                    );
                    (entry.span(), None)
                }
            },
        };
        let path = self.path_of(name);
        Table::open(self.document, section, section.header.to_owned(), path, span, entries)
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&self, name: &str) -> Vec<Table<'d>> {
        let Kind::Tables(section) = self.section.key(name).kind else {
            panic!("`{name}` is not an array of tables in the tables")
        };
        let Some(entry) = self.entry(name) else { return Vec::new() };
        let complain = |span: &Span, value: &DeValue<'_>| {
            self.document.error(
                Basis::Value,
                span,
                format!("`{name}` must be {}, not {}", section.header, type_name(value)),
                format!("write {} in double brackets above its keys", section.header),
            );
        };
        let elements: Vec<(Span, &DeValue<'_>)> = match entry.get_ref() {
            DeValue::Array(array) => array.iter().map(|each| (each.span(), each.get_ref())).collect(),
            table @ DeValue::Table(_) => {
                // [listener] instead of [[listener]]: one error, and its keys are judged all the same.
                complain(&entry.span(), table);
                vec![(entry.span(), table)]
            }
            other => {
                complain(&entry.span(), other);
                Vec::new()
            }
        };
        let mut tables = Vec::new();
        for (index, (span, value)) in elements.into_iter().enumerate() {
            let DeValue::Table(entries) = value else {
                complain(&span, value);
                continue;
            };
            let path = format!("{name}[{index}]");
            self.document.place(path.clone(), &span);
            tables.push(Table::open(
                self.document,
                section,
                section.header.to_owned(),
                path,
                span,
                Some(entries),
            ));
        }
        tables
    }

    /// The tables of a table of tables, with their names.
    pub(super) fn named_tables(&self, name: &str) -> Vec<(Located<String>, Table<'d>)> {
        let Kind::NamedTables(section) = self.section.key(name).kind else {
            panic!("`{name}` is not a table of tables in the tables")
        };
        let Some(entry) = self.entry(name) else { return Vec::new() };
        let DeValue::Table(all) = entry.get_ref() else {
            self.document.error(
                Basis::Value,
                &entry.span(),
                format!("`{name}` must be tables {}, not {}", section.header, type_name(entry.get_ref())),
                format!("write [{name}.default] above its keys"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (key, value) in all {
            let written = printable(key.get_ref());
            let DeValue::Table(entries) = value.get_ref() else {
                let belongs = section.keys.iter().any(|known| known.name == key.get_ref().as_ref());
                self.document.error(
                    Basis::Value,
                    &key.span(),
                    format!("`{written}` stands in [{name}], which holds tables {}", section.header),
                    if belongs {
                        format!("write [{name}.default] above it")
                    } else {
                        format!("keys of {} are {}", section.header, names(section))
                    },
                );
                continue;
            };
            let path = format!("{name}.{written}");
            self.document.place(path.clone(), &value.span());
            let profile =
                Located { value: key.get_ref().to_string(), span: key.span(), origin: Origin::Written };
            let title = format!("[{name}.{written}]");
            let table = Table::open(self.document, section, title, path, value.span(), Some(entries));
            tables.push((profile, table));
        }
        tables
    }

    /// Reports a required key that is missing.
    fn require(&self, name: &str) {
        if self.entry(name).is_none() {
            let key = self.section.key(name);
            self.document.error(
                Basis::Whole,
                &self.span,
                format!("{} has no `{name}`", self.title),
                format!("add `{name}`, {}: {}", key.kind.expectation(), key.summary),
            );
        }
    }

    /// Whether the key is written, rightly or wrongly.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// Whether the key is written and an array.
    pub(super) fn is_array(&self, name: &str) -> bool {
        matches!(self.entry(name).map(Spanned::get_ref), Some(DeValue::Array(_)))
    }

    /// The key's value, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&'d str> {
        match self.entry(name)?.get_ref() {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Where the key's value stands; the header where it is not written.
    pub(super) fn span_of(&self, name: &str) -> Span {
        self.entry(name).map_or_else(|| self.span.clone(), Spanned::span)
    }

    fn entry(&self, name: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.entries?.get(name)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn located<T>(
        &self,
        key: &Key,
        name: &str,
        entry: &Spanned<DeValue<'_>>,
        read: Read<T>,
    ) -> Located<Option<T>> {
        self.document.place(self.path_of(name), &entry.span());
        let (value, origin) = match read(entry.get_ref(), &key.kind) {
            Ok(value) => (Some(value), Origin::Written),
            Err(error) => {
                self.fault(key, name, &entry.span(), error);
                (None, Origin::Faulty)
            }
        };
        Located { value, span: entry.span(), origin }
    }

    fn fault(&self, key: &Key, name: &str, span: &Span, error: SyntaxError) {
        let hint = match (error.hint.is_empty(), key.default) {
            (false, _) => error.hint,
            (true, Default::Toml(default)) => format!("without this key `{name} = {default}` holds"),
            (true, Default::Absent | Default::Depends(_) | Default::Required) => key.summary.to_owned(),
        };
        self.document.error(Basis::Value, span, format!("`{name}`: {}", error.message), hint);
    }

    fn hint_for_unknown(&self, written: &str) -> String {
        let available = |section: &'static Section| section.keys.iter().filter(|key| !key.is_later());
        let owners: Vec<_> = Section::all()
            .into_iter()
            .filter(|other| available(other).any(|key| key.name == written))
            .map(|other| other.header)
            .collect();
        let elsewhere = format!("`{}` belongs to {}", printable(written), owners.join(" or "));
        (!owners.is_empty())
            .then_some(elsewhere)
            .or_else(|| {
                let candidates = available(self.section).chain(self.section.keys).map(|key| key.name);
                nearest(written, candidates).map(|nearest| format!("did you mean `{nearest}`?"))
            })
            .unwrap_or_else(|| format!("keys of {} are {}", self.title, names(self.section)))
    }
}

/// An element of an array.
pub(super) struct Element<'d> {
    pub(super) value: &'d Spanned<DeValue<'d>>,
    kind: &'static Kind,
    path: String,
}

impl<T> Located<Option<T>> {
    /// The value, or its default where it is absent or faulty.
    pub(super) fn or_default(self, default: impl FnOnce() -> T) -> Located<T> {
        Located { value: self.value.unwrap_or_else(default), span: self.span, origin: self.origin }
    }
}

/// The error for a value of the wrong type.
pub(super) fn wrong_type(value: &DeValue<'_>, kind: &Kind) -> SyntaxError {
    let message = format!("must be {}, not {}", kind.expectation(), type_name(value));
    let hint = match value {
        DeValue::Integer(number) => match kind {
            Kind::Duration(_) => format!("write it with its unit, \"{number}s\""),
            Kind::Size(..) => format!("write it with its unit, \"{number}B\""),
            Kind::Rate => format!("write it with its unit, \"{number}B/s\""),
            Kind::Text | Kind::Syntax(..) | Kind::OneOf(_) => format!("write it in quotes, \"{number}\""),
            _ => String::new(),
        },
        DeValue::Float(number) if matches!(kind, Kind::OneOf(_)) => {
            format!("write it in quotes, \"{}\"", number.as_str())
        }
        DeValue::String(text) => match kind {
            Kind::List(_) => format!("write it in brackets, [\"{}\"]", printable(text)),
            Kind::Boolean if matches!(text.as_ref(), "true" | "false") => {
                format!("write it without quotes, {text}")
            }
            Kind::Integer(..) if text.parse::<u64>().is_ok() => format!("write it without quotes, {text}"),
            _ => String::new(),
        },
        _ => String::new(),
    };
    SyntaxError { message, hint }
}

/// The candidate that was probably meant.
pub(super) fn nearest<'c>(written: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let length = written.chars().count();
    if length > COMPARED_CHARACTERS_MAX {
        return None;
    }
    let near = length / 3 + 1;
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= near && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer words are no misspelling of anything.
const COMPARED_CHARACTERS_MAX: usize = 64;

fn names(section: &Section) -> String {
    let names: Vec<_> = section.keys.iter().filter(|key| !key.is_later()).map(|key| key.name).collect();
    names.join(", ")
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
