//! Habits that leave a window, and who uses it: each attack and the same program without an attacker go in, with what is to be found
//! in each.

use msgget_trace::detect::Severity::{High, Info, Low, Medium};

use crate::{
    score::{Expected, Run},
    stage::{ALICE, Cast, MALLORY, Space, Stage, User},
};

/// All of them.
pub(crate) fn runs(stage: &Stage) -> Vec<Run> {
    [notes, check_then_create, destroy_and_recreate, fallback, fallback_raced, squatted, weak_mode, handle]
        .iter()
        .flat_map(|scenario| scenario(stage))
        .collect()
}

/// What one program does by itself.
fn notes(stage: &Stage) -> Vec<Run> {
    let alone = |steps: &[&str]| Cast::new(stage, Space::new(), ALICE).run(steps);
    let private = alone(&["get=0,600"]);
    let accident = alone(&["get=0,1000"]);
    let careless = alone(&["get=71,1600"]);
    let careful = alone(&["get=71,3600", "get=71,600"]);
    vec![
        Run::new("a private queue", &[&private]).expects(Expected::new("private_key", Info, &private)),
        Run::new("a key that came out as 0", &[&accident])
            .expects(Expected::new("accidental_private_key", Medium, &accident))
            .without("private_key"),
        Run::new("IPC_CREAT alone", &[&careless]).expects(Expected::new("create_without_exclusive", Low, &careless)),
        Run::new("IPC_CREAT with IPC_EXCL", &[&careful])
            .without("private_key")
            .without("accidental_private_key")
            .without("create_without_exclusive")
            .without("check_then_create")
            .without("destroy_and_recreate")
            .without("exclusive_then_fallback")
            .without("weak_mode"),
    ]
}

fn check_then_create(stage: &Stage) -> Vec<Run> {
    let run = |attacked: bool, create: &str| {
        let space = Space::new();
        let victim = Cast::new(stage, space, ALICE).start(&["get=71,0", "pause", create]).paused();
        let squatter = attacked.then(|| Cast::new(stage, space, MALLORY).run(&["get=71,3666"]));
        (victim.go().end(), squatter)
    };
    let mut runs = Vec::new();
    for (name, create) in
        [("squatted between check and creation", "get=71,1600"), ("the same with IPC_EXCL", "get=71,3600")]
    {
        let (victim, squatter) = run(true, create);
        let squatter = squatter.unwrap();
        assert_eq!(squatter.results, [0]);
        let raced = Expected::new("check_then_create_raced", High, &victim).definite();
        let mut run = Run::new(name, &[&victim, &squatter])
            .expects(raced.with("victim", &victim).with("rival", &squatter))
            .expects(Expected::new("check_then_create", Medium, &victim))
            .expects(Expected::new("squatted_key", Medium, &victim).with("creator", &squatter));
        if victim.results == [-2, 0] {
            // The squatter's mode is what let the victim in.
            run = run.expects(Expected::new("weak_mode", High, &victim).with("creator", &squatter));
        }
        runs.push(run);
    }
    let (victim, _) = run(false, "get=71,1600");
    runs.push(
        Run::new("check and creation, nobody between", &[&victim])
            .expects(Expected::new("check_then_create", Medium, &victim))
            .without("check_then_create_raced")
            .without("squatted_key"),
    );
    let (victim, _) = run(false, "get=71,3600");
    runs.push(
        Run::new("check and exclusive creation", &[&victim]).at_most("check_then_create", Low).without("squatted_key"),
    );
    runs
}

fn destroy_and_recreate(stage: &Stage) -> Vec<Run> {
    let run = |attacked: bool| {
        let space = Space::new();
        let victim = Cast::new(stage, space, ALICE).start(&["get=71,3600", "rm", "pause", "get=71,1600"]).paused();
        let squatter = attacked.then(|| Cast::new(stage, space, MALLORY).run(&["get=71,3666"]));
        (victim.go().end(), squatter)
    };
    let (victim, squatter) = run(true);
    let squatter = squatter.unwrap();
    let raced = Expected::new("destroy_and_recreate_raced", High, &victim).definite();
    let attacked = Run::new("squatted between removal and creation", &[&victim, &squatter])
        .expects(raced.with("victim", &victim).with("rival", &squatter))
        .expects(Expected::new("destroy_and_recreate", Medium, &victim))
        .expects(Expected::new("squatted_key", High, &victim).with("creator", &squatter))
        .expects(Expected::new("weak_mode", High, &victim).with("creator", &squatter));
    let (victim, _) = run(false);
    let alone = Run::new("removal and creation, nobody between", &[&victim])
        .expects(Expected::new("destroy_and_recreate", Medium, &victim))
        .without("destroy_and_recreate_raced")
        .without("squatted_key");
    vec![attacked, alone]
}

