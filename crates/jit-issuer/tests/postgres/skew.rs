//! A server whose clock is five minutes off judges by it, and has the window that is on record.

use std::time::UNIX_EPOCH;

use jit_issuer::{Observed, ReconcileQuery};

use crate::*;

const SKEW_S: i64 = 300;

fn from_now(seconds: i64) -> Timestamp {
    Timestamp::from_micros(now().as_micros() + seconds * 1_000_000).unwrap()
}

#[tokio::test]
async fn a_server_five_minutes_off_judges_the_recorded_window_by_its_own_clock() {
    // From and to so many seconds from now, and whether a server takes the password whose clock is ahead, or behind.
    let cases = [
        ((-900, 3600), [true, true]),
        ((-900, 120), [false, true]),
        ((-900, -120), [false, true]),
        ((-900, -420), [false, false]),
    ];
    for (n, ahead) in [SKEW_S, -SKEW_S].into_iter().enumerate() {
        let settings = ["fsync=off", "full_page_writes=off", "max_prepared_transactions=20"];
        let server: &'static TestPostgres = Box::leak(Box::new(TestPostgres::with_clock_off_by(ahead, &settings)));
        let world = World::on(server, "skew").await;
        let off =
            world.scalar("SELECT round(extract(epoch FROM clock_timestamp()))::int8").await - now().unix_seconds();
        assert!((off - ahead).abs() <= 5, "its clock is {off} s off");
        for (seed, ((from, to), accepted)) in (1..).zip(cases) {
            let window = Window::new(from_now(from), from_now(to)).unwrap();
            let mut case = RecordedCase::approved(CaseSetup { seed, window, ..CaseSetup::default() });
            let (descriptor, secret) = world.mint(&mut case).await;
            let role = descriptor.serial.as_str();
            // What the server has is what is on record, to the microsecond.
            let sql = "SELECT rolvaliduntil FROM pg_roles WHERE rolname = $1";
            let until: SystemTime = world.admin.query_one(sql, &[&role]).await.unwrap().get(0);
            let until = i64::try_from(until.duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
            assert_eq!(until, descriptor.window.end().as_micros());
            assert_eq!(descriptor.window.end(), case.case().grant().unwrap().approved.approved.end());
            assert_eq!(world.log_in(role, &secret).await.is_ok(), accepted[n], "{from} {to}, {ahead} s ahead");
            // Its clock is asked neither what is there, nor to end it.
            let intended = case.case().credentials()[&descriptor.id].intended.clone();
            let seen = world.issuer.reconcile(&ReconcileQuery::new(descriptor.id, intended)).await.unwrap();
            assert!(matches!(&seen, Observed::Exists(seen) if seen.window == descriptor.window), "{seen:?}");
            assert!(matches!(world.revoke(&descriptor).await, RevokeOutcome::Revoked { .. }));
            assert_eq!((world.roles().await, world.sessions().await), (0, 0));
        }
    }
}
