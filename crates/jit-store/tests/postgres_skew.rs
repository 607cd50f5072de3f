//! A database whose clock is five minutes off changes nothing that is recorded, and no lease by more than it takes to run out.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jit_core::Clock as _;
use jit_store::{PostgresBackend, PostgresConfig};
use jit_testkit::TestPostgres;
use support::{World, begin, case};

const SKEW: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn a_store_five_minutes_off_shifts_no_time_and_no_lease() {
    for ahead in [300, -300] {
        let server = TestPostgres::with_clock_off_by(ahead, &["fsync=off", "full_page_writes=off"]);
        let database = server.database().await;
        let config = PostgresConfig::new(database.config.clone());
        PostgresBackend::migrate(&config).await.unwrap();
        let world = World::over(Arc::new(PostgresBackend::connect(config).await.unwrap()));
        let (log, other) = (world.create().await, world.open().await.unwrap());

        // What is recorded bears the time of whoever recorded it, and the checkpoint covers it.
        let appended = log.append(begin(&log, 1, 3)).await.unwrap();
        let receipt = appended.receipt().await.unwrap();
        assert!(receipt.recorded().iter().all(|recorded| recorded.header().at == world.clock.now().at));
        let read = other.stream(&case(1)).await.unwrap();
        assert!(read.iter().all(|entry| entry.record().header().at == world.clock.now().at));

        // A heartbeat is due by the clock of the log.
        assert!(!log.heartbeat().await.unwrap());
        world.clock.advance(SKEW);
        assert!(!log.heartbeat().await.unwrap(), "not by the clock of the store");
        world.clock.advance(Duration::from_secs(3600));
        assert!(log.heartbeat().await.unwrap());

        // A lease lasts as long as it was asked for, by any clock that runs.
        let ttl = Duration::from_millis(400);
        let begun = Instant::now();
        assert!(log.lease(b"work", ttl).await.unwrap().is_some());
        assert!(other.lease(b"work", ttl).await.unwrap().is_none(), "somebody has it");
        while other.lease(b"work", ttl).await.unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it runs out");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(begun.elapsed() >= ttl, "not before its time");
    }
}
