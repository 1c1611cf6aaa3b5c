//! Dates.

/// Year, month and day of a day, counted from 1970-01-01, in the Gregorian calendar. 9999-12-31,
/// the last day that UEFI and X.509 know, is the end.
pub(crate) fn date(days: u64) -> (u16, u8, u8) {
    let mut day = days.min(2_932_896);
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let length = |year| if leap(year) { 366 } else { 365 };
    while day >= length(year) {
        day -= length(year);
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year as u16, month, day as u8 + 1)
}

/// The day of a time in seconds since 1970, as `2026-11-22` (UTC).
pub fn day(seconds: u64) -> String {
    let (year, month, day) = date(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(20_779), (2026, 11, 22));
        assert_eq!(date(2_932_896), (9999, 12, 31));
        assert_eq!(date(u64::MAX), (9999, 12, 31));
        assert_eq!(day(1_577_836_800), "2020-01-01");
    }
}
