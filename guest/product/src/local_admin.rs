//! The one account that exists from the start. A local emulator's credentials are not secret: the sign-in page shows them.

/// The address to sign in with.
pub(crate) const EMAIL: &str = "admin@example.com";
/// The password to sign in with.
pub(crate) const PASSWORD: &str = "local-emulator";
/// What the dashboard calls the account.
pub(crate) const DISPLAY_NAME: &str = "Local admin";
