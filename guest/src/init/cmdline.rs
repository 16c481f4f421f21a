//! What the kernel command line asks of the initial RAM file system.

use protocol::names::boot_words;

/// The parameters that matter before the root is mounted; see bootparam(7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cmdline {
    /// `root=`: the device with the root file system.
    pub(crate) root: Option<String>,
    /// `rootfstype=`.
    pub(crate) root_type: Option<String>,
    /// `rootflags=`: mount options.
    pub(crate) root_flags: Option<String>,
    /// `rw` rather than `ro`; the later one counts.
    pub(crate) writable: bool,
    /// `ip=`: settings of the network card.
    pub(crate) network: Option<String>,
    /// `init=`: the program to become.
    pub(crate) init: Option<String>,
    /// `stack.probe`: report that the machine runs, and power off.
    pub(crate) probe: bool,
}

impl Cmdline {
    /// Parses the text of `/proc/cmdline`. Parameters for others are skipped.
    pub(crate) fn parse(text: &str) -> Self {
        let mut cmdline = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(("root", value)) => cmdline.root = Some(value.to_owned()),
                Some(("rootfstype", value)) => cmdline.root_type = Some(value.to_owned()),
                Some(("rootflags", value)) => cmdline.root_flags = Some(value.to_owned()),
                Some(("ip", value)) => cmdline.network = Some(value.to_owned()),
                Some(("init", value)) => cmdline.init = Some(value.to_owned()),
                Some(_) => {}
                None => match word {
                    "rw" => cmdline.writable = true,
                    "ro" => cmdline.writable = false,
                    boot_words::PROBE => cmdline.probe = true,
                    _ => {}
                },
            }
        }
        cmdline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_the_root_are_found_among_others() {
        let text = "console=ttyS0 root=PARTLABEL=stack-root ro rootflags=noatime,commit=30 quiet rw\n";
        let cmdline = Cmdline::parse(text);
        assert_eq!(cmdline.root.as_deref(), Some("PARTLABEL=stack-root"));
        assert_eq!(cmdline.root_flags.as_deref(), Some("noatime,commit=30"));
        assert!(cmdline.writable && !cmdline.probe);
    }

    #[test]
    fn a_probe_needs_no_root() {
        assert_eq!(Cmdline::parse("stack.probe"), Cmdline { probe: true, ..Cmdline::default() });
    }

    #[test]
    fn a_root_is_read_only_unless_asked_for() {
        assert!(!Cmdline::parse("root=/dev/vda1").writable);
        assert!(!Cmdline::parse("root=/dev/vda1 rw ro").writable);
    }
}
