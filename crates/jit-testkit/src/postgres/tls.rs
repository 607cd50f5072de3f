//! A server that speaks TLS.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

use super::cluster::TestPostgres;

const MISSING: &str = "openssl was not found: install it (Debian: apt-get install openssl)";
/// What the server's certificate says beside its key.
const EXTENSIONS: &str = "subjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
/// By which a client of PostgreSQL asks for TLS; the answer is `S` or `N`.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

impl TestPostgres {
    /// Has the server speak nothing but TLS over TCP from now on, as `127.0.0.1` and under no other name. Returns the file (PEM)
    /// with the certificate of the authority that vouches for it. The Unix socket stays as it is.
    ///
    /// # Panics
    /// If the server was given by URL or was built without TLS, and without openssl; the message says how to install it.
    pub async fn demand_tls(&self) -> PathBuf {
        let data = self.data_folder();
        certify(&data);
        let rules = data.join("pg_hba.conf");
        let demanding = fs::read_to_string(&rules).expect("rules").replace("\nhost ", "\nhostssl ");
        fs::write(&rules, demanding).expect("rules can be changed");
        let (admin, connection) = self.config().connect(NoTls).await.expect("PostgreSQL takes connections");
        tokio::spawn(connection);
        admin.batch_execute("ALTER SYSTEM SET ssl = on").await.expect("a PostgreSQL built with TLS");
        admin.batch_execute("SELECT pg_reload_conf()").await.expect("new settings");
        let port = self.tcp_config().get_ports().first().copied().expect("a port");
        while !speaks_tls(port).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        data.join("authority.crt")
    }
}

/// Makes an authority, and a certificate of it for the server.
fn certify(data: &Path) {
    let openssl = |args: &str| {
        let output = Command::new("openssl").current_dir(data).args(args.split(' ')).output().expect(MISSING);
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    };
    fs::write(data.join("server.ext"), EXTENSIONS).expect("the folder takes a file");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=authority -keyout authority.key -out authority.crt"));
    openssl(&format!("req {key} -subj /CN=server -keyout server.key -out server.csr"));
    openssl(
        "x509 -req -in server.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 -extfile server.ext \
         -out server.crt",
    );
    let owner = fs::metadata(data).expect("a folder");
    for name in ["server.key", "server.crt"] {
        let path = data.join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file of our own");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("root gives files away");
    }
}

async fn speaks_tls(port: u16) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("PostgreSQL listens");
    stream.write_all(&REQUEST).await.expect("PostgreSQL listens");
    stream.read_u8().await.expect("PostgreSQL answers") == b'S'
}
