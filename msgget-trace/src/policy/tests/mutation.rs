//! Ten thousand files that somebody spoilt: each is read, or refused with a place in it.

use super::{documents::EXAMPLES, *};

/// A sequence of numbers that is the same in every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// What stands for values in other places.
const VALUES: [&str; 24] = [
    "",
    "~",
    "0",
    "-1",
    "0x",
    "0600",
    "1e9",
    "[]",
    "{}",
    "&a",
    "*a",
    "!!int 1",
    "|",
    ">-",
    "'",
    "\"",
    "global",
    "uid=0",
    "data.key&1=2",
    "((((",
    "key == 1",
    "*",
    "- - -",
    "\t",
];

fn spoil(text: &str, dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
    for _ in 0..=dice.roll(2) {
        let (at, other) = (dice.roll(lines.len()), dice.roll(lines.len()));
        match dice.roll(8) {
            0 => {
                lines.remove(at);
            }
            1 => lines.insert(other, lines[at].clone()),
            2 => lines.swap(at, other),
            3 => {
                // The value of one key at another.
                let value = |line: &[u8]| line.iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
                let (here, there) = (value(&lines[at]), value(&lines[other]));
                let moved = lines[other][there..].to_vec();
                lines[at].splice(here.., moved);
            }
            4 => {
                let from = dice.roll(lines[at].len());
                lines[at].splice(from.., format!(" {}", dice.pick(&VALUES)).into_bytes());
            }
            5 => lines[at].insert(0, *dice.pick(b" \t-#{}[]")),
            _ => {
                let nth = dice.roll(lines[at].len());
                if let Some(byte) = lines[at].get_mut(nth) {
                    *byte ^= 1 << dice.roll(8);
                }
            }
        }
        if lines.is_empty() {
            lines.push(Vec::new());
        }
    }
    lines.join(&b'\n')
}

#[test]
fn each_is_read_or_refused_with_a_place() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    let call = created();
    for _ in 0..10_000 {
        let text = spoil(dice.pick::<&str>(&EXAMPLES), &mut dice);
        match Policies::parse(&[source(&text)]) {
            Ok(policies) => {
                read += 1;
                wants(&policies, &call);
            }
            Err(problems) => {
                refused += 1;
                let lines = text.split(|byte| *byte == b'\n').count();
                assert!(!problems.is_empty());
                for problem in problems {
                    let at = problem.at.unwrap();
                    assert!((1..=lines + 1).contains(&at.line), "{problem} in {}", String::from_utf8_lossy(&text));
                    assert!(at.column >= 1 && !problem.what.is_empty(), "{problem}");
                }
            }
        }
    }
    // Neither is rare, or it would prove little.
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}
