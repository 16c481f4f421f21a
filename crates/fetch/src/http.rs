//! The HTTP client that everything here goes out by.

use std::path::Path;
use std::time::Duration;

use base::variables;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy};
use rustls_native_certs::{CertificateResult, load_certs_from_paths};

/// How long a server may take to accept a connection, name lookup included. Short, so that a source that this network
/// cannot reach costs little before the next one is tried.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a transfer may stand still.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What never goes through a proxy, besides what `NO_PROXY` names: a proxy has another loopback than we do.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// Variable with the file of the certificates that are trusted, as OpenSSL and what follows it read it.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// Variable with a directory of them.
const CERTIFICATES_DIR: &str = "SSL_CERT_DIR";

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificates that are to be trusted cannot be had.
    #[error("`{CERTIFICATES}` and `{CERTIFICATES_DIR}` lead to no certificate: {reason}")]
    Certificates {
        /// What is wrong with them.
        reason: String,
    },
    /// The file of certificates has none, though the directory has some.
    #[error("`{CERTIFICATES}` leads to no certificate: {reason}")]
    CertificateFile {
        /// What is wrong with it.
        reason: String,
    },
    /// A proxy's address is none.
    #[error("`{variable}` is not a valid address of a proxy")]
    Proxy {
        /// The variable that has it.
        variable: String,
        /// What is wrong with it.
        #[source]
        source: reqwest::Error,
    },
    /// A proxy speaks something else than HTTP. Its address is not repeated: there may be a password in it.
    #[error(
        "`{variable}` is not a supported address of a proxy: it begins with neither `http://` nor `https://`"
    )]
    OtherProxy {
        /// The variable that has it.
        variable: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up HTTPS")]
    Setup(#[from] reqwest::Error),
}

impl ClientError {
    /// Whether it is a variable that cannot be used.
    pub fn is_about_variables(&self) -> bool {
        !matches!(self, Self::Setup(_))
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Certificates { .. } | Self::CertificateFile { .. } => {
                Some(format!("set `{CERTIFICATES}` to a file of certificates in PEM format, or unset both"))
            }
            Self::Proxy { variable, .. } | Self::OtherProxy { variable } => Some(format!(
                "set `{variable}` to an address such as `http://proxy.example.com:3128`, or unset it"
            )),
            Self::Setup(_) => None,
        }
    }
}

