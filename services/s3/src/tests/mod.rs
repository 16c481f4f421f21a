//! The service from the outside, with a PostgreSQL server of its own.

mod client;

use axum::http::Method;
use client::with_client;
use percent_encoding::{CONTROLS, utf8_percent_encode};

use crate::body::SMALL;

/// The least bytes of a part that is not the last one.
const PART: usize = 5 << 20;

#[tokio::test]
async fn objects_are_read_as_they_were_put() {
    with_client(async |client| {
        for content in ["small".to_owned(), "large".repeat(SMALL)] {
            let put = client.put("/bkt/a/../key", &content).await;
            assert_eq!((put.status, put.header("x-amz-checksum-type")), (200, "FULL_OBJECT"), "{}", put.body);
            let got = client.get("/bkt/a/../key").await;
            assert_eq!((got.status, got.header("etag")), (200, put.header("etag")));
            assert!(got.body == content, "the content is the same");
            let range = client.send(Method::GET, "/bkt/a/../key", &[("range", "bytes=1-3")], "").await;
            assert_eq!((range.status, range.body.as_str()), (206, &content[1..4]));
        }
        assert_eq!(client.get("/bkt/key").await.status, 404, "a key is not a path");
        assert_eq!(client.delete("/bkt/a/../key").await.status, 204);
        assert_eq!(client.get("/bkt/a/../key").await.element("Code"), "NoSuchKey");
        assert_eq!(client.delete("/bkt").await.status, 204);
    })
    .await;
}

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing() {
    with_client(async |client| {
        let put = async |headers: &[(&str, &str)], body: &str| {
            let answer = client.send(Method::PUT, "/bkt/k", headers, body).await;
            (answer.status, answer.header("etag").to_owned())
        };
        assert_eq!(put(&[("if-match", "*")], "none").await.0, 404);
        let (status, etag) = put(&[("if-none-match", "*")], "first").await;
        assert_eq!(status, 200);
        assert_eq!(put(&[("if-none-match", "*")], "second").await.0, 412);
        assert_eq!(put(&[("if-match", "\"0123\"")], "second").await.0, 412);
        assert_eq!(put(&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], "second").await.0, 400);
        assert_eq!(put(&[("x-amz-checksum-crc32", "AAAAAA==")], "second").await.0, 400);
        assert_eq!(client.get("/bkt/k").await.body, "first");
        let unchanged = client.send(Method::GET, "/bkt/k", &[("if-none-match", &etag)], "").await;
        assert_eq!((unchanged.status, unchanged.header("etag")), (304, etag.as_str()));
        assert_eq!(put(&[("if-match", &etag)], "third").await.0, 200);
        assert_eq!(client.get("/bkt/k").await.body, "third");
    })
    .await;
}

#[tokio::test]
async fn a_version_is_there_again_when_its_delete_marker_goes() {
    with_client(async |client| {
        client.put("/bkt/k", "before").await;
        let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        assert_eq!(client.put("/bkt?versioning", enabled).await.status, 200);
        let second = client.put("/bkt/k", "second").await.header("x-amz-version-id").to_owned();
        let marker = client.delete("/bkt/k").await;
        assert_eq!(marker.header("x-amz-delete-marker"), "true");
        assert_eq!(client.get("/bkt/k").await.header("x-amz-delete-marker"), "true");
        assert_eq!(client.get("/bkt/k?versionId=null").await.body, "before");
        assert_eq!(client.get(&format!("/bkt/k?versionId={second}")).await.body, "second");
        let versions = client.get("/bkt?versions").await;
        assert_eq!((versions.elements("Version").len(), versions.elements("DeleteMarker").len()), (2, 1));
        assert_eq!(client.delete("/bkt").await.element("Code"), "BucketNotEmpty");
        client.delete(&format!("/bkt/k?versionId={}", marker.header("x-amz-version-id"))).await;
        assert_eq!(client.get("/bkt/k").await.body, "second");
        client.delete(&format!("/bkt/k?versionId={second}")).await;
        assert_eq!(client.get("/bkt/k").await.body, "before");
    })
    .await;
}

#[tokio::test]
async fn an_upload_in_parts_becomes_one_object() {
    with_client(async |client| {
        let start =
            client.send(Method::POST, "/bkt/k?uploads", &[("x-amz-checksum-algorithm", "CRC32")], "").await;
        let upload = start.element("UploadId").to_owned();
        let contents = ["a".repeat(PART), "b".repeat(3)];
        let mut parts = String::new();
        for (index, content) in contents.iter().enumerate() {
            let number = index + 1;
            let part = client.put(&format!("/bkt/k?partNumber={number}&uploadId={upload}"), content).await;
            let etag = part.header("etag");
            let part = format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
            parts.push_str(&part);
        }
        assert_eq!(client.get("/bkt/k").await.status, 404, "nothing half is there");
        assert_eq!(client.get("/bkt?uploads").await.element("UploadId"), upload);
        let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let path = format!("/bkt/k?uploadId={upload}");
        let complete = client.send(Method::POST, &path, &[], &document).await;
        assert!(
            complete.element("ETag").ends_with("-2&quot;") || complete.element("ETag").ends_with("-2\""),
            "{}",
            complete.body
        );
        assert_eq!(complete.element("ChecksumType"), "COMPOSITE");
        assert!(client.get("/bkt/k").await.body == contents.concat(), "the content is the same");
        let second = client.get("/bkt/k?partNumber=2").await;
        assert_eq!((second.status, second.body.as_str()), (206, contents[1].as_str()));
        let copied = client.send(Method::PUT, "/bkt/copy", &[("x-amz-copy-source", "/bkt/k")], "").await;
        assert_eq!(copied.element("ChecksumType"), "FULL_OBJECT");
        client.delete("/bkt/k").await;
        assert!(client.get("/bkt/copy").await.body == contents.concat(), "a copy stays");
        assert_eq!(client.send(Method::POST, &path, &[], &document).await.element("Code"), "NoSuchUpload");
    })
    .await;
}

