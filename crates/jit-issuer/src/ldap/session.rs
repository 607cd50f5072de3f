//! One connection for one act, which ends with it: dropping an act leaves nothing open.

use std::{fmt, sync::Arc, time::Duration};

use jit_core::{Code, code};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{
    dn::Dn,
    message::{Answer, Attributes, Change, Request, decode},
};

/// The longest message that is read. An entry with a hundred thousand members has about ten million bytes.
const MAX_MESSAGE: u64 = 32 << 20;

/// How a connection is kept from others.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LdapSecurity {
    /// TLS by StartTLS (RFC 4511 section 4.14), before anything else is said.
    StartTls(Arc<ClientConfig>),
    /// TLS from the first byte, as port 636 has it.
    Tls(Arc<ClientConfig>),
    /// None, so only to an address of the same machine.
    Loopback,
}

/// Where groups are, as whom they are changed, and with how much patience.
#[derive(Clone)]
pub struct LdapTarget {
    host: String,
    port: u16,
    security: LdapSecurity,
    user: Dn,
    password: Arc<Zeroizing<String>>,
    patience: Duration,
}

impl LdapTarget {
    /// A directory that takes writes, reached as `user`. Each answer is waited for ten seconds. With TLS, `host` is the name that the
    /// certificate must have. An empty password is refused at each connection: by it a directory would let anybody in as nobody
    /// (RFC 4513 section 5.1.2).
    #[must_use]
    pub fn new(
        host: impl Into<String>,
        port: u16,
        security: LdapSecurity,
        user: Dn,
        password: Zeroizing<String>,
    ) -> Self {
        Self {
            host: host.into(),
            port,
            security,
            user,
            password: Arc::new(password),
            patience: Duration::from_secs(10),
        }
    }

    /// How long to wait for a connection, and for each answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects. Whatever keeps a connection from being made, nothing was asked of the directory.
    pub(super) async fn session(&self) -> Result<Session, Trouble> {
        match timeout(self.patience, self.open()).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(trouble)) => Err(Trouble::Refused(trouble.code())),
            Err(_) => Err(Trouble::Refused(code!("unreachable"))),
        }
    }

    async fn open(&self) -> Result<Session, Trouble> {
        if self.password.is_empty() {
            return Err(Trouble::Refused(code!("password_is_empty")));
        }
        let unreachable = |_| Trouble::Refused(code!("unreachable"));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let patience = self.patience;
        let plain = |stream| Session { stream, next: 1, patience };
        let mut session = match &self.security {
            LdapSecurity::Loopback => {
                if !stream.peer_addr().map_err(unreachable)?.ip().is_loopback() {
                    return Err(Trouble::Refused(code!("needs_tls")));
                }
                plain(Box::new(stream))
            }
            LdapSecurity::Tls(config) => plain(self.tls(config, Box::new(stream)).await?),
            LdapSecurity::StartTls(config) => {
                let mut session = plain(Box::new(stream));
                // Nothing is read ahead, so nothing that came before TLS is taken for something that came by it.
                session.result(Request::StartTls).await?;
                let stream = self.tls(config, session.stream).await?;
                Session { stream, next: session.next, patience }
            }
        };
        let name = self.user.to_string();
        session.result(Request::Bind { name: &name, password: self.password.as_bytes() }).await?;
        Ok(session)
    }

    async fn tls(&self, config: &Arc<ClientConfig>, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Trouble> {
        let failed = || Trouble::Refused(code!("tls_failed"));
        let host = ServerName::try_from(self.host.clone()).map_err(|_| failed())?;
        let stream = TlsConnector::from(config.clone()).connect(host, stream).await.map_err(|_| failed())?;
        Ok(Box::new(stream))
    }
}

impl fmt::Debug for LdapTarget {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LdapTarget")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("tls", &!matches!(self.security, LdapSecurity::Loopback))
            .finish_non_exhaustive()
    }
}

