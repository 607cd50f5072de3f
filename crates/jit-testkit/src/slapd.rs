//! A directory server of a test's own.

use std::{
    env, fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const MISSING: &str =
    "OpenLDAP was not found: install it (Debian: apt-get install slapd ldap-utils; its own server is not needed)";

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends the server when standard input ends: when its owner drops it, or dies. It is told by its folder, not by its number alone.
const WATCHDOG: &str = r#"
cat >/dev/null
pid=$(cat "$1/server" 2>/dev/null)
if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$1" ]; then kill -KILL "$pid"; fi
rm -rf "$1"
"#;

/// An OpenLDAP server (`slapd`) for tests, on a loopback port, with its data in a temporary folder and the schema of people and groups;
/// stopped and removed when it is dropped and when the test process dies. It runs as whoever runs the tests.
///
/// Below [`SUFFIX`](Self::SUFFIX) it has `ou=people`, `ou=groups`, `ou=services` and `ou=vaults`. [`SERVICE`](Self::SERVICE) may write
/// what is in `ou=groups`; everybody who is logged in may read, but `cn=<name>,ou=vaults` is read by members of the `groupOfNames`
/// `cn=<name>,ou=groups` alone. [`ADMIN`](Self::ADMIN) may do anything.
#[derive(Debug)]
pub struct TestSlapd {
    folder: TempDir,
    port: u16,
    server: Mutex<Option<Child>>,
    watchdog: Child,
}

impl TestSlapd {
    /// Below what everything is.
    pub const SUFFIX: &'static str = "dc=example,dc=org";
    /// Who may do anything.
    pub const ADMIN: &'static str = "cn=admin,dc=example,dc=org";
    /// Who may write groups.
    pub const SERVICE: &'static str = "cn=jit,ou=services,dc=example,dc=org";
    /// The password of everybody.
    pub const PASSWORD: &'static str = "only-for-tests";

    /// A server without TLS.
    ///
    /// # Panics
    /// If there is no OpenLDAP on this machine; the message says how to install it.
    #[must_use]
    pub fn new() -> Self {
        Self::with("")
    }

    /// A server that speaks StartTLS with this certificate and key, in PEM.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub fn with_tls(certificate: &Path, key: &Path) -> Self {
        let (certificate, key) = (certificate.display(), key.display());
        Self::with(&format!("TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n"))
    }

    fn with(settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("jit-ldap-").tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("it was made");
        fs::create_dir(root.join("db")).expect("the folder takes one");
        fs::write(root.join("slapd.conf"), config(&root, settings)).expect("the folder takes a file");
        let mut slapadd = Command::new(binary("slapadd"));
        slapadd.arg("-q").arg("-f").arg(root.join("slapd.conf")).stdin(Stdio::piped());
        succeed(slapadd, &base());
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog"]).arg(&root).stdin(Stdio::piped());
        let watchdog = watchdog.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell");
        let mut this = Self { folder, port: 0, server: Mutex::new(None), watchdog };
        let deadline = Instant::now() + PATIENCE;
        // A port that was free a moment ago may be taken.
        while this.server.get_mut().unwrap_or_else(PoisonError::into_inner).is_none() {
            assert!(Instant::now() < deadline, "slapd does not start: {}", this.log());
            this.port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("loopback").port();
            this.start();
        }
        this
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server again after [`kill9`](Self::kill9), on the same port.
    pub fn start(&self) {
        let folder = self.folder.path().canonicalize().expect("it is there");
        let log = fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log file");
        let mut slapd = Command::new(binary("slapd"));
        slapd.arg("-f").arg(folder.join("slapd.conf")).args(["-d", "0", "-h", &self.url()]).current_dir(&folder);
        let slapd = slapd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut slapd = slapd.spawn().expect("slapd runs");
        fs::write(folder.join("server"), slapd.id().to_string()).expect("the folder takes a file");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = slapd.try_wait().expect("it was started here").is_some();
            if ended || Instant::now() >= deadline {
                let _ = slapd.kill();
                let _ = slapd.wait();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(slapd);
    }

    /// Kills the server.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill9(&self) {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slapd = server.take().expect("it runs");
        slapd.kill().expect("it was started here");
        slapd.wait().expect("it was started here");
    }

    /// Changes entries as the administrator, by `ldapmodify`.
    ///
    /// # Panics
    /// If the LDIF is refused.
    pub fn modify(&self, ldif: &str) {
        let mut ldapmodify = self.client("ldapmodify", Self::ADMIN);
        ldapmodify.stdin(Stdio::piped());
        succeed(ldapmodify, ldif);
    }

    /// The values of an attribute of an entry as somebody sees them, by `ldapsearch`; `None` if they do not see the entry.
    #[must_use]
    pub fn values(&self, entry: &str, attribute: &str, as_whom: &str) -> Option<Vec<String>> {
        let mut ldapsearch = self.client("ldapsearch", as_whom);
        ldapsearch.args(["-LLL", "-o", "ldif-wrap=no", "-s", "base", "-b", entry, attribute]);
        let output = ldapsearch.output().expect(MISSING);
        let text = String::from_utf8(output.stdout).expect("LDIF");
        let seen = output.status.success() && text.starts_with("dn:");
        let prefix = format!("{}: ", attribute.to_lowercase());
        let value = |line: &str| line.to_lowercase().starts_with(&prefix).then(|| line[prefix.len()..].to_owned());
        seen.then(|| text.lines().filter_map(value).collect())
    }

    /// A command of ldap-utils as somebody.
    fn client(&self, program: &str, as_whom: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-x", "-H", &self.url(), "-D", as_whom, "-w", Self::PASSWORD]);
        command
    }

    fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}/", self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Default for TestSlapd {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestSlapd {
    fn drop(&mut self) {
        let server = self.server.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut slapd) = server.take() {
            let _ = slapd.kill();
            let _ = slapd.wait();
        }
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// The server's programs are not on everybody's path.
fn binary(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/usr/lib/openldap"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file()).expect(MISSING)
}

fn succeed(mut command: Command, input: &str) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect(MISSING);
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    let Output { status, stderr, .. } = child.wait_with_output().expect("it was started here");
    assert!(status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&stderr));
}

