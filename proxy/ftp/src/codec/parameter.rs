//! Arguments that the gateway itself must understand: AUTH, PROT, PBSZ, TYPE, MODE, STRU, REST.

/// RFC 4217 protection of a data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// PROT C
    Clear,
    /// PROT P
    Private,
}

/// What AUTH asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// `TLS` or `TLS-C`: data connections stay clear until PROT.
    Tls,
    /// `SSL` or `TLS-P`: data connections are private at once.
    TlsPrivate,
}

/// What PROT asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtLevel {
    /// C or P.
    Known(Protection),
    /// S or E: known to RFC 2228, but not to TLS.
    NotWithTls,
    /// Anything else.
    Unknown,
}

/// Parses the argument of AUTH; `None`: another mechanism.
pub fn parse_auth(argument: &[u8]) -> Option<Mechanism> {
    let is = |name: &[u8]| argument.eq_ignore_ascii_case(name);
    if is(b"TLS") || is(b"TLS-C") {
        Some(Mechanism::Tls)
    } else if is(b"SSL") || is(b"TLS-P") {
        Some(Mechanism::TlsPrivate)
    } else {
        None
    }
}

/// Parses the argument of PROT.
pub fn parse_prot(argument: &[u8]) -> ProtLevel {
    match argument {
        b"C" | b"c" => ProtLevel::Known(Protection::Clear),
        b"P" | b"p" => ProtLevel::Known(Protection::Private),
        b"S" | b"s" | b"E" | b"e" => ProtLevel::NotWithTls,
        _ => ProtLevel::Unknown,
    }
}

/// Whether the argument of PBSZ is a 32-bit number (RFC 2228 §3).
pub fn is_pbsz(argument: &[u8]) -> bool {
    parse_decimal(argument).is_some_and(|size| u32::try_from(size).is_ok())
}

/// Parses the argument of REST: a byte offset.
pub fn parse_rest(argument: &[u8]) -> Option<u64> {
    parse_decimal(argument).filter(|&offset| i64::try_from(offset).is_ok())
}

/// ALLO `bytes` or `bytes R records`.
pub fn judge_allo(argument: &[u8]) -> Parameter {
    let mut words = argument.split(|&byte| byte == b' ');
    let bytes = words.next().and_then(parse_decimal);
    let tail: Vec<&[u8]> = words.collect();
    let has_good_tail = match tail.as_slice() {
        [] => true,
        &[r, records] => r.eq_ignore_ascii_case(b"R") && parse_decimal(records).is_some(),
        _ => false,
    };
    if bytes.is_some() && has_good_tail { Parameter::Forward } else { Parameter::Malformed }
}

/// The bytes that ALLO announces; `None`: it is malformed.
pub fn announced_bytes(argument: &[u8]) -> Option<u64> {
    argument.split(|&byte| byte == b' ').next().and_then(parse_decimal)
}

/// SITE with a sub-command that can be named.
pub fn judge_site(argument: &[u8]) -> Parameter {
    if subcommand(argument).is_some() { Parameter::Forward } else { Parameter::Malformed }
}

/// The sub-command of SITE and OPTS: the first word, in capitals; letters and digits only. z/OS writes `FILETYPE=JES`.
pub fn subcommand(argument: &[u8]) -> Option<String> {
    let word = argument.split(|byte| b" =".contains(byte)).next()?;
    let is_word = !word.is_empty() && word.len() <= 16 && word.iter().all(u8::is_ascii_alphanumeric);
    is_word.then(|| word.iter().map(|&byte| char::from(byte.to_ascii_uppercase())).collect())
}

/// A transfer parameter that the gateway forwards, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// Both legs carry it unchanged.
    Forward,
    /// 504: RFC 959 knows it, the gateway does not speak it.
    Unsupported,
    /// 501
    Malformed,
}

/// TYPE A, A N, I and L 8; not E, not A T, not A C.
pub fn judge_type(argument: &[u8]) -> Parameter {
    match argument.to_ascii_uppercase().as_slice() {
        b"A" | b"A N" | b"I" | b"L 8" | b"L8" => Parameter::Forward,
        other => match other.first() {
            Some(b'A' | b'E' | b'L') => Parameter::Unsupported,
            _ => Parameter::Malformed,
        },
    }
}

/// MODE S; not B, C, Z.
pub fn judge_mode(argument: &[u8]) -> Parameter {
    match argument {
        b"S" | b"s" => Parameter::Forward,
        [letter] if letter.is_ascii_alphabetic() => Parameter::Unsupported,
        _ => Parameter::Malformed,
    }
}

/// STRU F; not R, P.
pub fn judge_stru(argument: &[u8]) -> Parameter {
    match argument {
        b"F" | b"f" => Parameter::Forward,
        [letter] if letter.is_ascii_alphabetic() => Parameter::Unsupported,
        _ => Parameter::Malformed,
    }
}

fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_commands_end_at_a_blank_or_an_equals_sign() {
        for (argument, word) in
            [("umask 022", "UMASK"), ("FILETYPE=JES", "FILETYPE"), ("recfm=fb lrecl=80", "RECFM")]
        {
            assert_eq!(subcommand(argument.as_bytes()).as_deref(), Some(word));
        }
        for argument in ["", " x", "=x", "a-b", "a\tb", "ABCDEFGHIJKLMNOPQ"] {
            assert_eq!(subcommand(argument.as_bytes()), None, "{argument}");
        }
    }

    #[test]
    fn auth_in_any_case() {
        assert_eq!(parse_auth(b"tls"), Some(Mechanism::Tls));
        assert_eq!(parse_auth(b"TLS-C"), Some(Mechanism::Tls));
        assert_eq!(parse_auth(b"SSL"), Some(Mechanism::TlsPrivate));
        assert_eq!(parse_auth(b"tls-p"), Some(Mechanism::TlsPrivate));
        assert_eq!(parse_auth(b"GSSAPI"), None);
        assert_eq!(parse_auth(b"TLS "), None);
    }

    #[test]
    fn offsets_are_neither_negative_nor_huge() {
        assert_eq!(parse_rest(b"0"), Some(0));
        assert_eq!(parse_rest(b"9223372036854775807"), Some(i64::MAX as u64));
        for argument in [&b"-1"[..], b"", b"9223372036854775808", b"99999999999999999999999", b"1 ", b"0x1"] {
            assert_eq!(parse_rest(argument), None, "{}", argument.escape_ascii());
        }
    }

    #[test]
    fn parameters() {
        assert!(is_pbsz(b"0") && is_pbsz(b"4294967295") && !is_pbsz(b"4294967296") && !is_pbsz(b"x"));
        for (argument, judgement) in [
            (&b"10"[..], Parameter::Forward),
            (b"10 R 5", Parameter::Forward),
            (b"10 5", Parameter::Malformed),
            (b"x", Parameter::Malformed),
        ] {
            assert_eq!(judge_allo(argument), judgement);
        }
        assert_eq!(judge_site(b"chmod 644 x"), Parameter::Forward);
        assert_eq!(judge_site(b" x"), Parameter::Malformed);
        assert_eq!(judge_type(b"i"), Parameter::Forward);
        assert_eq!(judge_type(b"L 8"), Parameter::Forward);
        assert_eq!(judge_type(b"E"), Parameter::Unsupported);
        assert_eq!(judge_type(b"Q"), Parameter::Malformed);
        assert_eq!(judge_mode(b"Z"), Parameter::Unsupported);
        assert_eq!(judge_stru(b"R"), Parameter::Unsupported);
        assert_eq!(judge_stru(b""), Parameter::Malformed);
    }
}
