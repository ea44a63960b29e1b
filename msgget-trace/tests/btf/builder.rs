//! Types, in the words of `include/uapi/linux/btf.h`, go in; their BTF comes out. And one sample of everything.

use msgget_trace::kernel::btf::{Btf, BtfError, Field, Shape};

/// A small writer of BTF, in the words of `include/uapi/linux/btf.h`.
pub(crate) struct Builder {
    pub(crate) types: Vec<u32>,
    pub(crate) strings: Vec<u8>,
    count: u32,
}

pub(crate) const INT: u32 = 1;
pub(crate) const PTR: u32 = 2;
pub(crate) const ARRAY: u32 = 3;
pub(crate) const STRUCT: u32 = 4;
pub(crate) const UNION: u32 = 5;
pub(crate) const FWD: u32 = 7;
pub(crate) const TYPEDEF: u32 = 8;
pub(crate) const FUNC: u32 = 12;
pub(crate) const FUNC_PROTO: u32 = 13;
pub(crate) const KIND_FLAG: u32 = 1 << 31;

impl Builder {
    pub(crate) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    pub(crate) fn string(&mut self, string: &str) -> u32 {
        if string.is_empty() {
            return 0;
        }
        let at = self.strings.len();
        self.strings.extend_from_slice(string.as_bytes());
        self.strings.push(0);
        u32::try_from(at).unwrap()
    }

    /// Adds a type and returns its id.
    pub(crate) fn add(&mut self, kind: u32, name: &str, vlen: u32, size_or_type: u32, data: &[u32]) -> u32 {
        let name = self.string(name);
        let info = kind << 24 | vlen; // A kind may come with KIND_FLAG's bit, see `flagged`.
        self.types.extend([name, info, size_or_type]);
        self.types.extend(data);
        self.count += 1;
        self.count
    }

    pub(crate) fn int(&mut self, name: &str, size: u32) -> u32 {
        self.add(INT, name, 0, size, &[size * 8])
    }

    pub(crate) fn pointer(&mut self, to: u32) -> u32 {
        self.add(PTR, "", 0, to, &[])
    }

    pub(crate) fn array(&mut self, elem: u32, len: u32) -> u32 {
        self.add(ARRAY, "", 0, 0, &[elem, elem, len])
    }

    /// A struct or union of members `(name, type, offset word)`.
    pub(crate) fn aggregate(&mut self, kind: u32, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let words: Vec<u32> =
            members.iter().flat_map(|(name, type_id, offset)| [self.string(name), *type_id, *offset]).collect();
        self.add(kind, name, members.len().try_into().unwrap(), size, &words)
    }

    /// The same with the kind flag, so that offset words are `width << 24 | bits`.
    pub(crate) fn flagged(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let info_at = self.types.len() + 1;
        let id = self.aggregate(STRUCT, name, size, members);
        self.types[info_at] |= KIND_FLAG;
        id
    }

    pub(crate) fn function(&mut self, name: &str, params: &[(&str, u32)]) -> u32 {
        let words: Vec<u32> = params.iter().flat_map(|(name, type_id)| [self.string(name), *type_id]).collect();
        let len = params.len().try_into().unwrap();
        let prototype = self.add(FUNC_PROTO, "", len, 0, &words);
        self.add(FUNC, name, 1, prototype, &[])
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_with(24, &[])
    }

    /// With a header of this length, and the layout section of Linux 7.1 if the header has room to name it.
    pub(crate) fn build_with(&self, header_len: u32, layout: &[[u8; 4]]) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let layout = layout.concat();
        let [types_len, layout_len, strings_len] =
            [types.len(), layout.len(), self.strings.len()].map(|len| u32::try_from(len).unwrap());
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let strings_off = types_len + layout_len;
        for word in [header_len, 0, types_len, strings_off, strings_len, types_len, layout_len] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.resize(header_len as usize, 0);
        [bytes, types, layout, self.strings.clone()].concat()
    }
}

pub(crate) fn field_in(builder: &Builder, structure: &str, path: &str) -> Result<Field, BtfError> {
    Btf::parse(&builder.build())?.field(structure, path)
}

pub(crate) fn scalar(offset: u32, size: u32) -> Result<Field, BtfError> {
    let shape = Shape::Scalar;
    Ok(Field { offset, size, shape })
}

pub(crate) fn parse_error(bytes: &[u8]) -> BtfError {
    Btf::parse(bytes).err().expect("these bytes are to be refused")
}

/// One of everything: what the unit tests look at and the fuzz tests damage.
pub(crate) fn sample() -> Builder {
    let mut b = Builder::new();
    let int = b.int("int", 4);
    let u64 = b.int("unsigned long", 8);
    let byte = b.int("char", 1);
    let ptr = b.pointer(0);
    let kuid = b.aggregate(STRUCT, "", 4, &[("val", int, 0)]);
    let kuid = b.add(TYPEDEF, "kuid_t", 0, kuid, &[]);
    let kuid_const = b.add(10, "", 0, kuid, &[]); // const
    let kuid_volatile = b.add(9, "", 0, kuid_const, &[]);
    let kuid_tagged = b.add(18, "rcu", 0, kuid_volatile, &[]); // type tag
    let comm = b.array(byte, 16);
    let ids = b.aggregate(STRUCT, "ipc_ids", 16, &[("in_use", int, 0), ("seq", int, 64)]);
    let ids_of_3 = b.array(ids, 3);
    let flexible = b.array(ids, 0);
    let grid = b.array(ids_of_3, 2);
    let deep = b.aggregate(UNION, "", 8, &[("whole", u64, 0), ("low", int, 0)]);
    let anonymous = b.aggregate(STRUCT, "", 16, &[("head", u64, 0), ("", deep, 64)]);
    let state = b.add(6, "state", 1, 4, &[0, 7]); // enum of one value
    let wide = b.add(19, "wide", 1, 8, &[0, 7, 7]); // enum64
    let float = b.add(16, "double", 0, 8, &[]);
    b.add(FWD, "task", 0, 0, &[]);
    b.add(FWD, "only_forward", 0, 0, &[]);
    b.aggregate(
        STRUCT,
        "task",
        320,
        &[
            ("pid", int, 0),
            ("cred", ptr, 64),
            ("loginuid", kuid_tagged, 128),
            ("comm", comm, 160),
            ("", anonymous, 320),
            ("ids", ids_of_3, 448),
            ("grid", grid, 832),
            ("state", state, 1600),
            ("wide", wide, 1664),
            ("float", float, 1728),
            ("more", flexible, 2560),
        ],
    );
    b.flagged("flags", 8, &[("plain", int, 0), ("bit", int, 1 << 24 | 32), ("odd", int, 33)]);
    b.function("ipcget", &[("ns", ptr), ("ids", ptr), ("params", ptr)]);
    b.function("printk", &[("fmt", ptr), ("", 0)]);
    let var = b.add(14, "variable", 0, int, &[0]);
    b.add(15, ".data", 1, 4, &[var, 0, 4]); // section
    b.add(17, "tag", 0, var, &[u32::MAX]); // declaration tag
    b.add(11, "", 0, ptr, &[]); // restrict
    b
}

pub(crate) const SAMPLE_QUESTIONS: &[(&str, &str)] =
    &[("task", "pid loginuid.val comm[3] low ids[2].seq grid[1] more"), ("flags", "plain bit odd"), ("ipc_ids", "seq")];
