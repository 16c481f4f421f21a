//! All that the host sends to the guest: the settings of its first boot, the message of each resume, and how both reach it.

pub(crate) mod deliver;
pub(crate) mod message;
pub(crate) mod settings;
