//! The text of a CEL expression goes in, a condition that an event fulfils or not comes out, or where and what is wrong.
//!
//! The language is <https://cel.dev>; the crate `cel` parses and evaluates it. It looks at types and names only when it
//! evaluates, so that is done here, before: what passes has a known type everywhere. What could loop, overflow or allocate much
//! is not offered, so what an evaluation costs is bounded by the length of the expression and of the texts it is about.

use std::{fmt, sync::Arc};

use cel::{
    Context, Env, Program, Value,
    common::{
        ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators},
        types::{CelInt, CelList, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
    extensions,
};

use super::{Subject, field::executable, problem::quoted};
use crate::event::{Errno, before_nul};

/// Longest expression, bytes.
const LONGEST: usize = 2048;

/// How the parser begins what its grammar has to say.
const SYNTAX: &str = "Syntax error: ";

/// What something in an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Bool,
    Int,
    Text,
    /// A list of integers, of texts, or of nothing.
    Ints,
    Texts,
    Empty,
}

impl Type {
    const fn name(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::Text => "a string",
            Self::Ints => "a list of ints",
            Self::Texts => "a list of strings",
            Self::Empty => "an empty list",
        }
    }

    /// True where the one can stand for the other.
    fn fits(self, other: Self) -> bool {
        let list = |one| matches!(one, Self::Ints | Self::Texts | Self::Empty);
        self == other || (self == Self::Empty && list(other)) || (other == Self::Empty && list(self))
    }
}

/// What an expression can ask about.
const VARIABLES: [(&str, Type); 24] = [
    ("event", Type::Text),
    ("key", Type::Int),
    ("msgflg", Type::Int),
    ("flags", Type::Texts),
    ("msqid", Type::Int),
    ("retval", Type::Int),
    ("errno", Type::Text),
    ("outcome", Type::Text),
    ("uid", Type::Int),
    ("euid", Type::Int),
    ("gid", Type::Int),
    ("egid", Type::Int),
    ("pid", Type::Int),
    ("ppid", Type::Int),
    ("comm", Type::Text),
    ("executable", Type::Text),
    ("container", Type::Text),
    ("mntns", Type::Int),
    ("pidns", Type::Int),
    ("ipcns", Type::Int),
    ("tags", Type::Texts),
    ("rule", Type::Text),
    ("severity", Type::Int),
    ("confidence", Type::Text),
];

/// Every variable.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    VARIABLES.into_iter().map(|(name, _)| name)
}

/// What expressions are compiled and evaluated in.
#[derive(Clone)]
pub(super) struct Language(Arc<Env>);

impl Language {
    /// The language of conditions.
    pub(super) fn new() -> Self {
        let mut env = Env::stdlib();
        // It only adds names that are not there yet, so it cannot fail; without it bits could not be asked for.
        let _ = env.add_extension(extensions::math);
        Self(Arc::new(env))
    }

    /// Compiles `text`. An error comes with the byte it is at.
    pub(super) fn compile(&self, text: &str) -> Result<Condition, (usize, String)> {
        if text.len() > LONGEST {
            return Err((LONGEST, format!("this expression has more than {LONGEST} bytes")));
        }
        let program = self.0.compile(text).map_err(|errors| {
            // What the grammar says is clearer than what follows from it.
            let syntax = errors.errors.iter().find(|error| error.msg.starts_with(SYNTAX));
            let error = syntax.or(errors.errors.first());
            let (line, column) = error.map_or((1, 1), |error| error.pos);
            let what =
                error.map_or("", |error| error.msg.trim_start_matches(SYNTAX).lines().next().unwrap_or_default());
            // How the parser reports its bound on recursion.
            let what = if what.contains("OtherError") { "it is nested too deep" } else { what.trim() };
            (byte_at(text, line, column), format!("this is no CEL expression: {what}"))
        })?;
        let check = Check { source: program.source_info(), text };
        match check.of(program.expression())? {
            Type::Bool => Ok(Condition { program: Arc::new(program), language: self.clone() }),
            other => Err((0, format!("this is {}; a condition is a bool, as `uid == 0`", other.name()))),
        }
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Language")
    }
}

/// The byte at a line and column, both from 1.
fn byte_at(text: &str, line: isize, column: isize) -> usize {
    let (line, column) = (usize::try_from(line - 1).unwrap_or(0), usize::try_from(column - 1).unwrap_or(0));
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    (before + column).min(text.len())
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    program: Arc<Program>,
    language: Language,
}

