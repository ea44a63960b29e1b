//! What takes many calls: scans, leaks, floods of queues. Each attack and a harmless program of the same kind go in, with what is to
//! be found in each.

use msgget_trace::detect::Severity::{Critical, High, Medium};

use crate::{
    score::{Expected, Run},
    stage::{ALICE, Cast, MALLORY, Space, Stage, Told, User},
};

/// All of them.
pub(crate) fn runs(stage: &Stage) -> Vec<Run> {
    [scan, refused, exhaustion, leak, spray].iter().flat_map(|scenario| scenario(stage)).collect()
}

fn scan(stage: &Stage) -> Vec<Run> {
    let scanner = Cast::new(stage, Space::new(), MALLORY).run(&["scan=1000,100,0"]);
    let client = Cast::new(stage, Space::new(), ALICE).run(&["scan=1000,20,0"]);
    vec![
        Run::new("a hundred keys in a row", &[&scanner]).expects(Expected::new("key_scan", High, &scanner)),
        Run::new("twenty keys in a row", &[&client]).without("key_scan"),
    ]
}

fn refused(stage: &Stage) -> Vec<Run> {
    let run = |keys: &str| {
        let space = Space::new();
        let owner = Cast::new(stage, space, ALICE).run(&["scan=1000,10,3600"]);
        (owner, Cast::new(stage, space, MALLORY).run(&[keys]))
    };
    let (owner, scanner) = run("scan=1000,10,600");
    let (other_owner, client) = run("scan=1000,2,600");
    vec![
        Run::new("ten keys of another's", &[&owner, &scanner]).expects(Expected::new("key_scan", High, &scanner)),
        Run::new("two keys of another's", &[&other_owner, &client]).without("key_scan"),
    ]
}

/// A namespace with room for 40 queues.
fn small(stage: &Stage) -> Space {
    let space = Space::new();
    Cast::new(stage, space, User::Root).run(&["write=/proc/sys/kernel/msgmni,40"]);
    space
}

fn exhaustion(stage: &Stage) -> Vec<Run> {
    let space = small(stage);
    let leaker = Cast::new(stage, space, MALLORY).run(&["make=50,600"]);
    let victim = Cast::new(stage, space, ALICE).run(&["get=71,3600"]);
    assert_eq!((leaker.results.len(), &victim.results[..]), (41, &[-28][..]));
    let attacked = Run::new("a namespace filled", &[&leaker, &victim])
        .expects(Expected::new("exhaustion", High, &leaker))
        .expects(Expected::new("exhaustion", High, &victim));
    let space = small(stage);
    let neighbour = Cast::new(stage, space, MALLORY).run(&["make=30,600"]);
    let alone = Cast::new(stage, space, ALICE).run(&["get=71,3600"]);
    vec![attacked, Run::new("a namespace with room left", &[&neighbour, &alone]).without("exhaustion")]
}

fn leak(stage: &Stage) -> Vec<Run> {
    let leaky = Cast::new(stage, Space::new(), MALLORY).run(&["fork=20,8"]);
    let tidy = Cast::new(stage, Space::new(), MALLORY).run(&["brief=20,8"]);
    vec![
        Run::new("twenty processes that leave queues", &[&leaky]).expects(Expected::new("queue_leak", Medium, &leaky)),
        Run::new("twenty processes that leave none", &[&tidy]).without("queue_leak"),
    ]
}

fn spray(stage: &Stage) -> Vec<Run> {
    let run = |step: &str| -> Told {
        let own = ["setpriv", "--reuid=4102", "--regid=4102", "--clear-groups", "unshare", "-U", "-r", "-i"];
        let mut told = Cast::new(stage, Space::new(), User::Root).within(&own).run(&[step]);
        // Root in a user namespace of its own, and outside still:
        (told.processes[0].uid, told.processes[0].euid) = (4102, 4102);
        told
    };
    let (sprayer, stressor) = (run("make=300,600"), run("turn=300,600"));
    let alone = |step: &str| Cast::new(stage, Space::new(), MALLORY).run(&[step]);
    let (exploit, benchmark) = (alone("make=4096,600"), alone("make=1024,600"));
    vec![
        Run::new("as many queues as CVE-2021-22555 makes", &[&exploit]).expects(Expected::new(
            "queue_spray",
            Critical,
            &exploit,
        )),
        Run::new("as many queues as stress-ng makes", &[&benchmark]).at_most("queue_spray", Medium),
        Run::new("three hundred queues at once", &[&sprayer]).expects(Expected::new("queue_spray", Critical, &sprayer)),
        Run::new("three hundred queues in turn", &[&stressor]).without("queue_spray"),
    ]
}
