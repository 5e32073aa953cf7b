//! Quantities with units: durations `"10s"`, sizes `"8MiB"`, rates `"20MB/s"`.
//!
//! Each is one whole number and one unit. The writers choose the largest unit that divides the value, so
//! that reading what was written gives the same value.

use std::time::Duration;

/// Longest duration that a configuration may ask for; far below what clocks overflow at.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a quantity measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Time.
    Duration,
    /// Bytes.
    Size,
    /// Bytes a second.
    Rate,
}

impl Quantity {
    /// The noun with its article.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Rate => "a rate",
        }
    }

    /// Something that would have been right.
    #[must_use]
    pub fn example(self) -> &'static str {
        match self {
            Self::Duration => "\"10s\"",
            Self::Size => "\"8MiB\"",
            Self::Rate => "\"20MB/s\"",
        }
    }

    fn units(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Duration => DURATION_UNITS,
            Self::Size | Self::Rate => SIZE_UNITS,
        }
    }

    fn unit_names(self) -> String {
        let suffix = if self == Self::Rate { "/s" } else { "" };
        let names: Vec<String> = self.units().iter().map(|(name, _)| format!("{name}{suffix}")).collect();
        names.join(", ")
    }
}

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Nothing but blanks.
    #[error("{} is missing", .0.noun())]
    Empty(Quantity),
    /// It begins with a minus sign.
    #[error("{} cannot be negative", .0.noun())]
    Negative(Quantity),
    /// It does not begin with a whole number.
    #[error("{} is one whole number and a unit", .0.noun())]
    NotANumber(Quantity),
    /// The number stands alone.
    #[error("{} needs a unit", .quantity.noun())]
    MissingUnit {
        /// What was asked for.
        quantity: Quantity,
        /// The number that stands alone.
        number: String,
    },
    /// A unit that is not known, or not known in this spelling.
    #[error("`{unit}` is not a unit of {}", .quantity.noun())]
    UnknownUnit {
        /// What was asked for.
        quantity: Quantity,
        /// The number before the unit.
        number: String,
        /// The unit as written.
        unit: String,
    },
    /// More than can be represented, or than makes sense.
    #[error("{} cannot be that large", .0.noun())]
    TooLarge(Quantity),
}

impl UnitError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Empty(quantity) | Self::Negative(quantity) | Self::NotANumber(quantity) => {
                format!("write it like {}; units are {}", quantity.example(), quantity.unit_names())
            }
            Self::MissingUnit { quantity, number } => {
                let unit = match quantity {
                    Quantity::Duration => "s",
                    Quantity::Size => "B",
                    Quantity::Rate => "B/s",
                };
                format!("write \"{number}{unit}\", or another of {}", quantity.unit_names())
            }
            Self::UnknownUnit { quantity, number, unit } => match nearest_unit(*quantity, unit) {
                Some(nearest) => format!("did you mean \"{number}{nearest}\"?"),
                None if *quantity == Quantity::Rate => {
                    format!("rates count bytes, not bits; units are {}", quantity.unit_names())
                }
                None => format!("units are {}", quantity.unit_names()),
            },
            Self::TooLarge(Quantity::Duration) => "the longest duration is \"365d\"".to_owned(),
            Self::TooLarge(Quantity::Size | Quantity::Rate) => {
                format!("the largest value is {} bytes", u64::MAX)
            }
        }
    }
}

/// Reads a duration such as `10s`.
///
/// # Errors
///
/// When it is not one whole number with one of the units ms, s, m, min, h and d, or over [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let milliseconds = parse(text, text, Quantity::Duration)?;
    let duration = Duration::from_millis(milliseconds);
    if duration > DURATION_MAX { Err(UnitError::TooLarge(Quantity::Duration)) } else { Ok(duration) }
}

/// Reads a size such as `8MiB`, in bytes.
///
/// # Errors
///
/// When it is not one whole number with one of the units B, KB, MB, GB, KiB, MiB and GiB, or over 2⁶⁴ bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, text, Quantity::Size)
}

/// Reads a rate such as `20MB/s`, in bytes a second.
///
/// # Errors
///
/// When it is not a size followed by `/s`.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    let size = text.trim_end().strip_suffix("/s");
    match (size, parse(size.unwrap_or(text), text, Quantity::Rate)) {
        (Some(_), parsed) => parsed,
        (None, Ok(_)) => {
            let (number, unit) = split(text.trim());
            Err(UnitError::UnknownUnit {
                quantity: Quantity::Rate,
                number: number.to_owned(),
                unit: unit.to_owned(),
            })
        }
        (None, Err(error)) => Err(error),
    }
}

/// Writes a duration with the largest unit that divides it.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let (unit, scale) = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find(|(_, scale)| milliseconds.is_multiple_of(*scale))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", milliseconds / scale)
}

/// Writes a size with the largest unit that divides it.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let (unit, scale) = SIZE_UNITS
        .iter()
        .filter(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale))
        .max_by_key(|(_, scale)| *scale)
        .copied()
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / scale)
}

/// Writes a rate with the largest unit that divides it.
#[must_use]
pub fn format_rate(bytes_per_second: u64) -> String {
    format!("{}/s", format_size(bytes_per_second))
}

