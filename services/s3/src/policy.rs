//! Policies of buckets: what they allow to everyone, and what they deny even to the owner.

use std::collections::BTreeMap;

use s3s::{S3Result, s3_error};
use serde::Deserialize;
use serde_json::Value;

/// How the resources of this service begin.
pub(crate) const ARN: &str = "arn:aws:s3:::";

/// A policy.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Policy {
    statement: OneOrMore<Statement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: Effect,
    principal: Option<Value>,
    not_principal: Option<Value>,
    action: Option<OneOrMore<String>>,
    not_action: Option<OneOrMore<String>>,
    resource: Option<OneOrMore<String>>,
    not_resource: Option<OneOrMore<String>>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMore<Value>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        match self {
            Self::One(one) => std::slice::from_ref(one).iter(),
            Self::More(more) => more.iter(),
        }
    }
}

/// What a policy says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    Denied,
    Silent,
}

/// A request, as a policy sees it.
pub(crate) struct Question<'a> {
    /// The action, as `s3:GetObject`.
    pub(crate) action: &'a str,
    /// The resource, with its prefix.
    pub(crate) resource: &'a str,
    /// Whether the only user asks, and not just anyone.
    pub(crate) by_owner: bool,
    /// The values of the keys that conditions name.
    pub(crate) values: &'a (dyn Fn(&str) -> Vec<String> + Sync),
}

impl Policy {
    /// Reads a policy of `bucket`.
    pub(crate) fn parse(text: &str, bucket: &str) -> S3Result<Self> {
        let policy: Self = serde_json::from_str(text)
            .map_err(|error| s3_error!(MalformedPolicy, "the policy cannot be read: {error}"))?;
        for statement in policy.statement.iter() {
            statement.check(bucket)?;
        }
        Ok(policy)
    }

    /// Answers a question.
    pub(crate) fn verdict(&self, question: &Question<'_>) -> Verdict {
        let mut verdict = Verdict::Silent;
        for statement in self.statement.iter().filter(|statement| statement.is_about(question)) {
            match statement.effect {
                Effect::Deny => return Verdict::Denied,
                Effect::Allow => verdict = Verdict::Allowed,
            }
        }
        verdict
    }

    /// Whether it allows something to everyone.
    pub(crate) fn is_public(&self) -> bool {
        let open = |statement: &Statement| {
            statement.effect == Effect::Allow
                && statement.principal.as_ref().is_some_and(is_everyone)
                && statement.condition.is_empty()
        };
        self.statement.iter().any(open)
    }

    /// Whether an answer depends on the tags of objects.
    pub(crate) fn asks_for_tags(&self) -> bool {
        let keys = self.statement.iter().flat_map(|it| it.condition.values().flat_map(BTreeMap::keys));
        keys.into_iter().any(|key| key.to_ascii_lowercase().starts_with("s3:existingobjecttag/"))
    }
}

impl Statement {
    fn check(&self, bucket: &str) -> S3Result<()> {
        let malformed = |what: &str| Err(s3_error!(MalformedPolicy, "{what}"));
        if self.principal.is_none() == self.not_principal.is_none() {
            return malformed("a statement needs a principal");
        }
        if self.action.is_none() == self.not_action.is_none() {
            return malformed("a statement needs an action");
        }
        if self.resource.is_none() == self.not_resource.is_none() {
            return malformed("a statement needs a resource");
        }
        let actions = self.action.iter().chain(&self.not_action).flat_map(OneOrMore::iter);
        for action in actions {
            if action != "*" && !action.to_ascii_lowercase().starts_with("s3:") {
                return malformed("Policy has invalid action");
            }
        }
        for resource in self.resource.iter().chain(&self.not_resource).flat_map(OneOrMore::iter) {
            let name = resource.strip_prefix(ARN).map(|rest| rest.split('/').next().unwrap_or(rest));
            if resource != "*" && !name.is_some_and(|name| is_like(name, bucket)) {
                return malformed("Policy has invalid resource");
            }
        }
        match self.condition.keys().find(|operator| Operator::of(operator).is_none()) {
            Some(operator) => malformed(&format!("the condition `{operator}` is not supported")),
            None => Ok(()),
        }
    }

    fn is_about(&self, question: &Question<'_>) -> bool {
        let principal =
            |principal: &Value| is_everyone(principal) || (question.by_owner && names_owner(principal));
        let action =
            |action: &String| is_like(&action.to_ascii_lowercase(), &question.action.to_ascii_lowercase());
        let resource = |resource: &String| is_like(resource, question.resource);
        let by = self.principal.as_ref().is_none_or(principal)
            && !self.not_principal.as_ref().is_some_and(principal);
        let any = |list: &Option<OneOrMore<String>>, is: &dyn Fn(&String) -> bool| {
            list.as_ref().map(|list| list.iter().any(is))
        };
        by && any(&self.action, &action).unwrap_or(true)
            && !any(&self.not_action, &action).unwrap_or(false)
            && any(&self.resource, &resource).unwrap_or(true)
            && !any(&self.not_resource, &resource).unwrap_or(false)
            && self.condition.iter().all(|(operator, keys)| {
                let operator = Operator::of(operator).expect("it was checked when the policy was put");
                keys.iter().all(|(key, expected)| {
                    let expected: Vec<_> = expected.iter().map(text).collect();
                    operator.holds(&(question.values)(key), &expected)
                })
            })
    }
}

/// The text of a value of a condition.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_everyone(principal: &Value) -> bool {
    names(principal).any(|name| name == "*")
}

/// Whether the only user, by whatever name, is among the principals: there is no other account.
fn names_owner(principal: &Value) -> bool {
    names(principal).any(|name| name.starts_with("arn:aws:iam:") || name == crate::acl::OWNER_ID)
}

