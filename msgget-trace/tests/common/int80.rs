//! The i386 door of a 64-bit program: a number and three arguments go in, what the kernel puts into eax comes out.
#![cfg(target_arch = "x86_64")]

/// `int 0x80` from this 64-bit code.
pub(crate) fn int80(number: i32, [bx, cx, dx]: [i32; 3]) -> i32 {
    let result: i32;
    // SAFETY: the calls made here take numbers only; rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {bx}", "int 0x80", "xchg rbx, {bx}",
            bx = inout(reg) i64::from(bx) => _,
            inlateout("eax") number => result, in("ecx") cx, in("edx") dx,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}
