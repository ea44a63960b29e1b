//! What enters: the bytes of a kernel's BTF, as `/sys/kernel/btf/vmlinux` holds them. What leaves: where a member
//! of a kernel structure lies and how long it is, and what the parameters of a kernel function are called.
//!
//! The format is that of the kernel's `include/uapi/linux/btf.h` and `Documentation/bpf/btf.rst`. The bytes are not
//! trusted: every read is checked, every chain of types and every search has an end, and what cannot be answered
//! exactly (bitfields, names of several meanings, types that contradict themselves) is refused, never guessed.
//! Parsing is one pass that finds where each type begins; names are compared only when asked for.

mod format;

use format::{
    ARRAY, CONST, ENUM, ENUM64, FLOAT, FUNC, FUNC_PROTO, INT, PTR, RESTRICT, Record, STRUCT, TYPE_TAG, TYPEDEF, Types,
    UNION, VOLATILE,
};
use thiserror::Error;

/// A pointer of the 64-bit kernels this program runs on.
const POINTER_LEN: u32 = 8;
/// Longest chain of modifiers or arrays followed: the kernel's own `MAX_RESOLVE_DEPTH`.
const MAX_DEPTH: u32 = 32;
/// Most members or parameters looked at for one question, where the largest real structures have some hundreds: ends
/// cycles of anonymous members and names defined too often.
const MAX_STEPS: u32 = 1 << 16;

/// Why BTF does not answer. The texts name what was asked, and the step of the path where the answer failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BtfError {
    /// The bytes contradict the format: at which byte, and how.
    #[error("malformed BTF at byte {0}: {1}")]
    Malformed(u32, &'static str),
    /// The bytes are from a machine of the other byte order.
    #[error("BTF of the other byte order, so not of this machine")]
    ForeignEndian,
    /// At this byte is a version, flags or a kind of type that this module does not know, of this value.
    #[error("unknown BTF at byte {0}: {1} {2}")]
    Unknown(u32, &'static str, u32),
    /// This kernel has no such structure or function.
    #[error("this kernel has no {0}")]
    NoType(String),
    /// This kernel has the structure, but not the member or array element.
    #[error("{0}: this kernel has no such member")]
    NoMember(String),
    /// The path goes on behind a pointer, where no offset reaches.
    #[error("{0}: behind a pointer, which has to be loaded first")]
    ThroughPointer(String),
    /// The member is a bitfield, which no offset in bytes describes.
    #[error("{0}: a bitfield, not addressable in bytes")]
    Bitfield(String),
    /// There are several definitions, and they answer differently.
    #[error("{0}: defined more than once, and differently")]
    Ambiguous(String),
}

type Result<T> = std::result::Result<T, BtfError>;

impl BtfError {
    /// Whether the kernel merely lacks what was asked for, which is legal. All else means that the BTF or the
    /// question is wrong.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::NoType(_) | Self::NoMember(_))
    }
}

/// What kind of value a member holds, typedefs and qualifiers taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An integer, enum or float.
    Scalar,
    /// A pointer, to anything.
    Pointer,
    /// A struct or union, embedded.
    Aggregate,
    /// An array; its own size is 0 if it is a flexible one.
    Array {
        /// Bytes from one element to the next.
        elem_size: u32,
    },
}

/// Where a member lies and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the structure asked about.
    pub offset: u32,
    /// Bytes of the whole member: the verifier wants loads of exactly this size.
    pub size: u32,
    /// What the bytes are.
    pub shape: Shape,
}

/// The types of a kernel.
pub struct Btf<'a> {
    types: Types<'a>,
    /// The structs and unions that have a name.
    aggregates: Vec<Record>,
}

/// `struct btf_member`, its offset counted from the structure in which the search began.
#[derive(Clone, Copy, PartialEq)]
struct Member {
    type_id: u32,
    bits: u64,
    is_bitfield: bool,
}

