//! What root in a container may do: the capabilities that containers usually have, and those that a description adds or takes away.

use std::collections::BTreeSet;

/// Those that a container has: the usual set of container engines.
const USUAL: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The other ones: capabilities(7).
const OTHERS: [&str; 27] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST",
    "CAP_PERFMON",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

/// Every capability.
const ALL: &str = "ALL";

/// The set that remains when `drop` is taken away and `add` is added: what is added wins, and `ALL` stands for every one.
pub(super) fn set(add: &[String], drop: &[String]) -> Vec<&'static str> {
    let has = |list: &[String], name: &str| list.iter().any(|entry| full(entry) == name);
    let kept: BTreeSet<_> = if has(drop, ALL) {
        BTreeSet::new()
    } else {
        let begin = if has(add, ALL) { every().collect() } else { BTreeSet::from(USUAL) };
        begin.into_iter().filter(|name| !has(drop, name)).collect()
    };
    let added = every().filter(|name| has(add, name) || (has(add, ALL) && !has(drop, name)));
    kept.into_iter().chain(added).collect::<BTreeSet<_>>().into_iter().collect()
}

fn every() -> impl Iterator<Item = &'static str> {
    USUAL.into_iter().chain(OTHERS)
}

/// A name in the form of the kernel: `CAP_NET_ADMIN`, also for `net_admin`.
fn full(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    if name == ALL || name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        set(&owned(add), &owned(drop))
    }

    #[test]
    fn a_container_has_the_usual_ones() {
        assert_eq!(of(&[], &[]), USUAL);
    }

    #[test]
    fn single_ones_are_added_and_taken_away() {
        let set = of(&["net_admin", "CAP_CHOWN"], &["CAP_KILL", "chown"]);
        assert!(set.contains(&"CAP_NET_ADMIN") && set.contains(&"CAP_CHOWN") && !set.contains(&"CAP_KILL"));
    }

    #[test]
    fn all_stands_for_every_one() {
        assert_eq!(of(&[], &["ALL"]), Vec::<&str>::new());
        assert_eq!(of(&["CAP_CHOWN"], &["ALL"]), ["CAP_CHOWN"]);
        assert_eq!(of(&["ALL"], &[]).len(), USUAL.len() + OTHERS.len());
        assert!(!of(&["ALL"], &["CAP_SYS_ADMIN"]).contains(&"CAP_SYS_ADMIN"));
    }
}
