//! What the clocks of the policy's time zones show, from the IANA database of the system, else the one that was built
//! in.

use std::time::SystemTime;

use ftpsgate_policies::hours::LocalTime;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::syntax::{SyntaxError, quoted};
use super::model::AskedTime;

/// What the clocks of some zones show, in their order. Of a moment that no clock shows (beyond the year 9999), and where a
/// zone is not to be found any more, nothing is known: then rules with hours allow nothing, and deny.
#[must_use]
pub fn local_times(moment: SystemTime, zones: &[String]) -> Vec<LocalTime> {
    let Ok(moment) = Timestamp::try_from(moment) else { return Vec::new() };
    let show = |zone: &String| {
        let clock = find(zone)?.to_datetime(moment);
        let weekday = u8::try_from(clock.weekday().to_monday_zero_offset()).ok()?;
        let minute = u16::try_from(i32::from(clock.hour()) * 60 + i32::from(clock.minute())).ok()?;
        LocalTime::new(weekday, minute)
    };
    zones.iter().map(show).collect::<Option<_>>().unwrap_or_default()
}

/// Reads the name of a time zone.
pub(in super::super) fn timezone(text: &str) -> Result<String, SyntaxError> {
    match find(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(SyntaxError::new(
            format!("{} is not a time zone", quoted(text)),
            "write a name of the IANA database such as \"Europe/Berlin\" or \"UTC\", or \"system\" for the machine's own",
        )),
    }
}

/// Reads a time that means the same everywhere.
pub(in super::super) fn time(text: &str) -> Result<AskedTime, SyntaxError> {
    let zoned = text.parse::<jiff::Zoned>().map(|zoned| zoned.timestamp());
    let time = zoned.or_else(|_| text.parse::<Timestamp>()).map_err(|_| {
        SyntaxError::new(
            format!("{} is not a time with its offset", quoted(text)),
            "write it as \"2026-11-22T15:00:00+01:00\" or \"2026-11-22T15:00[Europe/Berlin]\"",
        )
    })?;
    Ok(AskedTime { text: text.to_owned(), time: time.into() })
}

/// Reads a time as `time` does, or one of the machine's own clock: `2026-11-22 15:00`.
///
/// # Errors
///
/// A text that is no time.
pub fn parse_local_time(text: &str) -> Result<AskedTime, SyntaxError> {
    let on_this_machine = || {
        let civil = text.parse::<DateTime>().ok()?;
        civil.to_zoned(TimeZone::system()).ok().map(|zoned| zoned.timestamp())
    };
    time(text).or_else(|error| {
        let time = on_this_machine().ok_or(error)?;
        Ok(AskedTime { text: text.to_owned(), time: time.into() })
    })
}

fn find(name: &str) -> Option<TimeZone> {
    match name {
        SYSTEM => Some(TimeZone::system()),
        name => TimeZone::get(name).ok(),
    }
}

/// The zone of the machine's own clock.
pub(super) const SYSTEM: &str = "system";

#[cfg(test)]
mod tests {
    use ftpsgate_policies::hours::Hours;

    use super::*;

    fn is_open(hours: &str, zone: &str, at: &str) -> bool {
        let [now] = local_times(time(at).unwrap().time, &[zone.to_owned()])[..] else {
            panic!("one zone, one clock")
        };
        Hours::parse(hours).unwrap().contains(now)
    }

    #[test]
    fn hours_follow_the_clock_into_and_out_of_daylight_saving_time() {
        let office = "Mon-Fri 07:00-19:00";
        // In winter Berlin is one hour ahead of UTC, in summer two.
        for (at, open) in [
            ("2026-03-27T05:59:59Z", false),
            ("2026-03-27T06:00:00Z", true),
            ("2026-03-27T17:59:59Z", true),
            ("2026-03-27T18:00:00Z", false),
            ("2026-03-30T04:59:59Z", false),
            ("2026-03-30T05:00:00Z", true),
            ("2026-03-30T17:00:00Z", false),
            ("2026-10-26T05:59:59Z", false),
            ("2026-10-26T06:00:00Z", true),
        ] {
            assert_eq!(is_open(office, "Europe/Berlin", at), open, "{at}");
        }
    }

    #[test]
    fn an_hour_that_is_skipped_never_comes_and_one_that_is_repeated_counts_twice() {
        // On 29 March 2026 clocks go from 02:00 to 03:00, on 25 October from 03:00 back to 02:00.
        let night = "Sun 02:00-03:00";
        for minute in 0..180 {
            let at = format!("2026-03-29T00:{:02}:00+00:00", minute % 60);
            assert!(!is_open(night, "Europe/Berlin", &at), "{at}");
        }
        for at in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            assert!(is_open(night, "Europe/Berlin", at), "{at}");
        }
        assert!(!is_open(night, "Europe/Berlin", "2026-10-25T02:00:00Z"));
    }

    #[test]
    fn weekdays_are_those_of_the_zone() {
        // Friday evening in Berlin is Saturday morning in Tokyo.
        let at = "2026-11-20T23:30:00+01:00";
        assert!(is_open("Fri", "Europe/Berlin", at) && is_open("Sat", "Asia/Tokyo", at));
        assert!(is_open("Fri", "UTC", at));
    }

    #[test]
    fn of_a_zone_that_is_gone_no_time_is_known() {
        let zones = ["UTC".to_owned(), "Europe/Atlantis".to_owned()];
        assert_eq!(local_times(SystemTime::now(), &zones), []);
    }

    #[test]
    fn times_carry_their_offset_unless_they_are_the_machines_own() {
        assert_eq!(
            time("2026-11-22T15:00[Europe/Berlin]").unwrap().time,
            time("2026-11-22T14:00Z").unwrap().time
        );
        assert!(time("2026-11-22T15:00").is_err() && parse_local_time("2026-11-22 15:00").is_ok());
        assert!(time("noon").is_err() && parse_local_time("15:00").is_err());
        assert!(timezone("Europe/Berlin").is_ok() && timezone("system").is_ok());
        assert!(timezone("Europe/Atlantis").unwrap_err().hint.contains("IANA"));
    }
}
