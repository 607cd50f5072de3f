//! A network between client and server that fails at the worst moment.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// When a connection is cut, relative to a commit: a `COMMIT`, or the end of a statement that is a transaction of its own and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never gets it.
    BeforeCommit,
    /// The server has answered it, and the client never gets that.
    AfterCommit,
}

/// Forwards connections to a PostgreSQL server over plain TCP and cuts them as told.
#[derive(Debug)]
pub struct CuttingProxy {
    port: u16,
    plan: Arc<Plan>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Plan {
    next: Mutex<Option<Planned>>,
    /// Counts up when all connections are cut.
    severed: watch::Sender<u64>,
    made: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    cut: Cut,
    /// What a statement of the transaction says; `None` for any transaction.
    after: Option<&'static str>,
}

impl Plan {
    fn arm(&self, planned: Planned) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(planned);
    }

    /// What is to be done at the commit of a transaction, which is then no longer planned.
    fn take(&self, transaction: &Transaction) -> Option<Planned> {
        let fits = |planned: &mut Planned| planned.after.is_none_or(|text| transaction.says(text));
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take_if(fits)
    }
}

/// The statements of one connection: all that were prepared, and those of the transaction.
#[derive(Debug, Default)]
struct Transaction {
    prepared: HashMap<Vec<u8>, Vec<u8>>,
    ran: HashSet<Vec<u8>>,
    /// From its `BEGIN` on.
    begun: bool,
}

impl Transaction {
    /// Takes note of a message, which a statement's name and text (`P`), or a portal's and a statement's name (`B`) begin.
    fn note(&mut self, kind: u8, body: &[u8]) {
        let mut words = body.split(|byte| *byte == 0).map(<[u8]>::to_vec);
        match (kind, words.next(), words.next()) {
            (b'P', Some(name), Some(text)) => drop(self.prepared.insert(name, text)),
            (b'B', _, Some(name)) => self.ran.extend(self.prepared.get(&name).cloned()),
            (b'Q', Some(text), _) if text.starts_with(b"BEGIN") => {
                self.ran.clear();
                self.begun = true;
            }
            (b'S', ..) if !self.begun => self.ran.clear(),
            (b'Q', Some(text), _) if text.starts_with(b"COMMIT") || text.starts_with(b"ROLLBACK") => self.begun = false,
            _ => {}
        }
    }

    /// Whether the message, which was not noted yet, commits what was written.
    fn is_committed_by(&self, kind: u8, body: &[u8]) -> bool {
        match kind {
            b'Q' => body.starts_with(b"COMMIT"),
            b'S' => !self.begun && self.says("INSERT"),
            _ => false,
        }
    }

    fn says(&self, text: &str) -> bool {
        self.ran.iter().any(|ran| ran.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}

impl CuttingProxy {
    /// A proxy before the server of a configuration, such as [`TestDatabase::tcp_config`](super::TestDatabase::tcp_config).
    pub async fn before(config: &Config) -> Self {
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            other => panic!("a proxy stands before a server on TCP, not {other:?}"),
        };
        let server = (host, config.get_ports().first().copied().unwrap_or(5432));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback");
        let port = listener.local_addr().expect("it is bound").port();
        let plan =
            Arc::new(Plan { next: Mutex::new(None), severed: watch::Sender::new(0), made: watch::Sender::new(0) });
        let accepting = tokio::spawn(accept(listener, server, Arc::clone(&plan)));
        Self { port, plan, accepting }
    }

    /// The same configuration, through the proxy.
    #[must_use]
    pub fn config(&self, config: &Config) -> Config {
        let mut through = Config::new();
        through.host(Ipv4Addr::LOCALHOST.to_string()).port(self.port);
        through.user(config.get_user().expect("a user")).dbname(config.get_dbname().expect("a database"));
        through.password(config.get_password().unwrap_or_default());
        through
    }

    /// Cuts the connection on which the next commit comes.
    pub fn cut_at_commit(&self, cut: Cut) {
        self.plan.arm(Planned { cut, after: None });
    }

    /// Cuts the connection on which the next commit comes of a transaction with a prepared statement that says `text`.
    pub fn cut_at_commit_after(&self, text: &'static str, cut: Cut) {
        self.plan.arm(Planned { cut, after: Some(text) });
    }

    /// How many connections were cut at a commit.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        *self.plan.made.borrow()
    }

    /// Cuts all connections there are.
    pub fn sever(&self) {
        self.plan.severed.send_modify(|count| *count += 1);
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.sever();
    }
}

async fn accept(listener: TcpListener, server: (String, u16), plan: Arc<Plan>) {
    while let Ok((client, _)) = listener.accept().await {
        let (server, plan) = (server.clone(), Arc::clone(&plan));
        tokio::spawn(async move {
            // Whichever side ends or fails, both are closed.
            let _ = forward(client, server, &plan).await;
        });
    }
}

async fn forward(client: TcpStream, server: (String, u16), plan: &Plan) -> io::Result<()> {
    let mut severed = plan.severed.subscribe();
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let swallow = watch::Sender::new(None);
    tokio::select! {
        done = requests(from_client, to_server, plan, &swallow) => done,
        done = answers(from_server, to_client, plan, &swallow) => done,
        _ = severed.changed() => Ok(()),
    }
}

/// Client to server, until there is a cut.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    swallow: &watch::Sender<Option<(u64, Planned)>>,
) -> io::Result<()> {
    let mut transaction = Transaction::default();
    // How many times the server will say that it is ready: once it has let the client in, and after each of what follows.
    let mut readies = 1;
    // The first message has no type.
    let length = from.read_u32().await?;
    to.write_u32(length).await?;
    to.write_all(&body(&mut from, length).await?).await?;
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let body = body(&mut from, length).await?;
        readies += u64::from(matches!(kind, b'Q' | b'S'));
        if transaction.is_committed_by(kind, &body) {
            match plan.take(&transaction) {
                Some(Planned { cut: Cut::BeforeCommit, .. }) => {
                    plan.made.send_modify(|count| *count += 1);
                    return Ok(());
                }
                Some(planned) => drop(swallow.send_replace(Some((readies, planned)))),
                None => {}
            }
        }
        transaction.note(kind, &body);
        to.write_all(&message(kind, length, &body)).await?;
    }
}

/// Server to client, until there is a cut.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    swallow: &watch::Sender<Option<(u64, Planned)>>,
) -> io::Result<()> {
    let (mut readies, mut failed) = (0, false);
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let body = body(&mut from, length).await?;
        failed |= kind == b'E' || kind == b'C' && body.starts_with(b"ROLLBACK");
        if kind == b'Z' {
            readies += 1;
            let due = swallow.borrow().filter(|(ready, _)| *ready == readies);
            match due {
                // Nothing was committed: another time.
                Some((_, planned)) if failed => {
                    swallow.send_replace(None);
                    plan.arm(planned);
                }
                Some(_) => {
                    plan.made.send_modify(|count| *count += 1);
                    return Ok(());
                }
                None => {}
            }
            failed = false;
        }
        to.write_all(&message(kind, length, &body)).await?;
    }
}

async fn body(from: &mut OwnedReadHalf, length: u32) -> io::Result<Vec<u8>> {
    let rest = length.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; usize::try_from(rest).map_err(io::Error::other)?];
    from.read_exact(&mut body).await?;
    Ok(body)
}

fn message(kind: u8, length: u32, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    message
}