/// Makes an HTTP client with this module's deadlines. TLS is rustls with the platform's trust store, or the certificates of
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` instead; proxies come from the usual variables, and loopback is never proxied.
///
/// # Errors
/// When TLS cannot be set up, or a variable leads to nothing.
pub fn client() -> Result<Client, ClientError> {
    client_with(STALL_TIMEOUT)
}

/// As [`client`], with its own limit for stalled transfers.
pub(crate) fn client_with(stall: Duration) -> Result<Client, ClientError> {
    Ok(builder(stall)?.build()?)
}

/// As [`client`], for requests that change something, with its own limit for stalled transfers: it follows no redirects. A POST that
/// is answered 301 would become a GET, as in browsers, whose answer means something else.
///
/// # Errors
/// When TLS cannot be set up, or a variable leads to nothing.
pub fn client_for_changes(stall: Duration) -> Result<Client, ClientError> {
    Ok(builder(stall)?.redirect(Policy::none()).build()?)
}

fn builder(stall: Duration) -> Result<ClientBuilder, ClientError> {
    let mut builder = Client::builder()
        .user_agent(concat!("stack-emulator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(stall)
        .no_proxy();
    let (file, dir) = (variables::path(CERTIFICATES), variables::path(CERTIFICATES_DIR));
    if let Some(trusted) = certificates(file.as_deref(), dir.as_deref())? {
        builder = builder.tls_certs_only(trusted);
    }
    for proxy in proxies(variables::text)? {
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

/// Reads the certificates that are trusted instead of the platform's: not every platform's own store heeds the variables.
fn certificates(file: Option<&Path>, dir: Option<&Path>) -> Result<Option<Vec<Certificate>>, ClientError> {
    if file.is_none() && dir.is_none() {
        return Ok(None);
    }
    let reason = |found: &CertificateResult, empty: &str| {
        found.errors.first().map_or_else(|| empty.to_owned(), ToString::to_string)
    };
    let found = load_certs_from_paths(file, dir);
    if found.certs.is_empty() {
        return Err(ClientError::Certificates { reason: reason(&found, "they are empty") });
    }
    // A private authority is in the file: left out without a word, no server that it vouches for could be reached.
    let own = file.map(|file| load_certs_from_paths(Some(file), None)).filter(|own| own.certs.is_empty());
    if let Some(own) = own {
        return Err(ClientError::CertificateFile { reason: reason(&own, "it is empty") });
    }
    let trusted = found.certs.iter().map(|certificate| Certificate::from_der(certificate));
    Ok(Some(trusted.collect::<Result<_, _>>()?))
}

/// The proxies that the variables name: `https_proxy`, `http_proxy`, `all_proxy`, each also in capitals.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> Result<Vec<Proxy>, ClientError> {
    let value = |name: String| variable(&name).map(|value| (name, value));
    let either = |name: &str| value(name.to_owned()).or_else(|| value(name.to_uppercase()));
    let except = match either("no_proxy") {
        Some((_, listed)) => format!("{listed},{LOOPBACK}"),
        None => LOOPBACK.to_owned(),
    };
    let of = |name: &str, kind: fn(String) -> reqwest::Result<Proxy>| {
        let (variable, address) = either(name).filter(|(_, address)| !address.trim().is_empty())?;
        // One without a scheme is spoken HTTP to; what is not known would be left out without a word.
        let scheme = address.trim().split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if scheme.is_some_and(|scheme| !matches!(&*scheme, "http" | "https")) {
            return Some(Err(ClientError::OtherProxy { variable }));
        }
        let proxy = kind(address).map(|proxy| proxy.no_proxy(NoProxy::from_string(&except)));
        Some(proxy.map_err(|source| ClientError::Proxy { variable, source }))
    };
    let set = [of("https_proxy", Proxy::https), of("http_proxy", Proxy::http), of("all_proxy", Proxy::all)];
    set.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// A proxy that answers everything itself.
    async fn proxy() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.unwrap();
                stream.write_all(b"HTTP/1.1 418 \r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        });
        address
    }

    fn client_of(variables: &[(&str, &str)]) -> Client {
        let value =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut builder = Client::builder().no_proxy();
        for proxy in proxies(value).unwrap() {
            builder = builder.proxy(proxy);
        }
        builder.build().unwrap()
    }

    #[tokio::test]
    async fn a_proxy_is_used_for_what_is_elsewhere_and_never_for_loopback() {
        let proxy = proxy().await;
        let server = fake_github::GitHub::start();
        for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
            let client = client_of(&[(variable, &proxy), ("NO_PROXY", "internal.invalid")]);
            let elsewhere = client.get("http://github.invalid/").send().await.unwrap();
            assert_eq!(elsewhere.status(), 418);
            let here = client.get(server.api_url()).send().await.unwrap();
            assert_eq!(here.status(), 404, "the server itself has answered");
            let excepted = client.get("http://internal.invalid/").send().await;
            assert!(excepted.is_err(), "there is no such host, and the proxy was not asked");
        }
    }

    /// A server whose certificate is its own authority, and that certificate's file.
    async fn tls_server(dir: &Path) -> (String, PathBuf) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let file = dir.join("authority.pem");
        std::fs::write(&file, own.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut request = [0; 1024];
                    let _ = stream.read(&mut request).await.unwrap();
                    stream.write_all(b"HTTP/1.1 418 \r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            }
        });
        (address, file)
    }

    #[tokio::test]
    async fn a_private_authority_is_trusted_only_if_the_variable_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let (address, file) = tls_server(dir.path()).await;
        let trusting = |file: &Path| {
            let trusted = certificates(Some(file), None).unwrap().unwrap();
            Client::builder().no_proxy().tls_certs_only(trusted).build().unwrap()
        };
        assert_eq!(trusting(&file).get(&address).send().await.unwrap().status(), 418);

        let other = dir.path().join("other.pem");
        let another = rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).unwrap();
        std::fs::write(&other, another.cert.pem()).unwrap();
        assert!(trusting(&other).get(&address).send().await.unwrap_err().is_connect());
        assert!(certificates(None, None).unwrap().is_none());
    }

    #[test]
    fn a_variable_that_leads_to_no_certificate_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["missing.pem", ""] {
            let error = certificates(Some(&dir.path().join(path)), None).unwrap_err().to_string();
            assert!(
                error.starts_with("`SSL_CERT_FILE` and `SSL_CERT_DIR` lead to no certificate: "),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_without_certificates_is_an_error_beside_any_directory() {
        let dir = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(dir.path().join("authority.pem"), own.cert.pem()).unwrap();
        assert!(certificates(None, Some(dir.path())).unwrap().is_some());
        let error = certificates(Some(&dir.path().join("missing.pem")), Some(dir.path())).unwrap_err();
        assert!(error.to_string().starts_with("`SSL_CERT_FILE` leads to no certificate: "), "{error}");
    }

    #[test]
    fn an_empty_variable_is_no_proxy_and_nonsense_is_an_error() {
        assert!(proxies(|_| Some(String::new())).unwrap().is_empty());
        assert!(proxies(|name| (name == "http_proxy").then(|| "http://".to_owned())).is_err());
        for address in ["foo://user:s3cr3t@bar", "socks5://bar"] {
            let error = proxies(|name| (name == "HTTPS_PROXY").then(|| address.to_owned())).unwrap_err();
            assert!(matches!(&error, ClientError::OtherProxy { variable } if variable == "HTTPS_PROXY"));
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
        assert_eq!(proxies(|name| (name == "HTTPS_PROXY").then(|| "bar:3128".to_owned())).unwrap().len(), 1);
    }
}
