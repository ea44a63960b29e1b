//! The files go in, policies and exceptions come out, or everything that is wrong with any of them.

use uuid::Uuid;

use super::{
    Condition, Exception, Filters, MOST_EXCEPTIONS, MOST_POLICIES, Policies, Policy, Problem, Rule, Source,
    condition::Language,
    events,
    field::Where,
    node::{fields, list, needed, policy_name, says, string, text, words},
    problem::{At, Log, quoted},
    yaml::{self, Kind, Node},
};

/// What Tracee's policies say of themselves.
const TRACEE: &str = "tracee.aquasec.com/v1beta1";

/// What our own documents do.
const OURS: &str = "msgget-trace/v1";

/// Longest reason, bytes.
const REASON: usize = 1024;

/// Reads all of `sources`.
pub(super) fn parse(sources: &[Source]) -> Result<Policies, Vec<Problem>> {
    let mut reader = Reader { policies: Policies::default(), language: Language::new() };
    let mut errors = Vec::new();
    let mut all = Vec::new();
    for Source { name, bytes } in sources {
        let mut log = Log::new(name);
        match yaml::documents(bytes) {
            Ok(documents) => reader.documents(&documents, &mut log),
            Err((at, what)) => log.error(at, what),
        }
        errors.append(&mut log.errors);
        reader.policies.warnings.append(&mut log.warnings);
        all.extend((bytes.len() as u64).to_le_bytes());
        all.extend_from_slice(bytes);
    }
    // As random as any, and fixed for ever.
    const NAMESPACE: Uuid = Uuid::from_u128(0x8d1c_46a0_55f1_4b0c_9f5e_0a2f_c7d3_6e15);
    reader.policies.digest = (!sources.is_empty()).then(|| Uuid::new_v5(&NAMESPACE, &all));
    if errors.is_empty() { Ok(reader.policies) } else { Err(errors) }
}

struct Reader {
    policies: Policies,
    language: Language,
}

impl Reader {
    fn documents(&mut self, documents: &[Node], log: &mut Log<'_>) {
        let mut documents = documents.iter().filter(|node| !matches!(node.kind, Kind::Null)).peekable();
        if documents.peek().is_none() {
            log.error(
                At::START,
                "there is nothing in this file; a policy is a map with apiVersion, kind, metadata and spec",
            );
        }
        for document in documents {
            self.document(document, log);
        }
    }

    fn document(&mut self, root: &Node, log: &mut Log<'_>) {
        let Kind::Map(pairs) = &root.kind else {
            let what =
                format!("a policy is a map with apiVersion, kind, metadata and spec, and not {}", root.kind_name());
            return log.error(root.at, what);
        };
        let has = |name: &str| pairs.iter().find(|(key, _)| text(key).is_some_and(|text| text.text == name));
        match (has("kind").map(|(_, kind)| (kind, text(kind))), has("type")) {
            (Some((_, Some(kind))), _) if kind.text == "Exceptions" => self.exceptions(root, log),
            (Some((_, Some(kind))), _) if kind.text == "Policy" => self.policy(root, log),
            (Some((kind, _)), _) => log.error(kind.at, "this kind is not known; there are Policy and Exceptions"),
            (None, Some(_)) => self.plain(root, log),
            (None, None) => log.error(root.at, "`kind` is missing: say `kind: Policy` or `kind: Exceptions`"),
        }
    }

    /// As Kubernetes knows it, and Tracee's files are.
    fn policy(&mut self, root: &Node, log: &mut Log<'_>) {
        let [version, _, metadata, spec] = fields(root, "a policy", ["apiVersion", "kind", "metadata", "spec"], log);
        says(root, version, "apiVersion", TRACEE, log);
        let name = needed(root, metadata, "metadata", log)
            .and_then(|metadata| self.metadata(metadata, log).map(|name| (metadata.at, name)));
        let Some(spec) = needed(root, spec, "spec", log) else { return };
        let [scope, rules, actions] = fields(spec, "spec", ["scope", "rules", "defaultActions"], log);
        self.body(spec, name, scope, rules, actions, log);
    }

