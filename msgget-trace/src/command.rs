//! What the user can ask for, one file each: a command line goes in, an exit status comes out.

mod check;
mod exec;
mod replay;
mod rules;
mod run;
mod schema;
mod status;
mod unpin;

use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use log::LevelFilter;

use crate::{
    cli::{Cli, Command, KernelLog, PinOptions},
    config::{Config, Scope},
    daemon::Daemon,
    failure::Failure,
};

/// Does what the command line says.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Run { options, pins, status_socket } => {
            let mut config = Config::new(options, Scope::Host).unwrap_or_else(|error| error.exit());
            config.pins = pins.pins();
            messages(config.kernel_log);
            warn(&config);
            let socket = (status_socket.as_os_str() != "none").then_some(status_socket);
            done(run::run(&config, socket.as_deref()))
        }
        Command::Status { json, socket } => done(status::run(&socket, json)),
        Command::Exec { options, command } => {
            let config = Config::new(options, Scope::Descendants).unwrap_or_else(|error| error.exit());
            messages(config.kernel_log);
            warn(&config);
            exec::run(&config, &command).map_or_else(|failure| failed(&failure, failure.exec_status()), ExitCode::from)
        }
        Command::Rules => done(rules::run()),
        Command::Check { files } => check::run(&files),
        Command::Replay { output, spool, file } => {
            let (outputs, spool) = Config::replay(&output, &spool).unwrap_or_else(|error| error.exit());
            messages(KernelLog::Off);
            done(replay::run(&file, &outputs, &spool))
        }
        Command::Schema => done(schema::run()),
        Command::Unpin { pin } => {
            messages(KernelLog::Off);
            let pins = PinOptions { pin, no_pin: false }.pins();
            pins.map_or(Ok(()), |pins| unpin::run(&pins))
                .map_or_else(|failure| failed(&failure, failure.status()), |()| ExitCode::SUCCESS)
        }
    }
}

/// Says what is no error, and may be a mistake all the same.
fn warn(config: &Config) {
    for warning in config.policies.warnings() {
        log::warn!("{warning}");
    }
}

fn done(result: Result<(), Failure>) -> ExitCode {
    result.map_or_else(|failure| failed(&failure, failure.status()), |()| ExitCode::SUCCESS)
}

/// One line about why we end.
fn failed(failure: &Failure, status: u8) -> ExitCode {
    say(format_args!("{failure}"));
    ExitCode::from(status)
}

/// A line for people. If nobody reads them any more, that is no reason to end (`eprintln!` would).
fn say(message: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "msgget-trace: {message}");
}

/// Writes what was asked for to standard output. If nobody reads it any more, that is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Print(error)),
        _ => Ok(()),
    }
}

/// Messages of the daemon and of its kernel program go to standard error, a line each.
fn messages(kernel_log: KernelLog) {
    let kernel = match kernel_log {
        KernelLog::Off => LevelFilter::Off,
        KernelLog::Warn => LevelFilter::Warn,
        KernelLog::Debug => LevelFilter::Debug,
    };
    env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        .filter_module("msgget_trace_ebpf", kernel)
        // It says what it mounts.
        .filter_module("msgget_trace::kernel::pin", LevelFilter::Info)
        .format(|line, record| {
            let level = record.level().as_str().to_ascii_lowercase();
            writeln!(line, "msgget-trace: {level}: {}: {}", record.target(), record.args())
        })
        .init();
}

/// Past a limit on file sizes write(2) is to fail, which is said, and not to kill (setrlimit(2)).
fn past_limits_writing_fails() {
    // SAFETY: no handler is installed, and nothing else looks at this signal.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Runs `task`, and what it spawns, on this thread.
fn block_on<T>(task: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = built.map_err(Failure::internal("starting the runtime"))?;
    let ended = tokio::task::LocalSet::new().block_on(&runtime, task);
    // A name may be being looked up, of a server that never answers, and nothing breaks that off: nobody waits for it any more.
    runtime.shutdown_background();
    ended
}

/// Says that nothing is missed from here on, and what cannot be seen.
fn ready(daemon: &Daemon, what: &str) {
    let rung = daemon.rung();
    say(format_args!("ready, tracing {what} by {}; coverage gap: {}", rung.name(), rung.gap()));
}

/// Stops `daemon` and prints the balance, whether or not all went well.
async fn conclude(daemon: Daemon, reason: &'static str) -> Result<(), Failure> {
    let (ledger, stopped) = daemon.stop(reason).await;
    say(format_args!("balance {ledger}"));
    stopped
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn the_end_does_not_wait_for_what_cannot_be_broken_off() {
        let (began, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let start = Instant::now();
        let done = block_on(async {
            tokio::task::spawn_blocking(move || {
                began.send(()).unwrap();
                // As getaddrinfo(3) does while no server answers.
                let _ = ended.recv_timeout(Duration::from_secs(10));
            });
            begun.recv().unwrap();
            Ok(())
        });
        assert!(done.is_ok() && start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        drop(end);
    }
}