impl Condition {
    /// Whether it asks about `variable`.
    pub(super) fn asks(&self, variable: &str) -> bool {
        self.program.references().has_variable(variable)
    }

    /// Whether it holds of `subject`. One that depends on what is not known does not, nor does its contrary.
    pub(super) fn holds(&self, subject: &Subject<'_>) -> bool {
        let facts = Facts(*subject);
        let mut context = Context::with_env(Arc::clone(&self.language.0));
        context.set_variable_resolver(&facts);
        matches!(self.program.execute(&context), Ok(Value::Bool(true)))
    }
}

/// Looks names up when they are asked for.
struct Facts<'a>(Subject<'a>);

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Self(subject) = self;
        let caller = subject.caller();
        let finding = subject.finding();
        let id = |id: Option<u32>| id.and_then(|id| int(i64::from(id)));
        match variable {
            "event" => text(subject.event()),
            "key" => int(i64::from(subject.key()?)),
            "msgflg" => int(i64::from(subject.call()?.flags.0)),
            "flags" => texts(subject.call()?.flags.names()),
            "msqid" => int(i64::from(subject.msqid()?)),
            "retval" => int(subject.behind().result()),
            "errno" => text(subject.behind().errno().and_then(Errno::name).unwrap_or_default()),
            "outcome" => text(subject.behind().outcome().name()),
            "uid" => id(caller.uid),
            "euid" => id(caller.euid),
            "gid" => id(caller.gid),
            "egid" => id(caller.egid),
            "pid" => id(Some(caller.host.pid)),
            "ppid" => id(Some(caller.host.ppid)),
            "comm" => bytes(before_nul(&caller.comm)),
            "executable" => bytes(executable(caller)?),
            "container" => text(subject.who.place.container.as_deref().map_or("", |container| &container.id)),
            "mntns" => id(caller.mnt_ns),
            "pidns" => id(caller.pid_ns),
            "ipcns" => id(caller.ipc_ns),
            "tags" => texts(subject.tags.names()),
            "rule" => text(finding.map_or("", |finding| finding.rule.name)),
            "confidence" => text(finding.map_or("", |finding| finding.confidence.name())),
            "severity" => int(finding?.severity as i64),
            _ => None,
        }
    }
}

fn int<'b>(value: i64) -> Option<CowVal<'b, 'b>> {
    Some(CowVal::owned(CelInt::from(value)))
}

fn text(value: &str) -> Option<CowVal<'_, '_>> {
    Some(CowVal::owned(CelString::from(value)))
}

fn bytes(value: &[u8]) -> Option<CowVal<'_, '_>> {
    match str::from_utf8(value) {
        Ok(value) => text(value),
        Err(_) => Some(CowVal::owned(CelString::from(String::from_utf8_lossy(value).into_owned()))),
    }
}

fn texts<'b>(values: impl Iterator<Item = &'static str>) -> Option<CowVal<'b, 'b>> {
    let values = values.map(|value| Box::new(CelString::from(value)) as Box<dyn Val>).collect::<Vec<_>>();
    Some(CowVal::owned(CelList::from(values)))
}

/// Finds out what the parts of an expression are.
struct Check<'a> {
    source: &'a SourceInfo,
    text: &'a str,
}