/// A request did not do what it should have (RFC 4511 appendix A.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The directory said no: it did nothing.
    Refused(Code),
    /// The entry has no such value.
    Absent,
    /// The entry has that value.
    Exists,
    /// There is no such entry.
    NoEntry,
    /// The entry would not be what its class demands.
    AgainstClass,
    /// The answer did not come.
    Lost(Code),
}

impl Trouble {
    fn of(result: u32) -> Self {
        match result {
            16 => Self::Absent,
            20 => Self::Exists,
            32 => Self::NoEntry,
            65 => Self::AgainstClass,
            other => Self::Refused(Code::new(format!("ldap_{other}")).unwrap_or(code!("ldap"))),
        }
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::Refused(cause) | Self::Lost(cause) => cause.clone(),
            Self::Absent => code!("no_such_value"),
            Self::Exists => code!("value_exists"),
            Self::NoEntry => code!("no_such_entry"),
            Self::AgainstClass => code!("object_class_violation"),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, which goes with this value; one request at a time.
pub(super) struct Session {
    stream: Box<dyn Stream>,
    next: u32,
    patience: Duration,
}

impl Session {
    /// Some attributes of one entry.
    pub(super) async fn read(&mut self, entry: &str, attributes: &[&str]) -> Result<Attributes, Trouble> {
        self.ask(Request::Read { entry, attributes }).await?.ok_or(Trouble::NoEntry)
    }

    /// Changes one entry, in all or in nothing (RFC 4511 section 4.6).
    pub(super) async fn modify(&mut self, entry: &str, changes: &[Change]) -> Result<(), Trouble> {
        self.result(Request::Modify { entry, changes }).await
    }

    async fn result(&mut self, request: Request<'_>) -> Result<(), Trouble> {
        self.ask(request).await.map(drop)
    }

    /// Asks, and gives the entry that came before the result, if one did.
    async fn ask(&mut self, request: Request<'_>) -> Result<Option<Attributes>, Trouble> {
        let id = self.next;
        self.next = id.saturating_add(1);
        let message = Zeroizing::new(request.encode(id));
        let patience = self.patience;
        let asking = async {
            let lost = |_| Trouble::Lost(code!("answer_lost"));
            self.stream.write_all(&message).await.map_err(lost)?;
            self.stream.flush().await.map_err(lost)?;
            let mut entry = None;
            loop {
                match self.answer(id).await? {
                    Answer::Result(0) => return Ok(entry),
                    Answer::Result(code) => return Err(Trouble::of(code)),
                    Answer::Entry(attributes) => entry = Some(attributes),
                    Answer::Other => {}
                }
            }
        };
        timeout(patience, asking).await.unwrap_or(Err(Trouble::Lost(code!("timed_out"))))
    }

    async fn answer(&mut self, id: u32) -> Result<Answer, Trouble> {
        let content = self.message().await.map_err(|_| Trouble::Lost(code!("answer_lost")))?;
        match content.as_deref().and_then(decode) {
            Some((0, _)) => Err(Trouble::Lost(code!("disconnected"))),
            Some((found, answer)) if found == id => Ok(answer),
            _ => Err(Trouble::Lost(code!("answer_unreadable"))),
        }
    }

    /// The content of the next message; `None` if it is none, or too long. Memory grows with what comes, not with what is announced.
    async fn message(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let (tag, first) = (self.stream.read_u8().await?, self.stream.read_u8().await?);
        let length = match first {
            0..=0x7f => u64::from(first),
            0x81..=0x84 => {
                let mut length = 0;
                for _ in 0..(first & 0x7f) {
                    length = (length << 8) | u64::from(self.stream.read_u8().await?);
                }
                length
            }
            _ => return Ok(None),
        };
        if tag != super::ber::SEQUENCE || length > MAX_MESSAGE {
            return Ok(None);
        }
        let mut content = Vec::new();
        (&mut self.stream).take(length).read_to_end(&mut content).await?;
        Ok(Some(content).filter(|content| u64::try_from(content.len()).is_ok_and(|read| read == length)))
    }
}
