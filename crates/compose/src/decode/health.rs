//! `healthcheck`.

use super::At;
use crate::error::Result;
use crate::keys;
use crate::model::{HealthCheck, HealthTest};

impl At<'_> {
    pub(super) fn health(&self) -> Result<HealthCheck> {
        let fields = self.fields(&keys::HEALTH)?;
        let disabled = fields.or_default("disable", At::boolean)?;
        let test = match fields.get("test") {
            Some(at) => Some(at.health_test()?),
            None => None,
        };
        if disabled || test == Some(None) {
            return Ok(HealthCheck::Disabled);
        }
        Ok(HealthCheck::Check {
            test: test.flatten(),
            interval: fields.read("interval", At::duration)?,
            timeout: fields.read("timeout", At::duration)?,
            retries: fields.read("retries", At::integer)?,
            start_period: fields.read("start_period", At::duration)?,
            start_interval: fields.read("start_interval", At::duration)?,
        })
    }

    /// The program; nothing for `NONE`.
    fn health_test(&self) -> Result<Option<HealthTest>> {
        if !self.is_list() {
            return Ok(Some(HealthTest::Shell(self.filled()?.to_owned())));
        }
        let forms = "write `[\"CMD\", \"program\", …]`, `[\"CMD-SHELL\", \"line\"]` or `[\"NONE\"]`";
        let words = self.texts()?;
        match words.split_first() {
            Some((kind, [])) if kind == "NONE" => Ok(None),
            Some((kind, [line])) if kind == "CMD-SHELL" => Ok(Some(HealthTest::Shell(line.clone()))),
            Some((kind, words @ [_, ..])) if kind == "CMD" => Ok(Some(HealthTest::Exec(words.to_vec()))),
            _ => Err(self.error("is not the test of a health check").instead(forms)),
        }
    }
}
