//! `schema`: the program prints the schema that is published, and says so when it cannot.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    process::{Command, Output, Stdio},
};

fn schema(stdout: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgget-trace"));
    command.arg("schema").stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn prints_what_is_published() {
    let output = schema(Stdio::piped());
    let published = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/msgget-trace-json-1.schema.json"));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert!(output.stdout == published.unwrap(), "docs/schema is stale");
}

#[test]
fn a_full_disk_is_said() {
    let output = schema(File::options().write(true).open("/dev/full").unwrap().into());
    assert_eq!(output.status.code(), Some(8));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.starts_with("msgget-trace: cannot write to standard output: "), "{message}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = schema(writer.into());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
