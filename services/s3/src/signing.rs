//! Signatures of the service's own requests: AWS Signature Version 4, without a signature of the content.

use axum::http::{Method, request};
use hmac::{Hmac, Mac as _};
use s3s::crypto::{Checksum as _, Sha256 as Digest};
use sha2::Sha256;
use time::{OffsetDateTime, macros::format_description};

use crate::settings::Settings;

const CONTENT: &str = "UNSIGNED-PAYLOAD";
const HOST: &str = "127.0.0.1";

/// Signs with the keys of the only user.
#[derive(Clone)]
pub(crate) struct Signer {
    access_key: String,
    secret_key: String,
    region: String,
}

impl Signer {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            access_key: settings.access_key.reveal().to_owned(),
            secret_key: settings.secret_key.reveal().to_owned(),
            region: settings.region.clone(),
        }
    }

    /// The same with another key.
    #[cfg(test)]
    pub(crate) fn with_secret(&self, secret: &str) -> Self {
        Self { secret_key: secret.to_owned(), ..self.clone() }
    }

    /// Adds the headers of a signature to a request whose path and query are encoded already, and the latter sorted.
    pub(crate) fn sign(&self, request: request::Builder, method: &Method, path: &str) -> request::Builder {
        let now = OffsetDateTime::now_utc();
        let time = now
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("every time has these components");
        let day = &time[..8];
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        // Every parameter has a value, if only an empty one.
        let query: Vec<_> = query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(
                |parameter| {
                    if parameter.contains('=') { parameter.to_owned() } else { format!("{parameter}=") }
                },
            )
            .collect();
        let query = query.join("&");
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{HOST}\nx-amz-content-sha256:{CONTENT}\nx-amz-date:{time}\n\nhost;x-amz-content-sha256;x-amz-date\n{CONTENT}"
        );
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            hex::encode(Digest::checksum(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for step in [day, &self.region, "s3", "aws4_request", &text] {
            key = keyed(&key, step);
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
            self.access_key,
            hex::encode(key)
        );
        request
            .header("host", HOST)
            .header("x-amz-content-sha256", CONTENT)
            .header("x-amz-date", &time)
            .header("authorization", authorization)
    }
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
