//! From a file to a [`Config`]: reads it, parses the TOML, walks it, and returns the configuration or everything
//! that is wrong with it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ftpsgate_policies::rule::Origin;
use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Diagnostics, Severity, Source, Span};
use super::document::{Document, Repaired};
use super::model::Config;
use super::policy::PolicyFile;
use super::spelling::printable;
use super::table::Table;
use super::value;
use super::{admin, audit, backend, check, gateway, listener, policy, route, tls};

/// Larger files are refused unread.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A configuration, and what is to be said about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What to run.
    pub config: Config,
    /// What is doubtful about it.
    pub warnings: Vec<Diagnostic>,
    source: Arc<Source>,
    places: BTreeMap<String, Span>,
    policy_files: Vec<Arc<Source>>,
}

impl Loaded {
    /// A finding about a key, for checks that look beyond the file. `path` names the key as in
    /// `tls.default.certificates[0].chain` or `listener[0].passive.ports`, counting from 0; the nearest table
    /// above is shown where the key is not written.
    #[must_use]
    pub fn diagnostic(
        &self,
        severity: Severity,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Diagnostic {
        let mut path = path;
        loop {
            if let Some(span) = self.places.get(path) {
                return Diagnostic::new(severity, &self.source, span.clone(), message, hint);
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Diagnostic::about(severity, self.source.origin(), message, hint),
            }
        }
    }

    /// A finding about a rule or a test, by where it stands, in this file or a policy file.
    #[must_use]
    pub fn diagnostic_at(
        &self,
        severity: Severity,
        origin: &Origin,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Diagnostic {
        let sources = std::iter::once(&self.source).chain(&self.policy_files);
        let source = sources.into_iter().find(|source| *source.origin() == *origin.file);
        match source.and_then(|source| Some((source, source.line(origin.line as usize)?))) {
            Some((source, span)) => Diagnostic::new(severity, source, span, message, hint),
            None => Diagnostic::about(severity, &*origin.file, message, hint),
        }
    }
}

/// Reads the configuration file at `path`.
///
/// # Errors
///
/// Everything that is wrong with the file, or that it cannot be read.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let hint = "name the file with `-c FILE`, or run without one: `ftpsgate run --backend HOST:PORT`";
    let file = open(path, "the configuration", hint)?;
    read_whole(&file, None)
}

/// Reads the configuration file `base` with the policy of another file, for trying that one out: a configuration, or a
/// policy file, which stands for all rules, groups and tests of `base`. `default` and `mode` are those of `base` unless
/// the policy file has a `[policy]` of its own.
///
/// # Errors
///
/// Everything that is wrong with the files, or that they cannot be read.
pub fn load_with(base: &Path, with: &Path) -> Result<Loaded, Diagnostics> {
    let trial = open(with, "the policy", "name a configuration, or a file with [[rule]] tables")?;
    if policy::is_policy_file(trial.source.text()) {
        let hint = "a policy file says nothing of listeners and backends: name their file with `-c FILE`";
        read_whole(&open(base, "the configuration", hint)?, Some(&trial))
    } else {
        read_whole(&trial, None)
    }
}

/// A file that was read.
pub(super) struct Opened {
    pub(super) source: Arc<Source>,
    /// What its relative paths are relative to.
    pub(super) base_dir: PathBuf,
}

fn open(path: &Path, noun: &str, hint: &str) -> Result<Opened, Diagnostics> {
    let origin = path.display().to_string();
    let cannot = |error: std::io::Error| {
        let message = format!("cannot read {noun}: {error}");
        Diagnostics::from(Diagnostic::about(Severity::Error, origin.clone(), message, hint))
    };
    let text = match read_text(path) {
        Ok(text) => text,
        Err(Unread::Io(error)) => return Err(cannot(error)),
        Err(Unread::TooLarge) => return Err(too_large(&origin)),
        Err(Unread::NotUtf8(text, place)) => {
            let source = Arc::new(Source::new(&origin, text));
            return Err(Diagnostics::from(not_utf8(&source, place)));
        }
    };
    let path = std::path::absolute(path).map_err(cannot)?;
    let base_dir = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    Ok(Opened { source: Arc::new(Source::new(&origin, text)), base_dir })
}

/// Why a file has no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// It cannot be read.
    #[error(transparent)]
    Io(io::Error),
    /// It is longer than [`FILE_BYTES_MAX`].
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// It is not UTF-8: as far as it can be read, and where that ends.
    #[error("it is not UTF-8")]
    NotUtf8(String, usize),
}

/// Reads a whole file.
pub(super) fn read_text(path: &Path) -> Result<String, Unread> {
    let file = File::open(path).map_err(Unread::Io)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(Unread::Io)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Unread::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        Unread::NotUtf8(String::from_utf8_lossy(error.as_bytes()).into_owned(), end)
    })
}

pub(super) fn not_utf8(source: &Arc<Source>, place: usize) -> Diagnostic {
    Diagnostic::new(
        Severity::Error,
        source,
        place..place + 1,
        "the file is not UTF-8",
        "save it as UTF-8; it was probably written in an older encoding",
    )
}

fn too_large(origin: &str) -> Diagnostics {
    Diagnostics::from(Diagnostic::about(
        Severity::Error,
        origin,
        "the file is larger than 1 MiB",
        "a configuration is some kilobytes long; is this the right file?",
    ))
}

