//! Patterns for paths, as an admin writes them: `/reports/**`, `/home/$user/*.csv`, `**/*.exe`.
//!
//! A pattern is a list of components. `*` any text, `?` one character, `[a-z]` and `[!a-z]` one of these or none
//! of them, `{a,b}` either; `**` any number of components, none included, so that `/x/**` also matches `/x`;
//! `$user` the user's name; `\` takes its meaning from the next character. No wildcard reaches beyond a `/`.
//! Here one pattern judges one path; `automaton` asks many at once, and must agree.

use std::fmt;

use crate::fold::{fold_component, fold_text, trim_end};
use crate::path::{CanonicalPath, components};

/// A pattern for canonical paths.
#[derive(Debug, Clone)]
pub struct PathPattern {
    text: String,
    /// One per choice of the braces.
    pub(crate) exact: Vec<Vec<Component>>,
    /// The same for folded paths.
    pub(crate) folded: Vec<Vec<Component>>,
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong);
        }
        let exact = expand_braces(text)?
            .iter()
            .map(|choice| parse_components(choice))
            .collect::<Result<Vec<_>, _>>()?;
        let folded = exact.iter().map(|choice| choice.iter().map(Component::folded).collect()).collect();
        Ok(Self { text: text.to_owned(), exact, folded })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a path's exact bytes match.
    pub fn matches(&self, path: &CanonicalPath, user: Option<&UserName>) -> bool {
        let names: Vec<&str> = path.components().collect();
        self.exact.iter().any(|choice| matches_components(choice, &names, user.map(|user| &*user.exact)))
    }

    /// Whether a path matches, exactly or in its folded form.
    pub fn matches_folded(&self, path: &CanonicalPath, user: Option<&UserName>) -> bool {
        let names: Vec<&str> = components(path.folded()).collect();
        self.matches(path, user)
            || self
                .folded
                .iter()
                .any(|choice| matches_components(choice, &names, user.map(|user| &*user.folded)))
    }

    /// Whether some path that the pattern matches is this one, or lies below it.
    pub fn reaches_into(&self, directory: &CanonicalPath, user: Option<&UserName>) -> bool {
        let names: Vec<&str> = directory.components().collect();
        self.exact.iter().any(|choice| reaches_components(choice, &names, user.map(|user| &*user.exact)))
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathPattern {}

impl fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not begin at the root.
    #[error("a path begins with `/` or `**/`")]
    NotAbsolute,
    /// It can match no path, because no path looks so.
    #[error("no path holds an empty component, `.` or `..`")]
    NeverMatches,
    /// `**` beside other characters.
    #[error("`**` stands for whole components: write `/**/`")]
    PartialRecursion,
    /// A `[`, `{` or `\` that is never ended, or a `}` that was never begun.
    #[error("a bracket, a brace or a backslash lacks its other half")]
    Unbalanced,
    /// A range like `z-a`, or none at all.
    #[error("the brackets hold no character")]
    EmptyClass,
    /// Too many braces.
    #[error("the braces stand for more than 256 patterns")]
    TooManyChoices,
    /// More than 4,096 bytes.
    #[error("the pattern is longer than 4096 bytes")]
    TooLong,
}

/// A user's name that `$user` may stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName {
    exact: String,
    folded: String,
}

impl UserName {
    /// `None` for names that are no component of a path, or that could be taken for a pattern.
    pub fn new(name: &[u8]) -> Option<Self> {
        let name = str::from_utf8(name).ok()?;
        if matches!(name, "" | "." | "..") || name.contains(['/', '*', '?', '[', ']', '{', '}', '\\']) {
            return None;
        }
        Some(Self { exact: name.to_owned(), folded: fold_component(name) })
    }

    /// As the client wrote it.
    pub(crate) fn exact(&self) -> &str {
        &self.exact
    }

    /// As deny rules see it.
    pub(crate) fn folded(&self) -> &str {
        &self.folded
    }
}

