//! The original's timestamps, `DD-MM-YYYY:SS-MM-HH`, and the form in which they sort by time.

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const SPOKEN: &[BorrowedFormatItem<'_>] =
    format_description!("[day]-[month]-[year]:[second]-[minute]-[hour]");
const STORED: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");

/// Reads `DD-MM-YYYY:SS-MM-HH` and gives `YYYY-MM-DDTHH:MM:SS`, whose text sorts by time.
/// `None` for anything that is not a real moment in exactly this form.
#[must_use]
pub fn to_stored(spoken: &str) -> Option<String> {
    convert(spoken, SPOKEN, STORED)
}

/// The way back.
#[must_use]
pub fn to_spoken(stored: &str) -> Option<String> {
    convert(stored, STORED, SPOKEN)
}

/// A moment of the clock in the form that sorts by time, in UTC. `None` past the year 9999.
#[must_use]
pub fn from_unix_ms(now_ms: u64) -> Option<String> {
    let seconds = i64::try_from(now_ms / 1_000).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(STORED).ok()
}

/// Both forms are 19 characters of digits and punctuation; that rules out signs and spaces, which
/// the parser would take.
fn convert(
    text: &str,
    from: &[BorrowedFormatItem<'_>],
    to: &[BorrowedFormatItem<'_>],
) -> Option<String> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if text.len() != 19 || digits != 14 {
        return None;
    }
    PrimitiveDateTime::parse(text, from).ok()?.format(to).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_moments_convert_both_ways() {
        let table = [
            ("21-03-2020:59-05-23", "2020-03-21T23:05:59"),
            ("29-02-2024:00-00-00", "2024-02-29T00:00:00"),
            ("01-01-0001:00-00-00", "0001-01-01T00:00:00"),
        ];
        for (spoken, stored) in table {
            assert_eq!(to_stored(spoken).as_deref(), Some(stored));
            assert_eq!(to_spoken(stored).as_deref(), Some(spoken));
        }
    }

    #[test]
    fn clock_and_request_give_the_same_form() {
        let table = [(0, "01-01-1970:00-00-00"), (1_584_831_959_999, "21-03-2020:59-05-23")];
        for (ms, spoken) in table {
            assert_eq!(from_unix_ms(ms), to_stored(spoken));
        }
        assert_eq!(from_unix_ms(u64::MAX), None);
    }

    #[test]
    fn unreal_or_misshapen_moments_are_refused() {
        let table = [
            "",
            "31-02-2020:00-00-00",
            "29-02-2023:00-00-00",
            "01-13-2020:00-00-00",
            "01-01-2020:60-00-00",
            "01-01-2020:00-60-00",
            "01-01-2020:00-00-24",
            "1-1-2020:00-00-00",
            "01-01-20200:0-00-00",
            "01-01-2020 00-00-00",
            "01-01--202:00-00-00",
            "01-01-+202:00-00-00",
            "01-01-2020:00-00-00 ",
            "0１-01-2020:00-00-0",
        ];
        for text in table {
            assert_eq!(to_stored(text), None, "{text:?}");
        }
    }
}
