//! `sources.toml`: the pinned sources.

use base::digest::Sha256;
use serde::Deserialize;
use url::Url;

/// The pinned sources of one version of QEMU.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sources {
    /// Version that all of them hold.
    pub(crate) version: String,
    /// In the order in which they are tried.
    #[serde(rename = "source")]
    pub(crate) list: Vec<Source>,
}

/// One tarball.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Source {
    /// Where it is.
    #[serde(flatten)]
    pub(crate) place: Place,
    /// Its SHA-256.
    pub sha256: Sha256,
}

/// Where a tarball is.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// At a fixed address.
    Url(Url),
    /// At this path below the root of a package archive that the host's apt uses.
    Archive(String),
}

impl Sources {
    /// Returns the sources that come with this program.
    pub(crate) fn pinned() -> Self {
        toml::from_str(include_str!("../sources.toml")).expect("a test parses the file")
    }
}

impl Source {
    /// Returns the name of the tarball.
    pub(crate) fn file_name(&self) -> &str {
        let path = match &self.place {
            Place::Url(url) => url.path(),
            Place::Archive(path) => path,
        };
        path.rsplit('/').next().unwrap_or(path)
    }

    /// Returns the addresses at which it may be, given the roots of the host's package archives.
    pub(crate) fn urls(&self, roots: &[Url]) -> Vec<Url> {
        match &self.place {
            Place::Url(url) => vec![url.clone()],
            Place::Archive(path) => roots.iter().filter_map(|root| root.join(path).ok()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::digest;

    use super::*;

    #[test]
    fn every_pinned_source_names_a_tarball_of_the_version() {
        let sources = Sources::pinned();
        assert!(!sources.list.is_empty());
        for source in &sources.list {
            assert!(source.file_name().contains(&sources.version), "{source:?}");
            assert!(source.file_name().ends_with(".tar.xz"), "{source:?}");
        }
    }

    #[test]
    fn upstream_comes_before_the_archive() {
        let places: Vec<_> = Sources::pinned().list.into_iter().map(|source| source.place).collect();
        assert!(matches!(places[..], [Place::Url(_), Place::Archive(_)]), "{places:?}");
    }

    #[test]
    fn an_archive_path_is_looked_for_in_every_archive_of_the_host() {
        let source =
            Source { place: Place::Archive("pool/q/q.tar.xz".to_owned()), sha256: digest::of_bytes(b"") };
        let roots = ["http://a.test/debian/", "https://b.test/"].map(|root| Url::parse(root).unwrap());
        let urls: Vec<_> = source.urls(&roots).iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["http://a.test/debian/pool/q/q.tar.xz", "https://b.test/pool/q/q.tar.xz"]);
        assert_eq!(source.file_name(), "q.tar.xz");
        assert!(source.urls(&[]).is_empty());
    }

    #[test]
    fn a_source_without_a_place_or_with_a_misspelt_table_is_refused() {
        let digest = digest::of_bytes(b"");
        let text =
            |table: &str, place: &str| format!("version = '1'\n[[{table}]]\nsha256 = '{digest}'{place}");
        let place = "\narchive = 'q.tar.xz'";
        assert!(toml::from_str::<Sources>(&text("source", place)).is_ok());
        for text in [text("source", ""), text("sources", place)] {
            assert!(toml::from_str::<Sources>(&text).is_err(), "{text}");
        }
    }
}
