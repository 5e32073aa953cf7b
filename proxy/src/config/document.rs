//! A file under examination: what has been found in it, and where its keys stand.
//!
//! Every key is judged on its own, so that one wrong key hides no other. A value that cannot be read is
//! reported, and its default takes its place until the whole file has been walked.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity, Source, Span};

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

    /// Reports something doubtful that another place explains.
    pub(super) fn doubt(
        &self,
        span: &Span,
        message: impl Into<String>,
        hint: impl Into<String>,
        related: (&Span, &str),
    ) {
        let diagnostic = Diagnostic::new(Severity::Warning, &self.source, span.clone(), message, hint);
        self.report(Basis::Whole, diagnostic.with_related(related.0.clone(), related.1));
    }

    fn report(&self, basis: Basis, diagnostic: Diagnostic) {
        let line = diagnostic.position().map_or(0, |(line, _)| line);
        let consequence = match basis {
            Basis::Value => {
                self.repaired.lines.contains(&line) || self.repaired.from.is_some_and(|from| line >= from)
            }
            Basis::Whole => !self.repaired.lines.is_empty(),
        };
        let mut found = self.found.borrow_mut();
        if !consequence && found.len() < FOUND_MAX {
            found.push(diagnostic);
        }
    }

    /// Registers where a key stands.
    pub(super) fn place(&self, path: String, span: &Span) {
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

impl<T> Located<Option<T>> {
    /// The value, or its default where it is absent or faulty.
    pub(super) fn or_default(self, default: impl FnOnce() -> T) -> Located<T> {
        Located { value: self.value.unwrap_or_else(default), span: self.span, origin: self.origin }
    }
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

/// Far more than anybody reads.
const FOUND_MAX: usize = 10_000;
