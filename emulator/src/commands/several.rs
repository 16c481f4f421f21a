//! What commands that act on several instances have in common: how many at a time, and what is reported of each.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use base::events::{Event, Phase, Reporter, Unit};
use futures_util::stream::{self, StreamExt as _};
use instances::instance::error::InstanceError;
use instances::name::InstanceName;
use instances::registry::Registry;

use crate::context::Context;
use crate::errors::{CommandError, ErrorView};
use crate::hints;

/// What came of one of several instances. A person has read the error already; this is for programs.
pub(super) type Outcome<T> = Result<T, ErrorView>;

/// All instances of the home, each in a context of its own.
pub(super) fn all<'a>(context: &Context<'a>) -> Result<Vec<Context<'a>>, CommandError> {
    let names = Registry::new(&context.home).names().map_err(InstanceError::from)?;
    Ok(names.into_iter().map(|name| context.about(name)).collect())
}

/// Does `work` for each instance, as many at a time as there are processors, and gives what came of each, in their order. An instance that
/// fails does not keep the others from theirs.
pub(super) async fn each<'a, T>(
    title: &str,
    contexts: &[Context<'a>],
    work: impl AsyncFn(&Context<'a>, &dyn Reporter) -> Result<T, CommandError>,
) -> Vec<Outcome<T>> {
    let Some(console) = contexts.first().map(|context| context.console) else { return Vec::new() };
    let phase = Phase::start(console, "instances", title);
    let total = contexts.len() as u64;
    let at_once = available_parallelism().map_or(1, NonZeroUsize::get);
    let one = async |context: &Context<'a>| {
        let reporter = Named { name: &context.name, next: console };
        work(context, &reporter).await.map_err(|error| failed(context, &error))
    };
    let mut outcomes = Vec::with_capacity(contexts.len());
    let mut work = stream::iter(contexts).map(&one).buffered(at_once);
    while let Some(outcome) = work.next().await {
        outcomes.push(outcome);
        phase.progress(outcomes.len() as u64, Some(total), Unit::Steps);
    }
    if outcomes.iter().all(Result::is_ok) {
        phase.done();
    }
    outcomes
}

/// Reports the error, and gives it as programs read it.
fn failed(context: &Context<'_>, error: &CommandError) -> ErrorView {
    let hint = hints::of(error, &context.name);
    context.console.line(&format!("`{}` failed:", context.name));
    context.console.error(error, hint.as_deref());
    ErrorView::of(error, hint)
}

/// Reports of one of several instances: what is shown says which one it is about, and its phases are details.
struct Named<'a> {
    name: &'a InstanceName,
    next: &'a dyn Reporter,
}

impl Reporter for Named<'_> {
    fn report(&self, event: &Event<'_>) {
        let name = format!("`{}`", self.name);
        let named = |text: &str| {
            if text.contains(&name) { text.to_owned() } else { format!("{name}: {text}") }
        };
        match *event {
            Event::Notice(text) => self.next.report(&Event::Notice(&named(text))),
            Event::Warning(text) => self.next.report(&Event::Warning(&named(text))),
            Event::Detail { phase, text } => self.next.report(&Event::Detail { phase, text: &named(text) }),
            Event::Ended { phase, title, elapsed, .. } => {
                let text = named(&format!("{title} ({})", base::console::seconds(elapsed)));
                self.next.report(&Event::Detail { phase, text: &text });
            }
            Event::Started { .. } | Event::Progress { .. } => {}
        }
    }
}
