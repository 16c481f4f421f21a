//! Durations, sizes and shares of processors, as Docker writes them.

use std::time::Duration;

use super::At;
use crate::error::Result;

/// Nanoseconds of each unit of a duration. `w` and `d` come from compose, the others from Go.
const DURATIONS: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
    ("w", 604_800e9),
];

/// Longest duration, in nanoseconds: Go's.
const LONGEST: f64 = i64::MAX as f64;

/// Bytes of each unit of a size, all of them powers of 1024.
const SIZES: &str = "kmgtp";

impl At<'_> {
    /// A duration: `1m30s`.
    pub(super) fn duration(&self) -> Result<Duration> {
        let example = "write a number with a unit: `30s`, `1m30s`";
        let text = self.text().map_err(|error| error.instead(example))?;
        duration(text).ok_or_else(|| self.invalid(text, "a duration").instead(example))
    }

    /// A size in bytes: `64m`, or a number.
    pub(super) fn size(&self) -> Result<u64> {
        let text = self.written()?;
        size(text).ok_or_else(|| self.invalid(text, "a size").instead("write a number with a unit: `64m`"))
    }

    /// A share of processors in billionths; nothing if it is not limited.
    pub(super) fn nano_cpus(&self) -> Result<Option<u64>> {
        let nanos = (self.decimal()? * 1e9).round();
        Ok(whole(nanos).filter(|nanos| *nanos > 0))
    }
}

/// Reads a duration: numbers with units.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text.strip_prefix('+').unwrap_or(text), 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?);
        let (unit, after) =
            after.split_at(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()));
        let (_, factor) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
        nanos += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    whole(nanos.round()).filter(|_| nanos <= LONGEST).map(Duration::from_nanos)
}

/// Reads a size in bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let unit = unit.strip_suffix('b').unwrap_or(unit);
    let power = match unit.strip_suffix('i').unwrap_or(unit) {
        "" if unit.is_empty() => 0,
        letter if letter.len() == 1 => SIZES.find(letter)? + 1,
        _ => return None,
    };
    let factor = 1_u64 << (10 * power);
    match number.parse::<u64>() {
        Ok(number) => number.checked_mul(factor),
        Err(_) if number.contains('.') => whole((number.parse::<f64>().ok()? * factor as f64).floor()),
        Err(_) => None,
    }
}

/// The number as an integer, if it is one that fits.
fn whole(number: f64) -> Option<u64> {
    // Exact in the decimal form, which has no exponent.
    format!("{number:.0}").parse().ok()
}
