//! Times and durations for people.

use std::time::Duration;

use time::OffsetDateTime;

/// `42 s ago`, `3 min ago`, `5 h ago`, `12 days ago`.
pub(super) fn ago(then: OffsetDateTime, now: OffsetDateTime) -> String {
    let seconds = (now - then).whole_seconds();
    match seconds {
        ..=0 => "just now".to_owned(),
        1..=59 => format!("{seconds} s ago"),
        60..=3599 => format!("{} min ago", seconds / 60),
        3600..=86_399 => format!("{} h ago", seconds / 3600),
        86_400..=172_799 => "1 day ago".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// `0.42 ms`, `3.1 ms`, `120 ms`, `2.05 s`.
pub(super) fn latency(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    match millis {
        ..1.0 => format!("{millis:.2} ms"),
        1.0..100.0 => format!("{millis:.1} ms"),
        100.0..1000.0 => format!("{millis:.0} ms"),
        _ => format!("{:.2} s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_the_largest_unit_that_fits() {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let shown = |seconds| ago(now - time::Duration::seconds(seconds), now);
        assert_eq!(shown(0), "just now");
        assert_eq!(shown(-5), "just now", "a clock that was set back");
        assert_eq!(shown(59), "59 s ago");
        assert_eq!(shown(60), "1 min ago");
        assert_eq!(shown(7300), "2 h ago");
        assert_eq!(shown(90_000), "1 day ago");
        assert_eq!(shown(400_000), "4 days ago");
    }

    #[test]
    fn a_latency_has_as_many_digits_as_it_is_worth() {
        let shown = |micros| latency(Duration::from_micros(micros));
        assert_eq!(
            [shown(421), shown(3140), shown(120_400), shown(2_050_000)],
            ["0.42 ms", "3.1 ms", "120 ms", "2.05 s"]
        );
    }
}
