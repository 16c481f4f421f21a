//! Where a GitHub is: its API, and the web pages that release assets can be had from without it.

use base::variables;
use reqwest::Url;

/// Variable that names the API; Actions and GitHub Enterprise set it.
pub const API_VARIABLE: &str = "GITHUB_API_URL";

/// The API when nothing else is said.
const PUBLIC_API: &str = "https://api.github.com";

/// The web pages that belong to it.
const PUBLIC_WEB: &str = "https://github.com";

/// Path of the API below the web pages of a GitHub Enterprise Server.
const ENTERPRISE_PATH: &str = "/api/v3";

/// The addresses of one GitHub, without a final slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    api: String,
    web: String,
}

/// The text is not a valid address of an API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// It is something else.
    #[error("`{API_VARIABLE}` is `{0}`, which is not a valid address of an API: write `https://HOST/api/v3`")]
    Other(String),
    /// Somebody is named in it. It is not repeated: there may be a password in it. Nothing would be sent of it.
    #[error(
        "`{API_VARIABLE}` has a user name or a password in it: write `https://HOST/api/v3`, and put the token into `GITHUB_TOKEN`"
    )]
    Credentials,
}

impl Address {
    /// The GitHub that [`API_VARIABLE`] names, else the public one.
    ///
    /// # Errors
    /// When it is set to something else than an address.
    pub fn from_env() -> Result<Self, NoAddress> {
        match variables::text(API_VARIABLE) {
            Some(api) => Self::of(&api),
            None => Self::of(PUBLIC_API),
        }
    }

    /// The GitHub whose API is at `api`. A GitHub Enterprise Server has it at `/api/v3` of its own address, and one in the
    /// cloud at `api.` before it.
    ///
    /// # Errors
    /// When that is not a valid address.
    pub fn of(api: &str) -> Result<Self, NoAddress> {
        let api = api.trim_end_matches('/');
        // No host and no path of an API has one.
        if api.contains('@') {
            return Err(NoAddress::Credentials);
        }
        let no_address = || NoAddress::Other(api.to_owned());
        let url = Url::parse(api).map_err(|_| no_address())?;
        let plain = url.query().is_none() && url.fragment().is_none();
        // Requests are made with it as a URI, which has none of the spaces and line breaks that a URL is forgiven.
        let is_uri = api.parse::<http::Uri>().is_ok();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain || !is_uri {
            return Err(no_address());
        }
        let web = if api == PUBLIC_API {
            PUBLIC_WEB.to_owned()
        } else if let Some(server) = api.strip_suffix(ENTERPRISE_PATH) {
            server.to_owned()
        } else {
            api.replacen("://api.", "://", 1)
        };
        Ok(Self { api: api.to_owned(), web })
    }

    /// The API.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// The web pages.
    pub fn web(&self) -> &str {
        &self.web
    }

    /// Host name of the web pages, by which `gh` keeps its tokens.
    pub fn host(&self) -> String {
        let url = Url::parse(&self.web).ok();
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web(api: &str) -> String {
        Address::of(api).unwrap().web().to_owned()
    }

    #[test]
    fn the_web_pages_follow_from_the_api() {
        assert_eq!(web("https://api.github.com"), "https://github.com");
        assert_eq!(web("https://api.github.com/"), "https://github.com");
        assert_eq!(web("https://git.example.com/api/v3"), "https://git.example.com");
        assert_eq!(web("https://api.octo.ghe.com"), "https://octo.ghe.com");
        assert_eq!(Address::of("http://127.0.0.1:80/api/v3").unwrap().host(), "127.0.0.1");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "github.com",
            "ftp://github.com",
            "https://",
            "https://h/api/v3?x",
            "https://h/api/v3#x",
            "http://a/\n",
            "http://a b/",
        ] {
            let error = Address::of(text).unwrap_err().to_string();
            assert!(error.starts_with("`GITHUB_API_URL` is `"), "{error}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        for text in ["https://user:s3cr3t@h/api/v3", "https://s3cr3t@h", "user:s3cr3t@h", "ftp://s3cr3t@h"] {
            let error = Address::of(text).unwrap_err();
            assert_eq!(error, NoAddress::Credentials);
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
    }
}
