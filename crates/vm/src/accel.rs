//! Accelerators: which one runs a guest, verified by running one.
//!
//! A `/dev/kvm` that opens is not enough: on nested and para-virtual hosts it can create machines that die at their first
//! privileged instruction, or hang. So `auto` boots the image's own kernel with an initial RAM file system that reports
//! when it is up, and accepts nothing else.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use base::files::FileError;
use base::process::Cmd;
use base::refusal;
use image::arch::Arch;
use serde::{Deserialize, Serialize};

use crate::error::{Class, Explain};
use crate::home::Home;
use crate::machine::{Accelerator, DirectBoot, MachineError, cpu_model};
use crate::qemu::{Qemu, QemuError, host_kernel};
use crate::runtime::RuntimeDirError;

mod probe;
mod verdicts;

pub use probe::PROBE_LIMIT;

/// What a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The processor where that works, else [`Accelerator::Tcg`].
    #[default]
    Auto,
    /// This one or none.
    Only(Accelerator),
}

/// The text names no accelerator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown accelerator `{0}`: it is `auto`, `kvm`, `hvf` or `tcg`")]
pub struct UnknownAccelerator(String);

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Only(accelerator) => accelerator.fmt(f),
        }
    }
}

impl FromStr for Choice {
    type Err = UnknownAccelerator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Only(Accelerator::Kvm)),
            "hvf" => Ok(Self::Only(Accelerator::Hvf)),
            "tcg" => Ok(Self::Only(Accelerator::Tcg)),
            other => Err(UnknownAccelerator(other.to_owned())),
        }
    }
}

/// Why an accelerator cannot run a guest here. Displays as a clause: "`/dev/kvm` does not exist".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Unusable {
    /// The guest is for another processor.
    #[error("this machine's processor does not run {guest} programs")]
    OtherArchitecture {
        /// The guest's architecture.
        guest: Arch,
    },
    /// Another operating system has it.
    #[error("this operating system does not have it")]
    OtherSystem,
    /// QEMU was built without it.
    #[error("this QEMU was built without it")]
    NotBuiltIn,
    /// The Hypervisor framework says that it cannot be used: in a virtual machine of macOS, mostly.
    #[error("macOS says that it is not supported here (`kern.hv_support`)")]
    NoHypervisor,
    /// There is no device: no virtualisation in the processor, in the firmware's settings, or in this virtual machine.
    #[error("`/dev/kvm` does not exist")]
    NoDevice,
    /// The device belongs to others.
    #[error("user {user} may not open `/dev/kvm`")]
    NoPermission {
        /// Numeric id of the user.
        user: u32,
    },
    /// The device does not open for another reason.
    #[error("`/dev/kvm` does not open: {reason}")]
    DoesNotOpen {
        /// What the operating system said.
        reason: String,
    },
    /// QEMU gave up on the trial guest.
    #[error("a trial guest ended in an internal error of the accelerator")]
    InternalError,
    /// QEMU ended itself.
    #[error("QEMU {status} on a trial guest")]
    Died {
        /// "exited with status 1" or "was killed by signal 6".
        status: String,
        /// The last line of its log.
        last_words: String,
    },
    /// The trial guest ended, but never said that it had come up.
    #[error("a trial guest ended before it had come up")]
    Ended,
    /// The trial guest did nothing.
    #[error("a trial guest said nothing for {seconds} s")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
}

/// Ends of a trial that come from outside: SIGKILL, SIGXCPU and SIGXFSZ on every platform, and a process that could not be made.
const PASSING: [&str; 4] =
    ["was killed by signal 9", "was killed by signal 24", "was killed by signal 25", probe::NOT_STARTED];

impl Unusable {
    /// The reason as fully as it is known: with what QEMU said last.
    pub fn full(&self) -> String {
        match self {
            Self::Died { last_words, .. } if !last_words.is_empty() => format!("{self}: {last_words}"),
            _ => self.to_string(),
        }
    }

    /// Whether it would be so another time: not where a limit, a permission or the want of memory ended the trial.
    fn lasts(&self) -> bool {
        match self {
            Self::Died { status, last_words } => {
                !refusal::is_said(last_words) && !PASSING.iter().any(|passing| status.starts_with(passing))
            }
            _ => true,
        }
    }
}

