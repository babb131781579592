//! Dates as HTTP, logs and JSON write them, from and to seconds since 1970-01-01 00:00 UTC.

use std::time::Duration;

/// The last second that four digits of a year can write: 9999-12-31 23:59:59.
const LAST_SECOND: u64 = 253_402_300_799;
const DAY: u64 = 86_400;

const WEEKDAYS: [&[u8]; 7] = [
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
    b"Sunday",
];

const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];

/// `Sun, 06 Nov 1994 08:49:37 GMT`: the one form that may be sent (RFC 9110 §5.6.7).
///
/// Seconds beyond the year 9999 are written as its last one, here and in the other forms.
pub fn imf_fixdate(unix_seconds: u64) -> [u8; 29] {
    let moment = Moment::from_unix(unix_seconds);
    let [w0, w1, w2] = moment.weekday();
    let [d0, d1] = two(moment.day);
    let [m0, m1, m2] = moment.month_name();
    let [y0, y1, y2, y3] = four(moment.year);
    let [h0, h1] = two(moment.hour);
    let [n0, n1] = two(moment.minute);
    let [s0, s1] = two(moment.second);
    [
        w0, w1, w2, b',', b' ', d0, d1, b' ', m0, m1, m2, b' ', y0, y1, y2, y3, b' ', h0, h1, b':',
        n0, n1, b':', s0, s1, b' ', b'G', b'M', b'T',
    ]
}

/// `06/Nov/1994:08:49:37 +0000`: the time stamp of the Common Log Format.
pub fn clf(unix_seconds: u64) -> [u8; 26] {
    let moment = Moment::from_unix(unix_seconds);
    let [d0, d1] = two(moment.day);
    let [m0, m1, m2] = moment.month_name();
    let [y0, y1, y2, y3] = four(moment.year);
    let [h0, h1] = two(moment.hour);
    let [n0, n1] = two(moment.minute);
    let [s0, s1] = two(moment.second);
    [
        d0, d1, b'/', m0, m1, m2, b'/', y0, y1, y2, y3, b':', h0, h1, b':', n0, n1, b':', s0, s1,
        b' ', b'+', b'0', b'0', b'0', b'0',
    ]
}

/// `1994-11-06T08:49:37.123Z`: RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(unix: Duration) -> String {
    String::from_utf8_lossy(&rfc3339_bytes(unix)).into_owned()
}

/// [`rfc3339`] without an allocation.
pub fn rfc3339_bytes(unix: Duration) -> [u8; 24] {
    let moment = Moment::from_unix(unix.as_secs());
    let [y0, y1, y2, y3] = four(moment.year);
    let [m0, m1] = two(moment.month);
    let [d0, d1] = two(moment.day);
    let [h0, h1] = two(moment.hour);
    let [n0, n1] = two(moment.minute);
    let [s0, s1] = two(moment.second);
    let [_, f0, f1, f2] = four(unix.subsec_millis());
    [
        y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, b'.',
        f0, f1, f2, b'Z',
    ]
}

/// Reads a date in any of the three forms of RFC 9110 §5.6.7, to seconds since 1970; what is
/// before 1970 reads as 1970. The name of the weekday must be one, but need not be the right
/// one. `now` decides which century a year of two digits is in.
pub fn parse(text: &[u8], now: u64) -> Option<u64> {
    if let Ok(fixed) = <&[u8; 29]>::try_from(text)
        && let Some(moment) = parse_imf_fixdate(*fixed)
    {
        return Some(moment.to_unix());
    }
    let moment = match <&[u8; 24]>::try_from(text) {
        Ok(asctime) => parse_asctime(*asctime),
        Err(_) => parse_rfc850(text, Moment::from_unix(now).year),
    };
    moment.map(Moment::to_unix)
}

/// A moment, taken apart. Of UTC, as all of HTTP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    /// 0 to 9999.
    year: u32,
    /// 1 to 12.
    month: u32,
    /// 1 to 31.
    day: u32,
    hour: u32,
    minute: u32,
    /// 60 in a leap second that was read; never made.
    second: u32,
    /// Days since 1970-01-01.
    days: i64,
}

