//! Exports and anchors over the S3 API of a server on this machine: moto, which shares no code with this workspace.
//!
//! Needs a Python that has `scripts/python-requirements.txt`; `scripts/test` installs one and names it in `JIT_TEST_PYTHON`.
#![cfg(feature = "object-store")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use jit_log::{DirectoryVerifier, TileSource};
use jit_store::{
    Anchor, AnchorError, ExportError, ExportPayloads, Log, ObjectStoreAnchor, ObjectTarget, Published,
    object_store::{
        Attribute, ClientOptions, GetOptions, HeaderMap, HeaderValue, ObjectStore, Result, RetryConfig,
        aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut},
        client::{
            HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
            HttpService,
        },
    },
};
use support::{
    FIRST, World, anchors, append, begin,
    scripted::{Fate, Scripted, objects},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An S3 server with one bucket, which ends with the test.
struct Server {
    process: Child,
    address: String,
}

const BUCKET: &str = "evidence";

impl Server {
    /// Starts a server on a port that it chooses. Its buckets can hold locked objects.
    async fn start() -> Self {
        let python = env::var_os("JIT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut process = Command::new(&python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{python:?}: {e}; install Python 3, or name one in JIT_TEST_PYTHON"));
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(std::io::Result::ok);
        let mut said = String::new();
        let address = lines.by_ref().find_map(|line| {
            said.push_str(&line);
            line.split_once("http://").map(|(_, address)| address.trim_end_matches('/').to_owned())
        });
        let Some(address) = address else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("no S3 server: pip install -r scripts/python-requirements.txt for {python:?}; it said: {said}");
        };
        // Nobody else reads what it logs.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { process, address };
        let created =
            server.request("PUT", &format!("/{BUCKET}"), &[("x-amz-bucket-object-lock-enabled", "true")]).await;
        assert!(created.starts_with("HTTP/1.1 200") || created.starts_with("HTTP/1.0 200"), "{created}");
        server
    }

    fn builder(&self) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.address))
            .with_allow_http(true)
            .with_bucket_name(BUCKET)
            .with_region("us-east-1")
            .with_access_key_id("test")
            .with_secret_access_key("test")
            .with_http_connector(PlainHttp)
            // A broken connection is a test's own doing.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
    }

    fn store(&self) -> Arc<AmazonS3> {
        Arc::new(self.builder().build().unwrap())
    }

    /// What the server answers, from the status line on. It asks who signed and does not check the signature.
    async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n", self.address);
        let signed = ("authorization", "AWS4-HMAC-SHA256 Credential=test/20990101/us-east-1/s3/aws4_request");
        for (name, value) in headers.iter().chain([&signed]) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let answer = exchange(&self.address, &head, &[]).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// HTTP/1.1 over a connection for each request, all that a server on this machine needs.
#[derive(Debug)]
struct PlainHttp;

impl HttpConnector for PlainHttp {
    fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
        Ok(HttpClient::new(Self))
    }
}

#[async_trait]
impl HttpService for PlainHttp {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let address = parts.uri.authority().unwrap().to_string();
        let mut head = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri.path_and_query().unwrap());
        for (name, value) in &parts.headers {
            if name != "content-length" && name != "host" {
                head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
            }
        }
        head.push_str(&format!("host: {address}\r\ncontent-length: {}\r\n", body.len()));
        let answer = exchange(&address, &head, &body)
            .await
            .map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let mut lines = head.lines();
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())))
            .collect();
        let mut response = HttpResponse::new(HttpResponseBody::from(answer[end + 4..].to_vec()));
        *response.status_mut() = status.try_into().unwrap();
        *response.headers_mut() = HeaderMap::try_from(&headers).unwrap();
        Ok(response)
    }
}

/// One request with its whole answer.
async fn exchange(address: &str, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

struct Objects(BTreeMap<String, Vec<u8>>);

impl TileSource for Objects {
    type Error = Infallible;
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(&format!("prod/{path}")).cloned())
    }
}

async fn written(world: &World, records: usize) -> Log {
    let log = world.create().await;
    append(&log, begin(&log, 1, records)).await;
    log
}

#[tokio::test]
async fn an_export_to_s3_cut_off_and_resumed_is_what_a_folder_gets() {
    let (server, world) = (Server::start().await, World::new());
    let log = written(&world, 300).await;
    log.export(world.folder("fresh/prod"), ExportPayloads::Include).await.unwrap();
    let folder = jit_store::object_store::local::LocalFileSystem::new_with_prefix(world.folder("fresh")).unwrap();
    let expected = objects(&folder).await;
    for (at, fate) in [(0, Fate::AnswerLost), (3, Fate::Refused), (7, Fate::AnswerLost), (8, Fate::AnswerLost)] {
        let prefix = format!("cut-{at}/prod");
        let store = Scripted::over(server.store());
        store.cut_off(at, fate);
        let target = || ObjectTarget::new(Arc::new(store.clone()), &prefix);
        let cut = log.export(target(), ExportPayloads::Include).await.unwrap_err();
        assert!(matches!(cut, ExportError::File { .. }), "{cut}");
        store.mend();
        log.export(target(), ExportPayloads::Include).await.unwrap();
        let there: BTreeMap<String, Vec<u8>> = objects(&store)
            .await
            .into_iter()
            .filter_map(|(path, bytes)| Some((path.strip_prefix(&format!("cut-{at}/"))?.to_owned(), bytes)))
            .collect();
        assert_eq!(there, expected, "cut at {at}");
        let report = DirectoryVerifier::new(log.trust()).verify(&mut Objects(there), |_, _| Ok(())).unwrap();
        assert_eq!(report.entries(), FIRST + 300);
        store.mend();
        assert_eq!(log.export(target(), ExportPayloads::Include).await.unwrap().files, 0);
    }
}

