//! The machine itself is the same whether it boots or resumes from memory, however that was saved.

use std::collections::BTreeMap;

use qapi::qmp::human_monitor_command;
use vm_tests::emulator::Emulator;

/// What QEMU reports about a machine: devices with their properties, and what is where in its address spaces.
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
            let different = differences(booted, resumed);
            assert!(different.is_empty(), "{name}: {different:#?}");
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
    let [tree, memory] = views;
    [tree, sorted(&memory)]
}

/// Without what may differ: the generation id, which has to be another for every process, and whether either side has a serial port
/// open right now.
fn normal(text: &str) -> String {
    let lines = text.lines().map(str::trim_end).filter(|line| !line.trim_start().starts_with("guid = "));
    let lines = lines.map(|line| line.split_once(", guest ").map_or(line, |(port, _)| port));
    lines.collect::<Vec<_>>().join("\n")
}

/// The views of address spaces in an order that does not change: QEMU lists them, and the names of those who share one, as a hash
/// table has them, and numbers them by that.
fn sorted(views: &str) -> String {
    let view = |text: &str| {
        let lines = text.lines().skip(1).filter(|line| !line.is_empty());
        let (mut names, rest): (Vec<_>, Vec<_>) = lines.partition(|line| line.starts_with(" AS "));
        names.sort_unstable();
        [names, rest].concat().join("\n")
    };
    let mut views: Vec<_> = views.split("FlatView #").skip(1).map(view).collect();
    views.sort_unstable();
    views.join("\n\n")
}

/// Lines that only one of the two has, or that are in another order.
fn differences(a: &str, b: &str) -> Vec<(String, String)> {
    let (a, b): (Vec<_>, Vec<_>) = (a.lines().collect(), b.lines().collect());
    let line = |lines: &[&str], i: usize| lines.get(i).copied().unwrap_or_default().to_owned();
    let pairs = (0..a.len().max(b.len())).map(|i| (line(&a, i), line(&b, i)));
    pairs.filter(|(a, b)| a != b).collect()
}