fn fallback(stage: &Stage) -> Vec<Run> {
    let steps = ["get=71,3600", "get=71,600"];
    let space = Space::new();
    let squatter = Cast::new(stage, space, MALLORY).run(&["get=71,3666"]);
    let victim = Cast::new(stage, space, ALICE).run(&steps);
    assert_eq!(victim.results, [-17, 0]);
    let attacked = Run::new("fallback onto another user's queue", &[&victim, &squatter])
        .expects(Expected::new("exclusive_then_fallback", High, &victim))
        .expects(Expected::new("squatted_key", Medium, &victim).with("creator", &squatter))
        .expects(Expected::new("weak_mode", High, &victim).with("creator", &squatter))
        .without("exclusive_then_fallback_raced");
    let space = Space::new();
    let former = Cast::new(stage, space, ALICE).run(&["get=71,3600"]);
    let service = Cast::new(stage, space, ALICE).run(&steps);
    let alone = Run::new("fallback onto the own queue", &[&former, &service])
        .at_most("exclusive_then_fallback", Info)
        .without("exclusive_then_fallback_raced")
        .without("squatted_key");
    vec![attacked, alone]
}

fn fallback_raced(stage: &Stage) -> Vec<Run> {
    let space = Space::new();
    let squatter = Cast::new(stage, space, MALLORY).start(&["get=71,3666", "pause", "rm", "get=71,3666"]).paused();
    let victim = Cast::new(stage, space, ALICE).start(&["get=71,3600", "pause", "get=71,600"]).paused();
    let squatter = squatter.go().end();
    let victim = victim.go().end();
    let raced = Expected::new("exclusive_then_fallback_raced", High, &victim).definite();
    let attacked = Run::new("the queue replaced before the fallback", &[&victim, &squatter])
        .expects(raced.with("victim", &victim).with("rival", &squatter))
        .expects(Expected::new("exclusive_then_fallback", High, &victim))
        .expects(Expected::new("squatted_key", Medium, &victim).with("creator", &squatter))
        .expects(Expected::new("weak_mode", High, &victim).with("creator", &squatter));
    vec![attacked]
}

fn squatted(stage: &Stage) -> Vec<Run> {
    let space = Space::new();
    let squatter = Cast::new(stage, space, MALLORY).run(&["get=71,3666"]);
    let victim = Cast::new(stage, space, User::Root).run(&["get=71,1600"]);
    let attacked = Run::new("a key of root's squatted", &[&victim, &squatter])
        .expects(Expected::new("squatted_key", High, &victim).with("creator", &squatter));
    let space = Space::new();
    let squatter = Cast::new(stage, space, MALLORY).run(&["get=71,3600"]);
    let victim = Cast::new(stage, space, ALICE).run(&["get=71,1600"]);
    assert_eq!(victim.results, [-13]);
    let refused = Run::new("a key squatted and locked", &[&victim, &squatter])
        .expects(Expected::new("squatted_key", Medium, &victim).with("creator", &squatter));
    let space = Space::new();
    let own =
        [Cast::new(stage, space, ALICE).run(&["get=71,3600"]), Cast::new(stage, space, ALICE).run(&["get=71,1600"])];
    vec![attacked, refused, Run::new("a key of one's own", &[&own[0], &own[1]]).without("squatted_key")]
}

fn weak_mode(stage: &Stage) -> Vec<Run> {
    let run = |create: &str, open: &str| {
        let space = Space::new();
        let owner = Cast::new(stage, space, ALICE).run(&[create]);
        (owner, Cast::new(stage, space, MALLORY).run(&[open]))
    };
    let (owner, reader) = run("get=71,3666", "get=71,666");
    let attacked = Run::new("a queue for everybody, and who opens it", &[&owner, &reader])
        .expects(Expected::new("weak_mode", Medium, &owner))
        .expects(Expected::new("weak_mode", High, &reader).with("creator", &owner));
    let (owner, reader) = run("get=71,3600", "get=71,600");
    assert_eq!(reader.results, [-13]);
    vec![attacked, Run::new("a queue for its owner, and who may not open it", &[&owner, &reader]).without("weak_mode")]
}

fn handle(stage: &Stage) -> Vec<Run> {
    let space = Space::new();
    let owner = Cast::new(stage, space, ALICE).run(&["get=71,3600"]);
    let other = Cast::new(stage, space, MALLORY).run(&["get=71,0"]);
    let own = Cast::new(stage, space, ALICE).run(&["get=71,0"]);
    vec![
        Run::new("a handle without a right", &[&other]).expects(Expected::new("handle_without_rights", Info, &other)),
        Run::new("a handle of the owner's", &[&owner, &own]).without("handle_without_rights"),
    ]
}
