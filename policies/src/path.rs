//! Paths as policy sees them: absolute, canonical, and made only here (SECURITY.md, "Paths").
//!
//! A [`CanonicalPath`] is what a server must be sent so that it does what policy judged. What cannot be brought
//! to that form without doubt is refused, with the reason. Nothing here asks a server anything.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::fold::{fold_component, is_ignorable, is_variation_selector, trim_end};

/// How a backend reads paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PathProfile {
    /// `/` separates, everything else is a name.
    #[default]
    Unix,
    /// As `Unix`, without the names that Windows reads in a way of its own.
    Windows,
    /// Not as a path (z/OS, AS/400): no rule may speak of its paths.
    Opaque,
}

/// An absolute path without `.`, `..` or empty components, in UTF-8, within bounds.
///
/// Only [`CanonicalPath::resolve`], and what starts from its results, makes one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CanonicalPath {
    exact: Box<str>,
    /// `None`: as the exact form.
    folded: Option<Box<str>>,
}

impl CanonicalPath {
    /// `/`.
    pub fn root() -> Self {
        Self::from_canonical("/".to_owned())
    }

    /// What an argument of a command means, seen from a directory; `None`: nobody knows which.
    /// `..` in the root is the root. An empty argument means the directory itself.
    ///
    /// # Errors
    ///
    /// Why policy cannot tell what the server would do.
    pub fn resolve(
        profile: PathProfile,
        directory: Option<&CanonicalPath>,
        argument: &[u8],
    ) -> Result<Self, PathError> {
        match profile {
            PathProfile::Unix | PathProfile::Windows => {}
            PathProfile::Opaque => return Err(PathError::Opaque),
        }
        let argument = str::from_utf8(argument).map_err(|_| PathError::NotUtf8)?;
        if let Some(character) = argument.chars().find(|&c| is_invisible(c)) {
            return Err(PathError::Invisible { code_point: u32::from(character) });
        }
        if leads_home(argument) {
            return Err(PathError::Tilde);
        }
        let mut exact = if argument.starts_with('/') {
            String::with_capacity(argument.len() + 1)
        } else {
            let directory = directory.ok_or(PathError::UnknownDirectory)?;
            directory.components().fold(String::new(), |path, component| path + "/" + component)
        };
        for component in argument.split('/') {
            match component {
                "" | "." => {}
                ".." => exact.truncate(exact.rfind('/').unwrap_or(0)),
                name => {
                    check_component(profile, name)?;
                    exact.push('/');
                    exact.push_str(name);
                }
            }
        }
        if exact.is_empty() {
            exact.push('/');
        }
        if exact.len() > PATH_BYTES_MAX {
            return Err(PathError::PathTooLong);
        }
        Ok(Self::from_canonical(exact))
    }

    /// What a server says is its directory: taken only if it is canonical already.
    ///
    /// # Errors
    ///
    /// Why not; the directory is unknown then.
    pub fn from_server(profile: PathProfile, path: &[u8]) -> Result<Self, PathError> {
        let resolved = Self::resolve(profile, None, path)?;
        if resolved.as_bytes() == path { Ok(resolved) } else { Err(PathError::NotCanonical) }
    }

    fn from_canonical(exact: String) -> Self {
        let folded = if exact == "/" {
            None
        } else {
            let folded: String = exact[1..]
                .split('/')
                .flat_map(|component| ["/".to_owned(), fold_component(component)])
                .collect();
            (folded != exact).then(|| folded.into_boxed_str())
        };
        Self { exact: exact.into_boxed_str(), folded }
    }

    /// The bytes for the server.
    pub fn as_bytes(&self) -> &[u8] {
        self.exact.as_bytes()
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        &self.exact
    }

    /// The form that deny rules judge as well: other spellings of the same path have the same.
    pub fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.exact)
    }

    /// The directory that it is in; the root is in itself.
    pub fn parent(&self) -> Self {
        let end = self.exact.rfind('/').unwrap_or(0);
        Self::from_canonical(self.exact[..end.max(1)].to_owned())
    }

    /// Its last component; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        &*self.exact == "/"
    }

    /// Whether it is the other path, or somewhere below it.
    pub fn is_within(&self, directory: &CanonicalPath) -> bool {
        directory.is_root()
            || self
                .exact
                .strip_prefix(&*directory.exact)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Its components, none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        components(&self.exact)
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.exact)
    }
}

