//! Publishing against a GitHub on loopback.

#![expect(clippy::unwrap_used, reason = "what a test cannot do fails it")]

mod age;
mod converge;
mod fixture;
mod meanwhile;
mod plan;
mod refusals;
