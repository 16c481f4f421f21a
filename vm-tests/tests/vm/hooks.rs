//! Daemons that read a secret once, from a file of their own, when they start.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{Command, Hooks, Replace, Resume, Secret};
use vm::agent;
use vm_tests::emulator::{Emulator, Started};
use vm_tests::guest::Guest;

/// What the daemon's file has before the first rotation.
const PLACEHOLDER: &str = "@MAILER_PASSWORD@";

/// How long the rotation may take with the daemon's restart.
const LIMIT: Duration = Duration::from_mins(1);

/// A daemon of two processes, of which the second would outlive a restart that only ends the first.
const INSTALL: &str = r"
printf 'user=mailer\npassword=@MAILER_PASSWORD@\n' > /etc/mailer.conf
chmod 640 /etc/mailer.conf; chgrp stack /etc/mailer.conf
cat > /usr/lib/stack/direct/mailer.service <<'UNIT'
[Unit]
DefaultDependencies=no
[Service]
ExecStartPre=/bin/rm -f /run/mailer.child /run/mailer.read
ExecStart=/bin/sh -c 'cp /etc/mailer.conf /run/mailer.read; sleep 86399 & echo $! > /run/mailer.child; exec sleep 86398'
UNIT
systemctl daemon-reload
systemctl start mailer.service
until [ -s /run/mailer.child ]; do :; done
";

#[tokio::test]
async fn a_rotation_changes_a_daemons_file_and_restarts_all_of_the_daemon() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let guest = emulator.guest();
    guest.sh(INSTALL).await;
    let mut daemon = Daemon::look_at(&guest).await;
    for password in ["1".repeat(64), "2".repeat(64)] {
        rotate(&guest, &started, &password).await;
        let file = guest.sh("cat /etc/mailer.conf; stat -c '%a %G' /etc/mailer.conf").await;
        assert_eq!(file, format!("user=mailer\npassword={password}\n640 stack"));
        assert_eq!(
            guest.sh("until [ -s /run/mailer.child ]; do :; done; cat /run/mailer.read").await,
            file.rsplit_once('\n').unwrap().0
        );
        let now = Daemon::look_at(&guest).await;
        assert_ne!(now.main, daemon.main);
        assert_ne!(now.child, daemon.child);
        for old in [&daemon.main, &daemon.child] {
            assert_eq!(
                guest.sh(&format!("test -e /proc/{old} && cat /proc/{old}/cmdline || echo gone")).await,
                "gone"
            );
        }
        daemon = now;
    }
    assert_eq!(
        guest.sh("cat /var/lib/stack/pristine/etc/mailer.conf").await,
        format!("user=mailer\npassword={PLACEHOLDER}")
    );
    emulator.finish().await;
}

/// The processes of the daemon.
struct Daemon {
    main: String,
    child: String,
}

impl Daemon {
    async fn look_at(guest: &Guest) -> Self {
        let main = guest.sh("systemctl show -P MainPID mailer.service").await;
        let child = guest.sh("until [ -s /run/mailer.child ]; do :; done; cat /run/mailer.child").await;
        assert_ne!(main, "0", "the daemon does not run");
        Self { main, child }
    }
}

async fn rotate(guest: &Guest, started: &Started, password: &str) {
    let replace = Replace {
        file: "/etc/mailer.conf".to_owned(),
        secret: "mailer_password".to_owned(),
        placeholder: PLACEHOLDER.to_owned(),
    };
    let resume = Resume {
        time: agent::now(),
        entropy: Secret::new("5a".repeat(protocol::ENTROPY_BYTES)),
        secrets: BTreeMap::from([("mailer_password".to_owned(), Secret::new(password))]),
        env: BTreeMap::from([("CRON_SECRET".to_owned(), Secret::new(started.secret("cron_secret")))]),
        hooks: Hooks { replace: vec![replace], restart: vec!["mailer.service".to_owned()] },
    };
    let done = guest.agent().await.call(Command::Resume(Box::new(resume)), LIMIT).await.unwrap();
    assert!(done.steps.iter().any(|step| step.step == "hooks"), "{done:?}");
}