impl<'a> Btf<'a> {
    /// Indexes the types in `bytes`.
    ///
    /// # Errors
    /// When the bytes are not BTF of this machine, or hold a kind of type whose length is not known.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let types = Types::parse(bytes)?;
        let named = |it: &Record| is_aggregate(*it) && it.name_off != 0;
        let aggregates = types.iter().filter(named).collect();
        Ok(Self { types, aggregates })
    }

    /// Whether a struct or union of this name is defined; a forward declaration is no definition.
    #[must_use]
    pub fn has_struct(&self, name: &str) -> bool {
        self.aggregates_named(name).next().is_some()
    }

    /// Where `path` lies in the struct or union `structure`.
    ///
    /// A path is members joined by dots, each with at most one index: `f_path.dentry`, `ids[1].seq`. It goes through
    /// embedded structures (anonymous ones unnamed, as in C) and into arrays that have a length, never through a
    /// pointer.
    ///
    /// # Errors
    /// When this kernel has no such member ([`BtfError::is_absent`]), or when there is not one answer in bytes.
    pub fn field(&self, structure: &str, path: &str) -> Result<Field> {
        let (question, mut steps_left) = (format!("{structure}.{path}"), MAX_STEPS);
        let roots = self.aggregates_named(structure);
        let answers = roots.map(|root| self.walk(root, path, &question, &mut steps_left));
        unanimous(answers, "structure", structure)
    }

    /// Names of the parameters of the kernel function `name`, in order; `...` for variable arguments.
    ///
    /// # Errors
    /// When this kernel has no such function ([`BtfError::is_absent`]), or several of different parameters.
    pub fn function_params(&self, name: &str) -> Result<Vec<&'a str>> {
        let mut steps_left = MAX_STEPS;
        let named = |it: &Record| it.kind() == FUNC && self.types.is_named(it.name_off, name);
        let functions = self.types.iter().filter(named);
        let answers = functions.map(|function| self.params(function, &mut steps_left));
        unanimous(answers, "function", name)
    }

    fn params(&self, function: Record, steps_left: &mut u32) -> Result<Vec<&'a str>> {
        let prototype = self.types.get(function.size_or_type, function)?;
        if prototype.kind() != FUNC_PROTO {
            return Err(function.malformed("function without a prototype"));
        }
        let params = self.types.entries(prototype).map(|[name, type_id]| {
            spend(steps_left, prototype)?;
            let name = if (name, type_id) == (0, 0) { Some("...") } else { self.types.name(name) };
            name.ok_or(prototype.malformed("parameter without a proper name"))
        });
        params.collect()
    }

    fn walk(&self, root: Record, path: &str, question: &str, steps_left: &mut u32) -> Result<Field> {
        let (mut record, mut bits) = (root, 0);
        for step in path.split('.') {
            let here = || format!("{question}, at {step}");
            if record.kind() == PTR {
                return Err(BtfError::ThroughPointer(here()));
            }
            let (name, element) = split_element(step);
            let member = match self.members_named(record, name, steps_left)?.as_slice() {
                [] => return Err(BtfError::NoMember(here())),
                [member] => *member,
                _ => return Err(BtfError::Ambiguous(here())),
            };
            bits += member.bits;
            record = self.resolve(member.type_id, record)?;
            if member.is_bitfield || bits % 8 != 0 || self.is_bitfield_type(record) {
                return Err(BtfError::Bitfield(here()));
            }
            if let Some(element) = element {
                self.measure(record, 0)?; // The array fits 32 bits, so the way to any element does.
                let (elem, _) =
                    self.array(record)?.filter(|(_, len)| element < *len).ok_or_else(|| BtfError::NoMember(here()))?;
                bits += u64::from(element) * u64::from(self.measure(elem, 0)?.0) * 8;
                record = elem;
            }
        }
        let (size, shape) = self.measure(record, 0)?;
        let offset = u32::try_from(bits / 8).ok().filter(|offset| {
            let end = offset.checked_add(size);
            end.is_some_and(|end| end <= root.size_or_type)
        });
        let offset = offset.ok_or(root.malformed("member lies outside its structure"))?;
        Ok(Field { offset, size, shape })
    }

    /// The members called `name`, those of anonymous members included; a second one only if it differs.
    fn members_named(&self, root: Record, name: &str, steps_left: &mut u32) -> Result<Vec<Member>> {
        let mut found = Vec::new();
        let mut open = vec![(root, 0)];
        while let Some((record, base)) = open.pop() {
            let members = is_aggregate(record).then(|| self.types.entries(record));
            for [name_at, type_id, offset] in members.into_iter().flatten() {
                spend(steps_left, record)?;
                let member = Member {
                    type_id,
                    bits: base + u64::from(offset),
                    is_bitfield: record.kind_flag() && offset >> 24 != 0,
                };
                if name_at == 0 {
                    open.push((self.resolve(type_id, record)?, member.bits));
                } else if self.types.is_named(name_at, name) && !found.contains(&member) {
                    found.push(member);
                }
                if found.len() > 1 {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Size and shape of a value of this type.
    fn measure(&self, record: Record, depth: u32) -> Result<(u32, Shape)> {
        match record.kind() {
            INT | ENUM | ENUM64 | FLOAT => Ok((record.size_or_type, Shape::Scalar)),
            STRUCT | UNION => Ok((record.size_or_type, Shape::Aggregate)),
            PTR => Ok((POINTER_LEN, Shape::Pointer)),
            _ => {
                let array = self.array(record)?.filter(|_| depth < MAX_DEPTH);
                let (elem, len) = array.ok_or(record.malformed("value of no certain size"))?;
                let (elem_size, _) = self.measure(elem, depth + 1)?;
                let size = elem_size.checked_mul(len).ok_or(record.malformed("array too long"))?;
                Ok((size, Shape::Array { elem_size }))
            }
        }
    }

    /// Element type and length, if this is an array.
    fn array(&self, record: Record) -> Result<Option<(Record, u32)>> {
        match self.types.data(record) {
            Some([elem, _index_type, len]) if record.kind() == ARRAY => Ok(Some((self.resolve(elem, record)?, len))),
            _ => Ok(None),
        }
    }

    /// Whether the type itself makes its members bitfields, as it does in BTF without kind flag:
    /// an integer of which `BTF_INT_OFFSET` is not 0 or `BTF_INT_BITS` not that of its size.
    fn is_bitfield_type(&self, record: Record) -> bool {
        let encoding = self.types.data(record).map_or(0, |[encoding]| encoding);
        record.kind() == INT && u64::from(encoding & 0x00ff_00ff) != u64::from(record.size_or_type) * 8
    }

    /// The type of this id behind its typedefs, qualifiers and tags.
    fn resolve(&self, mut id: u32, user: Record) -> Result<Record> {
        for _ in 0..MAX_DEPTH {
            let record = self.types.get(id, user)?;
            match record.kind() {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = record.size_or_type,
                _ => return Ok(record),
            }
        }
        Err(user.malformed("uses typedefs or qualifiers nested too deeply"))
    }

    /// The definitions of structs and unions called `name`.
    fn aggregates_named(&self, name: &str) -> impl Iterator<Item = Record> {
        let aggregates = self.aggregates.iter().copied();
        aggregates.filter(|it| self.types.is_named(it.name_off, name))
    }
}

fn is_aggregate(record: Record) -> bool {
    matches!(record.kind(), STRUCT | UNION)
}

/// The answer that all definitions of `name` give.
fn unanimous<T: PartialEq>(mut answers: impl Iterator<Item = Result<T>>, what: &str, name: &str) -> Result<T> {
    let first = answers.next().ok_or_else(|| BtfError::NoType(format!("{what} {name}")))?;
    if answers.all(|answer| answer == first) {
        return first;
    }
    Err(BtfError::Ambiguous(format!("{what} {name}")))
}

/// Takes one step off a search.
fn spend(steps_left: &mut u32, record: Record) -> Result<()> {
    let left = steps_left.checked_sub(1);
    *steps_left = left.ok_or(record.malformed("more members than any kernel has"))?;
    Ok(())
}

/// Takes `ids[1]` apart into `ids` and 1; what is not of this form is a plain name.
fn split_element(step: &str) -> (&str, Option<u32>) {
    let parts = step.strip_suffix(']').and_then(|step| step.split_once('['));
    let element = parts.and_then(|(name, element)| Some((name, Some(element.parse().ok()?))));
    element.unwrap_or((step, None))
}
