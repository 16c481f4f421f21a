//! Texts, bodies and headers that no one thought of.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde_json::{Map, Value, json};

/// Texts that have been somebody's undoing.
const ODD: [&str; 26] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\u{1b}[2J\u{7}",
    "\r\nx-injected: 1",
    "\u{202e}moc.elpmaxe@ada",
    "\u{2066}\u{2069}\u{200b}\u{feff}",
    "\u{fffd}\u{ffff}\u{10ffff}",
    "e\u{301}\u{301}\u{301}",
    "İıſK",
    "👩‍👩‍👧‍👦",
    "'; DROP TABLE \"ProjectUser\"; --",
    "$1 %s %n {} ${x}",
    "<script>alert(1)</script>",
    "../../../etc/passwd",
    "//evil.example/",
    "Ada <ada@example.com>",
    "\"ada\"@example.com",
    "ada@[127.0.0.1]",
    "ada@example.com.",
    "null",
    "internal",
    "9223372036854775808",
    "-1",
    "1e400",
];

/// One of `choices`.
pub(super) fn one<'a, T>(rng: &mut StdRng, choices: &'a [T]) -> &'a T {
    choices.choose(rng).expect("there is something to choose from")
}

/// A text: odd, random, or long.
pub(super) fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0..5 => (*one(rng, &ODD)).to_owned(),
        5..7 => (0..rng.random_range(0..40)).map(|_| rng.random::<char>()).collect(),
        7 => format!("{}@example.com", one(rng, &ODD)),
        8 => one(rng, &ODD).repeat(rng.random_range(1..300)),
        _ => "x".repeat(*one(rng, &[7, 254, 255, 256, 257, 1024, 1025, 2048, 2049, 5000])),
    }
}

/// Any JSON.
pub(super) fn value(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..if depth == 0 { 8 } else { 10 }) {
        0 => Value::Null,
        1 => json!(rng.random::<bool>()),
        2 => json!(rng.random::<i64>()),
        3 => json!(rng.random::<f64>() * 1e300),
        4..8 => json!(text(rng)),
        8 => (0..rng.random_range(0..4)).map(|_| value(rng, depth - 1)).collect(),
        _ => {
            let members = (0..rng.random_range(0..4)).map(|_| (text(rng), value(rng, depth - 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// What a route reads, made wrong in some way, or just as it is.
pub(super) fn body(rng: &mut StdRng, right: &Value) -> Vec<u8> {
    let mut body = right.clone();
    let names: Vec<String> = right.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    match rng.random_range(0..12) {
        0..2 => return body.to_string().into_bytes(),
        2..7 if !names.is_empty() => {
            let name = one(rng, &names);
            body[name] = if rng.random() { value(rng, 2) } else { json!(text(rng)) };
        }
        7 if !names.is_empty() => {
            let name = one(rng, &names).clone();
            body.as_object_mut().expect("it has names").remove(&name);
        }
        8 => body = value(rng, 3),
        9 => return broken(rng, &body.to_string()),
        10 => return nested(rng),
        _ => return (0..rng.random_range(0..200)).map(|_| rng.random::<u8>()).collect(),
    }
    body.to_string().into_bytes()
}

/// Cut off, with invalid UTF-8, twice, or with an invalid escape.
fn broken(rng: &mut StdRng, text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    match rng.random_range(0..4) {
        0 => bytes.truncate(rng.random_range(0..bytes.len())),
        1 => {
            let at = rng.random_range(0..bytes.len());
            bytes.splice(at..at, **one(rng, &[b"\xff\xfe", b"\xc3\x28", b"\xed\xa0", b"\x00\x00"]));
        }
        2 => bytes.extend(text.as_bytes()),
        _ => {
            bytes =
                br#"{"email":"\ud800@example.com","password":"\u0000\u0000\u0000\u0000\ud800aaaa"}"#.to_vec()
        }
    }
    bytes
}

fn nested(rng: &mut StdRng) -> Vec<u8> {
    one(rng, &["[", "{\"a\":"]).repeat(rng.random_range(100..10_000)).into_bytes()
}

/// A form of these fields, some of them odd.
pub(super) fn form(rng: &mut StdRng, names: &[&str]) -> String {
    let mut fields = Vec::new();
    for name in names {
        if rng.random_bool(0.9) {
            fields.push(format!("{name}={}", escaped(rng)));
        }
    }
    fields.join("&")
}

/// A text as it stands in an address or a form, now and then with an invalid escape or with invalid UTF-8.
pub(super) fn escaped(rng: &mut StdRng) -> String {
    match rng.random_range(0..8) {
        0 => (*one(rng, &["%", "%zz", "%ff%fe", "%00", "%c0%80", "%ed%a0%80", "%2e%2e%2f", "+"])).to_owned(),
        _ => text(rng)
            .bytes()
            .take(6000)
            .fold(String::new(), |escaped, byte| escaped + &format!("%{byte:02x}")),
    }
}

/// The value of a header: any bytes that may be in one.
pub(super) fn header(rng: &mut StdRng) -> Vec<u8> {
    let length = *one(rng, &[0, 1, 8, 64, 64, 65, 1000, 8000]);
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes.retain(|byte| *byte >= 0x20 && *byte != 0x7f);
    bytes
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let sequence = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let right = json!({ "email": "ada@example.com", "password": "correct horse" });
            (0..200)
                .map(|_| (body(&mut rng, &right), escaped(&mut rng), header(&mut rng)))
                .collect::<Vec<_>>()
        };
        assert_eq!(sequence(1), sequence(1));
        assert_ne!(sequence(1), sequence(2));
    }
}
