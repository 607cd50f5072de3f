//! OpenSSH's own programs.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use jit_issuer::ssh::SshPublicKey;
use tempfile::TempDir;

use crate::issuing::{Released, me};

const SSHD: &str = "/usr/sbin/sshd";

/// Runs a program that must succeed.
pub(crate) fn output<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> String {
    let output = run(Command::new(program).args(args));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|e| {
        panic!("{command:?}: {e}; run scripts/test, or `apt-get install openssh-client openssh-server`")
    })
}

/// What `ssh-keygen -L` says of a certificate, line by line, without indentation.
pub(crate) fn shown(certificate: &str) -> Vec<String> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("id-cert.pub");
    fs::write(&file, format!("{certificate}\n")).unwrap();
    let shown = output("ssh-keygen", [OsStr::new("-L"), OsStr::new("-f"), file.as_os_str()]);
    shown.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

/// Whether `ssh-keygen -Q` finds each certificate, or key, in the list.
pub(crate) fn revoked(krl: &[u8], certificates: &[&str]) -> Vec<bool> {
    let directory = TempDir::new().unwrap();
    let list = directory.path().join("krl");
    fs::write(&list, krl).unwrap();
    let files: Vec<PathBuf> = (0..certificates.len()).map(|n| directory.path().join(format!("{n}-cert.pub"))).collect();
    for (file, certificate) in files.iter().zip(certificates) {
        fs::write(file, format!("{certificate}\n")).unwrap();
    }
    let output = run(Command::new("ssh-keygen").args(["-Q", "-f"]).arg(&list).args(&files));
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), certificates.len(), "{text}{error}");
    lines.into_iter().map(|line| line.ends_with(": REVOKED")).collect()
}

/// What `ssh-keygen -Q -l` says is in the list.
pub(crate) fn listed(krl: &[u8]) -> String {
    let directory = TempDir::new().unwrap();
    let list = directory.path().join("krl");
    fs::write(&list, krl).unwrap();
    output("ssh-keygen", [OsStr::new("-Q"), OsStr::new("-l"), OsStr::new("-f"), list.as_os_str()])
}

/// A server on loopback that trusts one authority and reads the revocation list at [`Sshd::krl`].
pub(crate) struct Sshd {
    directory: TempDir,
    child: Child,
    has_other_clock: bool,
    port: u16,
}

/// How an attempt to log in ended.
pub(crate) struct Attempt {
    pub(crate) accepted: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sshd {
    pub(crate) fn start(authority: &SshPublicKey) -> Self {
        Self::start_with_clock_off_by(authority, 0)
    }

    pub(crate) fn start_with_clock_off_by(authority: &SshPublicKey, seconds: i64) -> Self {
        let directory = TempDir::new().unwrap();
        let folder = directory.path().to_owned();
        let at = |name: &str| folder.join(name);
        output("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at("host").to_str().unwrap()]);
        fs::write(at("ca.pub"), authority.to_openssh()).unwrap();
        fs::write(at("krl"), jit_issuer::ssh::Krl::new(0, jit_core::Timestamp::EPOCH).to_bytes().unwrap()).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let path = folder.display();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {path}/host\nPidFile none\nLogLevel VERBOSE\nUsePAM no\n\
             TrustedUserCAKeys {path}/ca.pub\nRevokedKeys {path}/krl\nAuthorizedKeysFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        );
        fs::write(at("config"), config).unwrap();
        if me() == "root" {
            // sshd demands it of root alone, and Debian makes it when the service starts.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let mut server = Command::new(if seconds == 0 { SSHD } else { "faketime" });
        if seconds != 0 {
            server.args(["-f", &format!("{seconds:+}s"), SSHD]).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        server.args(["-D", "-e", "-r", "-f"]).arg(at("config")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut start = || {
            server.stderr(File::create(at("log")).unwrap()).spawn().unwrap_or_else(|e| {
                panic!("{SSHD}: {e}; run scripts/test, or `apt-get install openssh-server faketime`")
            })
        };
        let child = start();
        let mut sshd = Self { directory, child, has_other_clock: seconds != 0, port };
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = sshd.child.try_wait().unwrap();
            let in_time = Instant::now() < until;
            // It names a semaphore after its process id, and others that were killed have left theirs behind.
            if in_time && ended.is_some() && sshd.log().contains("sem_open: File exists") {
                sshd.child = start();
            } else {
                assert!(ended.is_none() && in_time, "sshd does not listen: {}", sshd.log());
            }
            thread::sleep(Duration::from_millis(5));
        }
        sshd
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn krl(&self) -> PathBuf {
        self.path().join("krl")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap()
    }

    /// The lines of the log with this text, without line ends.
    pub(crate) fn lines(&self, with: &str) -> Vec<String> {
        self.log().lines().map(|line| line.trim_end().to_owned()).filter(|line| line.contains(with)).collect()
    }

    /// Lays out what was handed over as its documentation says, and gives the file of the private key.
    pub(crate) fn keep(&self, released: &Released, private: Option<&str>) -> PathBuf {
        let (own, certificate) = released.parts();
        let key = self.path().join(released.descriptor.id.to_string());
        fs::write(&key, own.as_deref().or(private).expect("a private key")).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(format!("{}-cert.pub", key.display()), format!("{certificate}\n")).unwrap();
        key
    }

    /// The client, ready to run a command in the account of whoever runs the tests.
    pub(crate) fn client(&self, key: &Path, command: &str) -> Command {
        let mut client = Command::new("ssh");
        client.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
        client.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]);
        client.arg("-p").arg(self.port.to_string()).arg("-i").arg(key);
        client.arg(format!("{}@127.0.0.1", me())).arg(command);
        client
    }

    pub(crate) fn login(&self, released: &Released, command: &str) -> Attempt {
        let key = self.keep(released, None);
        self.login_with(&key, command)
    }

    pub(crate) fn login_with(&self, key: &Path, command: &str) -> Attempt {
        let output = run(&mut self.client(key, command));
        Attempt {
            accepted: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Of a server with another clock, the child is what set that clock; it ends with the server, and tidies up.
        let id = self.child.id();
        let below = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let server: Vec<&str> = below.split_whitespace().collect();
        if self.has_other_clock && !server.is_empty() {
            let _ = Command::new("kill").arg("-9").args(server).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