impl Explain for Unusable {
    fn class(&self) -> Class {
        Class::HostUnsupported
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoDevice => {
                "turn virtualisation on in the firmware's settings, or in the settings of the virtual machine that this is"
            }
            Self::NoPermission { .. } => {
                "join the group that owns it, `sudo usermod -aG kvm $USER`, and log in again; on a CI runner add the udev \
                 rule `KERNEL==\"kvm\", GROUP=\"kvm\", MODE=\"0666\", OPTIONS+=\"static_node=kvm\"`, then run \
                 `udevadm control --reload-rules` and `udevadm trigger --name-match=kvm`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Why no accelerator was chosen.
#[derive(Debug, thiserror::Error)]
pub enum AccelError {
    /// The one that was asked for does not work here.
    #[error("the accelerator `{accelerator}` cannot run this image here: {}", reason.full())]
    Unusable {
        /// What was asked for.
        accelerator: Accelerator,
        /// Why it does not work.
        reason: Unusable,
    },
    /// The trial guest could not be described.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// QEMU cannot make the machine.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// There is no place for the trial guest's socket.
    #[error(transparent)]
    Runtime(#[from] RuntimeDirError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Explain for AccelError {
    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        Some(match self {
            Self::Unusable { reason, .. } => reason,
            Self::Machine(source) => source,
            Self::Qemu(source) => source,
            Self::Runtime(source) => source,
            Self::File(source) => source,
        })
    }
}

/// An accelerator that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What the guest will run on.
    pub accelerator: Accelerator,
    /// Why it is not the processor, where `auto` would have preferred that.
    pub fallback: Option<Unusable>,
    /// How long the trial took; `None` when there was none, or its result was remembered.
    pub trial: Option<Duration>,
}

impl Decision {
    /// One line for people when the guest runs slower than they may expect.
    pub fn notice(&self) -> Option<String> {
        let reason = self.fallback.as_ref()?;
        if matches!(reason, Unusable::OtherArchitecture { .. }) {
            return Some(format!("{reason}: the guest runs in software emulation, which is slower"));
        }
        let native = match Accelerator::native() {
            Accelerator::Hvf => "the Hypervisor framework",
            _ => "KVM",
        };
        Some(format!(
            "{native} cannot be used ({reason}): the guest runs in software emulation, which is slower"
        ))
    }
}

/// What a decision needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Chooser<'a> {
    /// Where verdicts are remembered.
    pub home: &'a Home,
    /// The QEMU that will run the guest.
    pub qemu: &'a Qemu,
    /// Kernel and initial RAM file system of the trial guest: the image's own.
    pub boot: &'a DirectBoot,
}

impl Chooser<'_> {
    /// Chooses an accelerator.
    ///
    /// `auto` trusts a verdict that was reached on the same host kernel, QEMU and CPU model. Asking for an accelerator by
    /// name tries again where the remembered verdict is that it does not work.
    ///
    /// # Errors
    /// When the accelerator that was asked for by name does not work, or the trial itself cannot be made.
    pub async fn choose(&self, choice: Choice) -> Result<Decision, AccelError> {
        let accelerator = match choice {
            Choice::Only(Accelerator::Tcg) => {
                return Ok(Decision { accelerator: Accelerator::Tcg, fallback: None, trial: None });
            }
            Choice::Only(accelerator) => accelerator,
            Choice::Auto => Accelerator::native(),
        };
        let start = Instant::now();
        let (verdict, remembered) = match self.obstacle(accelerator).await {
            Some(reason) => (Err(reason), true),
            None => self.verdict(accelerator, choice == Choice::Auto).await?,
        };
        let trial = (!remembered).then(|| start.elapsed());
        match verdict {
            Ok(()) => Ok(Decision { accelerator, fallback: None, trial }),
            Err(reason) if choice == Choice::Auto => {
                Ok(Decision { accelerator: Accelerator::Tcg, fallback: Some(reason), trial })
            }
            Err(reason) => Err(AccelError::Unusable { accelerator, reason }),
        }
    }

    /// Finds what speaks against an accelerator without a trial.
    async fn obstacle(&self, accelerator: Accelerator) -> Option<Unusable> {
        let host = Host { native: Accelerator::native(), arch: Arch::host() };
        if let Some(reason) = host.obstacle(accelerator, self.qemu.arch()) {
            return Some(reason);
        }
        if !self.qemu.capabilities().accelerators.iter().any(|name| name == accelerator.as_str()) {
            return Some(Unusable::NotBuiltIn);
        }
        match accelerator {
            Accelerator::Kvm => kvm_device(),
            Accelerator::Hvf => hypervisor_framework().await,
            Accelerator::Tcg => None,
        }
    }

    /// The verdict of a trial, and whether it is a remembered one.
    async fn verdict(
        &self,
        accelerator: Accelerator,
        trust: bool,
    ) -> Result<(Result<(), Unusable>, bool), AccelError> {
        let key = verdicts::Key {
            accelerator,
            host_kernel: host_kernel(),
            qemu: self.qemu.digest(),
            cpu_model: cpu_model(self.qemu.arch(), accelerator).to_owned(),
        };
        let path = self.home.accelerators();
        match verdicts::recall(&path, &key) {
            Some(verdict) if trust || verdict.is_ok() => return Ok((verdict, true)),
            _ => {}
        }
        let verdict = probe::run(self, accelerator).await?;
        if verdict.as_ref().err().is_none_or(Unusable::lasts) {
            verdicts::remember(&path, key, &verdict);
        }
        Ok((verdict, false))
    }
}

