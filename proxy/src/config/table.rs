//! The tables of a TOML document, walked by the tables of [`super::keys`].
//!
//! Opening a table reports keys that are unknown or belong to a later version; reading a key reports what is
//! wrong with its value, and lets the default take its place.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Span;
use super::document::{Basis, Document, Located, Origin};
use super::schema::{Default, Key, Kind, Section};
use super::spelling::{nearest, printable};
use super::syntax::SyntaxError;
use super::value::{type_name, wrong_type};

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
        let (word, kind) = match &key.kind {
            Kind::List(kind) => (None, *kind),
            Kind::ListOr(word, kind) => (Some(*word), *kind),
            other => panic!("`{name}` is {other:?} in the tables, not an array"),
        };
        if word.is_some() && self.text(name) == word {
            return Vec::new();
        }
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

    /// A table below this one, empty where it is not written, or where a word stands instead.
    pub(super) fn table(&self, name: &str) -> Table<'d> {
        let key = self.section.key(name);
        let (Kind::Table(section) | Kind::WordOrTable(_, section)) = key.kind else {
            panic!("`{name}` is not a table in the tables")
        };
        let (span, entries) = match self.entry(name) {
            None => (self.span.clone(), None),
            Some(entry) => match entry.get_ref() {
                DeValue::Table(entries) => (entry.span(), Some(entries)),
                DeValue::String(_) if matches!(key.kind, Kind::WordOrTable(..)) => (entry.span(), None),
                other if self.is_inline(section) => {
                    self.fault(key, name, &entry.span(), wrong_type(other, &key.kind));
                    (entry.span(), None)
                }
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
        let title = if self.is_inline(section) {
            format!("`{name}` of {}", self.title)
        } else {
            section.header.to_owned()
        };
        let path = self.path_of(name);
        if entries.is_some() {
            self.document.place(path.clone(), &span);
        }
        Table::open(self.document, section, title, path, span, entries)
    }

    /// Whether a table below this one is written in the line of its key, and has no header of its own.
    fn is_inline(&self, section: &Section) -> bool {
        section.header.starts_with(self.section.header)
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
        if let Some((span, _)) = elements.get(TABLES_MAX) {
            self.document.error(
                Basis::Value,
                span,
                format!("more than {TABLES_MAX} tables {}", section.header),
                "divide them among several gateways",
            );
        }
        for (index, (span, value)) in elements.into_iter().take(TABLES_MAX).enumerate() {
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

    /// Whether the table is written.
    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
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

/// Of one kind; checks that compare them with each other stay cheap.
const TABLES_MAX: usize = 1000;

fn names(section: &Section) -> String {
    let names: Vec<_> = section.keys.iter().filter(|key| !key.is_later()).map(|key| key.name).collect();
    names.join(", ")
}