impl fmt::Debug for CanonicalPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.exact, formatter)
    }
}

/// Why a path is not judged but refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The backend's paths are no paths (profile `opaque`).
    #[error("this backend's paths cannot be judged")]
    Opaque,
    /// It is relative, and the server's directory is not known.
    #[error("the working directory is not known")]
    UnknownDirectory,
    /// It is not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// It holds a control character, or one that changes what readers see.
    #[error("the path holds the invisible character U+{code_point:04X}")]
    Invisible {
        /// Which.
        code_point: u32,
    },
    /// It begins with `~` or `~name`, which some servers replace.
    #[error("a path may not begin with a home directory's ~")]
    Tilde,
    /// A component that some reader takes for `.`, `..`, or for two.
    #[error("a component of the path can be read as `.`, `..` or two components")]
    Alias,
    /// A component that Windows reads as something else.
    #[error("a component of the path means something else on Windows")]
    Windows,
    /// A component of more than 255 bytes.
    #[error("a component of the path is longer than 255 bytes")]
    ComponentTooLong,
    /// A path of more than 900 bytes.
    #[error("the path is longer than 900 bytes")]
    PathTooLong,
    /// A server's path that is not written as it should be.
    #[error("the path is not canonical")]
    NotCanonical,
}

/// The components of a canonical path's text.
pub(crate) fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|component| !component.is_empty())
}

/// C0 and C1 controls, line separators, and what has no width or turns the reading direction: nobody could see
/// in a log what was meant.
fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || (is_ignorable(c) && !is_variation_selector(c))
}

/// Whether an argument begins with `~` or `~name`. `~$doc.docx` is an ordinary name: no user is called `$doc.docx`.
fn leads_home(argument: &str) -> bool {
    argument.strip_prefix('~').is_some_and(|rest| {
        !rest.starts_with(|c: char| {
            c.is_ascii_punctuation() && !matches!(c, '/' | '\\' | '_' | '.' | '-' | '+')
        })
    })
}

fn check_component(profile: PathProfile, component: &str) -> Result<(), PathError> {
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(PathError::ComponentTooLong);
    }
    let compatible: String = component.chars().filter(|&c| !is_ignorable(c)).nfkc().collect();
    // A server that drops spaces would make `..` of `.. `.
    if matches!(compatible.trim_matches(' '), "." | "..") || compatible.is_empty() {
        return Err(PathError::Alias);
    }
    let backslashes = |text: &str| text.bytes().filter(|&byte| byte == b'\\').count();
    if compatible.contains('/') || backslashes(&compatible) > backslashes(component) {
        return Err(PathError::Alias);
    }
    // Apache FtpServer takes `\` for `/`.
    if component.contains('\\') && component.split('\\').any(|part| part.trim_matches(' ') == "..") {
        return Err(PathError::Alias);
    }
    match profile {
        PathProfile::Unix | PathProfile::Opaque => Ok(()),
        PathProfile::Windows if is_windows_name(component) && is_windows_name(&compatible) => Ok(()),
        PathProfile::Windows => Err(PathError::Windows),
    }
}

