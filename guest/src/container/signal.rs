//! The signal that asks a container to end.

/// What a container is asked with if it does not say.
pub(super) const USUAL: &str = "SIGTERM";

/// Numbers of the signals that programs take as a request to end: signal(7). They are the same on every architecture of this project.
const NUMBERS: [(&str, u32); 9] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("WINCH", 28),
];

/// Whether the first process of a container does anything when it gets `signal`, by its `proc_pid_status(5)`. The kernel keeps a signal
/// from the first process of a namespace that has no handler for it. What is not known counts as something that it does.
pub(super) fn is_heard(signal: &str, status: &str) -> bool {
    let Some(number) = number(signal) else { return true };
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 is signal 1.
    caught.is_none_or(|mask| (mask >> (number - 1)) & 1 == 1)
}

fn number(signal: &str) -> Option<u32> {
    if let Ok(number) = signal.parse() {
        return (1..=64).contains(&number).then_some(number);
    }
    let signal = signal.to_ascii_uppercase();
    let name = signal.strip_prefix("SIG").unwrap_or(&signal);
    NUMBERS.into_iter().find(|(known, _)| *known == name).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Catches 2 and 15.
    const STATUS: &str = "Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\t0000000000004002\n";

    #[test]
    fn a_signal_without_a_handler_is_not_heard() {
        for signal in ["SIGTERM", "TERM", "term", "15", "INT"] {
            assert!(is_heard(signal, STATUS), "{signal}");
        }
        for signal in ["SIGQUIT", "HUP", "3"] {
            assert!(!is_heard(signal, STATUS), "{signal}");
        }
    }

    #[test]
    fn what_is_not_known_counts_as_heard() {
        assert!(is_heard("SIGRTMIN+3", STATUS) && is_heard("0", STATUS) && is_heard("SIGQUIT", ""));
    }
}