/// One component of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Component {
    /// `**`.
    Any,
    /// Anything else.
    Name(Vec<Token>),
}

/// A part of a component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Token {
    /// This text.
    Literal(String),
    /// `*`.
    Star,
    /// `?`.
    One,
    /// `[…]`.
    Class { is_negated: bool, ranges: Vec<(char, char)> },
    /// `$user`.
    User,
}

impl Component {
    /// Deny rules also match names that only look different. A wildcard has no other spelling; the brackets'
    /// characters get theirs where it is one character.
    fn folded(&self) -> Self {
        let tokens = match self {
            Component::Any => return Component::Any,
            Component::Name(tokens) => tokens,
        };
        if let [Token::Literal(text)] = tokens.as_slice() {
            let folded = fold_text(text);
            let kept = trim_end(&folded);
            let kept = if kept.is_empty() { folded.clone() } else { kept.to_owned() };
            return Component::Name(vec![Token::Literal(kept)]);
        }
        let one = |c: char| {
            let mut folded = String::from(c);
            folded = fold_text(&folded);
            let mut chars = folded.chars();
            chars.next().filter(|_| chars.next().is_none())
        };
        let fold = |token: &Token| match token {
            Token::Literal(text) => Token::Literal(fold_text(text)),
            Token::Class { is_negated: false, ranges } => {
                let other = ranges.iter().filter_map(|&(first, last)| Some((one(first)?, one(last)?)));
                let ranges =
                    ranges.iter().copied().chain(other.filter(|(first, last)| first <= last)).collect();
                Token::Class { is_negated: false, ranges }
            }
            Token::Star | Token::One | Token::User | Token::Class { is_negated: true, .. } => token.clone(),
        };
        Component::Name(tokens.iter().map(fold).collect())
    }

    /// The one text that it stands for, if it does.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self {
            Component::Name(tokens) => match tokens.as_slice() {
                [Token::Literal(text)] => Some(text),
                _several => None,
            },
            Component::Any => None,
        }
    }
}

/// Whether a component's text matches. Takes time in proportion to the product of both lengths at most.
pub(crate) fn matches_name(tokens: &[Token], name: &str, user: Option<&str>) -> bool {
    let (mut token, mut rest) = (0, name);
    // Where to go on when the text after the last star does not match: the star takes one character more.
    let mut retry: Option<(usize, &str)> = None;
    loop {
        let taken = match tokens.get(token) {
            Some(Token::Star) => {
                retry = Some((token + 1, rest));
                token += 1;
                continue;
            }
            Some(Token::Literal(text)) => rest.strip_prefix(text.as_str()),
            Some(Token::User) => user.and_then(|user| rest.strip_prefix(user)),
            Some(Token::One) => skip_one(rest),
            Some(Token::Class { is_negated, ranges }) => rest
                .chars()
                .next()
                .filter(|c| ranges.iter().any(|(first, last)| (first..=last).contains(&c)) != *is_negated)
                .and_then(|_| skip_one(rest)),
            None if rest.is_empty() => return true,
            None => None,
        };
        if let Some(after) = taken {
            (token, rest) = (token + 1, after);
            continue;
        }
        match retry.and_then(|(after_star, from)| Some((after_star, skip_one(from)?))) {
            Some((after_star, from)) => {
                retry = Some((after_star, from));
                (token, rest) = (after_star, from);
            }
            None => return false,
        }
    }
}

fn skip_one(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next().map(|_| chars.as_str())
}

fn matches_components(pattern: &[Component], names: &[&str], user: Option<&str>) -> bool {
    after(pattern, names, user).contains(&pattern.len())
}

fn reaches_components(pattern: &[Component], names: &[&str], user: Option<&str>) -> bool {
    !after(pattern, names, user).is_empty()
}