#[tokio::test]
async fn a_listing_has_all_keys_in_order_page_by_page() {
    with_client(async |client| {
        let keys = ["a", "b/1", "b/2", "b/3", "c/1", "d", "\u{e9}"];
        for key in keys {
            let path = utf8_percent_encode(key, CONTROLS);
            assert_eq!(client.put(&format!("/bkt/{path}"), "x").await.status, 200);
        }
        let mut found = Vec::new();
        let mut path = "/bkt?list-type=2&max-keys=2".to_owned();
        loop {
            let page = client.get(&path).await;
            found.extend(page.elements("Key").into_iter().map(str::to_owned));
            if page.element("IsTruncated") == "false" {
                break;
            }
            path = format!(
                "/bkt?continuation-token={}&list-type=2&max-keys=2",
                page.element("NextContinuationToken")
            );
        }
        assert_eq!(found, keys);
        let grouped = client.get("/bkt?delimiter=%2F&max-keys=3").await;
        assert_eq!(grouped.elements("Key"), ["a"]);
        assert_eq!(grouped.elements("CommonPrefixes"), ["<Prefix>b/</Prefix>", "<Prefix>c/</Prefix>"]);
        let rest = client.get("/bkt?delimiter=%2F&marker=c%2F").await;
        assert_eq!(rest.elements("Key"), ["d", "\u{e9}"]);
        assert!(rest.elements("CommonPrefixes").is_empty(), "they were on the page before");
    })
    .await;
}

#[tokio::test]
async fn without_keys_only_what_is_granted_is_there() {
    with_client(async |client| {
        client.put("/bkt/private", "x").await;
        client.send(Method::PUT, "/bkt/public", &[("x-amz-acl", "public-read")], "x").await;
        let status = async |method, path| client.send_unsigned(method, path, "").await.status;
        assert_eq!(status(Method::GET, "/bkt/private").await, 403);
        assert_eq!(status(Method::GET, "/bkt/public").await, 200);
        assert_eq!(status(Method::PUT, "/bkt/public").await, 403);
        assert_eq!(status(Method::GET, "/bkt").await, 403);
        assert_eq!(status(Method::DELETE, "/bkt").await, 403);
        let policy = r#"{"Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bkt/p*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::bkt/*"}]}"#;
        assert_eq!(client.put("/bkt?policy", policy).await.status, 204);
        assert_eq!(status(Method::GET, "/bkt/private").await, 200);
        assert_eq!(client.delete("/bkt/private").await.status, 403, "not even the owner");
        let block = "<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets>\
                     <IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>";
        assert_eq!(client.put("/bkt?publicAccessBlock", block).await.status, 200);
        assert_eq!(status(Method::GET, "/bkt/private").await, 403);
        assert_eq!(status(Method::GET, "/bkt/public").await, 403);
    })
    .await;
}

#[tokio::test]
async fn only_files_that_a_row_names_survive_a_restart() {
    with_client(async |client| {
        let content = "large".repeat(SMALL);
        client.put("/bkt/k", &content).await;
        let (stale, _) = client.api.blobs.create().unwrap();
        crate::part::sweep(&client.api, std::time::SystemTime::now() + std::time::Duration::from_mins(1))
            .await;
        let path = client.api.blobs.path(stale);
        let gone = async || (!path.exists()).then_some(());
        base::wait::until(std::time::Duration::from_secs(10), gone).await.expect("it is removed");
        assert!(client.get("/bkt/k").await.body == content, "the content is the same");
    })
    .await;
}

#[tokio::test]
async fn a_locked_version_stays() {
    with_client(async |client| {
        let headers = [("x-amz-bucket-object-lock-enabled", "true")];
        assert_eq!(client.send(Method::PUT, "/locked", &headers, "").await.status, 200);
        let put = client.put("/locked/k", "x").await;
        let version = format!("/locked/k?versionId={}", put.header("x-amz-version-id"));
        let hold = |status: &str| format!("<LegalHold><Status>{status}</Status></LegalHold>");
        assert_eq!(client.put("/locked/k?legal-hold", &hold("ON")).await.status, 200);
        assert_eq!(client.delete(&version).await.status, 403);
        assert_eq!(client.put("/locked/k?legal-hold", &hold("OFF")).await.status, 200);
        let retention = "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2999-01-01T00:00:00Z</RetainUntilDate></Retention>";
        assert_eq!(client.put("/locked/k?retention", retention).await.status, 200);
        assert_eq!(client.delete(&version).await.status, 403);
        let bypass = [("x-amz-bypass-governance-retention", "true")];
        assert_eq!(client.send(Method::DELETE, &version, &bypass, "").await.status, 204);
        assert_eq!(client.put("/bkt/k?legal-hold", &hold("ON")).await.status, 400, "its bucket has no locks");
    })
    .await;
}

#[tokio::test]
async fn the_self_test_leaves_nothing_and_needs_the_right_key() {
    with_client(async |client| {
        crate::self_test::run(&client.api).await.unwrap();
        assert_eq!(client.get("/").await.elements("Name"), ["bkt"]);
        let wrong = client.signed_with("other").get("/").await;
        assert_eq!((wrong.status, wrong.element("Code")), (403, "SignatureDoesNotMatch"));
        assert!(!wrong.element("RequestId").is_empty());
        assert_eq!(wrong.element("RequestId"), wrong.header("x-amz-request-id"));
    })
    .await;
}
