//! The path in a 257: RFC 959 §5.4 and appendix II.

use super::reply::Reply;

/// The quoted path at the beginning of a 257, its doubled quotes made single; nothing about it is checked.
///
/// `None`: another reply, or no quotes, or none that ends.
pub fn quoted_path(reply: &Reply) -> Option<Vec<u8>> {
    let quoted = reply.text().strip_prefix(b"\"").filter(|_| reply.code().value() == 257)?;
    let mut path = Vec::new();
    let mut bytes = quoted.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'"' {
            path.push(byte);
        } else if bytes.next_if_eq(&b'"').is_some() {
            path.push(b'"');
        } else {
            return Some(path);
        }
    }
    None
}

/// The same, where the reply leaves no doubt about where the path ends: not every server doubles the quotes in it.
pub fn only_quoted_path(reply: &Reply) -> Option<Vec<u8>> {
    let path = quoted_path(reply)?;
    let quotes = path.iter().filter(|&&byte| byte == b'"').count();
    let rest = reply.text().get(path.len() + quotes + 2..)?;
    let ends = rest.first().is_none_or(|&byte| byte == b' ') && !rest.contains(&b'"');
    (ends && reply.lines().count() == 1).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(code: u16, text: &str) -> Option<String> {
        quoted_path(&Reply::new(code, text)).map(|path| String::from_utf8(path).unwrap())
    }

    #[test]
    fn quotes_are_undone() {
        for (text, expected) in [
            (r#""/""#, "/"),
            (r#""/a b" is the current directory"#, "/a b"),
            (r#""/a""b""#, r#"/a"b"#),
            (r#""/a""""#, r#"/a""#),
            (r#""" nothing"#, ""),
            (r#""/a" "/b""#, "/a"),
        ] {
            assert_eq!(path(257, text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_path_whose_end_is_in_doubt_is_none() {
        let path = |text: &str| {
            only_quoted_path(&Reply::new(257, text)).map(|path| String::from_utf8(path).unwrap())
        };
        for (text, expected) in [
            (r#""/a" is the current directory"#, Some("/a")),
            (r#""/a""b" x"#, Some("/a\"b")),
            (r#""/a""#, Some("/a")),
            (r#""/a"b" is the current directory"#, None),
            (r#""/a" b" is the current directory"#, None),
            (r#""/a".x"#, None),
        ] {
            assert_eq!(path(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_quoted_is_no_path() {
        for text in ["/a", "\"/a", r#""/a"""#, "", "is \"/a\""] {
            assert_eq!(path(257, text), None, "{text}");
        }
        assert_eq!(path(250, "\"/a\""), None);
    }
}
