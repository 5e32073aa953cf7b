//! Patterns for names: users, host names, certificate subjects.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use globset::{GlobBuilder, GlobMatcher};

/// A pattern for a name: `*` any bytes, `?` one character, `[ab]` one of these, `{a,b}` either.
#[derive(Clone)]
pub struct Glob {
    text: String,
    is_case_blind: bool,
    matcher: GlobMatcher,
}

impl Glob {
    /// A pattern for names in which case counts: user names, certificate subjects.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn exact_case(text: &str) -> Result<Self, GlobError> {
        Self::new(text, false)
    }

    /// A pattern for names in which case does not count: host names.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn any_case(text: &str) -> Result<Self, GlobError> {
        Self::new(text, true)
    }

    fn new(text: &str, is_case_blind: bool) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError("an empty pattern matches nothing".to_owned()));
        }
        let glob = Self::compile(text, is_case_blind)?;
        Ok(Self { text: text.to_owned(), is_case_blind, matcher: glob.compile_matcher() })
    }

    /// For sets of many patterns: the same meaning as alone.
    pub(crate) fn compile(text: &str, is_case_blind: bool) -> Result<globset::Glob, GlobError> {
        GlobBuilder::new(text)
            .case_insensitive(is_case_blind)
            .literal_separator(false)
            .backslash_escape(true)
            .build()
            .map_err(|error| GlobError(error.kind().to_string()))
    }

    /// Whether a name is one of those meant.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.matcher.is_match(OsStr::from_bytes(name))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for one name alone.
    pub fn is_literal(&self) -> bool {
        !self.text.contains(['*', '?', '[', ']', '{', '}', '\\'])
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.is_case_blind == other.is_case_blind
    }
}

impl Eq for Glob {}

/// Without the compiled pattern, which is thousands of lines.
impl fmt::Debug for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = if self.is_case_blind { "any case" } else { "exact case" };
        write!(formatter, "Glob({:?}, {case})", self.text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GlobError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_bytes() {
        let glob = Glob::exact_case("acme-*").unwrap();
        assert!(glob.matches(b"acme-7") && glob.matches(b"acme-\xff/x"));
        assert!(!glob.matches(b"ACME-7") && !glob.matches(b"xacme-7"));
    }

    #[test]
    fn host_names_match_in_any_case() {
        let glob = Glob::any_case("*.example.com").unwrap();
        assert!(glob.matches(b"FTP.Example.COM"));
        assert!(!glob.matches(b"example.com"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Glob::exact_case("").is_err());
        assert!(Glob::exact_case("a[").is_err());
        assert!(Glob::exact_case("{a").is_err());
    }
}
