//! Conditions of requests: entity tags and times.

use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::{ETagCondition, Timestamp},
    s3_error,
};
use time::OffsetDateTime;

/// The conditions under which something is read.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "they are the names of the headers")]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

impl Conditions {
    /// Verifies them, in the order of RFC 9110, 13.2.2. What was not modified is not an error for a copy, which it would not help: there
    /// `copying` makes it a failed precondition.
    pub(crate) fn check(&self, etag: &str, modified: OffsetDateTime, copying: bool) -> S3Result<()> {
        let failed = || {
            Err(s3_error!(
                PreconditionFailed,
                "At least one of the pre-conditions you specified did not hold"
            ))
        };
        let time = |time: &Timestamp| OffsetDateTime::from(time.clone());
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) if !is_met(condition, etag) => return failed(),
            (None, Some(since)) if modified > time(since) => return failed(),
            _ => {}
        }
        let is_old = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => is_met(condition, etag),
            (None, Some(since)) => modified <= time(since),
            (None, None) => false,
        };
        if !is_old {
            Ok(())
        } else if copying {
            failed()
        } else {
            Err(S3Error::new(S3ErrorCode::NotModified))
        }
    }
}

fn is_met(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(expected) => expected.value() == etag,
    }
}

/// A condition as the database compares it.
pub(crate) fn text(condition: Option<&ETagCondition>) -> Option<&str> {
    condition.map(|condition| match condition {
        ETagCondition::Any => "*",
        ETagCondition::ETag(etag) => etag.value(),
    })
}

#[cfg(test)]
mod tests {
    use s3s::dto::ETag;
    use time::{Duration, macros::datetime};

    use super::*;

    const MODIFIED: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn outcome(conditions: &Conditions) -> String {
        match conditions.check("e", MODIFIED, false) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.code().as_str().to_owned(),
        }
    }

    #[test]
    fn entity_tags_have_precedence_over_times() {
        let etag = |value: &str| Some(ETagCondition::ETag(ETag::Strong(value.to_owned())));
        let before = Some(Timestamp::from(MODIFIED - Duration::HOUR));
        let after = Some(Timestamp::from(MODIFIED + Duration::HOUR));
        let with = |if_match, if_none_match, if_modified_since, if_unmodified_since| {
            outcome(&Conditions { if_match, if_none_match, if_modified_since, if_unmodified_since })
        };
        assert_eq!(with(etag("e"), None, None, before.clone()), "ok");
        assert_eq!(with(etag("f"), None, None, None), "PreconditionFailed");
        assert_eq!(with(None, None, None, before.clone()), "PreconditionFailed");
        assert_eq!(with(None, etag("e"), before, None), "NotModified");
        assert_eq!(with(None, etag("f"), after.clone(), None), "ok");
        assert_eq!(with(None, None, after, None), "NotModified");
        assert_eq!(with(Some(ETagCondition::Any), None, None, None), "ok");
    }
}
