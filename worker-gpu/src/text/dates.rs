//! Dates as chat templates ask for them.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `seconds` after the epoch in UTC, by the specifiers that chat templates use.
pub(super) fn strftime(format: &str, seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (month_name, day_name) = (MONTHS[month - 1], DAYS[(seconds / 86_400 % 7) as usize]);
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        match (char, if char == '%' { chars.next() } else { None }) {
            ('%', Some('Y')) => text += &year.to_string(),
            ('%', Some('m')) => text += &format!("{month:02}"),
            ('%', Some('d')) => text += &format!("{day:02}"),
            ('%', Some('H')) => text += &format!("{:02}", seconds / 3600 % 24),
            ('%', Some('M')) => text += &format!("{:02}", seconds / 60 % 60),
            ('%', Some('S')) => text += &format!("{:02}", seconds % 60),
            ('%', Some('B')) => text += month_name,
            ('%', Some('b')) => text += &month_name[..3],
            ('%', Some('A')) => text += day_name,
            ('%', Some('a')) => text += &day_name[..3],
            (char, next) => text.extend([Some(char), next].into_iter().flatten()),
        }
    }
    text
}

/// Year, month and day of a day after the epoch, in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(strftime("%d %b %Y %H:%M %a 100%%", 1_709_211_600), "29 Feb 2024 13:00 Thu 100%%");
        assert_eq!(strftime("%Y-%m-%d %A %B", 951_782_399), "2000-02-28 Monday February");
        assert_eq!(strftime("%Y-%m-%d", 0), "1970-01-01");
        assert_eq!(strftime("%Y-%m-%d", 4_102_444_800), "2100-01-01");
    }
}
