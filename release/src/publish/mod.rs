//! Publishing: a plan that is computed first, as a whole, and then carried out.
//!
//! A [`Plan`] says everything that is going to be there: releases, their notes, and of every asset size and digest.
//! [`carry_out`] compares it with what is there and makes the difference good, so that doing it again after a failure at any
//! step leads to the same end.

mod age;
mod api;
mod error;
mod execute;
pub mod notes;
pub mod plan;
mod rolling;
mod upload;

pub use error::PublishError;
pub use execute::carry_out;
pub use plan::{Choices, Image, Kind, Plan, PlanError, PlannedAsset, PlannedRelease, Source};