impl Check<'_> {
    /// The type of `part`, whose depth the parser bounds.
    fn of(&self, part: &IdedExpr) -> Result<Type, (usize, String)> {
        let wrong = |what: &str| Err((self.at(part), what.to_owned()));
        match &part.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::Bool),
            Expr::Literal(LiteralValue::Int(_)) => Ok(Type::Int),
            Expr::Literal(LiteralValue::String(_)) => Ok(Type::Text),
            Expr::Literal(LiteralValue::UInt(_)) => wrong("numbers are ints here: leave out the `u`"),
            Expr::Literal(_) => wrong("only ints, strings, true and false can be compared with"),
            Expr::Ident(name) => match VARIABLES.iter().find(|(known, _)| known == name) {
                Some((_, known)) => Ok(*known),
                None => {
                    let known: Vec<_> = VARIABLES.iter().map(|(name, _)| *name).collect();
                    wrong(&format!("there is no variable {}; there are {}", quoted(name), known.join(", ")))
                }
            },
            Expr::List(list) => self.list(&list.elements),
            Expr::Call(call) => self.call(part, call),
            Expr::Comprehension(_) => wrong("all, exists, map and filter are not offered; ask `\"TOCTOU\" in tags`"),
            Expr::Select(select) => wrong(&format!("nothing has fields here, so there is no .{}", select.field)),
            Expr::Map(_) | Expr::Struct(_) => wrong("maps and messages are not offered"),
            Expr::Unspecified => wrong("something is missing here"),
        }
    }

    fn list(&self, elements: &[IdedExpr]) -> Result<Type, (usize, String)> {
        let mut all = Type::Empty;
        for element in elements {
            let list = match self.of(element)? {
                Type::Int => Type::Ints,
                Type::Text => Type::Texts,
                other => return Err((self.at(element), format!("{} cannot stand in a list", other.name()))),
            };
            if !list.fits(all) {
                return Err((self.at(element), "ints and strings cannot stand in one list".to_owned()));
            }
            all = list;
        }
        Ok(all)
    }

    fn call(&self, part: &IdedExpr, call: &CallExpr) -> Result<Type, (usize, String)> {
        let CallExpr { func_name, target, args } = call;
        let wrong = |what: String| Err((self.at(part), what));
        if let Some(target) = target {
            return match &target.expr {
                Expr::Ident(name) if name == "math" => self.bits(part, func_name, args),
                _ => self.method(part, func_name, target, args),
            };
        }
        let types = args.iter().map(|arg| self.of(arg)).collect::<Result<Vec<_>, _>>()?;
        match (&**func_name, &types[..]) {
            (operators::LOGICAL_NOT, [Type::Bool]) => Ok(Type::Bool),
            (operators::LOGICAL_AND | operators::LOGICAL_OR, all) if all.iter().all(|one| *one == Type::Bool) => {
                Ok(Type::Bool)
            }
            (operators::CONDITIONAL, [Type::Bool, one, other]) if one == other => Ok(*one),
            (operators::EQUALS | operators::NOT_EQUALS, [one, other]) if one.fits(*other) => Ok(Type::Bool),
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [Type::Int, Type::Int] | [Type::Text, Type::Text],
            ) => Ok(Type::Bool),
            (operators::IN, [Type::Int, Type::Ints | Type::Empty] | [Type::Text, Type::Texts | Type::Empty]) => {
                Ok(Type::Bool)
            }
            (operators::NEGATE, [Type::Int]) => Ok(Type::Int),
            ("size", [Type::Text | Type::Ints | Type::Texts | Type::Empty]) => Ok(Type::Int),
            (name, types) => {
                let types: Vec<_> = types.iter().map(|one| one.name()).collect();
                let sign = name.trim_matches(['_', '@']).replace("?_:", "? :");
                wrong(format!("`{sign}` is not offered for {}", types.join(" and ")))
            }
        }
    }

    fn method(
        &self,
        part: &IdedExpr,
        name: &str,
        target: &IdedExpr,
        args: &[IdedExpr],
    ) -> Result<Type, (usize, String)> {
        let known = ["startsWith", "endsWith", "contains"];
        if !known.contains(&name) {
            let what = format!("there is no method {}; there are {}", quoted(name), known.join(", "));
            return Err((self.at(part), what));
        }
        match (self.of(target)?, args) {
            (Type::Text, [arg]) if self.of(arg)? == Type::Text => Ok(Type::Bool),
            _ => Err((self.at(part), format!("`{name}` asks a string for a string, as comm.{name}(\"x\")"))),
        }
    }

    /// `math.bitAnd(msgflg, 2)` and its kin.
    fn bits(&self, part: &IdedExpr, name: &str, args: &[IdedExpr]) -> Result<Type, (usize, String)> {
        let count = match name {
            "bitAnd" | "bitOr" | "bitXor" => 2,
            "bitNot" => 1,
            _ => {
                let what = format!("there is no math.{name}; there are bitAnd, bitOr, bitXor and bitNot");
                return Err((self.at(part), what));
            }
        };
        for arg in args {
            if self.of(arg)? != Type::Int {
                return Err((self.at(arg), format!("math.{name} takes ints")));
            }
        }
        if args.len() == count {
            return Ok(Type::Int);
        }
        Err((self.at(part), format!("math.{name} takes {count} ints")))
    }

    /// The byte where `part` begins, as far as the parser says.
    fn at(&self, part: &IdedExpr) -> usize {
        let chars = self.source.offset_for(part.id).map_or(0, |(start, _)| start as usize);
        self.text.char_indices().nth(chars).map_or(0, |(byte, _)| byte)
    }
}