/// The positions in a pattern that can be reached with all of the names.
fn after(pattern: &[Component], names: &[&str], user: Option<&str>) -> Vec<usize> {
    // `**` may stand for nothing: who stands before one may as well stand behind it.
    let open = |mut positions: Vec<usize>| {
        let mut index = 0;
        while let Some(&position) = positions.get(index) {
            if pattern.get(position) == Some(&Component::Any) && !positions.contains(&(position + 1)) {
                positions.push(position + 1);
            }
            index += 1;
        }
        positions
    };
    names.iter().fold(open(vec![0]), |positions, name| {
        let mut next = Vec::new();
        for position in positions {
            let reached = match pattern.get(position) {
                Some(Component::Any) => position,
                Some(Component::Name(tokens)) if matches_name(tokens, name, user) => position + 1,
                Some(Component::Name(_)) | None => continue,
            };
            if !next.contains(&reached) {
                next.push(reached);
            }
        }
        open(next)
    })
}

fn parse_components(text: &str) -> Result<Vec<Component>, PatternError> {
    let relative = match text.strip_prefix('/') {
        Some(rest) => rest,
        None if text == "**" || text.starts_with("**/") => text,
        None => return Err(PatternError::NotAbsolute),
    };
    if relative.is_empty() {
        return Ok(Vec::new());
    }
    let mut pattern: Vec<Component> = Vec::new();
    for component in relative.split('/') {
        let component = match component {
            "" => return Err(PatternError::NeverMatches),
            "**" => Component::Any,
            name => Component::Name(parse_name(name)?),
        };
        if matches!(component.literal(), Some("." | "..")) {
            return Err(PatternError::NeverMatches);
        }
        if component != Component::Any || pattern.last() != Some(&Component::Any) {
            pattern.push(component);
        }
    }
    Ok(pattern)
}

fn parse_name(text: &str) -> Result<Vec<Token>, PatternError> {
    if text.contains("**") && !text.contains("\\*") {
        return Err(PatternError::PartialRecursion);
    }
    let mut tokens = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let (token, after) = match c {
            '\\' => {
                let escaped = after.chars().next().ok_or(PatternError::Unbalanced)?;
                literal.push(escaped);
                rest = &after[escaped.len_utf8()..];
                continue;
            }
            '*' => (Token::Star, after),
            '?' => (Token::One, after),
            '[' => parse_class(after)?,
            '$' if after.starts_with("user") => (Token::User, &after["user".len()..]),
            other => {
                literal.push(other);
                rest = after;
                continue;
            }
        };
        if !literal.is_empty() {
            tokens.push(Token::Literal(std::mem::take(&mut literal)));
        }
        if token != Token::Star || tokens.last() != Some(&Token::Star) {
            tokens.push(token);
        }
        rest = after;
    }
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal));
    }
    Ok(tokens)
}

/// Reads behind a `[`. A `]` that comes first, and a `-` at either end, mean themselves.
fn parse_class(text: &str) -> Result<(Token, &str), PatternError> {
    let (is_negated, mut rest) = match text.strip_prefix(['!', '^']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let take = |rest: &mut &str| {
        let c = rest.chars().next().ok_or(PatternError::Unbalanced)?;
        *rest = &rest[c.len_utf8()..];
        Ok::<char, PatternError>(c)
    };
    let mut ranges = Vec::new();
    loop {
        let is_first = ranges.is_empty();
        let first = match take(&mut rest)? {
            ']' if !is_first => break,
            '\\' => take(&mut rest)?,
            other => other,
        };
        let last = match rest.strip_prefix('-') {
            Some(after) if !after.starts_with(']') => {
                rest = after;
                match take(&mut rest)? {
                    '\\' => take(&mut rest)?,
                    other => other,
                }
            }
            Some(_) | None => first,
        };
        if first > last {
            return Err(PatternError::EmptyClass);
        }
        ranges.push((first, last));
    }
    Ok((Token::Class { is_negated, ranges }, rest))
}

/// One text for each choice of the braces, the innermost first.
fn expand_braces(text: &str) -> Result<Vec<String>, PatternError> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(text) = open.pop() {
        match innermost_braces(&text)? {
            None => done.push(text),
            Some((begin, end)) => {
                for choice in split_choices(&text[begin + 1..end]) {
                    open.push(format!("{}{choice}{}", &text[..begin], &text[end + 1..]));
                }
            }
        }
        if done.len() + open.len() > CHOICES_MAX {
            return Err(PatternError::TooManyChoices);
        }
    }
    done.sort();
    done.dedup();
    Ok(done)
}

