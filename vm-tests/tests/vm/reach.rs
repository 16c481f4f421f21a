//! What the guest reaches outside of itself, as `network` in `stack.toml` has it.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use image::stack::Network;
use vm_tests::emulator::{Emulator, Started, finished};
use vm_tests::ports::START;
use vm_tests::stack::{sign_up, users};

/// What a reached server answers.
const WORD: &str = "reached";

/// Where this test's name server is: on the loopback interface, where there is no other.
const NAME_SERVER: &str = "127.54.0.1:53";

/// The user who is made while the network is open.
const USER: &str = "reach@example.com";

#[tokio::test]
async fn a_closed_network_isolates_the_guest_but_not_its_ports() {
    let emulator = Emulator::for_amd64();
    let server = serve();
    name();
    let open = start(&emulator).await.by("snapshot");
    sign_up(&open, USER).await;
    let ways = [format!("/dev/tcp/10.0.2.2/{}", server.port()), "/dev/udp/10.0.2.3/53".to_owned()];
    for way in &ways {
        assert_eq!(ask(&emulator, way).await, WORD, "{way}");
    }
    emulator.finish().await;

    emulator.home().change_manifest(|manifest| manifest.stack.network = Network::Closed);
    // From saved memory, and with a boot.
    for (origin, how_to_stop, state) in
        [("suspended", &["--shutdown"][..], "stopped"), ("cold", &[], "suspended")]
    {
        let closed = start(&emulator).await.by(origin);
        for way in &ways {
            assert_eq!(ask(&emulator, way).await, "", "{way} after a start by `{origin}`");
        }
        assert!(users(&closed).await.contains(&USER.to_owned()));
        assert_eq!(closed.api("dashboard").get("/").await.status, 200);
        emulator.stop(how_to_stop, state).await;
    }
    emulator.assert_tidy().await;
}

/// Starts where this test's name server is the host's: QEMU hands on to that what the guest asks 10.0.2.3.
async fn start(emulator: &Emulator) -> Started {
    let settings = emulator.home().scratch("resolv.conf");
    let address = NAME_SERVER.parse::<SocketAddr>().unwrap().ip();
    fs::write(&settings, format!("nameserver {address}\n")).unwrap();
    let named = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", settings.display());
    let command = emulator.command_within(&["unshare", "--mount", "sh", "-c", &named, "sh"], &START).spawn();
    emulator.started(finished(command.unwrap()).await).await
}

/// What comes back to the guest this way, if anything.
async fn ask(emulator: &Emulator, way: &str) -> String {
    let script = format!("exec 3<>{way} && echo question >&3 && head -c {} <&3", WORD.len());
    emulator.guest().sh(&format!("timeout 5 bash -c '{script}' 2> /dev/null || true")).await
}

/// A server on the host's loopback interface.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(WORD.as_bytes());
        }
    });
    address
}

/// A name server that has one answer to everything: that it can be asked is what counts.
fn name() {
    let socket = UdpSocket::bind(NAME_SERVER).expect("the test may have port 53");
    thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(WORD.as_bytes(), from);
        }
    });
}
