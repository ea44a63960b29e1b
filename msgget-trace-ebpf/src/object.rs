//! Kernel memory: BTF-given offsets go in, numbers come out. All pointer arithmetic of the kernel side stands here.
//!
//! Members are read by direct loads through BTF-typed pointers, which the verifier checks and the kernel makes fault-safe:
//! no helper, so they work under lockdown=confidentiality, and an access must be as wide as the member. The offsets are
//! frozen constants, so a branch on an absent one costs nothing and vanishes.

use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};
use msgget_trace_ebpf::ABSENT;

/// One word of a global that user space froze; loading the whole structure would cost an instruction for every field.
macro_rules! frozen {
    (CONFIG.$field:ident) => {
        $crate::object::frozen_word(
            &raw const $crate::maps::CONFIG,
            core::mem::offset_of!(msgget_trace_ebpf::Config, $field),
        )
    };
    (OFFSETS.$field:ident) => {
        $crate::object::frozen_word(
            &raw const $crate::maps::OFFSETS,
            core::mem::offset_of!(msgget_trace_ebpf::Offsets, $field),
        )
    };
}
pub(crate) use frozen;

/// Reads the word at `offset` of a global; see [`frozen!`].
#[inline(always)]
pub(crate) fn frozen_word<T>(global: *const Global<T>, offset: usize) -> u32 {
    // SAFETY: `Global` is transparent over its value, all of whose fields are words; `offset` comes from `offset_of!`.
    unsafe { core::ptr::read_volatile(global.cast::<u8>().add(offset).cast::<u32>()) }
}

/// The offset of a member.
macro_rules! at {
    ($field:ident) => {
        $crate::object::frozen!(OFFSETS.$field)
    };
}
pub(crate) use at;

/// A structure of the kernel, by a pointer whose type the verifier knows. Null reads as zeros.
#[derive(Clone, Copy)]
pub(crate) struct Object(pub(crate) *const u8);

impl Object {
    /// An argument of a BTF tracepoint.
    #[inline(always)]
    pub(crate) fn new(pointer: *const u8) -> Self {
        Self(pointer)
    }

    /// Loads the member at `offset`; zero where this kernel has none.
    ///
    /// # Safety
    /// `T` is an integer as wide as the member, or a part of an array of bytes.
    #[inline(always)]
    pub(crate) unsafe fn load<T: Copy + Default>(self, offset: u32) -> T {
        if offset == ABSENT {
            return T::default();
        }
        // SAFETY: the verifier accepts only loads inside the structure; the kernel turns a fault into zero.
        unsafe { core::ptr::read_volatile(self.0.add(offset as usize).cast()) }
    }

    /// The structure that the pointer at `offset` leads to.
    ///
    /// # Safety
    /// The member is a pointer.
    #[inline(always)]
    pub(crate) unsafe fn follow(self, offset: u32) -> Self {
        if offset == ABSENT {
            return Self(core::ptr::null());
        }
        // SAFETY: as `load`.
        Self(unsafe { core::ptr::read_volatile(self.0.add(offset as usize).cast()) })
    }

    /// [`Self::load`] that bears a null pointer.
    ///
    /// # Safety
    /// As [`Self::load`].
    #[inline(always)]
    pub(crate) unsafe fn get<T: Copy + Default>(self, offset: u32) -> T {
        if self.0.is_null() {
            return T::default();
        }
        // SAFETY: the caller's promise.
        unsafe { self.load(offset) }
    }

    /// [`Self::get`] behind the pointer at `pointer`.
    ///
    /// # Safety
    /// As [`Self::follow`] and [`Self::load`].
    #[inline(always)]
    pub(crate) unsafe fn get_via<T: Copy + Default>(self, pointer: u32, offset: u32) -> T {
        if self.0.is_null() {
            return T::default();
        }
        // SAFETY: the caller's promise.
        unsafe { self.follow(pointer).get(offset) }
    }

    /// The first 16 bytes of a byte array.
    ///
    /// # Safety
    /// The member is an array of at least 16 bytes.
    #[inline(always)]
    pub(crate) unsafe fn get_bytes(self, offset: u32) -> [u8; 16] {
        if offset == ABSENT {
            return [0; 16];
        }
        // SAFETY: byte arrays may be read in any width that stays inside them.
        let words: [u64; 2] = unsafe { [self.get(offset), self.get(offset + 8)] };
        // SAFETY: both are 16 plain bytes.
        unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>(words) }
    }

    /// [`Self::get_bytes`] behind the pointer at `pointer`.
    ///
    /// # Safety
    /// As [`Self::follow`] and [`Self::get_bytes`].
    #[inline(always)]
    pub(crate) unsafe fn get_bytes_via(self, pointer: u32, offset: u32) -> [u8; 16] {
        if self.0.is_null() {
            return [0; 16];
        }
        // SAFETY: the caller's promise.
        unsafe { self.follow(pointer).get_bytes(offset) }
    }
}

/// Reads kernel memory by address; zero where that faults.
///
/// # Safety
/// None that the kernel does not enforce; the value means something only if `T` lies at `address`.
#[inline(always)]
pub(crate) unsafe fn read<T: Default>(address: u64) -> T {
    let mut value = T::default();
    // SAFETY: `value` has room for a `T`. The helper checks the address; where it fails it writes zeros (kernel/trace/
    // bpf_trace.c), so there is nothing to branch on, which spares the verifier a state for every read.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, address as *const _) };
    value
}
