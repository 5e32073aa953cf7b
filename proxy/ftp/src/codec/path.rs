//! The path in a 257: RFC 959 §5.4 and appendix II.

use super::reply::Reply;

/// The quoted path at the beginning of a 257, its doubled quotes made single; nothing about it is checked.
///
/// `None`: another reply, or no quotes, or none that ends, or more than one place where the path could end: some
/// servers do not double the quotes inside, and `"/a" b" is current` is `/a" b` there.
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
            let ends_here = bytes.peek().is_none_or(|&byte| byte == b' ');
            return (ends_here && bytes.all(|byte| byte != b'"')).then_some(path);
        }
    }
    None
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
            (r#""/a" is the current directory, isn't it?"#, "/a"),
        ] {
            assert_eq!(path(257, text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_path_that_may_end_in_two_places_is_none() {
        for text in [
            r#""/a"b" is current"#,
            r#""/a" b" is current"#,
            r#""/a" "/b""#,
            r#""/a" of "anna""#,
            r#""/a"" is current"#,
            r#""/a"b"#,
            r#""/a"."#,
            "\"/a\"\tb",
        ] {
            assert_eq!(path(257, text), None, "{text}");
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
