//! Calling our own program as a user does, and folders for its files.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A fresh, empty folder of that name, below the build's own.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("the old folder goes away");
    }
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// Our program, called from the repository's root, with nothing in its environment that changes its answers.
pub(crate) fn reconverge(args: &[&str]) -> Output {
    reconverge_with(args, &[])
}

/// The same with variables in its environment.
pub(crate) fn reconverge_with(args: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(args, variables).output();
    output.expect("the program starts")
}

/// The same, not started yet.
pub(crate) fn command(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reconverge"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in [
        "RECONVERGE_SEED",
        "RECONVERGE_SEEDS",
        "RECONVERGE_LOG",
        "NO_COLOR",
        "CARGO",
        "CARGO_PKG_NAME",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
}

/// Our program as a server over plain HTTP, with its first line of output; it ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) said: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Server {
        let mut child = command(&[&["serve", "--http"], args].concat(), &[])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut said)
            .expect("a line comes");
        Server { child, said }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Standard output as text.
pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

/// Standard error as text.
pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("output is UTF-8")
}

/// Every file below a folder, with its content.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("the entry can be read").path())
        .collect();
    entries.sort();
    entries
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).expect("the file can be read")))
        .collect()
}
