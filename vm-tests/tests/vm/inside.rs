//! What the guest looks like from the inside: what listens, who may log in, which secrets there are, what is installed.

use vm_tests::emulator::Emulator;
use vm_tests::ports::PORTS;

#[tokio::test]
async fn the_guest_offers_only_its_services_and_holds_only_placeholders() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let guest = emulator.guest();

    let listening = guest.sh("ss -Hltn | awk '{print $4}' | sed 's/.*://' | sort -un | tr '\\n' ' '").await;
    let mut ports: Vec<_> = PORTS.iter().map(|port| port.guest).collect();
    ports.sort_unstable();
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    assert_eq!(listening, ports.join(" "));
    let datagrams = guest.sh("ss -Hlun | grep -vE '(127\\.|%eth|%en|:68 )' || true").await;
    assert_eq!(datagrams, "");

    let unlocked = guest.sh("awk -F: '$2 !~ /^[!*]/ {print $1}' /etc/shadow").await;
    assert_eq!(unlocked, "", "an account that a password opens");
    assert_eq!(guest.sh("command -v sshd || ls /etc/ssh/ssh_host_* 2>/dev/null || true").await, "");

    let secrets = guest.sh("grep -ohE '[0-9a-f]{64}' /etc/stack/*.env | sort -u").await;
    let placeholders = ["c", "d", "e", "f"].map(|digit| format!("{}{}", "0".repeat(32), digit.repeat(32)));
    assert_eq!(secrets.lines().collect::<Vec<_>>(), placeholders);
    // The session's own are in the database, and in a file that is in memory only.
    let own = started.secret("cron_secret");
    assert_eq!(
        guest.sh(&format!("grep -rlF {own} /etc /run/stack /var/lib/stack /var/log || true")).await,
        "/run/stack/session.env"
    );
    assert_eq!(
        guest
            .sh("stat -c '%a %U %G' /run/stack/session.env; findmnt -no FSTYPE -T /run/stack/session.env")
            .await,
        "600 stack stack\ntmpfs"
    );
    let keys =
        guest.sh("find / -xdev -name '*.pem' -path '*private*' -o -xdev -name 'ssl-cert-snakeoil.key'").await;
    assert_eq!(keys, "", "a private key that every copy of the image shares");

    assert_eq!(guest.sh("systemctl --failed --no-legend --plain | cat").await, "");
    assert_eq!(guest.sh("findmnt -no OPTIONS /run/stack/config | tr , '\\n' | grep -x ro").await, "ro");
    emulator.finish().await;
}

#[tokio::test]
async fn what_only_provisioning_needed_is_gone_and_nothing_else_is_broken() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    let guest = emulator.guest();
    assert_eq!(
        guest.sh("ls -d /etc/cloud /usr/bin/cloud-init /usr/lib/python3* 2>/dev/null || true").await,
        ""
    );
    assert_eq!(guest.sh("dpkg --audit && apt-get --quiet=2 check").await, "");
    // A program in Perl, which does with what is left of it.
    let version = guest.sh("/usr/bin/createuser --version").await;
    assert!(version.starts_with("createuser (PostgreSQL) 17."), "{version}");
    emulator.finish().await;
}
