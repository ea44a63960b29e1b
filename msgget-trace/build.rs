//! In: the sources of the kernel program and the tools that `cargo xtask setup` installs. Out: the
//! object file `$OUT_DIR/msgget-trace-ebpf`, which the daemon carries in itself.

#[path = "../xtask/src/toolchain.rs"]
mod toolchain;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::exit,
};

use toolchain::{PROGRAM, RUST_SRC, TARGET, Toolchain};

/// All that the object is made from, seen from the workspace.
const INPUTS: [&str; 7] = [
    "msgget-trace-ebpf/src",
    "msgget-trace-ebpf/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "xtask/src/toolchain.rs",
    "msgget-trace/build.rs",
];

fn main() {
    if let Err(message) = build() {
        // Not a panic and not a `cargo::warning`: the message is meant to be read, and it is all
        // there is to say.
        eprintln!("\nThe kernel program of msgget-trace cannot be built: {message}\n");
        exit(1);
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| {
        env::var_os(name).ok_or_else(|| format!("{name} is not set: this is a build script, to be run by cargo"))
    };
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().unwrap_or(Path::new(".."));
    let out = PathBuf::from(variable("OUT_DIR")?).join(PROGRAM);
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;

    let toolchain = Toolchain::find(workspace).map_err(|missing| format!("{missing}.\nrun: cargo xtask setup"))?;
    let status = toolchain
        .cargo("build", &arch.to_string_lossy())
        .and_then(|mut cargo| cargo.status())
        .map_err(|error| format!("cargo cannot be started for it: {error}"))?;
    if !status.success() {
        return Err(format!("cargo failed ({status}); the compiler's output is above."));
    }
    let object = toolchain.folder().join(TARGET).join("release").join(PROGRAM);
    fs::copy(&object, &out).map_err(|error| format!("copying {} to {}: {error}", object.display(), out.display()))?;

    // Said last, so that a failure above is shown without these lines around it. A failed script is
    // run again anyway.
    println!("cargo::rerun-if-env-changed={RUST_SRC}");
    for input in INPUTS {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    Ok(())
}