    /// As Tracee's later versions also write it.
    fn plain(&mut self, root: &Node, log: &mut Log<'_>) {
        let keys = ["type", "name", "description", "version", "scope", "rules", "defaultActions"];
        let [kind, name, description, version, scope, rules, actions] = fields(root, "a policy", keys, log);
        if let Some(kind) = kind
            && text(kind).is_none_or(|kind| !kind.text.trim().eq_ignore_ascii_case("policy"))
        {
            log.error(kind.at, "this type is not known; there is only policy");
        }
        for node in [description, version].into_iter().flatten() {
            string(node, "this", log);
        }
        let name = needed(root, name, "name", log).and_then(|node| Some((node.at, policy_name(node, log)?)));
        self.body(root, name, scope, rules, actions, log);
    }

    fn metadata(&self, metadata: &Node, log: &mut Log<'_>) -> Option<String> {
        let [name, annotations, labels, namespace] =
            fields(metadata, "metadata", ["name", "annotations", "labels", "namespace"], log);
        for node in [annotations, labels].into_iter().flatten() {
            if !matches!(node.kind, Kind::Map(_) | Kind::Null) {
                log.error(node.at, format!("this is a map of texts, and not {}", node.kind_name()));
            }
        }
        if let Some(namespace) = namespace {
            string(namespace, "namespace", log);
        }
        policy_name(needed(metadata, name, "name", log)?, log)
    }

    fn body(
        &mut self,
        around: &Node,
        name: Option<(At, String)>,
        scope: Option<&Node>,
        rules: Option<&Node>,
        actions: Option<&Node>,
        log: &mut Log<'_>,
    ) {
        if let Some(node) = actions {
            self::actions(node, log);
        }
        let scope = needed(around, scope, "scope", log).map(|node| self::scope(node, log)).unwrap_or_default();
        let mut read = Vec::new();
        if let Some(node) = needed(around, rules, "rules", log) {
            let mut unwanted = Vec::new();
            for node in list(node, "rules", log) {
                read.extend(self.rule(node, &mut unwanted, log));
            }
            for rule in &mut read {
                rule.events.retain(|event| !unwanted.contains(event));
            }
        }
        let Some((at, name)) = name else { return };
        let policies = &mut self.policies;
        if policies.names.iter().any(|known| **known == *name) {
            return log
                .error(at, format!("another policy is called {}; names tell them apart on the lines", quoted(&name)));
        }
        if policies.policies.len() == MOST_POLICIES {
            return log.error(at, format!("more than {MOST_POLICIES} policies; put some of them together"));
        }
        if read.iter().all(|rule| rule.events.is_empty()) {
            log.warn(at, format!("policy {} selects nothing that msgget-trace sees", quoted(&name)));
        }
        policies.policies.push(Policy { scope, rules: read });
        policies.names.push(name.into());
    }

    fn rule(&self, node: &Node, unwanted: &mut Vec<&'static str>, log: &mut Log<'_>) -> Option<Rule> {
        let [event, filters, actions, when] = fields(node, "a rule", ["event", "filters", "actions", "when"], log);
        if let Some(node) = actions {
            self::actions(node, log);
        }
        let event = needed(node, event, "event", log)?;
        let names = string(event, "event", log)?;
        let selection = match events::select(&names.text) {
            Ok(selection) => selection,
            Err(what) => {
                log.error(event.at, what);
                return None;
            }
        };
        for warning in selection.warnings {
            log.warn(event.at, warning);
        }
        unwanted.extend(&selection.unwanted);
        if selection.wanted.is_empty() {
            if let Some(filters) = filters.or(when).filter(|_| !selection.unwanted.is_empty()) {
                log.error(
                    filters.at,
                    "what is not wanted at all has no filters; write them at the event they are about",
                );
            }
            // Of what is not seen nobody here knows what it can be asked.
            return None;
        }
        let filters = filters.map(|node| self::filters(node, Where::Rule(&selection.wanted), log)).unwrap_or_default();
        let when = when.and_then(|node| self.when(node, log));
        Some(Rule { events: selection.wanted, filters, when })
    }

    fn when(&self, node: &Node, log: &mut Log<'_>) -> Option<Condition> {
        let text = string(node, "when", log)?;
        match self.language.compile(&text.text) {
            Ok(condition) => Some(condition),
            Err((byte, what)) => {
                log.error(text.at_byte(byte), what);
                None
            }
        }
    }

