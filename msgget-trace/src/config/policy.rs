//! The paths of policy files go in, what is wanted comes out, or everything that is wrong with any of them.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::policy::{LARGEST, Policies, Problem, Source};

/// Most files.
const FILES: usize = 1024;

/// How the names of files end that are read where a folder is named.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Reads the files at `paths`, and those in the folders there, by name; not in folders within.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn load(paths: &[PathBuf]) -> Result<Policies, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    for file in paths.iter().flat_map(|path| files(path)) {
        let read = file.and_then(|path| read(&path));
        match read {
            Ok(_) if sources.len() == FILES => {
                problems.push(problem(Path::new("--policy"), &format!("more than {FILES} files; put some together")));
                break;
            }
            Ok(source) => sources.push(source),
            Err(problem) => problems.push(problem),
        }
    }
    match Policies::parse(&sources) {
        Ok(policies) if problems.is_empty() => Ok(policies),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// The file at `path`, or those in the folder there.
fn files(path: &Path) -> Vec<Result<PathBuf, Problem>> {
    if !path.is_dir() {
        return vec![Ok(path.to_owned())];
    }
    let fits = |path: &PathBuf| path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path)? {
            found.extend(Some(entry?.path()).filter(|path| fits(path) && !path.is_dir()));
        }
        found.sort();
        Ok(found)
    };
    match list() {
        Ok(found) if found.is_empty() => {
            vec![Err(problem(path, "there is no file in this folder whose name ends with .yaml, .yml or .json"))]
        }
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(problem(path, &format!("this folder cannot be read: {error}")))],
    }
}

fn read(path: &Path) -> Result<Source, Problem> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A pipe would have us wait for whoever writes into it.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        // One more than may be, to see that it is more.
        File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| problem(path, &format!("this file cannot be read: {error}")))?;
    if bytes.len() > LARGEST {
        return Err(problem(path, &format!("this file has more than {LARGEST} bytes, which no policy needs")));
    }
    Ok(Source { name: path.display().to_string(), bytes })
}

fn problem(path: &Path, what: &str) -> Problem {
    Problem { file: path.display().to_string(), at: None, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "{type: policy, name: NAME, scope: [global], rules: [{event: msgget}]}";

    #[test]
    fn folders_are_read_by_name_and_not_deeper() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("b.yml", &RIGHT.replace("NAME", "b"));
        write("a.yaml", &RIGHT.replace("NAME", "a"));
        write("c.json", &RIGHT.replace("NAME", "c"));
        write("notes.txt", "no policy");
        fs::create_dir(dir.path().join("d.yaml")).unwrap();
        let policies = load(&[dir.path().to_owned()]).unwrap();
        assert_eq!(policies.names().iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(policies.digest().is_some() && load(&[]).unwrap().digest().is_none());
    }

    #[test]
    fn all_problems_of_all_files_are_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let paths = [
            file("large", &vec![b'#'; LARGEST + 1]),
            dir.path().join("missing"),
            empty,
            file("bytes", b"kind: \xff"),
            file("typo", b"kind: Policy\napiVersion: x"),
        ];
        let lines: Vec<_> = load(&paths).unwrap_err().iter().map(ToString::to_string).collect();
        for (name, word) in [
            ("large", "more than 1048576 bytes"),
            ("missing", "cannot be read"),
            ("empty", "there is no file"),
            ("bytes:1:7", "not UTF-8"),
            ("typo:2:13", "apiVersion"),
            ("typo:1:1", "`spec` is missing"),
        ] {
            assert!(lines.iter().any(|line| line.contains(name) && line.contains(word)), "{name}: {lines:#?}");
        }
    }
}