/// Where the first pair of braces without braces inside begins and ends.
fn innermost_braces(text: &str) -> Result<Option<(usize, usize)>, PatternError> {
    let mut begin = None;
    for (at, c) in special_characters(text) {
        match (c, begin) {
            ('{', _) => begin = Some(at),
            ('}', Some(begin)) => return Ok(Some((begin, at))),
            ('}', None) => return Err(PatternError::Unbalanced),
            _other => {}
        }
    }
    if begin.is_some() { Err(PatternError::Unbalanced) } else { Ok(None) }
}

fn split_choices(text: &str) -> Vec<&str> {
    let mut choices = Vec::new();
    let mut begin = 0;
    for (at, c) in special_characters(text) {
        if c == ',' {
            choices.push(&text[begin..at]);
            begin = at + 1;
        }
    }
    choices.push(&text[begin..]);
    choices
}

/// The characters that are neither escaped nor in brackets.
fn special_characters(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut is_escaped = false;
    // How many characters of a class were seen, while in one.
    let mut class: Option<usize> = None;
    text.char_indices().filter(move |&(_, c)| {
        if std::mem::take(&mut is_escaped) {
            class = class.map(|seen| seen + 1);
            return false;
        }
        if c == '\\' {
            is_escaped = true;
            return false;
        }
        match class {
            Some(seen) if c == ']' && seen > 0 => class = None,
            Some(0) if matches!(c, '!' | '^') => {}
            Some(seen) => class = Some(seen + 1),
            None if c == '[' => class = Some(0),
            None => return true,
        }
        false
    })
}

