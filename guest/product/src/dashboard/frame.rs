//! The frame of every page: who is signed in, which part of the dashboard this is, and which machine.

use crate::{settings::Settings, store::users::User};

/// The part of the navigation that is marked as current.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    None,
    Projects,
    Status,
}

/// The frame of one page.
pub(super) struct Frame {
    pub(super) section: Section,
    /// The e-mail address of the user who is signed in.
    pub(super) signed_in: Option<String>,
    /// The name of this virtual machine, unless it is the only one or has no name.
    pub(super) instance: Option<String>,
}

impl Frame {
    pub(super) fn new(settings: &Settings, section: Section, admin: Option<&User>) -> Self {
        let instance = settings.instance.clone().filter(|name| name != "default");
        Self { section, signed_in: admin.map(|admin| admin.primary_email.clone()), instance }
    }

    /// The frame of an error page, which has neither a user nor a section.
    pub(super) fn of_error() -> Self {
        Self { section: Section::None, signed_in: None, instance: None }
    }

    pub(super) fn is_projects(&self) -> bool {
        self.section == Section::Projects
    }

    pub(super) fn is_status(&self) -> bool {
        self.section == Section::Status
    }
}