/// Reads the text of a configuration file. `origin` is how diagnostics call it, `base_dir` what its relative
/// paths are relative to.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn parse(text: &str, origin: &str, base_dir: &Path) -> Result<Loaded, Diagnostics> {
    if text.len() > FILE_BYTES_MAX {
        return Err(too_large(origin));
    }
    let source = Arc::new(Source::new(origin, text));
    read_whole(&Opened { source, base_dir: base_dir.to_owned() }, None)
}

/// Reads a configuration; its policy is that of the file on trial, where there is one.
fn read_whole(file: &Opened, trial: Option<&Opened>) -> Result<Loaded, Diagnostics> {
    let source = Arc::clone(&file.source);
    let (document, broken, (config, files)) = walk(&source, file.base_dir.clone(), |document, entries| {
        read(&Table::root(document, entries), trial)
    });
    let (found, places) = document.finish();
    let mut findings: Vec<Diagnostic> = broken.into_iter().chain(found).collect();
    let mut policy_files = Vec::new();
    for file in files {
        policy_files.push(Arc::clone(&file.document.source));
        let (found, _) = file.document.finish();
        findings.extend(file.broken.into_iter().chain(found));
    }
    let all = Diagnostics::new(findings);
    if all.is_ok() {
        Ok(Loaded { config, warnings: all.warnings().to_vec(), source, places, policy_files })
    } else {
        Err(all)
    }
}

/// Parses a file's text and reads its tables; also what the TOML parser said.
pub(super) fn walk<R>(
    source: &Arc<Source>,
    base_dir: PathBuf,
    read: impl FnOnce(&Document, &DeTable<'_>) -> R,
) -> (Document, Vec<Diagnostic>, R) {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let broken = syntax_errors(source, &errors);
    let document = Document::new(Arc::clone(source), base_dir, repaired(&broken));
    let read = read(&document, table.get_ref());
    (document, broken, read)
}

fn read(file: &Table<'_>, trial: Option<&Opened>) -> (Config, Vec<PolicyFile>) {
    file.read("version", value::integer);
    let gateway = gateway::read(file);
    let profiles = tls::read(file);
    let listeners = listener::read(file);
    let backends = backend::read(file);
    let routes = route::read(file);
    let policy = match trial {
        None => policy::read(file),
        Some(trial) => policy::read_trial(file, trial),
    };
    let audit = audit::read(file);
    let admin = admin::read(file);
    check::complete(file);
    let drafts = check::Drafts { profiles, listeners, backends, routes, policy, audit };
    check::assemble(file.document, gateway, admin, drafts)
}

/// The lines about which nothing more can be said.
fn repaired(broken: &[Diagnostic]) -> Repaired {
    let mut repaired = Repaired::default();
    for error in broken {
        let Some((line, _)) = error.position() else { continue };
        repaired.lines.insert(line);
        // A header or a bracket that was lost changes what all keys behind it belong to.
        if ["unclosed", "table", "array"].iter().any(|word| error.message().contains(word)) {
            repaired.from = Some(repaired.from.map_or(line, |from| from.min(line)));
        }
    }
    repaired
}

/// What the TOML parser complained about, without what merely follows from an earlier complaint on the line.
fn syntax_errors(source: &Arc<Source>, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let mut errors: Vec<_> =
        errors.iter().map(|error| (error.span().unwrap_or_default(), error.message())).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let mut diagnostics = Vec::new();
    let mut derailed = None;
    let mut inside_array = false;
    for (span, message) in errors {
        let written = source.text().get(span.clone()).unwrap_or_default();
        let unquoted = message.starts_with(UNQUOTED);
        let (message, hint) = if unquoted && written.is_empty() {
            ("there is no value".to_owned(), "write a value behind the `=`".to_owned())
        } else if unquoted {
            let written = printable(written);
            (format!("`{written}` is not a value"), format!("write it in quotes, \"{written}\""))
        } else {
            (message.to_owned(), hint(message).to_owned())
        };
        let diagnostic = Diagnostic::new(Severity::Error, source, span, message, hint);
        let line = diagnostic.position().map(|(line, _)| line);
        // Where the end of an array is missing, everything behind it is taken for its elements.
        let of_array = diagnostic.message().contains("array");
        if (derailed.is_some() && derailed == line) || (inside_array && (of_array || unquoted)) {
            continue;
        }
        inside_array |= of_array;
        if !unquoted {
            derailed = line;
        }
        diagnostics.push(diagnostic);
        if diagnostics.len() > Diagnostics::KEPT_MAX {
            break;
        }
    }
    diagnostics
}

fn hint(message: &str) -> &'static str {
    if message.starts_with("duplicate key") {
        "each key stands once in its table, and each [table] once in the file; [[listener]], [[backend]], \
         [[route]], [[rule]] and [[limit]] may be repeated"
    } else if message.starts_with("key with no value") {
        "write `key = value`"
    } else if message.contains("table") && !message.contains("inline") {
        "write headers as [table] or [[table]]"
    } else if message.contains("array") {
        "write arrays as [\"one\", \"two\"]"
    } else {
        "write `key = value`, with texts, addresses, durations and sizes in quotes, under [table] or [[table]]"
    }
}

/// How the TOML parser begins its complaint about a value that looks like nothing else.
const UNQUOTED: &str = "string values must be quoted";