/// What of a machine decides which guests its processor can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host {
    /// The accelerator of its operating system.
    pub(crate) native: Accelerator,
    /// Its architecture, where images exist for that.
    pub(crate) arch: Option<Arch>,
}

impl Host {
    /// What keeps `accelerator` from running a guest of architecture `guest` here, whatever else is installed.
    pub(crate) fn obstacle(self, accelerator: Accelerator, guest: Arch) -> Option<Unusable> {
        if accelerator == Accelerator::Tcg {
            return None;
        }
        if accelerator != self.native {
            return Some(Unusable::OtherSystem);
        }
        (self.arch != Some(guest)).then_some(Unusable::OtherArchitecture { guest })
    }
}

/// What macOS says against its Hypervisor framework: `kern.hv_support` is 1 where the processor, and the virtual machine around it if
/// there is one, allow it (Hypervisor framework documentation). If that cannot be queried, the trial decides.
async fn hypervisor_framework() -> Option<Unusable> {
    let answer = Cmd::new("sysctl").args(["-n", "kern.hv_support"]).text().await;
    answer.is_ok_and(|answer| answer == "0").then_some(Unusable::NoHypervisor)
}

/// What keeps this user from opening `/dev/kvm`. Opened, since mode bits and access lists do not tell all.
fn kvm_device() -> Option<Unusable> {
    use std::io::ErrorKind;
    let path = PathBuf::from("/dev/kvm");
    match std::fs::File::options().read(true).write(true).open(path) {
        Ok(_) => None,
        Err(error) => Some(match error.kind() {
            ErrorKind::NotFound => Unusable::NoDevice,
            ErrorKind::PermissionDenied => {
                Unusable::NoPermission { user: rustix::process::getuid().as_raw() }
            }
            _ => Unusable::DoesNotOpen { reason: error.to_string() },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_read_back_as_shown() {
        for text in ["auto", "kvm", "hvf", "tcg"] {
            assert_eq!(text.parse::<Choice>().unwrap().to_string(), text);
        }
        let error = "xen".parse::<Choice>().unwrap_err().to_string();
        assert_eq!(error, "unknown accelerator `xen`: it is `auto`, `kvm`, `hvf` or `tcg`");
    }

    #[test]
    fn a_fallback_is_told_in_one_line_with_its_reason() {
        let decision = Decision {
            accelerator: Accelerator::Tcg,
            fallback: Some(Unusable::Silent { seconds: 4 }),
            trial: None,
        };
        let notice = decision.notice().unwrap();
        assert!(notice.contains("a trial guest said nothing for 4 s"), "{notice}");
        assert!(!notice.contains('\n'));
        assert_eq!(Decision { fallback: None, ..decision }.notice(), None);
    }

    #[test]
    fn a_trial_that_the_host_ended_is_made_again_the_next_time() {
        let died = |status: &str, last_words: &str| Unusable::Died {
            status: status.to_owned(),
            last_words: last_words.to_owned(),
        };
        assert!(died("was killed by signal 6", "assert").lasts());
        assert!(Unusable::Ended.lasts());
        assert!(!died("was killed by signal 9 (out of memory, on this host)", "").lasts());
        assert!(!died("exited with status 1", "cannot set up guest memory: Cannot allocate memory").lasts());
    }

    #[test]
    fn another_architecture_is_announced_as_software_emulation() {
        let fallback = Some(Unusable::OtherArchitecture { guest: Arch::Arm64 });
        let decision = Decision { accelerator: Accelerator::Tcg, fallback, trial: None };
        insta::assert_snapshot!(decision.notice().unwrap(), @"this machine's processor does not run arm64 programs: the guest runs in software emulation, which is slower");
    }

    #[test]
    fn what_qemu_said_is_in_the_error_but_not_in_the_notice() {
        let last_words = "kvm_buf_set_msrs: Assertion failed".to_owned();
        let reason = Unusable::Died { status: "was killed by signal 6".to_owned(), last_words };
        assert_eq!(reason.to_string(), "QEMU was killed by signal 6 on a trial guest");
        let error = AccelError::Unusable { accelerator: Accelerator::Kvm, reason };
        assert_eq!(
            error.to_string(),
            "the accelerator `kvm` cannot run this image here: QEMU was killed by signal 6 on a trial guest: \
             kvm_buf_set_msrs: Assertion failed"
        );
    }

    #[test]
    fn a_missing_permission_tells_how_to_get_it() {
        let reason = Unusable::NoPermission { user: 1000 };
        let error = AccelError::Unusable { accelerator: Accelerator::Kvm, reason };
        assert_eq!(error.class(), Class::HostUnsupported);
        assert!(error.hint().unwrap().contains("usermod -aG kvm"));
    }
}
