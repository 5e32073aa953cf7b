//! Policy files: which ones `files` of [policy] names, and what stands in each.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};
use toml::de::DeValue;

use super::super::diagnostic::{Diagnostic, Source, Span};
use super::super::document::{Basis, Document};
use super::super::load::{self, Unread};
use super::super::table::Table;
use super::super::value;
use super::Tables;

/// A policy file that was read, with what is wrong with it so far.
pub(in super::super) struct PolicyFile {
    pub(in super::super) document: Document,
    /// What the TOML parser said of it.
    pub(in super::super) broken: Vec<Diagnostic>,
    pub(super) tables: Tables,
}

/// A file that a pattern names: how it is called, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    shown: PathBuf,
    path: PathBuf,
}

/// Reads every policy file once, in the order of `files`, and of their names within a pattern.
pub(super) fn read(policy: &Table<'_>) -> Vec<PolicyFile> {
    let document = policy.document;
    // What the operator called the configuration file, so that policy files are called alike.
    let shown = Path::new(document.source.origin()).parent().map(Path::to_owned).unwrap_or_default();
    let base = Found { shown, path: document.base_dir.clone() };
    let mut files: Vec<(Found, Span)> = Vec::new();
    let mut add = |pattern: &str, span: &Span, is_written: bool| {
        let found = match expand(&base, pattern) {
            Ok(found) => found,
            Err(fault) => {
                let message = format!("`files`: {}", fault.message);
                return document.error(Basis::Value, span, message, fault.hint);
            }
        };
        // A directory for files that may come is often empty.
        if found.is_empty() && is_written && pattern != DEFAULT_FILES {
            let hint = "it is read again with every reload; remove it if nothing will come";
            document.warning(span, "`files`: no file has such a name", hint);
        }
        for file in found {
            if !files.iter().any(|(known, _)| *known == file) {
                files.push((file, span.clone()));
            }
        }
    };
    if policy.has("files") {
        for element in policy.elements("files") {
            let read =
                policy.element("files", &element, |value: &DeValue<'_>, kind| value::path(value, kind));
            if let Some(pattern) = read {
                add(&pattern.value.to_string_lossy(), &pattern.span, true);
            }
        }
    } else {
        add(DEFAULT_FILES, &policy.span, false);
    }
    if let Some((_, span)) = files.get(FILES_MAX) {
        let hint = "put their rules into fewer files";
        document.error(Basis::Value, span, format!("`files`: more than {FILES_MAX} files"), hint);
    }
    files.into_iter().take(FILES_MAX).filter_map(|(file, span)| open(document, &file, &span)).collect()
}

fn open(document: &Document, file: &Found, span: &Span) -> Option<PolicyFile> {
    let shown = file.shown.display().to_string();
    let text = match load::read_text(&file.path) {
        Ok(text) => text,
        Err(Unread::NotUtf8(text, place)) => {
            let source = Arc::new(Source::new(shown, text));
            document.add(load::not_utf8(&source, place));
            return None;
        }
        Err(error @ (Unread::Io(_) | Unread::TooLarge)) => {
            document.error(
                Basis::Value,
                span,
                format!("`files`: cannot read {shown}: {error}"),
                "the gateway's user must be able to read it",
            );
            return None;
        }
    };
    let base_dir = file.path.parent().map(Path::to_owned).unwrap_or_default();
    let source = Arc::new(Source::new(shown, text));
    let (document, broken, tables) = load::walk(&source, base_dir, |document, entries| {
        super::tables(&Table::policy_file(document, entries))
    });
    Some(PolicyFile { document, broken, tables })
}

/// Why a pattern names no files.
struct Fault {
    message: String,
    hint: String,
}

/// The files that a path or pattern names, sorted by their bytes. A path without wildcards is a file that must be there.
fn expand(base: &Found, pattern: &str) -> Result<Vec<Found>, Fault> {
    let mut found = vec![base.clone()];
    let mut is_pattern = false;
    for component in Path::new(pattern).components() {
        let name = component.as_os_str();
        match wildcard(&name.to_string_lossy())? {
            None => found.iter_mut().for_each(|each| {
                each.shown.push(name);
                each.path.push(name);
            }),
            Some(matcher) => {
                is_pattern = true;
                let mut below = Vec::new();
                for directory in found {
                    for name in names(&directory.path, &matcher)? {
                        below.push(Found {
                            shown: directory.shown.join(&name),
                            path: directory.path.join(&name),
                        });
                    }
                }
                found = below;
            }
        }
    }
    if is_pattern {
        // Directories of such a name are not meant; a link that leads nowhere is, and is an error.
        found.retain(|file| !file.path.is_dir());
    }
    found.sort_by(|one, other| one.path.as_os_str().as_bytes().cmp(other.path.as_os_str().as_bytes()));
    Ok(found)
}

/// The names in a directory that match; none where there is no such directory.
fn names(directory: &Path, matcher: &GlobMatcher) -> Result<Vec<OsString>, Fault> {
    let cannot = |error: io::Error| Fault {
        message: format!("cannot read {}: {error}", directory.display()),
        hint: "the gateway's user must be able to read it".to_owned(),
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(cannot(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(cannot)?.file_name();
        // Editors keep hidden files beside the ones that they edit.
        if !name.as_bytes().starts_with(b".") && matcher.is_match(&name) {
            names.push(name);
        }
        if names.len() > FILES_MAX {
            return Err(Fault {
                message: format!("more than {FILES_MAX} files in {}", directory.display()),
                hint: "put their rules into fewer files".to_owned(),
            });
        }
    }
    Ok(names)
}

/// What a component of a pattern matches; `None`: itself alone.
fn wildcard(component: &str) -> Result<Option<GlobMatcher>, Fault> {
    if !component.contains(['*', '?', '[', '{']) {
        return Ok(None);
    }
    match GlobBuilder::new(component).build() {
        Ok(glob) => Ok(Some(glob.compile_matcher())),
        Err(error) => Err(Fault {
            message: format!("is not a pattern: {}", error.kind()),
            hint: "write for example \"policies.d/*.toml\"".to_owned(),
        }),
    }
}

/// Where policy files are looked for if nothing else is written.
const DEFAULT_FILES: &str = "policies.d/*.toml";

/// More are a mistake.
const FILES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(directory: &Path, pattern: &str) -> Vec<String> {
        let base = Found { shown: PathBuf::from("etc"), path: directory.to_owned() };
        let found = expand(&base, pattern).unwrap_or_else(|fault| panic!("{}", fault.message));
        found.iter().map(|file| file.shown.display().to_string()).collect()
    }

    #[test]
    fn patterns_name_files_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["d/20.toml", "d/10.toml", "d/.10.toml", "d/10.toml~", "d/x.toml/y.toml", "e/1.toml"] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let expanded = |pattern: &str| expanded(directory.path(), pattern);
        assert_eq!(expanded("d/*.toml"), ["etc/d/10.toml", "etc/d/20.toml"]);
        assert_eq!(expanded("*/[12]*.toml"), ["etc/d/10.toml", "etc/d/20.toml", "etc/e/1.toml"]);
        assert_eq!(expanded("f/*.toml"), [""; 0]);
        assert_eq!(expanded("none.toml"), ["etc/none.toml"]);
        let absolute = directory.path().join("e/?.toml");
        assert_eq!(
            expanded(absolute.to_str().unwrap()),
            [directory.path().join("e/1.toml").to_str().unwrap()]
        );
    }
}