impl Moment {
    fn from_unix(seconds: u64) -> Self {
        let seconds = seconds.min(LAST_SECOND);
        let days = seconds / DAY;
        let of_day = seconds % DAY;
        // Years are counted from March, so that the leap day is the last of its year, and from
        // the year 0, where a cycle of 400 years (146,097 days) begins.
        let since_zero = days + 719_468;
        let (cycle, mut rest) = (since_zero / 146_097, since_zero % 146_097);
        // The last day of a century, of four years and of a cycle would start one too many.
        let centuries = (rest / 36_524).min(3);
        rest -= centuries * 36_524;
        let fours = rest / 1_461;
        rest %= 1_461;
        let ones = (rest / 365).min(3);
        rest -= ones * 365;
        // From March, months come in fives of 153 days.
        let from_march = (5 * rest + 2) / 153;
        let day = rest - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = cycle * 400 + centuries * 100 + fours * 4 + ones + u64::from(month <= 2);
        Self {
            year: small(year),
            month: small(month),
            day: small(day),
            hour: small(of_day / 3_600),
            minute: small(of_day / 60 % 60),
            second: small(of_day % 60),
            days: i64::try_from(days).unwrap_or_default(),
        }
    }

    fn to_unix(self) -> u64 {
        let of_day = self.hour * 3_600 + self.minute * 60 + self.second;
        let seconds = self.days.saturating_mul(86_400) + i64::from(of_day);
        u64::try_from(seconds).unwrap_or(0)
    }

