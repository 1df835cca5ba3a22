//! More than one node: a cache in front that gives each file to one of them by a consistent hash.

use super::cache::{before, large, path, public, sent};
use super::clients::{Client, Program};
use super::lan::Lan;
use crate::support::content::content;
use crate::support::lab::Dist;

#[test]
fn each_file_has_its_node_and_the_other_takes_over() {
    let dists: Vec<Dist> =
        (0..16).map(|i| Dist::new(&format!("foo-{i}.tar"), &content(i, 20_000))).chain([large(99)]).collect();
    let later: Vec<Dist> =
        (0..6).map(|i| Dist::new(&format!("new-{i}.tar"), &content(50 + i, 20_000))).collect();
    let mirror = public(&[dists.clone(), later.clone()].concat());
    let mut nodes = [before(&[&mirror]), before(&[&mirror])];
    let bases = nodes.each_ref().map(Lan::base);
    let fronts = [(); 2].map(|()| Lan::start_with(&bases, "", &["--consistent"]));
    for front in &fronts {
        for dist in &dists {
            Client::new(Program::Curl, dist).fetch(front);
        }
    }
    let wanted: usize = dists.iter().map(|dist| dist.content.len()).sum();
    assert_eq!(sent(&[&mirror]), wanted, "each file is fetched by one node only");
    let asked = |node: &Lan, dist: &Dist| node.log("access.log").contains(&format!("\"GET {}\"", path(dist)));
    let share = |node: &Lan| dists.iter().filter(|dist| asked(node, dist)).count();
    let shares = nodes.each_ref().map(share);
    assert!(shares.iter().all(|share| *share > 0) && shares[0] + shares[1] == dists.len(), "{shares:?}");

    nodes[0].kill();
    for front in &fronts {
        for dist in dists.iter().chain(&later) {
            Client::new(Program::Curl, dist).fetch(front);
        }
        Client::new(Program::Racefetch, &dists[16]).fetch(front);
    }
}
