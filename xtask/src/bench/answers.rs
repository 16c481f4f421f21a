//! What `emulator … -o json` prints, as far as the measurements need it.

use base::events::Timing;
use instances::instance::live::StartedBy;
use serde::Deserialize;
use vm::machine::Accelerator;

use super::scenario::StartKind;

/// Phase in which a snapshot's machine boots. A start that has it has waited for what should have been there.
const CAPTURE_BOOT: &str = "capture-boot";

/// Phases of a capture before its guest answers, which any boot has, and after it is done.
const NOT_THE_CAPTURE: [&str; 4] = [CAPTURE_BOOT, "image", "accelerator", "prune"];

/// What `start` prints.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartAnswer {
    already_running: bool,
    started_by: StartedBy,
    cold_because: Option<String>,
    rotated: bool,
    pub(super) accelerator: Accelerator,
    pub(super) pid: Option<i32>,
    pub(super) phases: Vec<Timing>,
    ports: Vec<Port>,
}

/// A port of the host.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Port {
    name: String,
    url: String,
}

impl StartAnswer {
    /// Where the service called `name` is found, without a slash at the end.
    pub(super) fn url(&self, name: &str) -> Option<&str> {
        let port = self.ports.iter().find(|port| port.name == name)?;
        Some(port.url.trim_end_matches('/'))
    }

    /// Whether it was the start that was to be measured.
    ///
    /// # Errors
    /// With what was different.
    pub(super) fn check(&self, kind: &StartKind) -> Result<(), String> {
        if self.already_running {
            return Err("it ran already".to_owned());
        }
        if let Some(because) = &self.cold_because {
            return Err(format!("it was booted, since {because}"));
        }
        if self.started_by != kind.by {
            return Err(format!("it was started by {:?} instead of {:?}", self.started_by, kind.by));
        }
        if self.rotated != kind.rotated {
            let text = if self.rotated { "secrets of its own" } else { "the image's placeholders" };
            return Err(format!("it has {text}"));
        }
        if self.phases.iter().any(|timing| timing.phase == CAPTURE_BOOT) {
            return Err("it made a snapshot first: the image or QEMU was replaced meanwhile".to_owned());
        }
        Ok(())
    }
}

/// What `stop` prints.
#[derive(Debug, Deserialize)]
pub(super) struct StopAnswer {
    pub(super) ending: String,
    /// From the lock of the instance to the end of QEMU.
    pub(super) seconds: f64,
}

/// What `capture` prints.
#[derive(Debug, Deserialize)]
pub(crate) struct CaptureAnswer {
    /// Its name.
    pub(crate) snapshot: String,
    phases: Vec<Timing>,
}

impl CaptureAnswer {
    /// The phases that a capture has and a boot has not.
    pub(super) fn beyond_the_boot(self) -> Vec<Timing> {
        let beyond = |timing: &Timing| !NOT_THE_CAPTURE.contains(&timing.phase.as_str());
        self.phases.into_iter().filter(beyond).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{COLD, TEMPLATE};
    use super::*;

    /// What the program prints, with keys that are not read here.
    fn started(change: &[(&str, serde_json::Value)]) -> StartAnswer {
        let mut answer = serde_json::json!({
            "schemaVersion": 1,
            "instance": "default",
            "alreadyRunning": false,
            "startedBy": "snapshot",
            "coldBecause": null,
            "rotated": true,
            "accelerator": "tcg",
            "pid": 4711,
            "phases": [{"phase": "disk", "seconds": 0.01}, {"phase": "load", "seconds": 0.2}],
            "ports": [{"name": "backend", "host": 8102, "url": "http://127.0.0.1:8102"}],
            "seconds": 0.4,
        });
        for (key, value) in change {
            answer[*key] = value.clone();
        }
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn a_start_is_read_with_its_phases() {
        let started = started(&[]);
        assert_eq!((started.pid, started.accelerator), (Some(4711), Accelerator::Tcg));
        assert_eq!(started.phases[1], Timing { phase: "load".into(), seconds: 0.2 });
        assert_eq!((started.url("backend"), started.url("other")), (Some("http://127.0.0.1:8102"), None));
        started.check(&TEMPLATE).unwrap();
    }

    #[test]
    fn a_start_of_another_kind_is_refused_with_the_difference() {
        let capture = serde_json::json!([{"phase": "capture-boot", "seconds": 9.0}]);
        let refusals = [
            started(&[]).check(&COLD),
            started(&[("alreadyRunning", true.into())]).check(&TEMPLATE),
            started(&[("startedBy", "cold".into()), ("coldBecause", "the guest hangs".into())])
                .check(&TEMPLATE),
            started(&[("rotated", false.into())]).check(&TEMPLATE),
            started(&[("phases", capture)]).check(&TEMPLATE),
        ];
        insta::assert_snapshot!(refusals.map(Result::unwrap_err).join("\n"), @r"
        it was started by Snapshot instead of Cold
        it ran already
        it was booted, since the guest hangs
        it has the image's placeholders
        it made a snapshot first: the image or QEMU was replaced meanwhile
        ");
    }

    #[test]
    fn what_a_capture_costs_begins_when_its_guest_answers() {
        let answer = r#"{"snapshot": "one", "phases": [
            {"phase": "image", "seconds": 0.1}, {"phase": "accelerator", "seconds": 0.1},
            {"phase": "capture-boot", "seconds": 12.0}, {"phase": "prepare", "seconds": 2.0}, {"phase": "save", "seconds": 0.5}]}"#;
        let captured: CaptureAnswer = serde_json::from_str(answer).unwrap();
        let phases = captured.beyond_the_boot();
        assert_eq!(
            phases.iter().map(|timing| timing.phase.as_str()).collect::<Vec<_>>(),
            ["prepare", "save"]
        );
    }
}