fn config(root: &Path, settings: &str) -> String {
    let schema = ["/etc/ldap/schema", "/etc/openldap/schema"].map(Path::new);
    let schema = schema.into_iter().find(|folder| folder.is_dir()).expect(MISSING).display();
    let modules = ["/usr/lib/ldap", "/usr/lib/openldap"].map(Path::new).into_iter().find(|folder| folder.is_dir());
    let modules = modules.map(|folder| format!("modulepath {}\nmoduleload back_mdb\n", folder.display()));
    let (root, suffix) = (root.display(), TestSlapd::SUFFIX);
    format!(
        "include {schema}/core.schema\ninclude {schema}/cosine.schema\ninclude {schema}/inetorgperson.schema\n{modules}\
         pidfile {root}/pid\nargsfile {root}/args\nsizelimit unlimited\n{settings}\
         database mdb\nmaxsize 67108864\ndbnosync\nsuffix {suffix}\ndirectory {root}/db\n\
         rootdn {admin}\nrootpw {password}\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to dn.regex=\"^cn=([^,]+),ou=vaults,{suffix}$\"\n  \
           by group/groupOfNames/member.expand=\"cn=$1,ou=groups,{suffix}\" read\n  by * none\n\
         access to dn.subtree=\"ou=groups,{suffix}\" by dn.exact=\"{service}\" write by users read by * none\n\
         access to * by users read by anonymous auth\n",
        modules = modules.unwrap_or_default(),
        admin = TestSlapd::ADMIN,
        password = TestSlapd::PASSWORD,
        service = TestSlapd::SERVICE,
    )
}

fn base() -> String {
    let suffix = TestSlapd::SUFFIX;
    let units = ["people", "groups", "services", "vaults"];
    let units: String =
        units.iter().map(|ou| format!("dn: ou={ou},{suffix}\nobjectClass: organizationalUnit\nou: {ou}\n\n")).collect();
    format!(
        "dn: {suffix}\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n\n{units}\
         dn: {}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: jit\nuserPassword: {}\n\n",
        TestSlapd::SERVICE,
        TestSlapd::PASSWORD
    )
}