/// Whether Windows takes a name for itself: no separator, stream, wildcard or device, nothing that it
/// drops at the end, and not the short alias of another name (`NAME~1`).
fn is_windows_name(name: &str) -> bool {
    if name.contains(['\\', ':', '*', '?', '<', '>', '"', '|']) || trim_end(name) != name {
        return false;
    }
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let is_short_alias = base.len() <= 8
        && extension.len() <= 3
        && base.rsplit_once('~').is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
    let base = base.trim_end().to_ascii_uppercase();
    let is_device = matches!(base.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$")
        || ["COM", "LPT"].iter().any(|port| {
            base.strip_prefix(port).is_some_and(|number| {
                // The superscripts count as digits here, says Microsoft's "Naming Files, Paths, and Namespaces".
                number.chars().count() == 1
                    && number.starts_with(|c: char| c.is_ascii_digit() || "¹²³".contains(c))
            })
        });
    !is_short_alias && !is_device
}

/// The longest name that common file systems take.
const COMPONENT_BYTES_MAX: usize = 255;
/// With it, verb and path stay within the lines that every server takes.
const PATH_BYTES_MAX: usize = 900;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unix(argument: &str) -> Result<String, PathError> {
        resolve(PathProfile::Unix, argument)
    }

    fn windows(argument: &str) -> Result<String, PathError> {
        resolve(PathProfile::Windows, argument)
    }

    fn resolve(profile: PathProfile, argument: &str) -> Result<String, PathError> {
        let directory = CanonicalPath::resolve(profile, None, b"/home/anna").unwrap();
        CanonicalPath::resolve(profile, Some(&directory), argument.as_bytes()).map(|path| path.to_string())
    }

    #[test]
    fn ordinary_names_are_themselves() {
        for name in [
            "a[1].pdf",
            "~$doc.docx",
            " leading blank",
            "C:x",
            "a*b?",
            "a\\b",
            "x~1",
            "...",
            "a.",
            "❤\u{fe0f}.png",
        ] {
            assert_eq!(unix(name), Ok(format!("/home/anna/{name}")));
        }
    }

    #[test]
    fn paths_become_canonical() {
        for (argument, path) in [
            ("", "/home/anna"),
            ("x", "/home/anna/x"),
            ("/x//y/./z/", "/x/y/z"),
            ("../bob", "/home/bob"),
            ("../../../../etc", "/etc"),
            ("/..", "/"),
            ("./~anna", "/home/anna/~anna"),
            ("/~", "/~"),
        ] {
            assert_eq!(unix(argument), Ok(path.to_owned()), "{argument:?}");
        }
    }

    #[test]
    fn a_leading_tilde_is_refused() {
        for argument in ["~", "~/f", "~root", "~root/f", "~-", "~+", "~é", "~ x"] {
            assert_eq!(unix(argument), Err(PathError::Tilde), "{argument:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for c in [
            '\0', '\x1b', '\x7f', '\u{85}', '\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{feff}',
            '\u{ad}', '\u{2028}',
        ] {
            assert_eq!(unix(&format!("a{c}b")), Err(PathError::Invisible { code_point: u32::from(c) }));
        }
        assert_eq!(CanonicalPath::resolve(PathProfile::Unix, None, b"/a\xff"), Err(PathError::NotUtf8));
        assert_eq!(
            CanonicalPath::resolve(PathProfile::Unix, None, b"/\xc0\xae\xc0\xae/x"),
            Err(PathError::NotUtf8)
        );
    }

    #[test]
    fn look_alikes_of_dots_and_slashes_are_refused() {
        for name in ["．．", "․․", "‥", "．", "a／b", "a＼b", "x℀y", ".. ", " .", ".\u{fe0f}.", "\u{fe0f}"]
        {
            assert_eq!(unix(&format!("/{name}/x")), Err(PathError::Alias), "{name:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let name = "n".repeat(255);
        assert!(unix(&format!("/{name}")).is_ok());
        assert_eq!(unix(&format!("/{name}n")), Err(PathError::ComponentTooLong));
        let longest = format!("/{name}/{name}/{name}/{}", "n".repeat(131));
        assert_eq!(longest.len(), 900);
        assert!(unix(&longest).is_ok());
        assert_eq!(unix(&format!("{longest}n")), Err(PathError::PathTooLong));
    }

    #[test]
    fn windows_takes_fewer_names() {
        for name in [
            "a\\b",
            "f::$DATA",
            "f:x",
            "C:",
            "f.",
            "f ",
            "PROGRA~1",
            "x~12.txt",
            "CON",
            "con.txt",
            "Lpt1",
            "COM²",
            "nul .x",
            "a*",
            "a?",
            "a<",
            "f：x",
            "...",
            "ｃｏｎ",
        ] {
            assert_eq!(windows(&format!("/x/{name}")), Err(PathError::Windows), "{name:?}");
        }
        for name in ["~$doc.docx", "a[1].pdf", "console", "com10", "longername~1.text", " leading blank"] {
            assert_eq!(windows(name), Ok(format!("/home/anna/{name}")));
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(CanonicalPath::resolve(PathProfile::Unix, None, b"x"), Err(PathError::UnknownDirectory));
        assert_eq!(CanonicalPath::resolve(PathProfile::Opaque, None, b"/x"), Err(PathError::Opaque));
        assert_eq!(CanonicalPath::from_server(PathProfile::Unix, b"/x/"), Err(PathError::NotCanonical));
        assert_eq!(CanonicalPath::from_server(PathProfile::Unix, b"/x").unwrap().as_str(), "/x");
    }

    #[test]
    fn parents_end_at_the_root() {
        let path = CanonicalPath::resolve(PathProfile::Unix, None, b"/A/b").unwrap();
        assert_eq!((path.name(), path.parent().as_str(), path.parent().folded()), (Some("b"), "/A", "/a"));
        assert_eq!(path.parent().parent(), CanonicalPath::root());
        assert_eq!(CanonicalPath::root().parent(), CanonicalPath::root());
        assert!(
            path.is_within(&path.parent()) && path.is_within(&CanonicalPath::root()) && path.is_within(&path)
        );
        assert!(!path.parent().is_within(&path));
    }

    /// Says the same in other words: a stack of components, over this test's alphabet only.
    fn naive(directory: &[&str], argument: &str) -> Option<String> {
        let first = argument.split('/').next().unwrap_or("");
        let rest_of_first: Vec<char> = first.chars().skip(1).collect();
        if first.starts_with('~') && !matches!(rest_of_first.first(), Some('~' | '*')) {
            return None;
        }
        let mut stack: Vec<&str> = if argument.starts_with('/') { Vec::new() } else { directory.to_vec() };
        for name in argument.split('/') {
            let is_spaced_dot = name.trim() != name && (name.trim() == "." || name.trim() == "..");
            let leads_up = name.contains('\\') && name.split('\\').any(|part| part.trim() == "..");
            if is_spaced_dot || leads_up {
                return None;
            }
            if name.is_empty() || name == "." {
                continue;
            }
            if name == ".." {
                stack.pop();
            } else {
                stack.push(name);
            }
        }
        Some(format!("/{}", stack.join("/")))
    }

    #[test]
    fn every_short_string_is_refused_or_canonical() {
        const SYMBOLS: [&str; 10] = ["/", ".", "..", "~", "\\", "-", "*", " ", "a", "A"];
        let symbols: Vec<&str> = SYMBOLS.into_iter().chain(["é"]).collect();
        let directory = CanonicalPath::resolve(PathProfile::Unix, None, b"/d").unwrap();
        let mut seen = [0_usize; 2];
        for length in 0..=5 {
            for number in 0..symbols.len().pow(length) {
                let mut text = String::new();
                let mut rest = number;
                for _ in 0..length {
                    text.push_str(symbols[rest % symbols.len()]);
                    rest /= symbols.len();
                }
                let result = CanonicalPath::resolve(PathProfile::Unix, Some(&directory), text.as_bytes());
                let path = result.as_ref().ok().map(CanonicalPath::as_str);
                assert_eq!(path, naive(&["d"], &text).as_deref(), "{text:?}");
                seen[usize::from(path.is_some())] += 1;
                if let Ok(path) = &result {
                    assert_canonical(PathProfile::Unix, path);
                }
                if let Ok(path) =
                    CanonicalPath::resolve(PathProfile::Windows, Some(&directory), text.as_bytes())
                {
                    assert_eq!(Ok(&path), result.as_ref(), "what Windows takes means the same on Unix");
                    assert_canonical(PathProfile::Windows, &path);
                }
            }
        }
        assert!(seen[0] > 1_000 && seen[1] > 100_000, "{seen:?}");
    }

    fn assert_canonical(profile: PathProfile, path: &CanonicalPath) {
        let text = path.as_str();
        assert!(text.starts_with('/'));
        assert!(text == "/" || text[1..].split('/').all(|name| !matches!(name, "" | "." | "..")), "{text:?}");
        assert_eq!(CanonicalPath::resolve(profile, None, text.as_bytes()).as_ref(), Ok(path), "{text:?}");
        let folded: Vec<_> = components(path.folded()).collect();
        assert_eq!(folded.len(), path.components().count(), "folding keeps components apart");
        assert!(!folded.iter().any(|name| matches!(*name, "." | "..")), "{text:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_canonical(text in "[/.~\\\\ a．／‥Aé\u{301}\u{fe0f}ß:]{0,14}") {
            let root = CanonicalPath::root();
            for profile in [PathProfile::Unix, PathProfile::Windows] {
                if let Ok(path) = CanonicalPath::resolve(profile, Some(&root), text.as_bytes()) {
                    assert_canonical(profile, &path);
                }
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = CanonicalPath::resolve(PathProfile::Windows, Some(&CanonicalPath::root()), &bytes);
        }
    }
}