    /// A date that was read; `None` if there is no such day or time of day.
    fn from_parts(year: u32, month: u32, day: u32, time: [u8; 8]) -> Option<Self> {
        let [h0, h1, b':', n0, n1, b':', s0, s1] = time else {
            return None;
        };
        let (hour, minute, second) = (number(&[h0, h1])?, number(&[n0, n1])?, number(&[s0, s1])?);
        let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        let longest = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // Years from March again: January and February belong to the one before.
        let (of, from_march) = if month > 2 {
            (i64::from(year), month - 3)
        } else {
            (i64::from(year) - 1, month + 9)
        };
        let leap_days = of.div_euclid(4) - of.div_euclid(100) + of.div_euclid(400);
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        Some(Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            days: of * 365 + leap_days + i64::from(of_year) - 719_468,
        })
    }

    /// Of three letters. 1970-01-01 was a Thursday.
    fn weekday(self) -> [u8; 3] {
        let index = usize::try_from((self.days + 3).rem_euclid(7)).unwrap_or_default();
        let name = WEEKDAYS.get(index).and_then(|name| name.first_chunk());
        name.copied().unwrap_or_default()
    }

    fn month_name(self) -> [u8; 3] {
        let index = self.month.saturating_sub(1) as usize;
        MONTHS.get(index).copied().unwrap_or_default()
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn parse_imf_fixdate(text: [u8; 29]) -> Option<Moment> {
    let (weekday, rest) = text.split_first_chunk::<3>()?;
    let (date, time) = rest.split_first_chunk::<14>()?;
    let (time, zone) = time.split_first_chunk::<8>()?;
    let [b',', b' ', d0, d1, b' ', m0, m1, m2, b' ', year @ .., b' '] = date else {
        return None;
    };
    if zone != b" GMT" || !is_short_weekday(*weekday) {
        return None;
    }
    let day = number(&[*d0, *d1])?;
    Moment::from_parts(number(year)?, month([*m0, *m1, *m2])?, day, *time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn parse_rfc850(text: &[u8], this_year: u32) -> Option<Moment> {
    let (weekday, rest) = text.split_last_chunk::<24>()?;
    let (date, time) = rest.split_first_chunk::<12>()?;
    let (time, zone) = time.split_first_chunk::<8>()?;
    let [b',', b' ', d0, d1, b'-', m0, m1, m2, b'-', y0, y1, b' '] = *date else {
        return None;
    };
    if zone != b" GMT" || !WEEKDAYS.contains(&weekday) {
        return None;
    }
    // More than 50 years ahead is the century before (RFC 9110 §5.6.7).
    let century = this_year - this_year % 100;
    let year = century + number(&[y0, y1])?;
    let year = if year > this_year + 50 {
        year.saturating_sub(100)
    } else {
        year
    };
    let day = number(&[d0, d1])?;
    Moment::from_parts(year, month([m0, m1, m2])?, day, *time)
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(text: [u8; 24]) -> Option<Moment> {
    let (date, rest) = text.split_first_chunk::<11>()?;
    let (time, year) = rest.split_first_chunk::<8>()?;
    let [w0, w1, w2, b' ', m0, m1, m2, b' ', d0, d1, b' '] = *date else {
        return None;
    };
    let [b' ', year @ ..] = year else {
        return None;
    };
    if !is_short_weekday([w0, w1, w2]) {
        return None;
    }
    let d0 = if d0 == b' ' { b'0' } else { d0 };
    let day = number(&[d0, d1])?;
    Moment::from_parts(number(year)?, month([m0, m1, m2])?, day, *time)
}

fn is_short_weekday(name: [u8; 3]) -> bool {
    WEEKDAYS.iter().any(|day| day.starts_with(&name))
}

fn month(name: [u8; 3]) -> Option<u32> {
    let index = MONTHS.iter().position(|month| *month == name)?;
    u32::try_from(index + 1).ok()
}

/// At most four digits.
fn number(digits: &[u8]) -> Option<u32> {
    let mut number = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u32::from(digit - b'0');
    }
    Some(number)
}

fn two(number: u32) -> [u8; 2] {
    let [_, _, tens, ones] = four(number);
    [tens, ones]
}

fn four(number: u32) -> [u8; 4] {
    [1_000, 100, 10, 1].map(|unit| b'0' + u8::try_from(number / unit % 10).unwrap_or_default())
}

/// Every part of a moment fits: seconds are limited before it is taken apart.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000;
    const RFC_EXAMPLE: u64 = 784_111_777;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_three_written_forms() {
        let check = |seconds, imf, log, iso| {
            assert_eq!(text(&imf_fixdate(seconds)), imf);
            assert_eq!(text(&clf(seconds)), log);
            assert_eq!(rfc3339(Duration::from_secs(seconds)), iso);
        };
        check(
            0,
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "01/Jan/1970:00:00:00 +0000",
            "1970-01-01T00:00:00.000Z",
        );
        check(
            RFC_EXAMPLE,
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "06/Nov/1994:08:49:37 +0000",
            "1994-11-06T08:49:37.000Z",
        );
        check(
            951_782_400,
            "Tue, 29 Feb 2000 00:00:00 GMT",
            "29/Feb/2000:00:00:00 +0000",
            "2000-02-29T00:00:00.000Z",
        );
        let last = "Fri, 31 Dec 9999 23:59:59 GMT";
        assert_eq!(text(&imf_fixdate(LAST_SECOND)), last);
        assert_eq!(text(&imf_fixdate(u64::MAX)), last);
        assert_eq!(
            rfc3339(Duration::from_millis(1_001)),
            "1970-01-01T00:00:01.001Z"
        );
    }

    #[test]
    fn every_day_of_four_hundred_years_reads_back_and_follows_the_one_before() {
        let mut before = Moment::from_unix(0);
        for day in 1..146_097 {
            let seconds = day * DAY + day % DAY;
            let moment = Moment::from_unix(seconds);
            if moment.day != 1 {
                assert_eq!((moment.day, moment.month), (before.day + 1, before.month));
            }
            assert_eq!(parse(&imf_fixdate(seconds), NOW), Some(seconds));
            before = moment;
        }
        assert_eq!((before.year, before.month, before.day), (2369, 12, 31));
    }

    #[track_caller]
    fn check(date: &str, expected: Option<u64>) {
        assert_eq!(parse(date.as_bytes(), NOW), expected, "{date}");
    }

    #[test]
    fn the_three_read_forms() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(RFC_EXAMPLE));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(RFC_EXAMPLE));
        check("Sun Nov  6 08:49:37 1994", Some(RFC_EXAMPLE));
        check("Sun Nov 06 08:49:37 1994", Some(RFC_EXAMPLE));
        // The weekday is wrong, the date is not.
        check("Mon, 06 Nov 1994 08:49:37 GMT", Some(RFC_EXAMPLE));
        check("Wednesday, 01-Jan-76 00:00:00 GMT", Some(3_345_062_400));
        // 2077 is 51 years ahead.
        check("Saturday, 01-Jan-77 00:00:00 GMT", Some(220_924_800));
        check("Fri, 31 Dec 1999 23:59:60 GMT", Some(946_684_800));
        check("Thu, 01 Jan 1600 00:00:00 GMT", Some(0));
        check("Sat, 01 Jan 0000 00:00:00 GMT", Some(0));
    }

    #[test]
    fn what_is_no_date() {
        for date in [
            "",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08-49-37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06 Nov 94 08:49:37 GMT",
            "Sunday, 06-Nov-9x 08:49:37 GMT",
            "Sun Nov  6 08:49:37-1994",
            "Sun-Nov  6 08:49:37 1994",
            "Xyz Nov  6 08:49:37 1994",
            "Sun Xyz  6 08:49:37 1994",
        ] {
            check(date, None);
        }
    }
}