#[tokio::test]
async fn objects_have_their_headers_and_only_what_never_changes_is_locked() {
    let (server, world) = (Server::start().await, World::new());
    let log = written(&world, 300).await;
    let mut lock = HeaderMap::new();
    lock.insert("x-amz-object-lock-mode", HeaderValue::from_static("COMPLIANCE"));
    lock.insert("x-amz-object-lock-retain-until-date", HeaderValue::from_static("2099-01-01T00:00:00Z"));
    lock.insert("x-amz-sdk-checksum-algorithm", HeaderValue::from_static("SHA256"));
    // S3 wants a checksum of an object to be locked.
    let locking = server
        .builder()
        .with_client_options(ClientOptions::new().with_default_headers(lock).with_allow_http(true))
        .with_checksum_algorithm(Checksum::SHA256)
        .build()
        .unwrap();
    let target = || ObjectTarget::new(server.store(), "prod").immutable_through(Arc::new(locking.clone()));
    log.export(target(), ExportPayloads::Include).await.unwrap();
    append(&log, begin(&log, 2, 10)).await;
    log.export(target(), ExportPayloads::Include).await.unwrap();
    let store = server.store();
    for path in objects(&*store).await.into_keys() {
        let head = server.request("GET", &format!("/{BUCKET}/{path}"), &[]).await;
        let is_locked = head.contains("x-amz-object-lock-mode: COMPLIANCE") && head.contains("until-date: 2099-01-01");
        assert_eq!(is_locked, path.contains("/tile/"), "{path}: {head}");
        let got = store.get_opts(&path.as_str().into(), GetOptions::default()).await.unwrap();
        let media = got.attributes.get(&Attribute::ContentType).unwrap().as_ref().to_owned();
        let is_text = path.ends_with("checkpoint");
        assert_eq!(media, if is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" }, "{path}");
        let cache = got.attributes.get(&Attribute::CacheControl).map_or("", AsRef::as_ref);
        let is_full = path.contains("/tile/") && !path.contains(".p/");
        assert_eq!(cache.ends_with("immutable"), is_full, "{path}: {cache}");
        // The server keeps what is locked.
        let version = head.lines().find_map(|line| line.strip_prefix("x-amz-version-id: ")).unwrap();
        let deleted = server.request("DELETE", &format!("/{BUCKET}/{path}?versionId={version}"), &[]).await;
        assert_eq!(deleted.lines().next().unwrap().contains(" 403 "), is_locked, "{path}: {deleted}");
    }
}

#[tokio::test]
async fn an_object_in_s3_is_an_anchor() {
    let server = Server::start().await;
    let connect = async || ObjectStoreAnchor::connect(server.store(), "anchors/log").await.unwrap();
    anchors::never_goes_back(connect().await, connect).await;
    let another = ObjectStoreAnchor::connect(server.store(), "anchors/another").await.unwrap();
    anchors::one_wins_each_round(another).await;
}

#[tokio::test]
async fn without_conditional_puts_there_are_exports_and_no_anchors() {
    let (server, world) = (Server::start().await, World::new());
    let log = written(&world, 20).await;
    let store = server.builder().with_conditional_put(S3ConditionalPut::Disabled).build().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let refused = ObjectStoreAnchor::connect(store.clone(), "anchor").await.unwrap_err();
    assert!(matches!(refused, AnchorError::NotConditional { .. }), "{refused}");
    for records in [20, 25] {
        let target = ObjectTarget::new(store.clone(), "prod");
        assert_eq!(log.export(target, ExportPayloads::Include).await.unwrap().size, FIRST + records);
        append(&log, begin(&log, 100 + records, 5)).await;
    }
    let report = DirectoryVerifier::new(log.trust()).verify(&mut Objects(objects(&*store).await), |_, _| Ok(()));
    assert_eq!(report.unwrap().entries(), FIRST + 25);
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable() {
    let server = Server::start().await;
    let anchor = ObjectStoreAnchor::connect(server.store(), "anchor").await.unwrap();
    assert_eq!(anchor.publish(None, &anchors::note(1, 1)).await.unwrap(), Published::Stored);
    drop(server);
    let error = anchor.load().await.unwrap_err();
    assert!(matches!(error, AnchorError::Unavailable { .. }), "{error}");
}
