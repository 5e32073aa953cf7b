//! What is wrong with a configuration, where, and what to do about it.
//!
//! A [`Diagnostic`] is rendered as rustc renders its own (file:line:column, the offending text, a hint), or as
//! one JSON object. Text of the file is untrusted: it reaches a terminal only with its control characters
//! replaced.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};
use serde_json::{Value, json};

/// A file as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    origin: String,
    text: String,
    /// Where each line begins.
    line_starts: Vec<usize>,
}

impl Source {
    /// Keeps `text`; `origin` is how diagnostics call the file.
    #[must_use]
    pub fn new(origin: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let behind_newlines = text.match_indices('\n').map(|(newline, _)| newline + 1);
        let line_starts = std::iter::once(0).chain(behind_newlines).collect();
        Self { origin: origin.into(), text, line_starts }
    }

    /// How diagnostics call the file.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line of an offset, counted from 1.
    #[must_use]
    pub fn line(&self, offset: usize) -> usize {
        self.line_of(offset).0
    }

    /// The line of an offset, counted from 1, and where it begins.
    fn line_of(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        (line, self.line_starts[line - 1])
    }
}

/// Bytes of a [`Source`].
pub type Span = Range<usize>;

/// How much a [`Diagnostic`] weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    hint: String,
    origin: String,
    place: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    source: Arc<Source>,
    span: Span,
    related: Option<(Span, String)>,
}

impl Diagnostic {
    /// Something wrong at `span`; `hint` says what would be right.
    #[must_use]
    pub fn new(
        severity: Severity,
        source: &Arc<Source>,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let place =
            Place { source: Arc::clone(source), span: whole_characters(&source.text, span), related: None };
        Self {
            severity,
            message: message.into(),
            hint: hint.into(),
            origin: source.origin.clone(),
            place: Some(place),
        }
    }

    /// Something wrong with a file as a whole, say because it cannot be read.
    #[must_use]
    pub fn about(
        severity: Severity,
        origin: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { severity, message: message.into(), hint: hint.into(), origin: origin.into(), place: None }
    }

    /// Adds a second place of the same file that explains the first.
    #[must_use]
    pub fn with_related(mut self, span: Span, label: impl Into<String>) -> Self {
        if let Some(place) = &mut self.place {
            place.related = Some((whole_characters(&place.source.text, span), label.into()));
        }
        self
    }

    /// How much it weighs.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What is wrong, one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Line and column, both counted from 1, the column in characters.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        let place = self.place.as_ref()?;
        let (line, line_start) = place.source.line_of(place.span.start);
        Some((line, place.source.text[line_start..place.span.start].chars().count() + 1))
    }

    /// Where it begins in the file; things without a place come first.
    pub(super) fn offset(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.span.start)
    }

    fn to_json(&self) -> Value {
        let (line, column) = self.position().unzip();
        json!({
            "file": self.origin,
            "line": line,
            "column": column,
            "message": self.message,
            "hint": self.hint,
        })
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let hint = Level::HELP.message(normalize_untrusted_str(&self.hint));
        let Some(place) = &self.place else {
            let title = format!("{}: {}", self.origin, self.message);
            return renderer.render(&[level.primary_title(title).element(hint)]);
        };
        let window = Window::around(place);
        let mut snippet = Snippet::source(&place.source.text[window.bytes.clone()])
            .line_start(window.first_line)
            .path(&self.origin)
            .annotation(AnnotationKind::Primary.span(window.shift(&place.span)));
        if let Some((span, label)) = &place.related {
            let label = normalize_untrusted_str(label);
            snippet = snippet.annotation(AnnotationKind::Context.span(window.shift(span)).label(label));
        }
        renderer.render(&[level.primary_title(self.message.as_str()).element(snippet).element(hint)])
    }
}

/// The lines that a diagnostic shows: rendering must not cost the whole file once per diagnostic.
struct Window {
    bytes: Span,
    first_line: usize,
}

impl Window {
    fn around(place: &Place) -> Self {
        let text = &place.source.text;
        let related = place.related.as_ref().map_or(&place.span, |(span, _)| span);
        let start = place.span.start.min(related.start);
        let end = place.span.end.max(related.end);
        let (first_line, first) = place.source.line_of(start);
        let last = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
        Self { bytes: first..last, first_line }
    }

