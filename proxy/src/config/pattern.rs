//! Patterns of names: those that routes match, and the servers that `USER name@host` may ask for.

use std::net::IpAddr;

use ftpsgate_policies::Glob;
use ftpsgate_policies::route::AllowedHost;

use super::syntax::{SyntaxError, check_host, quoted, server_ip, server_port};

/// Reads a pattern for names in which case counts.
pub(super) fn exact_case(text: &str) -> Result<Glob, SyntaxError> {
    pattern(text, Glob::exact_case)
}

/// Reads a pattern for names in which case does not count.
pub(super) fn any_case(text: &str) -> Result<Glob, SyntaxError> {
    pattern(text, Glob::any_case)
}

fn pattern<E: std::fmt::Display>(
    text: &str,
    parse: fn(&str) -> Result<Glob, E>,
) -> Result<Glob, SyntaxError> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(SyntaxError::new(
            "the pattern is too long",
            format!("patterns have up to {PATTERN_BYTES_MAX} bytes"),
        ));
    }
    if let Some(character) = text.chars().find(|c| c.is_control()) {
        return Err(SyntaxError::new(
            format!("the pattern contains the control character {character:?}"),
            "no name has such characters",
        ));
    }
    parse(text).map_err(|error| {
        SyntaxError::new(
            format!("{} is not a pattern: {error}", quoted(text)),
            "`*` is any text, `?` one character, `[ab]` one of these, `{a,b}` either; `\\` before a character takes \
             it as it is",
        )
    })
}

/// Reads `HOST`, `HOST:PORT`, `ADDRESS`, `[ADDRESS]` or `[ADDRESS]:PORT`, where the host may be a pattern.
pub(super) fn allowed_host(text: &str) -> Result<AllowedHost, SyntaxError> {
    let (host, port) = split_port(text)?;
    let port = port.map(server_port).transpose()?;
    let host = match host.parse::<IpAddr>() {
        // One address has many texts; what clients ask for is written anew in the same way.
        Ok(address) => server_ip(address.to_canonical())?.to_string(),
        Err(_) => {
            let host = host.strip_suffix('.').unwrap_or(host);
            let glob = any_case(host)?;
            let foreign = host.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.*?[]{},!\\".contains(*c));
            if let Some(character) = foreign {
                return Err(SyntaxError::new(
                    format!("{} is not a host: no name has the character {character:?}", quoted(text)),
                    "write a host such as \"ftp.example.com\", \"*.example.com\", \"host:2121\" or \"[::1]:2121\"",
                ));
            }
            if glob.is_literal() {
                check_host(host)?;
            }
            host.to_owned()
        }
    };
    Ok(AllowedHost { host: any_case(&host)?, port })
}

/// The host or pattern, and the port if one is written.
fn split_port(text: &str) -> Result<(&str, Option<&str>), SyntaxError> {
    // A bracket may begin an IPv6 address, or a pattern.
    let is_pattern = !text.starts_with('[') || !text.split(']').next().unwrap_or_default().contains(':');
    if is_pattern && text.matches(':').count() <= 1 {
        return Ok(text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))));
    }
    super::syntax::split_port(text)
        .map_err(|error| SyntaxError::new(format!("{} is not a host", quoted(text)), error.hint))
}

/// Longer than any user name, host name or subject that clients get past the line limit with.
const PATTERN_BYTES_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_clients_may_ask_for() {
        for (text, host, port) in [
            ("ftp.example.com", "ftp.example.com", None),
            ("*.example.com", "*.example.com", None),
            ("host:2121", "host", Some(2121)),
            ("ftp[12].example.com:2121", "ftp[12].example.com", Some(2121)),
            ("[ab].example.com:2121", "[ab].example.com", Some(2121)),
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:21", "10.0.0.1", Some(21)),
            ("[2001:DB8::1]:2121", "2001:db8::1", Some(2121)),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("[::ffff:192.0.2.1]", "192.0.2.1", None),
            ("ftp.example.com.:21", "ftp.example.com", Some(21)),
        ] {
            let allowed = allowed_host(text).unwrap();
            assert_eq!((allowed.host.as_str(), allowed.port), (host, port), "{text}");
        }
        for text in [
            "", ":21", "host:", "host:0", "a@b", "a/b", "a b", "[::1", "::1:x", "a:1:2", "0.0.0.0", "é",
            "a[", "1.2",
        ] {
            assert!(allowed_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_hint() {
        for text in ["", "a[", "{a", "a\nb", &"x".repeat(401)] {
            let error = exact_case(text).unwrap_err();
            assert!(!error.hint.is_empty(), "{error}");
        }
        assert!(any_case("ACME-*").unwrap().matches(b"acme-7"));
        assert!(!exact_case("ACME-*").unwrap().matches(b"acme-7"));
    }
}
