//! Reads single TOML values; the [`Kind`] of the key carries the bounds.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::choice::Choice;
use super::schema::Kind;
use super::spelling::{nearest, printable};
use super::syntax::SyntaxError;
use super::units::{self, format_size};

/// Text that `parse` understands.
pub(super) fn parsed<T>(
    value: &DeValue<'_>,
    kind: &Kind,
    parse: impl FnOnce(&str) -> Result<T, SyntaxError>,
) -> Result<T, SyntaxError> {
    match value {
        DeValue::String(text) => parse(text),
        other => Err(wrong_type(other, kind)),
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>, kind: &Kind) -> Result<bool, SyntaxError> {
    match value {
        DeValue::Boolean(boolean) => Ok(*boolean),
        other => Err(wrong_type(other, kind)),
    }
}

/// A whole number.
pub(super) fn integer(value: &DeValue<'_>, kind: &Kind) -> Result<u64, SyntaxError> {
    let Kind::Integer(min, max) = kind else { panic!("{kind:?} is read as a number") };
    let DeValue::Integer(written) = value else { return Err(wrong_type(value, kind)) };
    let digits = written.as_str().trim_start_matches('+');
    match u64::from_str_radix(digits, written.radix()) {
        Ok(number) if (*min..=*max).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(SyntaxError::new(
            format!("must be {}, not {written}", kind.expectation()),
            if min == max {
                format!("this ftpsgate knows {min} alone")
            } else if digits.starts_with('-') || digits == "0" {
                format!("the smallest value is {min}")
            } else {
                format!("the largest value is {max}")
            },
        )),
    }
}

/// A number whose bounds in the tables of keys fit a narrower type.
pub(super) fn narrow<N: TryFrom<u64>>(number: u64) -> N
where
    N::Error: std::fmt::Debug,
{
    N::try_from(number).expect("the bounds in the tables of keys fit the type of the field")
}

/// A duration.
pub(super) fn duration(value: &DeValue<'_>, kind: &Kind) -> Result<Duration, SyntaxError> {
    let Kind::Duration(min) = kind else { panic!("{kind:?} is read as a duration") };
    let duration = parsed(value, kind, |text| Ok(units::parse_duration(text)?))?;
    if duration < *min {
        return Err(SyntaxError::new(
            "cannot be zero",
            "it would be over at once; write a longer time, such as \"1s\"",
        ));
    }
    Ok(duration)
}

/// A size in bytes.
pub(super) fn size(value: &DeValue<'_>, kind: &Kind) -> Result<u64, SyntaxError> {
    let Kind::Size(min, max) = kind else { panic!("{kind:?} is read as a size") };
    let bytes = parsed(value, kind, |text| Ok(units::parse_size(text)?))?;
    if (*min..=*max).contains(&bytes) {
        return Ok(bytes);
    }
    Err(SyntaxError::new(
        format!("{} is out of bounds", format_size(bytes)),
        format!("write a size from \"{}\" to \"{}\"", format_size(*min), format_size(*max)),
    ))
}

/// A rate in bytes a second.
pub(super) fn rate(value: &DeValue<'_>, kind: &Kind) -> Result<u64, SyntaxError> {
    parsed(value, kind, |text| Ok(units::parse_rate(text)?))
}

/// One word of a few.
pub(super) fn choice<C: Choice>(value: &DeValue<'_>, kind: &Kind) -> Result<C, SyntaxError> {
    parsed(value, kind, |text| {
        C::from_word(text).ok_or_else(|| {
            let hint = match nearest(&text.to_lowercase(), C::ALL.iter().map(|choice| choice.word())) {
                Some(nearest) => format!("did you mean \"{nearest}\"?"),
                None => format!("write {}", kind.expectation()),
            };
            SyntaxError::new(format!("must be {}, not \"{}\"", kind.expectation(), printable(text)), hint)
        })
    })
}

/// A path, as it is written.
pub(super) fn path(value: &DeValue<'_>, kind: &Kind) -> Result<PathBuf, SyntaxError> {
    parsed(value, kind, |text| {
        if text.is_empty() || text.contains('\0') {
            return Err(SyntaxError::new("is not a path", "write the path of a file, relative to this one"));
        }
        Ok(PathBuf::from(text))
    })
}

/// The error for a value of the wrong type.
pub(super) fn wrong_type(value: &DeValue<'_>, kind: &Kind) -> SyntaxError {
    let message = format!("must be {}, not {}", kind.expectation(), type_name(value));
    let hint = match value {
        DeValue::Integer(number) => match kind {
            Kind::Duration(_) => format!("write it with its unit, \"{number}s\""),
            Kind::Size(..) => format!("write it with its unit, \"{number}B\""),
            Kind::Rate => format!("write it with its unit, \"{number}B/s\""),
            Kind::Text | Kind::Syntax(..) | Kind::OneOf(_) => format!("write it in quotes, \"{number}\""),
            _ => String::new(),
        },
        DeValue::Float(number) if matches!(kind, Kind::OneOf(_)) => {
            format!("write it in quotes, \"{}\"", number.as_str())
        }
        DeValue::String(text) => match kind {
            Kind::List(_) | Kind::ListOr(..) => format!("write it in brackets, [\"{}\"]", printable(text)),
            Kind::Boolean if matches!(text.as_ref(), "true" | "false") => {
                format!("write it without quotes, {text}")
            }
            Kind::Integer(..) if text.parse::<u64>().is_ok() => format!("write it without quotes, {text}"),
            _ => String::new(),
        },
        _ => String::new(),
    };
    SyntaxError { message, hint }
}

/// What a value is, for "must be …, not …".
pub(super) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
