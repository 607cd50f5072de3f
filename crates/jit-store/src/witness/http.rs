//! A witness over HTTP (C2SP tlog-witness).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jit_log::{
    AddCheckpoint, MAX_NOTE_LEN, MAX_SIGNATURES, NoteSignature, Origin, TrustPolicy, VerifierKey, witness_path,
};
use ureq::Agent;
use ureq::http::{Response, StatusCode, Uri, header::CONTENT_TYPE};

use crate::backend::Source;
use crate::witness::client::{WitnessAnswer, WitnessClient, WitnessError};

/// Longest answer to `add-checkpoint` that is read, in bytes.
const MAX_ANSWER: u64 = 1 << 18;

/// What a witness says with status 409 when it names the size it holds.
const SIZE_TYPE: &str = "text/x.tlog.size";

/// A witness that is reached over HTTP.
///
/// Answers are bounded, redirects are not followed, and every call has a time-out; the default is five seconds.
///
/// ```
/// use jit_log::{CosignerKey, KeyName};
/// use jit_store::{HttpWitness, WitnessClient};
///
/// let key = CosignerKey::from_seed(KeyName::parse("witness.example/w1")?, [2; 32]).verifier();
/// let witness = HttpWitness::new(key.clone(), "https://witness.example/w1")?;
/// assert_eq!(*witness.verifier(), key);
/// assert!(HttpWitness::new(key, "http://witness.example/w1").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HttpWitness {
    key: VerifierKey,
    submission: String,
    monitoring: String,
    agent: Agent,
}

impl HttpWitness {
    /// The witness with this key below `url`, which takes checkpoints and publishes them there.
    ///
    /// # Errors
    /// [`WitnessUrlError`] if the URL is not `https`, or `http` to this machine, or has a query.
    pub fn new(key: VerifierKey, url: &str) -> Result<Self, WitnessUrlError> {
        let prefix = prefix(&key, url)?;
        let agent = agent(Duration::from_secs(5), is_loopback(&prefix));
        Ok(Self { key, submission: prefix.clone(), monitoring: prefix, agent })
    }

    /// Every witness of a policy for which it gives a URL.
    ///
    /// # Errors
    /// [`WitnessUrlError`] for the first URL that is not usable.
    pub fn all_of(policy: &TrustPolicy) -> Result<Vec<Arc<dyn WitnessClient>>, WitnessUrlError> {
        let with_url = policy.witnesses().iter().filter_map(|witness| Some((witness.key(), witness.url()?)));
        with_url.map(|(key, url)| Ok(Arc::new(Self::new(key.clone(), url)?) as Arc<dyn WitnessClient>)).collect()
    }

    /// Reads what the witness holds below another URL.
    ///
    /// # Errors
    /// As [`HttpWitness::new`].
    pub fn monitoring(mut self, url: &str) -> Result<Self, WitnessUrlError> {
        self.monitoring = prefix(&self.key, url)?;
        Ok(self)
    }

    /// How long one call may take, from the first byte sent to the last received.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.agent = agent(timeout, is_loopback(&self.submission) && is_loopback(&self.monitoring));
        self
    }

    fn unavailable(&self, source: impl Into<Source>) -> WitnessError {
        WitnessError::Unavailable { witness: self.key.name().clone(), source: source.into() }
    }

    fn malformed(&self) -> WitnessError {
        WitnessError::Malformed { witness: self.key.name().clone() }
    }

    /// Runs a call where blocking is allowed, and returns status, content type and body.
    async fn call(
        &self,
        limit: u64,
        call: impl FnOnce(&Agent) -> Result<Response<ureq::Body>, ureq::Error> + Send + 'static,
    ) -> Result<Answer, WitnessError> {
        let agent = self.agent.clone();
        let called = tokio::task::spawn_blocking(move || {
            let mut response = call(&agent)?;
            let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let is_size = content_type == Some(SIZE_TYPE);
            let body = response.body_mut().with_config().limit(limit).read_to_vec()?;
            Ok(Answer { status: response.status(), is_size, body })
        });
        let called: Result<Answer, ureq::Error> = called.await.map_err(|error| self.unavailable(error))?;
        called.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(_) => self.malformed(),
            error => self.unavailable(error),
        })
    }
}

struct Answer {
    status: StatusCode,
    is_size: bool,
    body: Vec<u8>,
}

#[async_trait]
impl WitnessClient for HttpWitness {
    fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    async fn add_checkpoint(&self, request: AddCheckpoint) -> Result<WitnessAnswer, WitnessError> {
        let url = format!("{}/add-checkpoint", self.submission);
        let body = request.to_bytes();
        let answer = self.call(MAX_ANSWER, move |agent| agent.post(&url).send(&body[..])).await?;
        match answer.status {
            StatusCode::OK => cosignatures(&answer.body).map(WitnessAnswer::Cosigned).ok_or_else(|| self.malformed()),
            StatusCode::CONFLICT if answer.is_size => {
                size(&answer.body).map(WitnessAnswer::Holds).ok_or_else(|| self.malformed())
            }
            status => Err(WitnessError::Refused { witness: self.key.name().clone(), status: status.as_u16() }),
        }
    }

    async fn held(&self, origin: &Origin) -> Result<Option<Vec<u8>>, WitnessError> {
        let url = format!("{}/{}", self.monitoring, witness_path(origin));
        let limit = MAX_NOTE_LEN as u64;
        let answer = self.call(limit, move |agent| agent.get(&url).call()).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(WitnessError::Refused { witness: self.key.name().clone(), status: status.as_u16() }),
        }
    }
}

/// One or more signature lines.
fn cosignatures(body: &[u8]) -> Option<Vec<NoteSignature>> {
    let lines = std::str::from_utf8(body).ok()?.strip_suffix('\n')?.split('\n');
    let lines: Vec<NoteSignature> = lines.take(MAX_SIGNATURES).map(NoteSignature::parse).collect::<Option<_>>()?;
    Some(lines)
}

/// A decimal number in its one form, and a newline.
fn size(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    text.parse::<u64>().ok().filter(|size| size.to_string() == text)
}

fn agent(timeout: Duration, direct: bool) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("jit-store/", env!("CARGO_PKG_VERSION")));
    if direct {
        // A proxy would look for this machine's witness on its own.
        config = config.proxy(None);
    }
    config.build().new_agent()
}

/// The URL without a final slash, if it can be used.
fn prefix(key: &VerifierKey, url: &str) -> Result<String, WitnessUrlError> {
    let wrong = || WitnessUrlError { witness: key.name().to_string(), url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let plain = uri.scheme_str() == Some("http") && is_loopback(url);
    let prefix = url.trim_end_matches('/');
    if !(plain || uri.scheme_str() == Some("https")) || uri.query().is_some() || url.contains(['@', '#']) {
        return Err(wrong());
    }
    Ok(prefix.to_owned())
}

fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A URL at which no witness can be reached safely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("witness {witness} cannot be reached at {url}: it must be https, or http to this machine, without query")]
pub struct WitnessUrlError {
    /// Name of its key.
    pub witness: String,
    /// The URL.
    pub url: String,
}
