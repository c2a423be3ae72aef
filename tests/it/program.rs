//! Calling our own program as a user does, and folders for its files.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// An empty folder of a name of its own, below the build's own. In files of it `../crds` and `../objects` are those of the
/// catalogue, as they are in `scenarios/races`.
pub(crate) fn folder(name: &str) -> PathBuf {
    static OURS: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (ours, _lock) = OURS.get_or_init(unshared);
    let folder = ours.join(name);
    fs::create_dir(&folder).expect("a folder of a name that no other test has can be made");
    folder
}

/// A folder for this process alone, for as long as the lock is there: others may be at the same tests.
fn unshared() -> (PathBuf, File) {
    for i in 0.. {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("it-{i}"));
        let lock = File::create(folder.with_extension("lock")).expect("a file can be written");
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => panic!("no file can be locked here: {error}"),
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("what earlier tests left goes away");
        }
        fs::create_dir(&folder).expect("a folder can be made");
        let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        for name in ["crds", "objects"] {
            symlink(catalogue.join(name), folder.join(name)).expect("a link can be made");
        }
        return (folder, lock);
    }
    unreachable!("there are more numbers than processes")
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
        "COLUMNS",
        "CARGO",
        "CARGO_PKG_NAME",
    ] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
}

/// Our program at work: it ends with this value, whatever becomes of the test.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        Running(Some(command.spawn().expect("the program starts")))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is taken only where it ends")
    }

    pub(crate) fn id(&mut self) -> u32 {
        self.child().id()
    }

    /// Waits until something is so; the program must not end before.
    pub(crate) fn until(&mut self, so: impl Fn(u32) -> bool) {
        while !so(self.id()) {
            let ended = self.child().try_wait().expect("it is a child of ours");
            if ended.is_some() {
                let output = self.take().wait_with_output().expect("it has ended");
                panic!(
                    "{}
{}{}",
                    output.status,
                    out(&output),
                    err(&output)
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it said, once it has ended.
    pub(crate) fn output(mut self) -> Output {
        self.take().wait_with_output().expect("it ends")
    }

    fn take(&mut self) -> Child {
        self.0.take().expect("it is taken only where it ends")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // Where it has ended already there is nothing to end.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Our program as a server over plain HTTP, with its first line of output.
pub(crate) struct Server {
    _running: Running,
    pub(crate) said: String,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Server {
        let mut program = command(&[&["serve", "--http"], args].concat(), &[]);
        let mut running = Running::start(program.stdout(Stdio::piped()));
        let mut said = String::new();
        let stdout = running.child().stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut said)
            .expect("a line comes");
        Server {
            _running: running,
            said,
        }
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

/// A text without what shows it on lines of a width: blanks, and the bar before the lines of a message.
pub(crate) fn unwrapped(text: &str) -> String {
    text.replace(|c: char| c.is_whitespace() || c == '│', "")
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