fn names(principal: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match principal {
        Value::String(name) => Box::new(std::iter::once(name.as_str())),
        Value::Array(all) => Box::new(all.iter().flat_map(names)),
        Value::Object(kinds) => Box::new(kinds.values().flat_map(names)),
        _ => Box::new(std::iter::empty()),
    }
}

/// How the value of a key is compared.
struct Operator {
    test: Test,
    negated: bool,
    if_exists: bool,
    all: bool,
}

#[derive(Clone, Copy)]
enum Test {
    Equals,
    EqualsIgnoringCase,
    Like,
    Number(fn(f64, f64) -> bool),
    Null,
}

impl Operator {
    fn of(name: &str) -> Option<Self> {
        let (name, all) = match name.split_once(':') {
            Some(("ForAllValues", name)) => (name, true),
            Some(("ForAnyValue", name)) => (name, false),
            Some(_) => return None,
            None => (name, false),
        };
        let (name, if_exists) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let (test, negated) = match name {
            "StringEquals" | "Bool" | "ArnEquals" => (Test::Equals, false),
            "StringNotEquals" | "ArnNotEquals" => (Test::Equals, true),
            "StringEqualsIgnoreCase" => (Test::EqualsIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (Test::EqualsIgnoringCase, true),
            "StringLike" | "ArnLike" => (Test::Like, false),
            "StringNotLike" | "ArnNotLike" => (Test::Like, true),
            "NumericEquals" => (Test::Number(|a, b| (a - b).abs() < f64::EPSILON), false),
            "NumericNotEquals" => (Test::Number(|a, b| (a - b).abs() < f64::EPSILON), true),
            "NumericLessThan" => (Test::Number(|a, b| a < b), false),
            "NumericLessThanEquals" => (Test::Number(|a, b| a <= b), false),
            "NumericGreaterThan" => (Test::Number(|a, b| a > b), false),
            "NumericGreaterThanEquals" => (Test::Number(|a, b| a >= b), false),
            "Null" => (Test::Null, false),
            _ => return None,
        };
        Some(Self { test, negated, if_exists, all })
    }

    fn holds(&self, values: &[String], expected: &[String]) -> bool {
        if let Test::Null = self.test {
            return expected.iter().any(|expected| (expected == "true") == values.is_empty());
        }
        if values.is_empty() {
            return self.if_exists || self.negated || self.all;
        }
        let matches = |value: &String| expected.iter().any(|expected| self.test.holds(value, expected));
        if self.negated {
            !values.iter().any(matches)
        } else if self.all {
            values.iter().all(matches)
        } else {
            values.iter().any(matches)
        }
    }
}

impl Test {
    fn holds(self, value: &str, expected: &str) -> bool {
        match self {
            Self::Equals => value == expected,
            Self::EqualsIgnoringCase => value.eq_ignore_ascii_case(expected),
            Self::Like => is_like(expected, value),
            Self::Number(compare) => value
                .parse()
                .ok()
                .zip(expected.parse().ok())
                .is_some_and(|(value, expected)| compare(value, expected)),
            Self::Null => false,
        }
    }
}

/// Whether `text` is like `pattern`, in which `*` is any text and `?` any character.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(character) if *character == '?' || *character == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match star {
                // The last star takes one character more.
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    at = place + 1;
                    read = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(
        policy: &str,
        action: &str,
        resource: &str,
        by_owner: bool,
        values: &[(&str, &str)],
    ) -> Verdict {
        let values = |key: &str| {
            values.iter().filter(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()).collect()
        };
        let resource = format!("{ARN}{resource}");
        let question = Question { action, resource: &resource, by_owner, values: &values };
        Policy::parse(policy, "b").unwrap().verdict(&question)
    }

    #[test]
    fn a_star_takes_any_text_and_a_question_mark_one_character() {
        for (pattern, text) in [("a*c", "abbc"), ("*", ""), ("a?c", "abc"), ("*b*b", "abcb"), ("a**", "a")] {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a?c", "ac"), ("a*c", "ab"), ("", "a"), ("*a", "ab")] {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn everyone_may_do_what_is_allowed_and_nothing_else() {
        let policy = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}}"#;
        assert_eq!(verdict(policy, "s3:GetObject", "b/k", false, &[]), Verdict::Allowed);
        assert_eq!(verdict(policy, "s3:PutObject", "b/k", false, &[]), Verdict::Silent);
        assert_eq!(verdict(policy, "s3:GetObject", "b", false, &[]), Verdict::Silent);
        assert!(Policy::parse(policy, "b").unwrap().is_public());
    }

    #[test]
    fn what_is_denied_is_denied_to_the_owner_too() {
        let policy = r#"{"Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["s3:*"], "Resource": "arn:aws:s3:::b/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/*",
             "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}}]}"#;
        let put = |values: &[(&str, &str)]| verdict(policy, "s3:PutObject", "b/k", true, values);
        assert_eq!(put(&[]), Verdict::Denied);
        assert_eq!(put(&[("s3:x-amz-server-side-encryption", "AES256")]), Verdict::Allowed);
    }

    #[test]
    fn a_policy_that_cannot_hold_is_refused() {
        let statement =
            |rest: &str| format!(r#"{{"Statement": {{"Effect": "Allow", "Principal": "*", {rest}}}}}"#);
        let cases = [
            "{".to_owned(),
            statement(r#""Action": "s3:GetObject""#),
            statement(r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::other/*""#),
            statement(r#""Action": "ec2:Run", "Resource": "*""#),
            statement(
                r#""Action": "s3:*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "1.2.3.4"}}"#,
            ),
        ];
        for policy in cases {
            let error = Policy::parse(&policy, "b").unwrap_err();
            assert_eq!(error.code().as_str(), "MalformedPolicy", "{policy}");
        }
    }
}
