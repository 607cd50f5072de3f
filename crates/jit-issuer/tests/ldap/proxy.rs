//! A network between issuer and directory that fails at the worst moment.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What becomes of the first modification that has this in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The directory never gets it, and the connection is cut.
    CutBefore,
    /// The directory makes it, and the connection is cut.
    CutAfter,
    /// The directory makes it, and nobody answers.
    Silence,
    /// The directory makes it, and the answer is something else than LDAP.
    Garbage,
}

pub struct Proxy {
    pub port: u16,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Before a directory on a port of this machine. Modifications with `word` in them have this fate.
    pub async fn before(directory: u16, word: &'static str, fate: Fate) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, directory)).await.unwrap();
                    forward(client, server, word.as_bytes(), fate).await
                });
            }
        });
        Self { port, accepting }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request, one answer; an entry's answer has two messages.
async fn forward(mut client: TcpStream, mut server: TcpStream, word: &[u8], fate: Fate) -> Option<()> {
    loop {
        let request = message(&mut client).await?;
        let doomed = request.windows(word.len()).any(|part| part == word) && is(&request, 0x66);
        if doomed && fate == Fate::CutBefore {
            return None;
        }
        server.write_all(&request).await.ok()?;
        loop {
            let answer = message(&mut server).await?;
            match fate {
                Fate::CutAfter if doomed => return None,
                Fate::Silence if doomed => std::future::pending().await,
                Fate::Garbage if doomed => client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok()?,
                _ => client.write_all(&answer).await.ok()?,
            }
            if !is(&answer, 0x64) {
                break;
            }
        }
    }
}

/// Whether a message, whose id has one byte, has this operation.
fn is(message: &[u8], operation: u8) -> bool {
    let header = if message[1] < 0x80 { 2 } else { 2 + usize::from(message[1] & 0x7f) };
    message[header + 3] == operation
}

async fn message(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut message = vec![from.read_u8().await.ok()?, from.read_u8().await.ok()?];
    let mut length = usize::from(message[1]);
    if length >= 0x80 {
        let mut bytes = vec![0; length & 0x7f];
        from.read_exact(&mut bytes).await.ok()?;
        length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        message.extend(bytes);
    }
    let header = message.len();
    message.resize(header + length, 0);
    from.read_exact(&mut message[header..]).await.ok()?;
    Some(message)
}
