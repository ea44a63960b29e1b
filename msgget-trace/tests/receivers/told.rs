//! What arrived somewhere: lines go in, out come which calls of a thread they tell of, how often, and what the last record says
//! of every output.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::Value;

use crate::common::{patience, sys};

/// As much of a line as is asked for; that it can be read at all proves that it is whole.
#[derive(Deserialize)]
struct Told {
    #[serde(rename = "eventName")]
    name: String,
    id: String,
    #[serde(rename = "processId")]
    process: Option<u32>,
    #[serde(rename = "threadId")]
    thread: Option<i32>,
    #[serde(default)]
    args: Vec<Argument>,
}

#[derive(Deserialize)]
struct Argument {
    value: Value,
}

/// The calls of one thread by their keys, each with the id of its line and the number of lines.
#[derive(Default)]
pub(crate) struct Calls {
    ids: HashMap<i64, (String, usize)>,
    /// What is no whole line.
    pub(crate) torn: Vec<String>,
}

impl Calls {
    /// Adds the calls of `thread`, which is one of ours, in `text`.
    pub(crate) fn read(&mut self, text: &str, thread: i32) {
        for raw in text.lines().filter(|raw| !raw.is_empty()) {
            let Ok(told) = serde_json::from_str::<Told>(raw) else {
                self.torn.push(raw.to_owned());
                continue;
            };
            let ours = (told.process, told.thread) == (Some(std::process::id()), Some(thread));
            let Some(key) = told.args.first().filter(|_| ours && told.name == "msgget") else { continue };
            let (id, count) = self.ids.entry(key.value.as_i64().unwrap()).or_insert_with(|| (told.id.clone(), 0));
            assert_eq!(*id, told.id, "told of twice as two: {raw}");
            *count += 1;
        }
    }

    pub(crate) fn of(text: &str, thread: i32) -> Self {
        let mut calls = Self::default();
        calls.read(text, thread);
        calls
    }

    /// Keys from 1 to `last` that no line tells of.
    pub(crate) fn missing(&self, last: i32) -> Vec<i32> {
        (1..=last).filter(|key| !self.ids.contains_key(&i64::from(*key))).collect()
    }

    /// Lines that tell of a call again.
    pub(crate) fn again(&self) -> usize {
        self.ids.values().map(|(_, count)| count - 1).sum()
    }

    /// Asserts that each call from key 1 to `last` has one line, and that every line is whole.
    pub(crate) fn assert_once(&self, last: i32) {
        assert_eq!(
            (self.missing(last), self.again(), self.torn.as_slice()),
            (vec![], 0, [""; 0].map(String::from).as_slice())
        );
    }
}

/// Calls at a time: a sleep is not shorter than 50 us.
pub(crate) const AT_ONCE: i32 = 10;

/// Calls `msgget` on the keys from 1 to `last`, `rate` a second, in an IPC namespace of its own; returns the thread.
pub(crate) fn call(last: i32, rate: i32) -> i32 {
    sys::private_ipc(|| {
        let begun = sys::clock(libc::CLOCK_MONOTONIC);
        for key in 1..=last {
            if key % AT_ONCE == 0 {
                sys::sleep_until(begun + i64::from(key) * 1_000_000_000 / i64::from(rate));
            }
            sys::msgget_only(key, 0);
        }
        sys::thread_id()
    })
}

/// Waits until `done`; panics with `what` if it takes too long.
pub(crate) fn await_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {:?}", patience());
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a file holds by now; nothing if there is none.
pub(crate) fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The records of this name in `text`.
pub(crate) fn records(text: &str, name: &str) -> Vec<Value> {
    let named = format!("\"eventName\":\"{name}\"");
    text.lines().filter(|line| line.contains(&named)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Numbers of an output in a record, those that are left out being 0.
pub(crate) fn number(output: &Value, name: &str) -> u64 {
    output[name].as_u64().unwrap_or_default()
}

/// The outputs of the only stop record in `text`; asserts that the lines of each add up.
pub(crate) fn ledger(text: &str) -> Vec<Value> {
    let stops = records(text, "stop");
    let [stop] = stops.as_slice() else { panic!("not one stop record: {stops:?}") };
    let outputs = stop["outputs"].as_array().unwrap().clone();
    for output in &outputs {
        let sum = |names: &[&str]| names.iter().map(|name| number(output, name)).sum::<u64>();
        let (before, after) =
            (["told", "inherited"], ["delivered", "waiting", "dropped", "expired", "damaged", "refused"]);
        assert_eq!(sum(&before), sum(&after), "{output}");
    }
    outputs
}

/// The numbers that lines have in their output, in the order of the lines.
pub(crate) fn sequence(text: &str) -> Vec<u64> {
    let number = |raw: &str| {
        serde_json::from_str::<Value>(raw).unwrap_or_else(|error| panic!("{error}: {raw:?}"))["sequence"]
            .as_u64()
            .unwrap()
    };
    text.lines().map(number).collect()
}
