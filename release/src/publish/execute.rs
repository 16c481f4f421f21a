//! Carrying a plan out: what is there is compared with what is to be there, and the difference made good.

use backon::Retryable;
use base::events::{Event, Reporter};

use super::plan::{Kind, Plan, PlannedAsset, PlannedRelease};
use super::upload::upload;
use super::{PublishError, age, api, rolling};
use crate::github::model::{Asset, Release};
use crate::github::{GitHub, backoff};

/// Makes every release of `plan`, in its order. Whatever failed or was killed before, it ends with what the plan says; passing failures are
/// tried again. Gives the releases that are what the plan says: all but a rolling one that has something newer, which stays.
///
/// # Errors
/// When a release cannot be made. What was done stays, and the next attempt resumes there.
pub async fn carry_out<'a>(
    plan: &'a Plan,
    github: &GitHub,
    reporter: &dyn Reporter,
) -> Result<Vec<&'a PlannedRelease>, PublishError> {
    if github.token().is_none() {
        return Err(PublishError::NoToken);
    }
    let mut made = Vec::new();
    for planned in &plan.releases {
        let publication = Publication { planned, github, reporter };
        let again =
            |error: &PublishError, _| reporter.report(&Event::Notice(&format!("{error}; trying again")));
        let once = || publication.once();
        if once.retry(backoff()).when(PublishError::is_passing).notify(again).await? {
            made.push(planned);
        }
    }
    Ok(made)
}

/// One release on its way.
pub(super) struct Publication<'a> {
    pub(super) planned: &'a PlannedRelease,
    pub(super) github: &'a GitHub,
    pub(super) reporter: &'a dyn Reporter,
}

impl Publication<'_> {
    /// Makes the release, and returns whether it did: one that has something newer stays.
    async fn once(&self) -> Result<bool, PublishError> {
        let found = api::find(self.github, &self.planned.tag).await?;
        let release = match found {
            Some(release) if release.draft => self.fill(release).await?,
            Some(release) => match self.planned.kind {
                Kind::Immutable => return self.compare(&release).map(|()| true),
                Kind::Rolling if self.stays(&release).await? => return Ok(false),
                Kind::Rolling => return rolling::replace(self, release).await.map(|()| true),
            },
            None => {
                let draft = api::create(self.github, self.planned).await?;
                self.fill(draft).await?
            }
        };
        self.publish(release.id).await?;
        Ok(true)
    }

    /// Whether the published release has something newer, and stays as it is for that: what is planned is of an old run, or was built by
    /// hand.
    async fn stays(&self, release: &Release) -> Result<bool, PublishError> {
        let PlannedRelease { tag, commit, replaces_newer, .. } = self.planned;
        let newer =
            if *replaces_newer { None } else { age::newer(self.github, self.planned, release).await? };
        let Some(newer) = newer else { return Ok(false) };
        self.reporter.report(&Event::Warning(&format!(
            "`{tag}` stays as it is: what it has is of {newer}, and newer than {commit}; `--replace-newer` replaces it nevertheless"
        )));
        Ok(true)
    }

    /// Publishes the release, with its tag on the plan's commit. Where the token may not put it there, it is where GitHub puts it, and a
    /// warning says so: nothing that is downloaded depends on it.
    async fn publish(&self, id: u64) -> Result<(), PublishError> {
        let PlannedRelease { tag, commit, .. } = self.planned;
        let target = api::tagged(self.github, tag).await?.is_none().then_some(commit.as_str());
        match api::publish(self.github, id, self.planned, target).await {
            Err(error) if target.is_some() && api::is_refusal(&error) => {
                api::publish(self.github, id, self.planned, None).await?;
                self.move_tag().await
            }
            done => Ok(done.map(drop)?),
        }
    }

    /// Puts the tag on what the files were built from, as far as the token may.
    pub(super) async fn move_tag(&self) -> Result<(), PublishError> {
        let PlannedRelease { tag, commit, .. } = self.planned;
        match api::move_tag(self.github, tag, commit).await {
            Err(error) if api::is_refusal(&error) => {
                let text = format!("the tag `{tag}` is not on {commit}, and cannot be put there: {error}");
                self.reporter.report(&Event::Warning(&text));
                Ok(())
            }
            done => Ok(done?),
        }
    }

    /// Gives a draft the assets of the plan and no others.
    async fn fill(&self, draft: Release) -> Result<Release, PublishError> {
        let is_right = |asset: &Asset| {
            self.planned.assets.iter().any(|planned| asset.name == planned.name && holds(asset, planned))
        };
        for asset in draft.assets.iter().filter(|asset| !is_right(asset)) {
            api::delete(self.github, asset).await?;
        }
        for planned in &self.planned.assets {
            let there = draft.assets.iter().any(|asset| asset.name == planned.name && is_right(asset));
            if !there {
                upload(self.github, &draft, planned, &planned.name, self.reporter).await?;
            }
        }
        let filled = api::look(self.github, draft.id).await?;
        for planned in &self.planned.assets {
            self.verify(&filled, planned, &planned.name)?;
        }
        Ok(filled)
    }

    /// A published release that never changes has to be what the plan says.
    fn compare(&self, release: &Release) -> Result<(), PublishError> {
        for planned in &self.planned.assets {
            let (tag, name) = (self.planned.tag.clone(), planned.name.clone());
            let Some(found) = release.asset(&name) else {
                return Err(PublishError::PublishedWithout { tag, name });
            };
            if !self.matches(&self.planned.tag, found, planned) {
                let (expected, found) = (planned.sha256, shown(found));
                return Err(PublishError::Published { tag, name, expected, found });
            }
        }
        Ok(())
    }

    /// Checks that the release has `planned` as `name`.
    pub(super) fn verify(
        &self,
        release: &Release,
        planned: &PlannedAsset,
        name: &str,
    ) -> Result<(), PublishError> {
        let (tag, name) = (release.tag_name.clone(), name.to_owned());
        let Some(asset) = release.asset(&name) else { return Err(PublishError::Missing { tag, name }) };
        if self.matches(&tag, asset, planned) {
            return Ok(());
        }
        Err(PublishError::Digest { tag, name, expected: planned.sha256, found: shown(asset) })
    }

    /// Whether a complete asset is what is planned, by the digest that the API reports. Not every GitHub Enterprise server reports one:
    /// then the size is compared, with a warning.
    fn matches(&self, tag: &str, asset: &Asset, planned: &PlannedAsset) -> bool {
        match asset.sha256 {
            Some(found) => found == planned.sha256,
            None if asset.size == planned.size => {
                let text = format!(
                    "the API reports no digest of `{}` in release `{tag}`: only its size was compared",
                    asset.name
                );
                self.reporter.report(&Event::Warning(&text));
                true
            }
            None => false,
        }
    }
}

/// Whether an asset is complete, and known to have the content of the plan.
pub(super) fn holds(asset: &Asset, planned: &PlannedAsset) -> bool {
    asset.is_complete() && asset.sha256 == Some(planned.sha256)
}

fn shown(asset: &Asset) -> String {
    asset.sha256.map_or_else(|| format!("unknown, of {} bytes", asset.size), String::from)
}
