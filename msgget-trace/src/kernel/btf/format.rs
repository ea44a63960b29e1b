//! What enters: the bytes of BTF. What leaves: its types as records, one by one or by id, and its strings.
//!
//! The only file that knows how the format lies in memory; see `include/uapi/linux/btf.h` in the kernel's source.

use super::{BtfError, Result};

const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
/// `struct btf_header` up to `str_len`; Linux 7.1 appended `layout_off` and `layout_len`.
const HEADER_LEN: u32 = 24;
const HEADER_LEN_WITH_LAYOUT: u32 = 32;
/// `struct btf_type`, without the data of its kind that follow it.
const RECORD_LEN: u32 = 12;
/// Longest name, its NUL included: the kernel's `KSYM_NAME_LEN`.
const MAX_NAME_LEN: usize = 512;

// The kinds of type, `BTF_KIND_*`.
pub(super) const INT: u32 = 1;
pub(super) const PTR: u32 = 2;
pub(super) const ARRAY: u32 = 3;
pub(super) const STRUCT: u32 = 4;
pub(super) const UNION: u32 = 5;
pub(super) const ENUM: u32 = 6;
pub(super) const FWD: u32 = 7;
pub(super) const TYPEDEF: u32 = 8;
pub(super) const VOLATILE: u32 = 9;
pub(super) const CONST: u32 = 10;
pub(super) const RESTRICT: u32 = 11;
pub(super) const FUNC: u32 = 12;
pub(super) const FUNC_PROTO: u32 = 13;
pub(super) const VAR: u32 = 14;
pub(super) const DATASEC: u32 = 15;
pub(super) const FLOAT: u32 = 16;
pub(super) const DECL_TAG: u32 = 17;
pub(super) const TYPE_TAG: u32 = 18;
pub(super) const ENUM64: u32 = 19;

/// `struct btf_type` and where it was read.
#[derive(Clone, Copy)]
pub(super) struct Record {
    at: u32,
    /// Where in the strings the name begins; 0 if it has none.
    pub(super) name_off: u32,
    info: u32,
    /// The size of the type or the id of another, as the kind has it.
    pub(super) size_or_type: u32,
}

impl Record {
    fn read(bytes: &[u8], at: u32) -> Option<Self> {
        words(bytes, at).map(|[name_off, info, size_or_type]| Self { at, name_off, info, size_or_type })
    }

    /// `BTF_KIND_*`. Before Linux 7.1, kind had five bits and vlen sixteen; the bits between had to be zero.
    pub(super) fn kind(self) -> u32 {
        self.info >> 24 & 0x7f
    }

    /// How many entries follow, in the kinds that have entries.
    pub(super) fn vlen(self) -> u32 {
        self.info & 0x00ff_ffff
    }

    /// In structs and unions: whether the upper 8 bits of a member's offset are the width of a bitfield, if not 0.
    pub(super) fn kind_flag(self) -> bool {
        self.info >> 31 != 0
    }

    /// Where the data of the kind begin.
    fn body(self) -> u32 {
        self.at.saturating_add(RECORD_LEN)
    }

    /// Where the next type begins. The layout section tells it for kinds later than these, in one `struct btf_layout`
    /// per kind.
    fn end(self, layout: &[[u8; 4]]) -> Result<u32> {
        let (fixed, each) = match (self.kind(), layout.get(self.kind() as usize)) {
            (INT | VAR | DECL_TAG, _) => (4, 0),
            (ARRAY, _) => (12, 0),
            (STRUCT | UNION | DATASEC | ENUM64, _) => (0, 12),
            (ENUM | FUNC_PROTO, _) => (0, 8),
            (PTR | FWD | TYPEDEF..=FUNC | FLOAT | TYPE_TAG, _) => (0, 0),
            (1.., Some(&[fixed, each, ..])) => (fixed.into(), each.into()),
            (value, _) => return Err(BtfError::Unknown(self.at, "kind", value)),
        };
        // The length is at most 255 + 255 * (2^24 - 1), which fits.
        Ok(self.body().saturating_add(fixed + each * self.vlen()))
    }

    /// The error that something is wrong with this type.
    pub(super) fn malformed(self, what: &'static str) -> BtfError {
        BtfError::Malformed(self.at, what)
    }
}

/// The types and strings of BTF, its sections checked and its types counted.
pub(super) struct Types<'a> {
    bytes: &'a [u8],
    strings: &'a [u8],
    /// Where in `bytes` the types of id 1, 2, ... begin.
    index: Vec<u32>,
}

