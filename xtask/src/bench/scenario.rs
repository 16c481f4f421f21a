//! What is measured, and in which order.

use std::fmt;

use instances::instance::live::StartedBy;
use serde::Serialize;
use vm::saving::Strategy;

/// Rounds in which snapshots are captured: each costs a boot.
const CAPTURE_ROUNDS: usize = 5;

/// One thing that a user waits for, in the order in which people read them. The names are an interface: figures are compared by them over years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scenario {
    /// `start --no-snapshot` of a new session.
    Cold,
    /// `start` of a new session from a `template` snapshot, with secrets of its own.
    Template,
    /// The same with the image's placeholders.
    TemplateNoRotation,
    /// `start` of a new session from a `mapped-ram` snapshot, with secrets of its own.
    MappedRam,
    /// The same with the image's placeholders.
    MappedRamNoRotation,
    /// `start` of a suspended session.
    Suspended,
    /// `stop` of a session that [`Scenario::Template`] has started, which suspends it.
    Stop,
    /// `capture --strategy template`, from the moment on in which the guest has booted.
    CaptureTemplate,
    /// `capture --strategy mapped-ram`, likewise.
    CaptureMappedRam,
}

impl Scenario {
    /// Its name in JSON, tables and plots.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Template => "template",
            Self::TemplateNoRotation => "template_no_rotation",
            Self::MappedRam => "mapped_ram",
            Self::MappedRamNoRotation => "mapped_ram_no_rotation",
            Self::Suspended => "suspended",
            Self::Stop => "stop",
            Self::CaptureTemplate => "capture_template",
            Self::CaptureMappedRam => "capture_mapped_ram",
        }
    }

    /// The scenario of a capture.
    pub(super) const fn capture(strategy: Strategy) -> Self {
        match strategy {
            Strategy::Template => Self::CaptureTemplate,
            Strategy::MappedRam => Self::CaptureMappedRam,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A start that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StartKind {
    /// What is measured by it.
    pub(super) scenario: Scenario,
    /// Arguments of `start`.
    pub(super) args: &'static [&'static str],
    /// How it has to begin.
    pub(super) by: StartedBy,
    /// Whether the session is to have secrets of its own.
    pub(super) rotated: bool,
}

/// Starts of new sessions.
pub(super) const COLD: StartKind =
    StartKind { scenario: Scenario::Cold, args: &["--no-snapshot"], by: StartedBy::Cold, rotated: true };
pub(super) const TEMPLATE: StartKind = StartKind {
    scenario: Scenario::Template,
    args: &["--strategy", "template"],
    by: StartedBy::Snapshot,
    rotated: true,
};
pub(super) const TEMPLATE_NO_ROTATION: StartKind = StartKind {
    scenario: Scenario::TemplateNoRotation,
    args: &["--strategy", "template", "--no-rotation"],
    rotated: false,
    ..TEMPLATE
};
const MAPPED_RAM: StartKind =
    StartKind { scenario: Scenario::MappedRam, args: &["--strategy", "mapped-ram"], ..TEMPLATE };
const MAPPED_RAM_NO_ROTATION: StartKind = StartKind {
    scenario: Scenario::MappedRamNoRotation,
    args: &["--strategy", "mapped-ram", "--no-rotation"],
    rotated: false,
    ..TEMPLATE
};

/// The start of what [`Turn::Suspend`] has stopped.
pub(super) const SUSPENDED: StartKind =
    StartKind { scenario: Scenario::Suspended, args: &[], by: StartedBy::Suspended, rotated: true };

/// What a round does in one go, with a new session each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// A start.
    Start(StartKind),
    /// [`Scenario::Template`], [`Scenario::Stop`] and [`Scenario::Suspended`], of which each needs the one before.
    Suspend,
    /// A capture.
    Capture(Strategy),
}

const TURNS: [Turn; 7] = [
    Turn::Start(COLD),
    Turn::Suspend,
    Turn::Start(TEMPLATE_NO_ROTATION),
    Turn::Start(MAPPED_RAM),
    Turn::Start(MAPPED_RAM_NO_ROTATION),
    Turn::Capture(Strategy::Template),
    Turn::Capture(Strategy::MappedRam),
];

impl Turn {
    /// What a person reads while it lasts.
    pub(super) fn title(self) -> String {
        match self {
            Self::Start(kind) => kind.scenario.to_string(),
            Self::Suspend => {
                [Scenario::Template, Scenario::Stop, Scenario::Suspended].map(Scenario::as_str).join(", ")
            }
            Self::Capture(strategy) => Scenario::capture(strategy).to_string(),
        }
    }

    /// The round that is not counted: whatever is read from the disk or found out for the first time is so in it. Snapshots
    /// have been captured just before.
    pub(super) fn warm_up() -> Vec<Self> {
        TURNS.into_iter().filter(|turn| !matches!(turn, Self::Capture(_))).collect()
    }

    /// The turns of a round, counted from 0. Each begins with another, so that none is always measured after the same one.
    pub(super) fn of_round(round: usize) -> Vec<Self> {
        let mut turns = TURNS;
        turns.rotate_left(round % TURNS.len());
        let takes_part = |turn: &Self| round < CAPTURE_ROUNDS || !matches!(turn, Self::Capture(_));
        turns.into_iter().filter(takes_part).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const ALL: [Scenario; 9] = [
        Scenario::Cold,
        Scenario::Template,
        Scenario::TemplateNoRotation,
        Scenario::MappedRam,
        Scenario::MappedRamNoRotation,
        Scenario::Suspended,
        Scenario::Stop,
        Scenario::CaptureTemplate,
        Scenario::CaptureMappedRam,
    ];

    fn shown(round: usize) -> String {
        Turn::of_round(round).into_iter().map(Turn::title).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn each_round_begins_with_the_next_scenario_and_only_the_first_capture() {
        insta::assert_snapshot!([0, 1, 6, 7].map(shown).join("\n"), @r"
        cold; template, stop, suspended; template_no_rotation; mapped_ram; mapped_ram_no_rotation; capture_template; capture_mapped_ram
        template, stop, suspended; template_no_rotation; mapped_ram; mapped_ram_no_rotation; capture_template; capture_mapped_ram; cold
        cold; template, stop, suspended; template_no_rotation; mapped_ram; mapped_ram_no_rotation
        cold; template, stop, suspended; template_no_rotation; mapped_ram; mapped_ram_no_rotation
        ");
    }

    #[test]
    fn names_in_json_are_those_in_tables() {
        for scenario in ALL {
            assert_eq!(serde_json::to_value(scenario).unwrap(), scenario.as_str());
        }
    }
}