/// What a line of a configuration may reasonably hold.
const PATTERN_BYTES_MAX: usize = 4096;
/// Braces multiply.
const CHOICES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::PathProfile;

    fn path(text: &str) -> CanonicalPath {
        CanonicalPath::resolve(PathProfile::Unix, None, text.as_bytes()).unwrap()
    }

    fn matches(pattern: &str, text: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(&path(text), UserName::new(b"anna").as_ref())
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, yes, no) in [
            ("/", &["/"][..], &["/a"][..]),
            ("/x/**", &["/x", "/x/y", "/x/y/z"], &["/", "/xy", "/y/x"]),
            ("/**", &["/", "/x", "/x/y"], &[]),
            ("**/*.exe", &["/a.exe", "/x/y/.exe"], &["/a.exe/b", "/a.EXE"]),
            ("/x/**/z", &["/x/z", "/x/y/y/z"], &["/x", "/z"]),
            ("/*/b", &["/a/b"], &["/b", "/a/a/b"]),
            ("/a?c", &["/abc", "/aéc"], &["/ac", "/abbc", "/a"]),
            ("/[a-cé]x", &["/bx", "/éx"], &["/dx", "/x"]),
            ("/[!a-c]x", &["/dx"], &["/bx"]),
            ("/[]a]", &["/]", "/a"], &["/b"]),
            ("/{in,out{1,2}}/**", &["/in/x", "/out1", "/out2/y"], &["/out", "/out3"]),
            ("/a\\*", &["/a*"], &["/ab"]),
            ("/*a*b*", &["/ab", "/xaxbx", "/aab"], &["/ba"]),
            ("/home/$user/**", &["/home/anna", "/home/anna/x"], &["/home/annax", "/home/bob", "/home/$user"]),
            ("/in/$user-*", &["/in/anna-1"], &["/in/bob-1", "/in/anna"]),
            ("/\\$user", &["/$user"], &["/anna"]),
            ("/a$b", &["/a$b"], &["/a"]),
        ] {
            for text in yes {
                assert!(matches(pattern, text), "{pattern} {text}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, error) in [
            ("", PatternError::NotAbsolute),
            ("x", PatternError::NotAbsolute),
            ("*.exe", PatternError::NotAbsolute),
            ("/x/", PatternError::NeverMatches),
            ("//x", PatternError::NeverMatches),
            ("/x/../y", PatternError::NeverMatches),
            ("/{.,x}", PatternError::NeverMatches),
            ("/x**", PatternError::PartialRecursion),
            ("/[a", PatternError::Unbalanced),
            ("/[", PatternError::Unbalanced),
            ("/a\\", PatternError::Unbalanced),
            ("/{a", PatternError::Unbalanced),
            ("/a}", PatternError::Unbalanced),
            ("/[z-a]", PatternError::EmptyClass),
            ("/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", PatternError::TooManyChoices),
        ] {
            assert_eq!(PathPattern::parse(text), Err(error), "{text}");
        }
        assert_eq!(PathPattern::parse(&format!("/{}", "x".repeat(4096))), Err(PatternError::TooLong));
    }

    #[test]
    fn a_name_that_is_a_pattern_is_not_substituted() {
        let pattern = PathPattern::parse("/home/$user/**").unwrap();
        for name in ["*", "a*", "a?", "[a]", "{a,b}", "a/b", "..", ".", "", "a\\b"] {
            assert_eq!(UserName::new(name.as_bytes()), None, "{name}");
        }
        assert!(!pattern.matches(&path("/home/x"), None));
        assert!(!pattern.matches(&path("/home/$user"), None));
    }

    #[test]
    fn folded_patterns_match_other_spellings() {
        let denies = |pattern: &str, text: &str| {
            PathPattern::parse(pattern).unwrap().matches_folded(&path(text), UserName::new(b"Anna").as_ref())
        };
        for (pattern, text) in [
            ("/Secret/**", "/SECRET/x"),
            ("/secret./**", "/secret/x"),
            ("/secret/**", "/secret. /x"),
            ("**/*.exe", "/x/A.EXE"),
            ("**/*.exe", "/x/a.exe."),
            ("/caf\u{e9}/**", "/cafe\u{301}/x"),
            ("/home/$user/**", "/home/aNNA/x"),
            ("/[A-C]x", "/bX"),
            ("/x?", "/xß"),
            ("/＊/x", "/*/x"),
        ] {
            assert!(denies(pattern, text), "{pattern} {text}");
        }
        assert!(!denies("/＊/x", "/abc/x"), "a folded star is no wildcard");
        assert!(!denies("/x/*.", "/x/y"), "a dot that is asked for is not dropped");
    }

    #[test]
    fn patterns_reach_into_the_directories_above_them() {
        let reaches = |pattern: &str, text: &str| {
            PathPattern::parse(pattern).unwrap().reaches_into(&path(text), UserName::new(b"anna").as_ref())
        };
        for (pattern, text) in [
            ("/a/b/*.csv", "/"),
            ("/a/b/*.csv", "/a/b"),
            ("/a/**", "/a/x/y"),
            ("**/x", "/y"),
            ("/h/$user/i", "/h/anna"),
        ] {
            assert!(reaches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("/a/b", "/b"), ("/a/b", "/a/b/c"), ("/a/*/c", "/a/b/d"), ("/h/$user/i", "/h/bob")]
        {
            assert!(!reaches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn stars_do_not_explode() {
        let pattern = format!("/{}b", "*a".repeat(60));
        assert!(!matches(&pattern, &format!("/{}", "a".repeat(255))));
    }
}
