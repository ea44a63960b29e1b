//! Whole files: the examples of the documentation, YAML and JSON, old and new.

use super::*;

/// Every file of docs/policies.
pub(super) const EXAMPLES: [&str; 4] = [
    include_str!("../../../../docs/policies/ipc-watch.yaml"),
    include_str!("../../../../docs/policies/containers.json"),
    include_str!("../../../../docs/policies/squatting.yaml"),
    include_str!("../../../../docs/policies/exceptions.yaml"),
];

#[test]
fn the_examples_are_right() {
    let sources: Vec<_> = EXAMPLES.iter().map(source).collect();
    let policies = Policies::parse(&sources).unwrap();
    assert_eq!(
        policies.names().iter().map(|name| &**name).collect::<Vec<_>>(),
        ["ipc-watch", "containers", "squatting"]
    );
    assert_eq!(policies.exceptions().len(), 2);
    assert_eq!(policies.warnings().len(), 1, "openat: {:?}", policies.warnings());
    let judged = judge(&policies, &created());
    assert_eq!(judged.matched, 0b001, "the queue is for its owner alone, and its key is not well known");
}

/// As policies for Tracee stand in the wild, comments and quotes included.
#[test]
fn tracees_own_shapes_are_read() {
    for text in [
        "---\napiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata:\n  name: ipc.watch-2\n  annotations:\n    \
         description: sysv\n    other: x\n  labels: {a: b}\nspec:\n  scope: \n    - global # all\n  defaultActions: [log, print]\n  \
         rules:\n    - event: msgget   \n      filters:\n        - 'data.key!=0'\n        - \"retval>=0\"\n      actions: [log]\n    \
         - event: ipc\n      filters: [\"data.call=13\"]\n",
        "type: Policy\nname: plain\ndescription: d\nversion: \"1\"\nscope:\n- uid>=1000\nrules:\n- event: msgget,msgctl\n",
        "{\n\t\"apiVersion\": \"tracee.aquasec.com/v1beta1\",\n\t\"kind\": \"Policy\",\n\t\"metadata\": {\"name\": \"j\"},\n\t\"spec\": \
         {\"scope\": [\"comm=ipcworker\"], \"rules\": [{\"event\": \"ipc_msgq\", \"filters\": [\"uid!=0\"]}]}\n}\n",
        "apiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata: {name: a}\nspec: {scope: &s [global], rules: \
         [{event: msgget, filters: null}]}\n---\napiVersion: tracee.aquasec.com/v1beta1\nkind: Policy\nmetadata: {name: b}\nspec: \
         {scope: [global], rules: [{event: msgctl}]}\n...\n",
    ] {
        assert!(wants(&parse(text), &created()), "{text}");
    }
}

/// docs/POLICY.md promises this.
const DOCUMENTATION: &str = include_str!("../../../../docs/POLICY.md");

/// The blocks of the documentation that are marked so.
fn blocks(mark: &str) -> Vec<&'static str> {
    let begin = format!("```{mark}\n");
    let blocks: Vec<_> = DOCUMENTATION.split(&*begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty(), "no {mark}");
    blocks
}

/// The lines of such a block, without what is said about them.
fn lines(mark: &str) -> impl Iterator<Item = &'static str> {
    let bare = |line: &'static str| line.split("   ").next().unwrap_or(line).trim_end();
    blocks(mark).into_iter().flat_map(str::lines).map(bare)
}

#[test]
fn what_the_documentation_shows_is_right() {
    for text in blocks("yaml") {
        let policies = parse(text);
        assert!(policies.warnings().is_empty(), "{:?}", policies.warnings());
    }
    for (mark, rule) in
        [("filters", "{event: msgget, filters: ['FILTER']}"), ("conditions", "{event: '*', when: 'FILTER'}")]
    {
        for line in lines(mark) {
            parse(policy("[global]", &format!("[{}]", rule.replace("FILTER", line))));
        }
    }
    for line in lines("scopes") {
        parse(policy(&format!("['{line}']"), "[{event: msgget}]"));
    }
}

/// Nor is a field, a variable or a scope left out of it.
#[test]
fn the_documentation_names_everything() {
    let quoted =
        |name: &str| ["`", "`data.", "(", "\n"].iter().any(|before| DOCUMENTATION.contains(&format!("{before}{name}")));
    for name in field::names().chain(condition::names()) {
        assert!(quoted(name), "{name} is not documented");
    }
}
