//! Arguments in, exit status out.

use std::process::ExitCode;

use clap::Parser as _;
use msgget_trace::{cli::Cli, command};

fn main() -> ExitCode {
    command::run(Cli::parse())
}
