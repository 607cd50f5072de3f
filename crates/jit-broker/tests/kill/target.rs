//! Targets of each class, and what stands there by their own account.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use jit_core::{Action, CredentialDescriptor, CredentialId, Entropy as _, Event, IssuerName, Seconds, Timestamp};
use jit_issuer::{
    CredentialIssuer,
    key::LocalKey,
    membership::Strays,
    postgres::{
        GroupRoles, PostgresIssuer, PostgresTarget, RoleName, RolePrefix,
        membership::{MARKS_TABLE, MemberRoles, PostgresMembershipIssuer},
    },
    ssh::{KrlFile, Login, Logins, Revocations, SshIssuer},
    x509::{Authority, CrlFile, X509Issuer},
};
use jit_store::{Cursor, Log, OsEntropy};
use jit_testkit::{TestDatabase, TestPostgres};
use tokio_postgres::{Client, NoTls};

use crate::{
    deed::requester,
    store::connection_string,
    support::{jwt, scope},
    vending::Vending,
};

/// Who is a member may deploy.
const GROUP: &str = "deployers";

/// What a process is told of a target.
#[derive(Clone)]
pub enum TargetKind {
    Jwt,
    Ssh,
    X509,
    /// Nobody can say what stands there.
    Vending,
    /// A server, and what the names of roles there begin with.
    Roles(String, String),
    /// A server, and what the names of a group, of who may get into it, and of who never may end with.
    Members(String, String),
}

/// A target, and its server if it has one.
pub struct Target {
    pub kind: TargetKind,
    pub server: Option<&'static TestPostgres>,
    _database: Option<TestDatabase>,
}

impl Target {
    pub async fn jwt() -> Self {
        Self { kind: TargetKind::Jwt, server: None, _database: None }
    }

    pub async fn ssh() -> Self {
        Self { kind: TargetKind::Ssh, server: None, _database: None }
    }

    pub async fn x509() -> Self {
        Self { kind: TargetKind::X509, server: None, _database: None }
    }

    pub async fn vending() -> Self {
        Self { kind: TargetKind::Vending, server: None, _database: None }
    }

    pub async fn roles(server: fn() -> &'static TestPostgres, prefix: &str) -> Self {
        let server = server();
        let connection = connection_string(&server.config());
        let make = format!("DO $$ BEGIN CREATE ROLE {GROUP}; EXCEPTION WHEN OTHERS THEN NULL; END $$");
        connect(&connection).await.batch_execute(&make).await.unwrap();
        Self { kind: TargetKind::Roles(connection, prefix.to_owned()), server: Some(server), _database: None }
    }

    /// Grants of one access share a membership; its marks are in a database of the target's own.
    pub async fn members(server: fn() -> &'static TestPostgres, of: &str) -> Self {
        let database = server().database().await;
        let make = format!(
            "{MARKS_TABLE} CREATE ROLE group_{of}; CREATE ROLE member_{of} LOGIN; CREATE ROLE stray_{of} LOGIN"
        );
        database.connect().await.batch_execute(&make).await.unwrap();
        let kind = TargetKind::Members(connection_string(&database.config), of.to_owned());
        Self { kind, server: None, _database: Some(database) }
    }
}

impl TargetKind {
    /// What outlives processes beside the target itself: the keys of authorities.
    pub fn prepare(&self, folder: &Path) {
        if matches!(self, Self::X509) {
            let key =
                ["genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ca.key"];
            run("openssl", folder, &key);
            let certify = ["req", "-x509", "-key", "ca.key", "-out", "ca.pem", "-subj", "/CN=root", "-days", "36500"];
            let usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
            run("openssl", folder, &[&certify[..], &usage[..]].concat());
        }
    }

