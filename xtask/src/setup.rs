//! In: the tools as they are found. Out: the tools as they are needed. Each step is taken only when
//! needed, and said with its reason.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, anyhow};

use crate::{
    cargo, debian, succeed,
    toolchain::{BPF_LINKER, LLVM_MAJOR, Missing, Toolchain, fallback_forced, target_dir},
};

/// Debian's compiler with the right LLVM, its library's source, and the tools that must match the
/// compiler.
const DEBIAN_RUST: [&str; 4] = ["rustc-web", "rust-web-src", "rust-web-clippy", "rustfmt-web"];

/// Makes sure of all that the tasks need: what [`toolchain`] does, and what checks the sources.
pub(crate) fn everything(workspace: &Path) -> Result<Toolchain> {
    let toolchain = toolchain(workspace)?;
    for (component, program) in [("clippy", "cargo-clippy"), ("rustfmt", "cargo-fmt")] {
        if !toolchain.tool(program).is_file() {
            say(&format!("{component} is missing: `cargo xtask lint` needs it"));
            if toolchain.tool("rustc") == Path::new("/usr/bin/rustc") || !component_add(workspace, component) {
                debian_rust()?;
            }
        }
    }
    Ok(toolchain)
}

/// Makes sure of what builds the kernel program.
pub(crate) fn toolchain(workspace: &Path) -> Result<Toolchain> {
    match Toolchain::find(workspace) {
        Ok(toolchain) => return Ok(toolchain),
        Err(Missing::Linker(_)) => {}
        Err(missing) => {
            say(&missing.to_string());
            let rustup_can = matches!(missing, Missing::Source(_)) && !fallback_forced();
            if !(rustup_can && component_add(workspace, "rust-src")) {
                debian_rust()?;
            }
        }
    }
    if let Err(missing @ Missing::Linker(_)) = Toolchain::find(workspace) {
        say(&missing.to_string());
        linker(workspace)?;
    }
    Toolchain::find(workspace).map_err(|missing| {
        anyhow!(
            "the installation went through, and still {missing}. Check which compiler `rustc -vV` \
             shows, and that no RUSTC or RUSTUP_TOOLCHAIN in the environment hides the one of \
             rust-toolchain.toml"
        )
    })
}

/// Whether rustup could add a component to the active toolchain.
fn component_add(workspace: &Path, component: &str) -> bool {
    say(&format!("rustup component add {component}"));
    let added = succeed(Command::new("rustup").args(["component", "add", component]).current_dir(workspace));
    added.inspect_err(|error| say(&format!("{error:#}"))).is_ok()
}

fn debian_rust() -> Result<()> {
    debian::install(
        &DEBIAN_RUST,
        "Debian's Rust compiler serves where rustup's is not complete",
        &format!(
            "install a rustc with LLVM {LLVM_MAJOR} and the source of its library. With rustup: \
             `rustup toolchain install` in this folder, without a RUSTUP_TOOLCHAIN that overrides \
             it. Without: your distribution's rustc and rust-src"
        ),
    )
}

fn linker(workspace: &Path) -> Result<()> {
    let tools = target_dir(workspace).join("tools");
    let scratch = tools.join("build");
    say(&format!("cargo install bpf-linker {BPF_LINKER} into {} (a minute or two)", tools.display()));
    succeed(
        cargo(workspace)
            .args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force", "--root"])
            .arg(&tools)
            // Not in /tmp, where a small tmpfs may not hold it.
            .arg("--target-dir")
            .arg(&scratch),
    )?;
    // Only the program is wanted; what it was made from is twenty times as large. Left behind, it
    // does no other harm.
    let _ = fs::remove_dir_all(&scratch);
    Ok(())
}

fn say(text: &str) {
    eprintln!("setup: {text}");
}