/// `text` without what the quantity adds (the `/s` of a rate); `whole` is what the operator wrote.
fn parse(text: &str, whole: &str, quantity: Quantity) -> Result<u64, UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::Empty(quantity));
    }
    if text.starts_with('-') {
        return Err(UnitError::Negative(quantity));
    }
    let (number, unit) = split(text);
    if number.is_empty() || unit.starts_with(['.', ',', '_']) || unit.contains(|c: char| c.is_ascii_digit()) {
        return Err(UnitError::NotANumber(quantity));
    }
    if unit.is_empty() {
        return Err(UnitError::MissingUnit { quantity, number: number.to_owned() });
    }
    let Some((_, scale)) = quantity.units().iter().find(|(name, _)| *name == unit) else {
        let unit = split(whole.trim()).1.to_owned();
        return Err(UnitError::UnknownUnit { quantity, number: number.to_owned(), unit });
    };
    // Only overflow is left to go wrong: `number` is ASCII digits.
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*scale))
        .ok_or(UnitError::TooLarge(quantity))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// The unit that was probably meant: `Mb` for `MB`, `sec` for `s`.
fn nearest_unit(quantity: Quantity, unit: &str) -> Option<String> {
    let suffix = if quantity == Quantity::Rate { "/s" } else { "" };
    let bare = unit.strip_suffix("/s").unwrap_or(unit).to_ascii_lowercase();
    let spelled = match bare.as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" | "hr" => "h",
        "day" | "days" => "d",
        "msec" | "millis" | "milliseconds" => "ms",
        "byte" | "bytes" => "B",
        "k" => "KB",
        "g" => "GB",
        other => other,
    };
    let spelled = if spelled == "m" && quantity != Quantity::Duration { "MB" } else { spelled };
    let (name, _) = quantity.units().iter().find(|(name, _)| name.eq_ignore_ascii_case(spelled))?;
    Some(format!("{name}{suffix}"))
}

/// In milliseconds.
const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// In bytes.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("15min", 900_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("0s", 0),
            (" 10 s ", 10_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn sizes_and_rates() {
        for (text, bytes) in [
            ("0B", 0),
            ("4KiB", 4096),
            ("8MiB", 8 << 20),
            ("2GiB", 2 << 30),
            ("1KB", 1000),
            ("20MB", 20_000_000),
            ("3GB", 3_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(parse_rate(&format!("{text}/s")), Ok(bytes), "{text}/s");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_would_be_right() {
        let mut seen = String::new();
        for text in
            ["", "10", "-5s", "1.5s", "five", "10sec", "10x", "1h30m", "400d", "99999999999999999999s"]
        {
            let error = parse_duration(text).unwrap_err();
            seen += &format!("{text:?}: {error}; {}\n", error.hint());
        }
        for text in ["8", "8mb", "8M", "8TiB", "18446744073709551615KB"] {
            let error = parse_size(text).unwrap_err();
            seen += &format!("{text:?}: {error}; {}\n", error.hint());
        }
        for text in ["20", "20MB", "20Mbps", "20MB/min", "-1B/s", "/s"] {
            let error = parse_rate(text).unwrap_err();
            seen += &format!("{text:?}: {error}; {}\n", error.hint());
        }
        assert_eq!(
            seen,
            r#""": a duration is missing; write it like "10s"; units are ms, s, m, min, h, d
"10": a duration needs a unit; write "10s", or another of ms, s, m, min, h, d
"-5s": a duration cannot be negative; write it like "10s"; units are ms, s, m, min, h, d
"1.5s": a duration is one whole number and a unit; write it like "10s"; units are ms, s, m, min, h, d
"five": a duration is one whole number and a unit; write it like "10s"; units are ms, s, m, min, h, d
"10sec": `sec` is not a unit of a duration; did you mean "10s"?
"10x": `x` is not a unit of a duration; units are ms, s, m, min, h, d
"1h30m": a duration is one whole number and a unit; write it like "10s"; units are ms, s, m, min, h, d
"400d": a duration cannot be that large; the longest duration is "365d"
"99999999999999999999s": a duration cannot be that large; the longest duration is "365d"
"8": a size needs a unit; write "8B", or another of B, KB, MB, GB, KiB, MiB, GiB
"8mb": `mb` is not a unit of a size; did you mean "8MB"?
"8M": `M` is not a unit of a size; did you mean "8MB"?
"8TiB": `TiB` is not a unit of a size; units are B, KB, MB, GB, KiB, MiB, GiB
"18446744073709551615KB": a size cannot be that large; the largest value is 18446744073709551615 bytes
"20": a rate needs a unit; write "20B/s", or another of B/s, KB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s
"20MB": `MB` is not a unit of a rate; did you mean "20MB/s"?
"20Mbps": `Mbps` is not a unit of a rate; rates count bytes, not bits; units are B/s, KB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s
"20MB/min": `MB/min` is not a unit of a rate; rates count bytes, not bits; units are B/s, KB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s
"-1B/s": a rate cannot be negative; write it like "20MB/s"; units are B/s, KB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s
"/s": a rate is missing; write it like "20MB/s"; units are B/s, KB/s, MB/s, GB/s, KiB/s, MiB/s, GiB/s
"#
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(milliseconds in 0u64..=365 * 86_400_000, bytes: u64) {
            let duration = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            prop_assert_eq!(parse_rate(&format_rate(bytes)), Ok(bytes));
        }

        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = parse_rate(&text);
        }
    }
}
