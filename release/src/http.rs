//! The HTTP client that everything here goes out by.

use std::time::Duration;

use reqwest::{Client, NoProxy, Proxy};

/// How long a server may take to accept a connection, name lookup included. Short, so that a source that this network
/// cannot reach costs little before the next one is tried.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a transfer may stand still.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// What never goes through a proxy, besides what `NO_PROXY` names: a proxy has another loopback than we do.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// An HTTP client with this module's deadlines. TLS is rustls with the platform's trust store, which obeys
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`; proxies come from the usual variables, and loopback is never proxied.
///
/// # Errors
/// When TLS cannot be set up, or a proxy variable is no address.
pub fn client() -> reqwest::Result<Client> {
    client_with(STALL_TIMEOUT)
}

/// As [`client`], with another limit for transfers that stand still.
pub(crate) fn client_with(stall: Duration) -> reqwest::Result<Client> {
    let mut builder = Client::builder()
        .user_agent(concat!("stack-emulator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(stall)
        .no_proxy();
    for proxy in proxies(|name| std::env::var(name).ok())? {
        builder = builder.proxy(proxy);
    }
    builder.build()
}

/// The proxies that the variables name: `https_proxy`, `http_proxy`, `all_proxy`, each also in capitals.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> reqwest::Result<Vec<Proxy>> {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_uppercase()));
    let except = match either("no_proxy") {
        Some(listed) => format!("{listed},{LOOPBACK}"),
        None => LOOPBACK.to_owned(),
    };
    let address = |name: &str| either(name).filter(|address| !address.trim().is_empty());
    let set = [
        address("https_proxy").map(Proxy::https),
        address("http_proxy").map(Proxy::http),
        address("all_proxy").map(Proxy::all),
    ];
    let excepting = |proxy: Proxy| proxy.no_proxy(NoProxy::from_string(&except));
    set.into_iter().flatten().map(|proxy| proxy.map(excepting)).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

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

    #[test]
    fn an_empty_variable_is_no_proxy_and_nonsense_is_an_error() {
        assert!(proxies(|_| Some(String::new())).unwrap().is_empty());
        assert!(proxies(|name| (name == "http_proxy").then(|| "http://".to_owned())).is_err());
    }
}
