//! Bytes of peers as text that can be read back, and that cannot draw anything in a terminal.
//!
//! What is UTF-8 stands for itself, except `\`, control characters and those that change how text around them is shown;
//! these and bytes that are no UTF-8 are written as `\\`, `\xHH` and `\u{H…}`.

use std::borrow::Cow;
use std::fmt::Write;

/// Bytes as they stand in a record.
pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(is_plain)
    {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => escaped.push_str("\\\\"),
                _ if is_plain(character) => escaped.push(character),
                _ if character.is_ascii() => {
                    write_escape(&mut escaped, format_args!("\\x{:02x}", u32::from(character)))
                }
                _ => write_escape(&mut escaped, format_args!("\\u{{{:x}}}", u32::from(character))),
            }
        }
        for byte in chunk.invalid() {
            write_escape(&mut escaped, format_args!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(escaped)
}

/// The bytes that a record's text stands for; `None`: no record is written so.
pub fn unescape(text: &str) -> Option<Cow<'_, [u8]>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = if let Some(behind) = behind.strip_prefix('\\') {
            bytes.push(b'\\');
            behind
        } else if let Some(behind) = behind.strip_prefix('x') {
            bytes.push(u8::from_str_radix(behind.get(..2)?, 16).ok()?);
            &behind[2..]
        } else {
            let (digits, behind) = behind.strip_prefix("u{")?.split_once('}')?;
            let character = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            behind
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(Cow::Owned(bytes))
}

fn write_escape(text: &mut String, escape: std::fmt::Arguments<'_>) {
    text.write_fmt(escape).expect("a String takes all that is written to it");
}

/// Whether a character stands for itself: it is no control, and neither invisible nor a change of direction (UAX #9).
fn is_plain(character: char) -> bool {
    !(character == '\\'
        || character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_stand_for_themselves() {
        assert_eq!(escape("Prüfung 7 (neu).txt".as_bytes()), "Prüfung 7 (neu).txt");
    }

    #[test]
    fn what_could_forge_a_line_is_spelled_out() {
        assert_eq!(escape(b"a\r\n\x1b[2J\\\xff"), r"a\x0d\x0a\x1b[2J\\\xff");
        assert_eq!(escape("gpj\u{202e}exe".as_bytes()), r"gpj\u{202e}exe");
    }

    #[test]
    fn what_no_record_has_is_no_text() {
        for text in ["\\", "\\q", "\\x1", "\\xé", "\\u{110000}", "\\u{1"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let text = escape(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            let back = unescape(&text);
            prop_assert_eq!(back.as_deref(), Some(bytes.as_slice()));
        }
    }
}
