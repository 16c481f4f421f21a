//! Which bucket a request is for, where the name of the host says so: `bucket.localhost` is the virtual-host style.

use s3s::{
    S3Result,
    host::{S3Host, VirtualHost},
};

/// The domain whose subdomains are buckets. Every name in it is this machine.
const DOMAIN: &str = "localhost";

/// Reads the names of hosts. Any other host than those of the domain is the service itself, by whatever name it is known.
pub(crate) struct Hosts;

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let it = VirtualHost::new(host);
        Ok(match bucket(host) {
            Some(bucket) => it.with_bucket(bucket),
            None => it,
        })
    }
}

/// The bucket that a host names.
pub(crate) fn bucket(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix(DOMAIN)?.strip_suffix('.').filter(|bucket| !bucket.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdomain_of_localhost_is_a_bucket() {
        assert_eq!(bucket("photos.localhost:26702"), Some("photos"));
        assert_eq!(bucket("my.photos.localhost"), Some("my.photos"));
        for host in ["localhost:26702", "localhost", ".localhost", "s3.test:80", "photoslocalhost"] {
            assert_eq!(bucket(host), None, "{host}");
        }
    }
}
