//! Mail for programs that are developed against it: every message is caught, and none leaves the machine.
//!
//! SMTP brings messages in, the first version of Inbucket's REST interface and pages for people show them. The parsers of SMTP and of
//! messages are those of crates `smtp-proto` and `mail-parser`; the session, the storage and the answers are our own.

mod address;
mod budget;
mod events;
mod failure;
mod front;
mod inbox;
mod links;
mod message;
mod pages;
mod part;
mod rest;
mod self_test;
mod settings;
mod smtp;
mod store;
#[cfg(test)]
mod tests;

pub use part::{NAME, migrate, open};