    /// The issuer of a process that begins now: what was taken back is known from the records.
    pub async fn issuer(&self, folder: &Path, at: Timestamp, log: &Log) -> Arc<dyn CredentialIssuer> {
        let entropy = Arc::new(OsEntropy);
        let name = |name: &str| IssuerName::new(name).unwrap();
        match self {
            Self::Jwt => jwt(),
            Self::Vending => Arc::new(Vending::new(name("cloud"))),
            Self::Ssh => {
                let key = Arc::new(LocalKey::from_ed25519_seed([11; 32]));
                let action = Action::new("deploy").unwrap();
                let logins = Logins::new().with(action, "cluster:prod".parse().unwrap(), Login::new("deploy").unwrap());
                let taken_back = taken_back(log).await;
                let number = u64::try_from(at.as_micros()).unwrap();
                let file = KrlFile::new(krl(folder));
                let list = Revocations::new(file, number, at, &taken_back);
                Arc::new(SshIssuer::new(name("hosts"), key, logins, entropy).unwrap().with_revocations(list))
            }
            Self::X509 => {
                let key = Arc::new(LocalKey::from_file(folder.join("ca.key")).unwrap());
                let chain = fs::read_to_string(folder.join("ca.pem")).unwrap();
                let authority = Authority::new(key, "example.org".parse().unwrap(), &chain).unwrap();
                let arc = "1.3.6.1.4.1.32473.7".parse().unwrap();
                let list = CrlFile::new(crl(folder), Seconds::new(NonZeroU32::new(600).unwrap()));
                Arc::new(X509Issuer::new(name("mesh"), authority, arc, entropy).with_crl(list).unwrap())
            }
            Self::Roles(connection, prefix) => {
                let groups = GroupRoles::new().with(scope("cluster:prod/web", "deploy"), RoleName::new(GROUP).unwrap());
                let target = PostgresTarget::new(connection.parse().unwrap());
                let prefix = RolePrefix::new(prefix).unwrap();
                Arc::new(PostgresIssuer::connect(name("cluster"), target, groups, prefix, entropy).await.unwrap())
            }
            Self::Members(connection, of) => {
                let role = |what: &str| RoleName::new(format!("{what}_{of}")).unwrap();
                let groups = GroupRoles::new().with(scope("cluster:prod/web", "deploy"), role("group"));
                let members = MemberRoles::new().with(requester().id(), role("member"));
                let target = PostgresTarget::new(connection.parse().unwrap());
                let issuer = PostgresMembershipIssuer::connect(name("deployers"), target, groups, members).await;
                Arc::new(issuer.unwrap().with_strays(Strays::Remove))
            }
        }
    }

    /// Makes something that looks like ours, and that no record explains.
    pub async fn plant(&self, at: Timestamp) {
        let (connection, make) = match self {
            Self::Roles(connection, prefix) => {
                let mut random = [0; 10];
                OsEntropy.fill(&mut random).unwrap();
                let role = RolePrefix::new(prefix).unwrap().role(CredentialId::v7(at, random));
                (connection, format!("CREATE ROLE \"{}\" LOGIN IN ROLE {GROUP}", role.as_str()))
            }
            Self::Members(connection, of) => (connection, format!("GRANT group_{of} TO stray_{of}")),
            _ => return,
        };
        connect(connection).await.batch_execute(&make).await.unwrap();
    }

