//! The i386 door of a 64-bit program: a number and up to six arguments go in, what the kernel puts into eax comes out.
#![cfg(target_arch = "x86_64")]

/// `int 0x80` from this 64-bit code.
pub(crate) fn int80(number: i32, [bx, cx, dx]: [i32; 3]) -> i32 {
    int80_six(number, [bx, cx, dx, 0, 0, 0])
}

/// The same with all the arguments there can be.
pub(crate) fn int80_six(number: i32, [bx, cx, dx, si, di, bp]: [i32; 6]) -> i32 {
    let result: i32;
    // SAFETY: the calls made here take numbers, and addresses of memory that is mapped for good; rbx and rbp, which the
    // compiler keeps for itself, are put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, r12", "xchg rbp, r13", "int 0x80", "xchg rbp, r13", "xchg rbx, r12",
            inout("r12") i64::from(bx) => _, inout("r13") i64::from(bp) => _,
            inlateout("eax") number => result, in("ecx") cx, in("edx") dx, in("esi") si, in("edi") di,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}
