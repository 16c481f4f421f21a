//! Takes out of texts what must not leave this machine: secrets, tokens, and who and where the user is.

use regex_lite::Regex;

/// Shortest value that is taken out wherever it is: a shorter one is in many words.
const LEAST: usize = 4;

/// What is put in the place of a secret.
const REDACTED: &str = "[redacted]";

/// What secrets of well-known kinds look like, and what is left of them. What is known of this machine is taken out before.
const PATTERNS: [(&str, &str); 9] = [
    (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", REDACTED),
    (r"\b(gh[opsur]_|github_pat_|glpat-|xox[abprs]-|whsec_|[sr]k_(live|test)_)[A-Za-z0-9_-]{8,}", REDACTED),
    (r"\b(AKIA|ASIA)[0-9A-Z]{16}\b", REDACTED),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)?", REDACTED),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}", "$1 [redacted]"),
    (r"(?i)\b(set-cookie|cookie|authorization)(\\?[\x22']?\s*[:=]\s*)[^\r\n]+", "$1$2[redacted]"),
    (
        r"(?i)([a-z0-9_-]*(?:password|passwd|secret|token|credential|api_?key|private_?key)[a-z0-9_-]*\\?[\x22']?\s*[:=]\s*\\?[\x22']?)[^\s\x22',;&\\{}\[\]]+",
        "$1[redacted]",
    ),
    (r"([a-z][a-z0-9+.-]*://)[^/\s:@]*:?[^/\s@]*@", "$1[redacted]@"),
    (r"(?i)\b[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+\b", "[address]"),
];

/// What is taken out.
pub(super) struct Redaction {
    /// Values that are secret here, the longest first.
    secrets: Vec<String>,
    /// What says who and where the user is, and what is put in its place, likewise.
    names: Vec<(String, &'static str)>,
    patterns: Vec<(Regex, &'static str)>,
}

impl Redaction {
    /// Takes out these values, and `names` with what is put in their place.
    pub(super) fn new(
        secrets: impl IntoIterator<Item = String>,
        names: impl IntoIterator<Item = (String, &'static str)>,
    ) -> Self {
        // As JSON has it, where that differs.
        let quoted = |value: &String| value.escape_default().to_string();
        let mut all: Vec<String> = secrets.into_iter().flat_map(|value| [quoted(&value), value]).collect();
        all.retain(|value| value.len() >= LEAST);
        all.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let mut names: Vec<_> = names.into_iter().filter(|(name, _)| name.len() >= LEAST).collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let patterns =
            PATTERNS.map(|(pattern, left)| (Regex::new(pattern).expect("it is valid: a test"), left));
        Self { secrets: all, names, patterns: patterns.into() }
    }

    /// The text without all that.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut text =
            self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED));
        for (pattern, left) in &self.patterns {
            text = pattern.replace_all(&text, *left).into_owned();
        }
        self.names.iter().fold(text, |text, (name, left)| replace_words(&text, name, left))
    }
}

/// Replaces `name` where it is not a part of a longer word.
fn replace_words(text: &str, name: &str, left: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let whole = !inside(before.chars().next_back()) && !inside(after.chars().next());
        replaced.push_str(before);
        replaced.push_str(if whole { left } else { name });
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        let names = [("/home/alice", "~"), ("alice", "[user]"), ("laptop", "[host]")];
        let names = names.map(|(name, left)| (name.to_owned(), left));
        Redaction::new(["s3cr3t".to_owned(), "a\"b\\c".to_owned(), "no".to_owned()], names).apply(text)
    }

    #[test]
    fn known_secrets_are_taken_out_wherever_they_are() {
        assert_eq!(redacted("xs3cr3tx"), "x[redacted]x");
        assert_eq!(redacted(r#"{"a":"a\"b\\c"}"#), r#"{"a":"[redacted]"}"#);
        assert_eq!(redacted("no"), "no", "too short to be one");
    }

    #[test]
    fn who_and_where_the_user_is_is_taken_out() {
        assert_eq!(redacted("/home/alice/.stack and alice on laptop"), "~/.stack and [user] on [host]");
        assert_eq!(redacted("malice laptops"), "malice laptops", "parts of other words");
        assert_eq!(redacted("from bob@example.com"), "from [address]");
    }

    #[test]
    fn secrets_of_well_known_kinds_are_taken_out() {
        for (text, expected) in [
            ("ghp_0123456789abcdefghij.", "[redacted]."),
            ("github_pat_11ABCDEFG0_abcdef", "[redacted]"),
            ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
            ("at eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end", "at [redacted] end"),
            ("Bearer abcdefgh12345678", "Bearer [redacted]"),
            ("authorization: Digest x y z\nnext", "authorization: [redacted]\nnext"),
            ("POSTGRES_PASSWORD=hunter2 x", "POSTGRES_PASSWORD=[redacted] x"),
            (r#"{"refresh_token":"abc","n":1}"#, r#"{"refresh_token":"[redacted]","n":1}"#),
            (r#""secrets": [],"#, r#""secrets": [],"#),
            ("postgres://stack:hunter2@127.0.0.1/db", "postgres://[redacted]@127.0.0.1/db"),
            ("a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb", "a\n[redacted]\nb"),
        ] {
            assert_eq!(redacted(text), expected);
        }
        for harmless in
            ["healthy after 0.3 s", "sha256 0123abcd", "http://127.0.0.1:26700/handler", "tokens: all new"]
        {
            let kept = redacted(harmless);
            assert!(kept == harmless || harmless.starts_with("tokens"), "{kept}");
        }
    }
}
