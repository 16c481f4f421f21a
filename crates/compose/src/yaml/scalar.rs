//! Scalars by the rules that `docker compose` reads them with: YAML 1.2, and the numbers of Go.

use std::fmt;

/// A value without parts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    /// A number or a truth value, and how it is written.
    Typed(Typed, String),
    Text(String),
}

/// What a scalar without quotes can be beside text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Typed {
    Bool(bool),
    Integer(i128),
    Float(f64),
    /// A day, perhaps with a time.
    Date,
}

impl Scalar {
    /// The type of a scalar that is written without quotes.
    pub(crate) fn plain(text: &str) -> Self {
        let typed = match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" => Some(Typed::Bool(true)),
            "false" | "False" | "FALSE" => Some(Typed::Bool(false)),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Typed::Float(f64::INFINITY)),
            "-.inf" | "-.Inf" | "-.INF" => Some(Typed::Float(f64::NEG_INFINITY)),
            ".nan" | ".NaN" | ".NAN" => Some(Typed::Float(f64::NAN)),
            _ if is_date(text) => Some(Typed::Date),
            _ => integer(text).map(Typed::Integer).or_else(|| float(text).map(Typed::Float)),
        };
        typed.map_or_else(|| Self::Text(text.to_owned()), |typed| Self::Typed(typed, text.to_owned()))
    }

    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Typed(Typed::Bool(_), _) => "true or false",
            Self::Typed(Typed::Date, _) => "a date",
            Self::Typed(..) => "a number",
            Self::Text(_) => "text",
        }
    }
}

/// As `fmt.Sprint` of Go writes it: what a container gets of a number from versions of compose that do not keep the text.
impl fmt::Display for Typed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Integer(value) => write!(formatter, "{value}"),
            Self::Float(value) => formatter.write_str(&shortest(*value)),
            Self::Date => formatter.write_str("a date with a time and a zone"),
        }
    }
}

/// An integer of 64 bits, with a sign or without: decimal, `0x1f`, `0o17`, `017`, `0b1`, `1_000`.
fn integer(text: &str) -> Option<i128> {
    let text = text.replace('_', "");
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text.as_str()),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let prefixed = |prefixes: [&str; 2], radix| {
        let rest = prefixes.iter().find_map(|prefix| digits.strip_prefix(prefix))?;
        Some((rest, radix))
    };
    let (digits, radix) = prefixed(["0x", "0X"], 16)
        .or_else(|| prefixed(["0o", "0O"], 8))
        .or_else(|| prefixed(["0b", "0B"], 2))
        .or_else(|| digits.strip_prefix('0').filter(|rest| !rest.is_empty()).map(|rest| (rest, 8)))
        .unwrap_or((digits, 10));
    if !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let value = sign * i128::from_str_radix(digits, radix).ok().filter(|value| *value <= u64::MAX.into())?;
    (value >= i64::MIN.into()).then_some(value)
}

/// A decimal number with a fraction or an exponent.
fn float(text: &str) -> Option<f64> {
    let text = text.replace('_', "");
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_number = digits(whole)
        && digits(fraction)
        && (whole.len() + fraction.len()) > 0
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    is_number.then(|| text.parse().ok()).flatten()
}

/// Whether the text begins with a day, and a time follows or nothing.
fn is_date(text: &str) -> bool {
    let (day, time) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
    let digits =
        |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let mut parts = day.split('-');
    let is_day = parts.next().is_some_and(|year| year.len() == 4 && digits(year, 4))
        && parts.next().is_some_and(|month| digits(month, 2))
        && parts.next().is_some_and(|day| digits(day, 2))
        && parts.next().is_none();
    is_day
        && (time.is_empty()
            || time[1..].starts_with(|first: char| first.is_ascii_digit()) && time.contains(':'))
}

/// The shortest form that reads as the same number: with an exponent below 1e-4 and from 1e21 on.
fn shortest(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 || value.is_nan() || (1e-4..1e21).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}
