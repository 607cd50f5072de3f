//! The witness over HTTP.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jit_log::{AddCheckpoint, MAX_ADD_CHECKPOINT_LEN, WitnessRefusal};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::witness::state::{AskError, WitnessState};

/// How many requests are worked on at a time, which bounds the memory held; others wait.
const AT_A_TIME: usize = 128;

/// How long a client may take to send a request's body.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves `POST /add-checkpoint` and `GET /<hex SHA-256 of the origin>/checkpoint`.
///
/// It speaks plain HTTP. On a public address it belongs behind a proxy that ends TLS and limits connections.
#[derive(Clone, Debug)]
pub struct WitnessServer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: WitnessState,
    working: Semaphore,
}

impl WitnessServer {
    /// Serves this witness.
    #[must_use]
    pub fn new(state: WitnessState) -> Self {
        Self { shared: Arc::new(Shared { state, working: Semaphore::new(AT_A_TIME) }) }
    }

    /// Answers requests until `stop` ends, then finishes those it has begun.
    ///
    /// # Errors
    /// What the listener says.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let router = Router::new()
            .route("/add-checkpoint", post(add_checkpoint))
            .route("/{log}/checkpoint", get(checkpoint))
            .with_state(self.shared);
        axum::serve(listener, router).with_graceful_shutdown(stop).await
    }
}

async fn add_checkpoint(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let too_long = || text(StatusCode::PAYLOAD_TOO_LARGE, "the request is cut off or too long");
    if request.body().size_hint().lower() > MAX_ADD_CHECKPOINT_LEN as u64 {
        return too_long();
    }
    let Ok(_working) = shared.working.acquire().await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "shutting down");
    };
    let body = match timeout(PATIENCE, to_bytes(request.into_body(), MAX_ADD_CHECKPOINT_LEN)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return too_long(),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the request came too slowly"),
    };
    answer(&shared.state, &body).await
}

async fn answer(state: &WitnessState, body: &Bytes) -> Response {
    let request = match AddCheckpoint::parse(body) {
        Ok(request) => request,
        Err(error) => return text(StatusCode::BAD_REQUEST, error),
    };
    match state.ask(&request).await {
        Ok(cosignature) => text(StatusCode::OK, cosignature.to_string().trim_end()),
        Err(AskError::Refused(WitnessRefusal::Conflict { held })) => {
            (StatusCode::CONFLICT, [(CONTENT_TYPE, "text/x.tlog.size")], format!("{held}\n")).into_response()
        }
        Err(AskError::Refused(refusal)) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            text(status, refusal)
        }
        Err(error @ AskError::Busy) => text(StatusCode::SERVICE_UNAVAILABLE, error),
        // What is wrong with its disk concerns nobody else.
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness is out of order"),
    }
}

async fn checkpoint(State(shared): State<Arc<Shared>>, Path(log): Path<String>) -> Response {
    match shared.state.held(&format!("{log}/checkpoint")).await {
        Ok(Some(note)) => ([(CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from(note)).into_response(),
        Ok(None) => text(StatusCode::NOT_FOUND, "no checkpoint is held of this log"),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness is out of order"),
    }
}

fn text(status: StatusCode, line: impl ToString) -> Response {
    (status, format!("{}\n", line.to_string())).into_response()
}
