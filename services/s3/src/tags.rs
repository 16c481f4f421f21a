//! Tags of buckets and objects.

use percent_encoding::percent_decode_str;
use s3s::{
    S3Result,
    dto::{Tag, TagSet},
    s3_error,
};

/// Pairs of keys and values, in the order in which they were given.
pub(crate) type Tags = Vec<(String, String)>;

/// The most tags of an object, and of a bucket.
const OBJECT_LIMIT: usize = 10;
const BUCKET_LIMIT: usize = 50;

const KEY_LIMIT: usize = 128;
const VALUE_LIMIT: usize = 256;

/// Reads the header `x-amz-tagging`: a query string.
pub(crate) fn of_header(header: Option<&str>) -> S3Result<Tags> {
    let text = header.unwrap_or_default();
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(Into::into).map_err(|error| s3_error!(error, InvalidTag))
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(key)?, decoded(value)?))
    });
    checked(pairs.collect::<S3Result<_>>()?, OBJECT_LIMIT)
}

/// Reads the tags of an object from a request.
pub(crate) fn of_object(set: TagSet) -> S3Result<Tags> {
    checked(pairs(set), OBJECT_LIMIT)
}

/// Reads the tags of a bucket from a request.
pub(crate) fn of_bucket(set: TagSet) -> S3Result<Tags> {
    checked(pairs(set), BUCKET_LIMIT)
}

fn pairs(set: TagSet) -> Tags {
    set.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect()
}

fn checked(tags: Tags, limit: usize) -> S3Result<Tags> {
    if tags.len() > limit {
        return Err(s3_error!(InvalidTag, "there are {} tags, and at most {limit}", tags.len()));
    }
    for (index, (key, value)) in tags.iter().enumerate() {
        if key.is_empty() || key.chars().count() > KEY_LIMIT {
            return Err(s3_error!(InvalidTag, "the key of a tag has 1 to {KEY_LIMIT} characters"));
        }
        if value.chars().count() > VALUE_LIMIT {
            return Err(s3_error!(InvalidTag, "the value of a tag has at most {VALUE_LIMIT} characters"));
        }
        if tags[..index].iter().any(|(other, _)| other == key) {
            return Err(s3_error!(InvalidTag, "two tags have the key `{key}`"));
        }
    }
    Ok(tags)
}

/// The tags as an answer has them, sorted by their keys.
pub(crate) fn set_of(mut tags: Tags) -> TagSet {
    tags.sort();
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_decoded_like_a_query() {
        let tags = of_header(Some("a=b+c&d=%2F&e")).unwrap();
        let expected = [("a", "b c"), ("d", "/"), ("e", "")];
        assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn tags_that_are_too_many_or_too_long_or_twice_are_refused() {
        let many = (0..11).map(|number| format!("k{number}=v")).collect::<Vec<_>>().join("&");
        for header in
            [many, format!("{}=v", "k".repeat(129)), format!("k={}", "v".repeat(257)), "a=1&a=2".to_owned()]
        {
            assert_eq!(of_header(Some(&header)).unwrap_err().code().as_str(), "InvalidTag", "{header}");
        }
    }
}
