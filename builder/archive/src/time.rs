//! The two ways in which times are written here: RFC 5322 dates in signed indexes, RFC 3339 in
//! locks and messages. Seconds since 1970, UTC, no leap seconds, no time zone data.

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The date of a day, counted from 1970-01-01: year, month, day.
fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let fits = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn seconds(date: (i64, i64, i64), time: &str) -> Option<i64> {
    let (year, month, day) = date;
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 1..=2)?;
    let minute = number(parts.next()?, 2..=2)?;
    let second = number(parts.next()?, 2..=2)?;
    let sound = parts.next().is_none()
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    sound.then(|| days_from_date(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A date of a Release file: `Sat, 15 Nov 2025 10:12:13 UTC` (also `GMT`, `Z`, `+0000`, as apt
/// reads them; other zones are refused, as apt does).
pub(crate) fn parse_release_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_ascii_whitespace();
    let mut word = words.next()?;
    if word.ends_with(',') {
        word = words.next()?;
    }
    let day = number(word, 1..=2)?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == month_name)?;
    let year = number(words.next()?, 4..=4)?;
    let time = words.next()?;
    let zone = words.next()?;
    let sound = matches!(zone, "UTC" | "GMT" | "Z" | "+0000" | "-0000") && words.next().is_none();
    let month = i64::try_from(month).ok()? + 1;
    sound.then(|| seconds((year, month, day), time)).flatten()
}

/// Seconds since 1970 as RFC 3339 has them, in UTC: `2025-11-15T10:12:13Z`.
pub fn to_rfc3339(time: i64) -> String {
    let (year, month, day) = date_from_days(time.div_euclid(86_400));
    let second = time.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The form that snapshot services use in their addresses: `20251115T101213Z`.
pub(crate) fn to_snapshot(time: i64) -> String {
    to_rfc3339(time).replace(['-', ':'], "")
}

/// The inverse of [`to_rfc3339`], and nothing more.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4..=4)?;
    let month = number(parts.next()?, 2..=2)?;
    let day = number(parts.next()?, 2..=2)?;
    let time = seconds((year, month, day), time)?;
    (to_rfc3339(time) == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_archives_write() {
        for (text, time) in [
            ("Thu, 01 Jan 1970 00:00:00 UTC", Some(0)),
            ("Sat, 15 Nov 2025 10:12:13 UTC", Some(1_763_201_533)),
            ("Thu, 25 Apr 2024 15:10:33 UTC", Some(1_714_057_833)),
            ("Thu, 29 Feb 2024 1:02:03 +0000", Some(1_709_168_523)),
            ("29 Feb 2024 01:02:03 GMT", Some(1_709_168_523)),
            ("Thu, 29 Feb 2023 01:02:03 UTC", None),
            ("Thu, 28 Feb 2023 01:02:03 +0200", None),
            ("Thu, 28 Feb 2023 25:02:03 UTC", None),
            ("Thu, 28 Feb 2023 01:02:03", None),
            ("Thu, 28 Feb 2023 01:02:03 UTC tomorrow", None),
            ("2023-02-28", None),
            ("", None),
        ] {
            assert_eq!(parse_release_date(text), time, "{text}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // By `date -u -d @SECONDS +%FT%TZ`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_354_819_199, "2107-12-31T23:59:59Z"),
        ] {
            assert_eq!(to_rfc3339(seconds), expected);
        }
    }

    proptest! {
        #[test]
        fn writes_what_it_reads(time in -62_167_219_200_i64..253_402_300_800) {
            prop_assert_eq!(parse_rfc3339(&to_rfc3339(time)), Some(time));
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = parse_release_date(&text);
            let _ = parse_rfc3339(&text);
        }
    }
}
