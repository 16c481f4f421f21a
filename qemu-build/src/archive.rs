//! The package archives that this host's apt uses, so that no archive's address is written down here.

use base::process::Cmd;
use url::Url;

/// Roots of the archives, each once, in apt's order, ending in a slash. Empty on a host without apt.
pub(crate) async fn roots() -> Vec<Url> {
    // Without release information the set-up counts even where no list has been fetched yet, as in a fresh container.
    let query = ["indextargets", "--no-release-info", "--format", "$(REPO_URI)"];
    let listing = Cmd::new("apt-get").args(query).text().await;
    listing.map_or_else(|_| Vec::new(), |text| parse(&text))
}

/// Keeps what HTTP can fetch: apt also knows media and mirror lists.
fn parse(listing: &str) -> Vec<Url> {
    let mut roots = Vec::new();
    for line in listing.lines() {
        let root = format!("{}/", line.trim().trim_end_matches('/'));
        if let Ok(url) = Url::parse(&root)
            && matches!(url.scheme(), "http" | "https")
            && !roots.contains(&url)
        {
            roots.push(url);
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_listed_once_and_only_those_that_http_can_fetch() {
        let listing = "http://a.test/debian/\nhttp://a.test/debian\ncdrom://x/\nhttps://b.test/security/\n\n";
        let roots: Vec<_> = parse(listing).iter().map(ToString::to_string).collect();
        assert_eq!(roots, ["http://a.test/debian/", "https://b.test/security/"]);
    }
}
