//! What is done to queues under those who use them: ids that come back, removals, changes. Each attack and its harmless counterpart
//! go in, with what is to be found in each.

use msgget_trace::detect::Severity::{High, Low, Medium};

use crate::{
    score::{Expected, Run},
    stage::{ALICE, Cast, MALLORY, Space, Stage, User},
};

/// All of them.
pub(crate) fn runs(stage: &Stage) -> Vec<Run> {
    [id_reuse, removed, changed].iter().flat_map(|scenario| scenario(stage)).collect()
}

/// Who may ask for an id gets that of the victim's queue, which he has removed.
fn id_reuse(stage: &Stage) -> Vec<Run> {
    let run = |attacked: bool| {
        let space = Space::new();
        let victim = Cast::new(stage, space, ALICE).start(&["get=71,3600", "pause"]).paused();
        let ask = if attacked { "write=/proc/sys/kernel/msg_next_id,0" } else { "get=71,0" };
        let other = Cast::new(stage, space, User::Root).run(&["get=71,0", "rm", ask, "get=72,3666"]);
        (victim.go().end(), other)
    };
    let (victim, thief) = run(true);
    assert_eq!((&victim.results[..], &thief.results[..]), (&[0][..], &[0, 0, 0][..]));
    let (owner, other) = run(false);
    assert_ne!(other.results.last(), Some(&0));
    vec![
        Run::new("the id of another's queue taken", &[&thief])
            .expects(Expected::new("id_reuse", High, &thief).with("creator", &victim))
            .expects(Expected::new("queue_removed_in_use", Low, &thief).with("creator", &victim)),
        Run::new("a new id", &[&owner, &other]).without("id_reuse").at_most("queue_removed_in_use", Low),
    ]
}

/// Root has given the victim's queue to somebody, who removes it; the victim goes on using its id.
fn removed(stage: &Stage) -> Vec<Run> {
    let space = Space::new();
    let victim = Cast::new(stage, space, ALICE).start(&["get=71,3600", "pause", "send"]).paused();
    let root = Cast::new(stage, space, User::Root).run(&["get=71,0", "set=4102,600"]);
    let remover = Cast::new(stage, space, MALLORY).run(&["rm=0"]);
    let victim = victim.go().end();
    let results = (&victim.results[..], &root.results[..], &remover.results[..]);
    assert_eq!(results, (&[0, -i64::from(libc::EINVAL)][..], &[0, 0][..], &[0][..]));
    let attacked = Run::new("a queue removed by its new owner", &[&victim, &root, &remover])
        .expects(Expected::new("queue_removed_in_use", High, &remover).with("creator", &victim))
        .expects(Expected::new("stale_id_used", Medium, &victim).with("remover", &remover));

    // CAP_SYS_ADMIN is what it takes otherwise, `ipcctl_obtain_check` in ipc/util.c; CAP_IPC_OWNER does not help.
    let space = Space::new();
    let owner = Cast::new(stage, space, ALICE).run(&["get=71,3600"]);
    let helpless = Cast::new(stage, space, User::Capable(4102, "ipc_owner")).run(&["rm=0"]);
    let mighty = Cast::new(stage, space, User::Capable(4102, "sys_admin")).run(&["rm=0"]);
    assert_eq!((&helpless.results[..], &mighty.results[..]), (&[-1][..], &[0][..]));
    let capable = Run::new("a queue removed by CAP_SYS_ADMIN", &[&owner, &helpless, &mighty])
        .expects(Expected::new("queue_removed_in_use", High, &mighty).with("creator", &owner));

    let space = Space::new();
    let owner = Cast::new(stage, space, ALICE).run(&["get=71,3600"]);
    let administrator = Cast::new(stage, space, User::Root).run(&["rm=0"]);
    let tidy = Cast::new(stage, space, ALICE).run(&["get=71,3600", "send", "rm"]);
    vec![
        attacked,
        capable,
        Run::new("a queue removed by root", &[&owner, &administrator]).at_most("queue_removed_in_use", Low),
        Run::new("a queue used and removed by its creator", &[&tidy])
            .without("queue_removed_in_use")
            .without("stale_id_used"),
    ]
}

/// Root has given the victim's queue to somebody, who opens it to his group.
fn changed(stage: &Stage) -> Vec<Run> {
    let space = Space::new();
    let victim = Cast::new(stage, space, ALICE).start(&["get=71,3600", "pause"]).paused();
    let root = Cast::new(stage, space, User::Root).run(&["get=71,0", "set=4102,600"]);
    let changer = Cast::new(stage, space, MALLORY).run(&["get=71,600", "set=4102,640"]);
    let victim = victim.go().end();
    assert_eq!((&root.results[..], &changer.results[..]), (&[0, 0][..], &[0, 0][..]));
    // No function of the kernel's says that a change succeeded.
    let unseen = &["fexit"];
    let by =
        |who, severity| Expected::new("queue_changed_in_use", severity, who).with("creator", &victim).unseen_on(unseen);
    let attacked = Run::new("a queue changed by its new owner", &[&victim, &root, &changer])
        .expects(by(&changer, High))
        .expects(by(&root, Low));
    let own = Cast::new(stage, Space::new(), ALICE).run(&["get=71,3600", "set=4101,660"]);
    vec![attacked, Run::new("a queue changed by its creator", &[&own]).without("queue_changed_in_use")]
}