impl<'a> Types<'a> {
    /// Checks the sections and finds where each type begins.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let malformed = BtfError::Malformed;
        let [first, header_len, type_off, type_len, str_off, str_len] =
            words(bytes, 0).ok_or(malformed(0, "header cut short"))?;
        let [magic_0, magic_1, version, flags] = first.to_ne_bytes();
        match u16::from_ne_bytes([magic_0, magic_1]) {
            MAGIC => {}
            magic if magic.swap_bytes() == MAGIC => return Err(BtfError::ForeignEndian),
            _ => return Err(malformed(0, "not BTF by its magic")),
        }
        if version != VERSION {
            return Err(BtfError::Unknown(2, "version", version.into()));
        }
        if flags != 0 {
            return Err(BtfError::Unknown(3, "flags", flags.into()));
        }
        if header_len < HEADER_LEN {
            return Err(malformed(4, "header shorter than any kernel's"));
        }
        let section = |offset: u32, len: u32| {
            let start = header_len.checked_add(offset)?;
            let end = start.checked_add(len)?;
            Some((start, end, bytes.get(start as usize..end as usize)?))
        };
        let (types_at, types_end, _) =
            section(type_off, type_len).ok_or(malformed(8, "types lie outside the bytes"))?;
        let (strings_at, _, strings) =
            section(str_off, str_len).ok_or(malformed(16, "strings lie outside the bytes"))?;
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(malformed(strings_at, "strings not enclosed by NUL"));
        }
        let [layout_off, layout_len] =
            words(bytes, HEADER_LEN).filter(|_| header_len >= HEADER_LEN_WITH_LAYOUT).unwrap_or_default();
        let (_, _, layout) = section(layout_off, layout_len).ok_or(malformed(24, "layout lies outside the bytes"))?;

        let mut index = Vec::new();
        let mut at = types_at;
        while at < types_end {
            let record = Record::read(bytes, at).ok_or(malformed(at, "type cut short"))?;
            let end = record.end(layout.as_chunks().0)?;
            if end > types_end || record.name_off >= str_len {
                return Err(record.malformed("type or its name runs past its section"));
            }
            index.push(at);
            at = end;
        }
        Ok(Self { bytes, strings, index })
    }

    /// All types, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = Record> {
        self.index.iter().filter_map(|at| Record::read(self.bytes, *at))
    }

    /// The type of this id, which `user` refers to.
    pub(super) fn get(&self, id: u32, user: Record) -> Result<Record> {
        let at = id.checked_sub(1).and_then(|nth| self.index.get(nth as usize));
        let record = at.and_then(|at| Record::read(self.bytes, *at));
        record.ok_or(user.malformed("uses a type that is not there"))
    }

    /// The `N` words of data that a type of its kind has.
    pub(super) fn data<const N: usize>(&self, record: Record) -> Option<[u32; N]> {
        words(self.bytes, record.body())
    }

    /// The `vlen` entries, of `N` words each, that a type of its kind has.
    pub(super) fn entries<const N: usize>(&self, record: Record) -> impl Iterator<Item = [u32; N]> {
        let data = self.bytes.get(record.body() as usize..).unwrap_or_default();
        let (words, _) = data.as_chunks();
        let (entries, _) = words.as_chunks();
        let entries = entries.iter().take(record.vlen() as usize);
        entries.map(|entry| entry.map(u32::from_ne_bytes))
    }

    /// Whether the type or entry with this name offset is called `name`.
    pub(super) fn is_named(&self, name_off: u32, name: &str) -> bool {
        let string = self.strings.get(name_off as usize..).unwrap_or_default();
        let rest = string.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(&[0]))
    }

    /// The name at this offset.
    pub(super) fn name(&self, name_off: u32) -> Option<&'a str> {
        let string = self.strings.get(name_off as usize..)?;
        let mut longest = string.iter().take(MAX_NAME_LEN);
        let len = longest.position(|byte| *byte == 0)?;
        str::from_utf8(string.get(..len)?).ok()
    }
}

/// The `N` words, in this machine's byte order, that begin at `at`.
fn words<const N: usize>(bytes: &[u8], at: u32) -> Option<[u32; N]> {
    let (words, _) = bytes.get(at as usize..)?.as_chunks();
    words.first_chunk().map(|words| words.map(u32::from_ne_bytes))
}