    /// What stands at a target that can say so: the names of roles, those in prepared transactions included; the members of a group, and
    /// what is left of former ones.
    pub async fn standing(&self) -> Option<BTreeSet<String>> {
        let (connection, of, sql) = match self {
            Self::Roles(connection, prefix) => (
                connection,
                prefix.clone(),
                "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, $1 || '_') \
                 UNION ALL SELECT replace(gid, ':', '_') FROM pg_prepared_xacts WHERE starts_with(gid, $1 || ':')",
            ),
            Self::Members(connection, of) => (
                connection,
                format!("group_{of}"),
                "SELECT m.rolname::text FROM pg_auth_members AS a JOIN pg_roles AS m ON m.oid = a.member \
                 JOIN pg_roles AS g ON g.oid = a.roleid WHERE g.rolname = $1 \
                 UNION ALL SELECT 'mark of ' || credential FROM jit.membership WHERE group_role = $1 AND NOT EXISTS ( \
                     SELECT FROM pg_auth_members AS a JOIN pg_roles AS m ON m.oid = a.member \
                     JOIN pg_roles AS g ON g.oid = a.roleid WHERE g.rolname = group_role AND m.rolname = member_role)",
            ),
            _ => return None,
        };
        let rows = connect(connection).await.query(sql, &[&of]).await.unwrap();
        Some(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The name of a credential there.
    pub fn name_of(&self, credential: CredentialId) -> Option<String> {
        match self {
            Self::Roles(_, prefix) => Some(RolePrefix::new(prefix).unwrap().role(credential).as_str().to_owned()),
            Self::Members(_, of) => Some(format!("member_{of}")),
            _ => None,
        }
    }

    /// Whether a list of what was taken back has this credential; `None` for a target that reads none.
    pub fn lists(&self, folder: &Path, credential: &CredentialDescriptor) -> Option<bool> {
        let serial = credential.serial.as_str();
        match self {
            Self::Ssh => {
                let list = run("ssh-keygen", folder, &["-Q", "-l", "-f", krl(folder).to_str().unwrap()]);
                Some(list.lines().any(|line| line.trim() == format!("serial: {serial}")))
            }
            Self::X509 => {
                let list = run("openssl", folder, &["crl", "-noout", "-text", "-in", crl(folder).to_str().unwrap()]);
                Some(list.contains(&format!("Serial Number: {}", serial.to_uppercase())))
            }
            _ => None,
        }
    }

    pub fn to_text(&self) -> String {
        match self {
            Self::Jwt => "jwt".to_owned(),
            Self::Ssh => "ssh".to_owned(),
            Self::X509 => "x509".to_owned(),
            Self::Vending => "vending".to_owned(),
            Self::Roles(connection, prefix) => format!("{prefix}\n{connection}"),
            Self::Members(connection, of) => format!("members\n{of}\n{connection}"),
        }
    }

    pub fn from_text(text: &str) -> Self {
        match text {
            "jwt" => Self::Jwt,
            "ssh" => Self::Ssh,
            "x509" => Self::X509,
            "vending" => Self::Vending,
            other => {
                let (prefix, connection) = other.split_once('\n').unwrap();
                match (prefix, connection.split_once('\n')) {
                    ("members", Some((of, connection))) => Self::Members(connection.to_owned(), of.to_owned()),
                    _ => Self::Roles(connection.to_owned(), prefix.to_owned()),
                }
            }
        }
    }
}

/// How often the server was asked to make each role, by its own log.
pub fn roles_made(server: &TestPostgres) -> Vec<String> {
    let log = fs::read_to_string(server.data_folder().with_file_name("log")).unwrap();
    let made = log.lines().filter_map(|line| line.split_once("CREATE ROLE \"")?.1.split_once('"'));
    made.map(|(role, _)| role.to_owned()).collect()
}

/// The credentials that somebody set out to take back, from the records.
async fn taken_back(log: &Log) -> Vec<CredentialDescriptor> {
    let (mut descriptors, mut tried, mut next) = (BTreeMap::new(), BTreeSet::new(), Cursor::START);
    loop {
        let changes = log.changes(next, 1024).await.unwrap();
        if changes.records.is_empty() {
            return descriptors.into_iter().filter(|(id, _)| tried.contains(id)).map(|(_, d)| d).collect();
        }
        next = changes.next;
        for record in changes.records {
            match record.record().event().unwrap() {
                Event::CredentialIssued(e) => drop(descriptors.insert(e.descriptor.id, e.descriptor)),
                Event::RevocationIntended(_) => tried.extend(record.record().header().refs.credential),
                _ => {}
            }
        }
    }
}

fn krl(folder: &Path) -> PathBuf {
    folder.join("krl")
}

fn crl(folder: &Path) -> PathBuf {
    folder.join("mesh.crl")
}

async fn connect(connection: &str) -> Client {
    let (client, driver) = tokio_postgres::connect(connection, NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

/// What a program says; it must succeed.
fn run(program: &str, folder: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; apt-get install openssl openssh-client"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