    fn exceptions(&mut self, root: &Node, log: &mut Log<'_>) {
        let [version, _, metadata, spec] = fields(root, "exceptions", ["apiVersion", "kind", "metadata", "spec"], log);
        says(root, version, "apiVersion", OURS, log);
        if let Some(metadata) = metadata {
            self.metadata(metadata, log);
        }
        let Some(spec) = needed(root, spec, "spec", log) else { return };
        let [exceptions] = fields(spec, "spec", ["exceptions"], log);
        let Some(exceptions) = needed(spec, exceptions, "exceptions", log) else { return };
        for node in list(exceptions, "exceptions", log) {
            self.exception(node, log);
        }
    }

    fn exception(&mut self, node: &Node, log: &mut Log<'_>) {
        let keys = ["name", "reason", "finding", "filters", "when"];
        let [name, reason, finding, filters, when] = fields(node, "an exception", keys, log);
        let name = needed(node, name, "name", log).and_then(|name| Some((name.at, policy_name(name, log)?)));
        let reason = needed(node, reason, "reason", log).and_then(|node| words(node, "reason", REASON, log));
        let says = |node: &&Node| match &node.kind {
            Kind::Null => false,
            Kind::List(nodes) => !nodes.is_empty(),
            _ => true,
        };
        if finding.or(filters.filter(says)).or(when.filter(says)).is_none() {
            log.error(node.at, "this would keep back every finding; say which by `finding`, `filters` or `when`");
        }
        let findings = match finding {
            Some(node) => self.findings(node, log),
            None => events::findings().collect(),
        };
        let filters = filters.map(|node| self::filters(node, Where::Rule(&findings), log)).unwrap_or_default();
        let when = when.and_then(|node| self.when(node, log));
        let (Some((at, name)), Some(reason)) = (name, reason) else { return };
        let exceptions = &mut self.policies.exceptions;
        if exceptions.iter().any(|known| known.name == name) {
            return log
                .error(at, format!("another exception is called {}; names tell their counts apart", quoted(&name)));
        }
        if exceptions.len() == MOST_EXCEPTIONS {
            return log.error(at, format!("more than {MOST_EXCEPTIONS} exceptions; put some of them together"));
        }
        exceptions.push(Exception { name, reason, findings, filters, when });
    }

    fn findings(&self, node: &Node, log: &mut Log<'_>) -> Vec<&'static str> {
        let Some(names) = string(node, "finding", log) else { return Vec::new() };
        match events::select(&names.text) {
            Ok(mut selection) => {
                selection.wanted.retain(|event| !selection.unwanted.contains(event));
                let known: Vec<_> = events::findings().collect();
                if selection.wanted.is_empty() || !selection.wanted.iter().all(|name| known.contains(name)) {
                    let what = format!("{} is no finding; there are {}", quoted(&names.text), known.join(", "));
                    log.error(node.at, what);
                }
                selection.wanted
            }
            Err(what) => {
                log.error(node.at, what);
                Vec::new()
            }
        }
    }
}

/// Tracee's actions, which are both what is done anyway.
fn actions(node: &Node, log: &mut Log<'_>) {
    if matches!(node.kind, Kind::Null) {
        return;
    }
    let Kind::List(nodes) = &node.kind else {
        return log.error(node.at, format!("actions are a list, and not {}", node.kind_name()));
    };
    for node in nodes {
        if text(node).is_none_or(|text| !["log", "print"].contains(&&*text.text)) {
            log.error(node.at, "this action is not known; there are log and print");
        }
    }
}

fn scope(node: &Node, log: &mut Log<'_>) -> Filters {
    let mut filters = Filters::default();
    let nodes = list(node, "scope", log);
    for node in nodes {
        let Some(text) = string(node, "scope", log) else { continue };
        if text.text.trim() != "global" {
            filters.add(text, Where::Scope, log);
        } else if nodes.len() > 1 {
            log.error(node.at, "`global` stands alone: what is beside it would not be global");
        }
    }
    filters
}

fn filters(node: &Node, place: Where<'_>, log: &mut Log<'_>) -> Filters {
    let mut filters = Filters::default();
    match &node.kind {
        Kind::Null => {}
        Kind::List(nodes) => {
            for node in nodes {
                if let Some(text) = string(node, "filters", log) {
                    filters.add(text, place, log);
                }
            }
        }
        _ => log.error(node.at, format!("`filters` is a list, and not {}", node.kind_name())),
    }
    filters
}
