//! Hours of the week: `Mon-Fri 07:00-19:00; Sat 08:00-12:00`.
//!
//! Which hour it is in a zone is for the caller to say: zones need files, and change.

use std::fmt;

/// The time on a wall clock of some zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalTime {
    weekday: u8,
    minute_of_day: u16,
}

impl LocalTime {
    /// `weekday` counts from Monday, 0, to Sunday, 6; `minute_of_day` from midnight, 0 to 1,439. `None`: no
    /// clock shows that.
    pub fn new(weekday: u8, minute_of_day: u16) -> Option<Self> {
        (weekday < 7 && minute_of_day < MINUTES_OF_DAY).then_some(Self { weekday, minute_of_day })
    }

    fn minute_of_week(self) -> u16 {
        u16::from(self.weekday) * MINUTES_OF_DAY + self.minute_of_day
    }
}

/// `Sat 03:00`.
impl fmt::Display for LocalTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = WEEKDAYS[usize::from(self.weekday)];
        write!(formatter, "{day} {:02}:{:02}", self.minute_of_day / 60, self.minute_of_day % 60)
    }
}

/// Stretches of the week. A stretch holds its first minute and not its last; one that ends no later than it begins
/// runs past midnight, and belongs to the day on which it began.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hours {
    text: String,
    /// First minute of the week and the one after the last, in order, apart.
    stretches: Vec<(u16, u16)>,
}

impl Hours {
    /// Reads `[DAYS] [HH:MM-HH:MM]`, several behind `;`. Days are `Mon`, `Mon-Fri`, `Mon,Wed`; without them every
    /// day is meant, without times the whole day.
    ///
    /// # Errors
    ///
    /// The part that is not understood.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        let mut minutes = vec![false; usize::from(MINUTES_OF_WEEK)];
        for part in text.split(';') {
            let wrong = || HoursError(part.trim().to_owned());
            let words: Vec<&str> = part.split_whitespace().collect();
            let is_time = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
            let (days, times) = match words.as_slice() {
                [times] if is_time(times) => (vec![true; 7], Some(*times)),
                [days] => (parse_days(days).ok_or_else(wrong)?, None),
                [days, times] => (parse_days(days).ok_or_else(wrong)?, Some(*times)),
                _other => return Err(wrong()),
            };
            let (begin, end) = match times {
                Some(times) => parse_times(times).ok_or_else(wrong)?,
                None => (0, MINUTES_OF_DAY),
            };
            let length = if end > begin { end - begin } else { end + MINUTES_OF_DAY - begin };
            for (day, _) in (0_u16..).zip(&days).filter(|(_, is_meant)| **is_meant) {
                for minute in 0..length {
                    minutes[usize::from((day * MINUTES_OF_DAY + begin + minute) % MINUTES_OF_WEEK)] = true;
                }
            }
        }
        let mut stretches: Vec<(u16, u16)> = Vec::new();
        for (minute, _) in (0_u16..).zip(&minutes).filter(|(_, is_meant)| **is_meant) {
            match stretches.last_mut() {
                Some((_, end)) if *end == minute => *end += 1,
                Some(_) | None => stretches.push((minute, minute + 1)),
            }
        }
        Ok(Self { text: text.to_owned(), stretches })
    }

    /// Whether a time is within.
    pub fn contains(&self, time: LocalTime) -> bool {
        let minute = time.minute_of_week();
        let next = self.stretches.partition_point(|&(begin, _)| begin <= minute);
        next.checked_sub(1).is_some_and(|index| minute < self.stretches[index].1)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A text that is no stretch of the week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not understood: write for example `Mon-Fri 07:00-19:00`")]
pub struct HoursError(String);

fn parse_days(text: &str) -> Option<Vec<bool>> {
    let find = |name: &str| WEEKDAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = vec![false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (find(first)?, find(last)?),
            None => (find(part)?, find(part)?),
        };
        // `Sat-Mon` goes round the end of the week.
        (0..=(last + 7 - first) % 7).for_each(|step| days[(first + step) % 7] = true);
    }
    Some(days)
}

fn parse_times(text: &str) -> Option<(u16, u16)> {
    let (begin, end) = text.split_once('-')?;
    let (begin, end) = (parse_time(begin)?, parse_time(end)?);
    (begin < MINUTES_OF_DAY && begin != end).then_some((begin, end))
}

fn parse_time(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, digits: usize| {
        (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    let (hour, minute): (u16, u16) = (number(hour, 2)?, number(minute, 2)?);
    (minute < 60 && hour * 60 + minute <= MINUTES_OF_DAY).then_some(hour * 60 + minute)
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MINUTES_OF_DAY: u16 = 1_440;
const MINUTES_OF_WEEK: u16 = 7 * MINUTES_OF_DAY;

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(hours: &str, weekday: u8, time: &str) -> bool {
        let minute = parse_time(time).unwrap();
        Hours::parse(hours).unwrap().contains(LocalTime::new(weekday, minute).unwrap())
    }

    #[test]
    fn office_hours_begin_and_end_to_the_minute() {
        let office = "Mon-Fri 07:00-19:00";
        assert!(!contains(office, 0, "06:59") && contains(office, 0, "07:00"));
        assert!(contains(office, 4, "18:59") && !contains(office, 4, "19:00"));
        assert!(!contains(office, 5, "12:00"));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        let night = "Sun 22:00-06:00";
        assert!(contains(night, 6, "23:59") && contains(night, 0, "05:59"));
        assert!(!contains(night, 0, "06:00") && !contains(night, 6, "05:00"));
    }

    #[test]
    fn days_and_stretches_add_up() {
        assert!(contains("Sat-Mon", 6, "00:00") && !contains("Sat-Mon", 1, "00:00"));
        assert!(contains("mon,wed 10:00-11:00; 23:00-24:00", 2, "10:30"));
        assert!(contains("mon,wed 10:00-11:00; 23:00-24:00", 3, "23:59"));
        assert!(!contains("mon,wed 10:00-11:00; 23:00-24:00", 3, "10:30"));
        assert!(contains("00:00-24:00", 6, "23:59"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Mon-",
            "Mon 7:00-19:00",
            "Mon 07:00",
            "07:00-07:00",
            "24:00-25:00",
            "Mon 07:60-08:00",
            "x",
            "Mon Tue 07:00-08:00",
            "24:00-01:00",
            "Mon 07:00-08:00;",
        ] {
            assert!(Hours::parse(text).is_err(), "{text}");
        }
        assert_eq!((LocalTime::new(7, 0), LocalTime::new(0, 1_440)), (None, None));
    }
}
