//! `check`: policy files go in; everything that is wrong with them comes out on standard error, a line each, and a status.

use std::{path::PathBuf, process::ExitCode};

use super::say;
use crate::config::policy;

/// The status of a bad command line, which policy files are a part of.
const WRONG: u8 = 2;

pub(super) fn run(files: &[PathBuf]) -> ExitCode {
    match policy::load(files) {
        Ok(policies) => {
            for warning in policies.warnings() {
                say(format_args!("warning: {warning}"));
            }
            let (policies, exceptions) = (policies.names().len(), policies.exceptions().len());
            say(format_args!("{policies} policies and {exceptions} exceptions are right"));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            for problem in problems {
                say(format_args!("{problem}"));
            }
            ExitCode::from(WRONG)
        }
    }
}
