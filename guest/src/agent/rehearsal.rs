//! The host's next requests, sent from inside meanwhile: in a machine that was just resumed the first answer of a program takes several
//! times as long as the second, most of all under software emulation, and a processor is idle while secrets are replaced on another.

use std::{io, net::Ipv4Addr, time::Duration};

use protocol::services::{Order, Services};
use tokio::{
    io::{AsyncWriteExt as _, copy, sink},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// How long an answer is read. Only a service that hangs takes longer.
const LIMIT: Duration = Duration::from_secs(10);

/// Requests the health path of every port whose service has no order for that. Whatever the answers are, the host's own requests decide.
/// They end with what is returned.
pub(super) fn of_health_paths(services: &Services) -> JoinSet<()> {
    let without_order = services.services.iter().filter(|service| !service.orders.contains(&Order::Rehearse));
    let ports = without_order.flat_map(|service| &service.ports);
    let paths = ports.filter_map(|port| Some((port.guest, port.health.clone()?)));
    paths.map(|(port, path)| async move { drop(timeout(LIMIT, request(port, &path)).await) }).collect()
}

/// By hand: the code of an HTTP client would have to be translated first.
async fn request(port: u16, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    copy(&mut stream, &mut sink()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use protocol::services::{Port, Service};
    use tokio::{
        io::{AsyncBufReadExt as _, BufReader},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn services_without_an_order_for_it_are_requested() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let guest = listener.local_addr().unwrap().port();
        let service = |name: &str, orders: &[Order], port: u16, health: Option<&str>| Service {
            name: name.into(),
            unit: format!("{name}.service"),
            orders: orders.to_vec(),
            ports: vec![Port { guest: port, health: health.map(str::to_owned) }],
            warm_up: Vec::new(),
        };
        let services = Services {
            services: vec![
                service("backend", &[Order::Rehearse], 1, Some("/health")),
                service("mail", &[], 2, None),
                service("web", &[Order::Reload], guest, Some("/up?db=1")),
            ],
            name: "sample".into(),
        };
        let requests = of_health_paths(&services);
        assert_eq!(requests.len(), 1);
        let (stream, _) = listener.accept().await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "GET /up?db=1 HTTP/1.1");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), format!("host: 127.0.0.1:{guest}"));
        drop(lines);
        requests.join_all().await;
    }
}
