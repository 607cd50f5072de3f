//! The projections written anew in one transaction; everybody else reads the old ones until it commits.

use std::time::Duration;

use async_trait::async_trait;

use super::batch::{BatchColumns, Place, UNBOUNDED, simple};
use super::config::SchemaName;
use super::error::{failed, outcome, unavailable};
use super::sql;
use super::value::{bound, get, head};
use super::writer::{Open, Writer, send};
use crate::backend::{BackendError, Rebuild};
use crate::row::{Batch, Head, Projections};

#[derive(Debug)]
pub(super) struct PostgresRebuild {
    open: Open,
    head: Head,
    /// Everything so far was done; otherwise the server would answer a commit with a rollback.
    whole: bool,
    patience: Duration,
}

impl PostgresRebuild {
    pub(super) async fn begin(writer: &Writer, schema: &SchemaName, patience: Duration) -> Result<Self, BackendError> {
        let open = writer.open().await?;
        let session = open.session()?;
        let client = &session.main.client;
        client.batch_execute(sql::BEGIN_REBUILD).await.map_err(failed)?;
        client.batch_execute(&schema.fill(sql::REBUILD_LOCK)).await.map_err(failed)?;
        let row = client.query_opt(&session.statements.lock_head, &[]).await.map_err(failed)?;
        let head = head(&row.ok_or(BackendError::NotCreated)?)?;
        client.batch_execute(&schema.fill(sql::FORGET)).await.map_err(failed)?;
        Ok(Self { open, head, whole: true, patience })
    }
}

#[async_trait]
impl Rebuild for PostgresRebuild {
    fn head(&self) -> &Head {
        &self.head
    }

    async fn add(&mut self, projections: Projections) -> Result<(), BackendError> {
        if !std::mem::take(&mut self.whole) {
            return Err(unavailable("an earlier part of this rebuild failed"));
        }
        let session = self.open.session()?;
        let (client, prepared) = (&session.main.client, &session.statements);
        let streams: Vec<&[u8]> = projections.streams.iter().map(|(key, _)| key.as_bytes().as_slice()).collect();
        let nexts: Vec<i64> = projections.streams.iter().map(|(_, state)| bound(state.next)).collect();
        let rows = client.query(&prepared.stream_bounds, &[&streams, &nexts, &UNBOUNDED.1]).await.map_err(failed)?;
        let bounds = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect::<Result<_, BackendError>>()?;
        let batch = Batch { head: self.head.clone(), rows: vec![], tiles: vec![], projections, blobs: vec![] };
        let columns = BatchColumns::within(&batch, bounds)?;
        columns.write(client, prepared, &Place::behind(&self.head, false)?).await.map_err(failed)?;
        self.whole = true;
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), BackendError> {
        if !self.whole {
            return Err(unavailable("a part of this rebuild failed"));
        }
        let steps = vec![simple(&self.open.session()?.main.client, "COMMIT")];
        let answers = send(steps, self.patience).await;
        self.open.conclude(answers.map(outcome))
    }
}