    fn shift(&self, span: &Span) -> Span {
        span.start - self.bytes.start..span.end - self.bytes.start
    }
}

/// `span`, inside `text` and on character boundaries.
fn whole_characters(text: &str, span: Span) -> Span {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// Everything that is wrong with one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Diagnostics {
    /// More of each kind are counted but not kept.
    pub const KEPT_MAX: usize = 100;

    /// Sorts `all` by place, errors apart from warnings.
    #[must_use]
    pub fn new(all: impl IntoIterator<Item = Diagnostic>) -> Self {
        let (mut errors, mut warnings): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|diagnostic| diagnostic.severity == Severity::Error);
        for list in [&mut errors, &mut warnings] {
            list.sort_by_key(Diagnostic::offset);
            bound(list);
        }
        Self { errors, warnings }
    }

    /// What makes the configuration unusable.
    #[must_use]
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// What makes it doubtful.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Whether the configuration can be used.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    /// As rustc would print it; ends with a newline unless there is nothing to say.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in self.errors.iter().chain(&self.warnings) {
            text += &diagnostic.render(&renderer);
            text += "\n\n";
        }
        text.pop();
        text
    }

    /// `{ok, errors: [{file, line, column, message, hint}], warnings}`; line and column are null for what
    /// concerns a file as a whole.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let list = |all: &[Diagnostic]| all.iter().map(Diagnostic::to_json).collect::<Vec<_>>();
        json!({ "ok": self.is_ok(), "errors": list(&self.errors), "warnings": list(&self.warnings) })
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::new([diagnostic])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

/// Keeps the first ones, and says how many more there were.
fn bound(list: &mut Vec<Diagnostic>) {
    let more = list.len().saturating_sub(Diagnostics::KEPT_MAX);
    if let (true, Some(last)) = (more > 0, list.get(Diagnostics::KEPT_MAX)) {
        let more = Diagnostic::about(
            last.severity,
            last.origin.clone(),
            format!("{more} more like these are not shown"),
            "repair the first ones and check again",
        );
        list.truncate(Diagnostics::KEPT_MAX);
        list.push(more);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source::new("gate.toml", text))
    }

    #[test]
    fn two_places_are_shown_together() {
        let source = source("one = 1\ntwo = 2\n\n\n\n\n\none = 3\n");
        let diagnostic = Diagnostic::new(Severity::Error, &source, 21..24, "`one` twice", "keep one of them")
            .with_related(0..3, "first here");
        assert_eq!(diagnostic.position(), Some((8, 1)));
        assert_eq!(
            Diagnostics::from(diagnostic).render(false),
            "error: `one` twice
 --> gate.toml:8:1
  |
1 | one = 1
  | --- first here
...
8 | one = 3
  | ^^^
  |
  = help: keep one of them
"
        );
    }

    #[test]
    fn columns_count_characters() {
        let source = source("a = 1\nα = \"ß\" # here\n");
        let diagnostic = Diagnostic::new(Severity::Warning, &source, 12..15, "sharp", "none");
        assert_eq!(diagnostic.position(), Some((2, 6)));
        assert!(Diagnostics::from(diagnostic).render(false).contains("gate.toml:2:6"));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let source = source("a = '\u{1b}[31m'\n");
        let diagnostic = Diagnostic::new(Severity::Error, &source, 4..11, "\u{1b}[31m", "\u{1b}[31m");
        assert!(!Diagnostics::from(diagnostic).render(false).contains('\u{1b}'));
    }

    #[test]
    fn a_thousand_errors_are_a_hundred_and_a_number() {
        let source = source("x");
        let all = (0..1000).map(|_| Diagnostic::new(Severity::Error, &source, 0..1, "wrong", "right"));
        let diagnostics = Diagnostics::new(all);
        assert_eq!(diagnostics.errors().len(), 101);
        assert_eq!(diagnostics.errors()[100].message(), "900 more like these are not shown");
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_can_be_rendered(text in "(\\PC|[\n\t\r\u{0}])*", start: u8, length: u8) {
            let (start, length) = (usize::from(start), usize::from(length));
            let source = source(&text);
            let diagnostic = Diagnostic::new(Severity::Error, &source, start..start + length, "m", "h")
                .with_related(length..length + 1, "l");
            let _ = Diagnostics::from(diagnostic).render(true);
        }
    }
}
