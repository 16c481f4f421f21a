//! The machine itself is the same whether it boots or goes on from memory, and however that was kept.

use std::collections::BTreeMap;

use qapi::qmp::human_monitor_command;
use vm_tests::emulator::Emulator;

/// What QEMU tells about a machine: devices with their properties, and what is where in its address spaces.
const VIEWS: [&str; 2] = ["info qtree", "info mtree -f"];

#[tokio::test]
async fn a_booted_machine_and_those_from_either_kind_of_snapshot_are_the_same() {
    let emulator = Emulator::for_amd64();
    let mut machines = BTreeMap::new();
    for (name, how, origin) in [
        ("boot", &["--no-snapshot"][..], "cold"),
        ("template", &["--strategy", "template"], "snapshot"),
        ("mapped-ram", &["--strategy", "mapped-ram"], "snapshot"),
    ] {
        emulator.start(how).await.by(origin);
        machines.insert(name, machine(&emulator).await);
        emulator.run(&["reset", "--yes"]).await.expect(0);
    }
    let booted = &machines["boot"];
    assert!(booted[0].contains("virtio-blk-pci") && booted[1].contains("pc.bios"), "nothing was looked at");
    for name in ["template", "mapped-ram"] {
        for (resumed, booted) in machines[name].iter().zip(booted) {
            let different = first_difference(booted, resumed);
            assert!(different.is_none(), "{name}: {different:?}");
        }
    }
}

async fn machine(emulator: &Emulator) -> [String; 2] {
    let monitor = emulator.guest().monitor().await;
    let mut views = [const { String::new() }; 2];
    for (view, command) in views.iter_mut().zip(VIEWS) {
        let command = human_monitor_command { command_line: command.to_owned(), cpu_index: None };
        *view = normal(&monitor.execute(command).await.expect("QEMU knows the command"));
    }
    views
}

/// Without what may differ: the generation id, which has to be another for every process.
fn normal(text: &str) -> String {
    let keep = |line: &&str| !line.trim_start().starts_with("guid = ");
    text.lines().map(str::trim_end).filter(keep).collect::<Vec<_>>().join("\n")
}

fn first_difference(a: &str, b: &str) -> Option<(String, String)> {
    let (mut a, mut b) = (a.lines(), b.lines());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => return Some((a.unwrap_or_default().to_owned(), b.unwrap_or_default().to_owned())),
        }
    }
}
