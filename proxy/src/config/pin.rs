//! Pins of public keys as they are written: `sha256/`, and the digest of the key's SPKI in Base64 (RFC 7469 §2.4
//! uses the same digest).

use super::syntax::{SyntaxError, quoted};

/// A pinned digest.
pub(super) type Pin = [u8; PIN_BYTES];

/// Reads `sha256/BASE64`.
pub(super) fn parse(text: &str) -> Result<Pin, SyntaxError> {
    let hint = "print the pin of a certificate with\n  openssl x509 -in server.pem -noout -pubkey | openssl pkey \
                -pubin -outform der | openssl dgst -sha256 -binary | openssl base64\nand write `sha256/` before it";
    let Some(digest) = text.strip_prefix("sha256/") else {
        return Err(SyntaxError::new(format!("{} does not begin with `sha256/`", quoted(text)), hint));
    };
    let Some(bytes) = decode(digest) else {
        return Err(SyntaxError::new(format!("{} is not Base64", quoted(digest)), hint));
    };
    Pin::try_from(bytes).map_err(|bytes| {
        SyntaxError::new(format!("a pin has {PIN_BYTES} bytes, this one has {}", bytes.len()), hint)
    })
}

/// Writes what [`parse`] reads.
pub(super) fn format(pin: &Pin) -> String {
    let mut text = String::from("sha256/");
    for chunk in pin.chunks(3) {
        let group =
            chunk.iter().fold(0, |group, byte| (group << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (group >> (18 - 6 * digit)) & 0x3f;
            text.push(if digit <= chunk.len() { char::from(ALPHABET[index as usize]) } else { '=' });
        }
    }
    text
}

/// Base64 (RFC 4648 §4); the padding may be left out. Bits behind the last byte must be zero, so that no two texts
/// mean the same bytes.
fn decode(text: &str) -> Option<Vec<u8>> {
    let unpadded = text.trim_end_matches('=');
    let padding = text.len() - unpadded.len();
    if padding > 0 && (padding > 2 || !text.len().is_multiple_of(4)) || unpadded.len() % 4 == 1 {
        return None;
    }
    let (mut bytes, mut group, mut bits) = (Vec::new(), 0u32, 0);
    for character in unpadded.bytes() {
        let value = ALPHABET.iter().position(|digit| *digit == character)?;
        group = (group << 6) | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
            group &= (1 << bits) - 1;
        }
    }
    (group == 0).then_some(bytes)
}

/// Of a SHA-256 digest.
const PIN_BYTES: usize = 32;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn base64_as_in_rfc_4648() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")] {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for text in ["Z", "Zh==", "Zg=", "Zg===", "Z=g=", "Zm 9v", "Zm-_", "é", "===="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        // The digest of nothing.
        let pin = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(parse(pin).unwrap()[..2], [0xe3, 0xb0]);
        assert_eq!(parse(pin.trim_end_matches('=')), parse(pin));
        for (text, message) in [
            ("", "`` does not begin with `sha256/`"),
            ("sha1/47DE", "`sha1/47DE` does not begin with `sha256/`"),
            ("sha256/x", "`x` is not Base64"),
            ("sha256/", "a pin has 32 bytes, this one has 0"),
            ("sha256/47DEQpj8", "a pin has 32 bytes, this one has 6"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.message, message);
            assert!(error.hint.contains("openssl"), "{}", error.hint);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(pin: Pin) {
            prop_assert_eq!(parse(&format(&pin)), Ok(pin));
        }

        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = parse(&format!("sha256/{text}"));
        }
    }
}
