//! Which of some things use which others.

use std::collections::{BTreeMap, BTreeSet};

/// Arrows from what uses to what is used.
#[derive(Debug, Default)]
pub(crate) struct Graph(BTreeMap<String, BTreeSet<String>>);

impl FromIterator<(String, String)> for Graph {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(arrows: I) -> Self {
        let mut graph = Self::default();
        for (from, to) in arrows {
            graph.0.entry(from).or_default().insert(to);
        }
        graph
    }
}

impl Graph {
    /// All that `from` leads to, by one arrow or more.
    fn reach(&self, from: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            for to in self.0.get(at).into_iter().flatten() {
                if reached.insert(to.as_str()) {
                    open.push(to);
                }
            }
        }
        reached
    }

    /// The arrows without those that follow from others, of a graph without circles.
    pub(crate) fn reduced(&self) -> Vec<(&str, &str)> {
        let arrows =
            self.0.iter().flat_map(|(from, to)| to.iter().map(move |to| (from.as_str(), to.as_str())));
        let follows = |(from, to): &(&str, &str)| self.0[*from].iter().any(|by| self.reach(by).contains(to));
        arrows.filter(|arrow| !follows(arrow)).collect()
    }

    /// The largest sets in which everything leads to everything.
    pub(crate) fn circles(&self) -> BTreeSet<Vec<String>> {
        let circle = |one: &String| {
            let reach = self.reach(one);
            if !reach.contains(one.as_str()) {
                return None;
            }
            let back = reach.into_iter().filter(|other| self.reach(other).contains(one.as_str()));
            Some(back.map(str::to_owned).collect())
        };
        self.0.keys().filter_map(circle).collect()
    }
}

#[test]
fn everything_on_a_circle_is_found_and_nothing_beside_it() {
    let arrows = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("e", "e")];
    let graph: Graph = arrows.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    let circles: Vec<_> = graph.circles().into_iter().collect();
    assert_eq!(circles, [vec!["b", "c"], vec!["e"]]);
}

#[test]
fn an_arrow_that_follows_from_others_is_left_out() {
    let arrows = [("a", "b"), ("b", "c"), ("a", "c")];
    let graph: Graph = arrows.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    assert_eq!(graph.reduced(), [("a", "b"), ("b", "c")]);
}
