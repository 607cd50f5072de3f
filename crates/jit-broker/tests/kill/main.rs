//! A broker that is killed at every step of what it does, and what the next one makes of it.
//!
//! A test starts its own executable again as the broker that dies: at the k-th moment before or after a write to the store, to the
//! anchor, or to the target, for k = 0, 1, … until one comes to its end. After each, a fresh broker does what is due; then nothing is
//! open, nothing lives that no record explains, and nothing was minted twice.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a program of its own, which may panic"
)]
#![allow(clippy::print_stdout, reason = "a process that is killed says what it did")]

mod deed;
mod instance;
mod journal;
mod recovery;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod target;
mod vending;

use std::sync::OnceLock;

use jit_testkit::TestPostgres;

use crate::{
    deed::{Deed, Order},
    recovery::Trial,
    store::Store,
    target::Target,
};

/// With prepared transactions, and a log of every role that is made.
fn preparing() -> &'static TestPostgres {
    static SERVER: OnceLock<TestPostgres> = OnceLock::new();
    let settings = ["fsync=off", "full_page_writes=off", "max_prepared_transactions=20", "log_statement=ddl"];
    SERVER.get_or_init(|| TestPostgres::with_settings(&settings))
}

/// Without prepared transactions.
fn plain() -> &'static TestPostgres {
    static SERVER: OnceLock<TestPostgres> = OnceLock::new();
    let settings = ["fsync=off", "full_page_writes=off", "max_prepared_transactions=0", "log_statement=ddl"];
    SERVER.get_or_init(|| TestPostgres::with_settings(&settings))
}

/// The test of this name, or the process that it starts, which makes neither store nor target.
async fn killed_at_every_step(
    test: &'static str,
    store: impl Future<Output = Store>,
    target: impl Future<Output = Target>,
    deeds: &[Deed],
) {
    match Order::from_environment() {
        Some(order) => order.carry_out().await,
        None => Trial::new(test, store.await, target.await).kill_at_every_step(deeds).await,
    }
}

#[tokio::test]
async fn tokens_on_sqlite() {
    killed_at_every_step("tokens_on_sqlite", Store::sqlite(), Target::jwt(), &Deed::OF_SELF_CONTAINED).await;
}

#[tokio::test]
async fn tokens_on_postgres() {
    killed_at_every_step("tokens_on_postgres", Store::postgres(plain), Target::jwt(), &Deed::OF_SELF_CONTAINED).await;
}

#[tokio::test]
async fn ssh_certificates_on_sqlite() {
    killed_at_every_step("ssh_certificates_on_sqlite", Store::sqlite(), Target::ssh(), &Deed::OF_SELF_CONTAINED).await;
}

#[tokio::test]
async fn ssh_certificates_on_postgres() {
    killed_at_every_step(
        "ssh_certificates_on_postgres",
        Store::postgres(plain),
        Target::ssh(),
        &Deed::OF_SELF_CONTAINED,
    )
    .await;
}

#[tokio::test]
async fn x509_certificates_on_sqlite() {
    killed_at_every_step("x509_certificates_on_sqlite", Store::sqlite(), Target::x509(), &Deed::OF_SELF_CONTAINED)
        .await;
}

#[tokio::test]
async fn x509_certificates_on_postgres() {
    killed_at_every_step(
        "x509_certificates_on_postgres",
        Store::postgres(plain),
        Target::x509(),
        &Deed::OF_SELF_CONTAINED,
    )
    .await;
}

#[tokio::test]
async fn sessions_that_are_on_no_list_on_sqlite() {
    killed_at_every_step(
        "sessions_that_are_on_no_list_on_sqlite",
        Store::sqlite(),
        Target::vending(),
        &Deed::OF_SELF_CONTAINED,
    )
    .await;
}

#[tokio::test]
async fn sessions_that_are_on_no_list_on_postgres() {
    killed_at_every_step(
        "sessions_that_are_on_no_list_on_postgres",
        Store::postgres(plain),
        Target::vending(),
        &Deed::OF_SELF_CONTAINED,
    )
    .await;
}

#[tokio::test]
async fn roles_on_sqlite() {
    killed_at_every_step("roles_on_sqlite", Store::sqlite(), Target::roles(plain, "killed_s"), &Deed::OF_STATEFUL)
        .await;
}

#[tokio::test]
async fn roles_on_postgres() {
    killed_at_every_step(
        "roles_on_postgres",
        Store::postgres(plain),
        Target::roles(plain, "killed_p"),
        &Deed::OF_STATEFUL,
    )
    .await;
}

#[tokio::test]
async fn prepared_roles_on_sqlite() {
    killed_at_every_step(
        "prepared_roles_on_sqlite",
        Store::sqlite(),
        Target::roles(preparing, "killed_s"),
        &Deed::OF_STATEFUL,
    )
    .await;
}

#[tokio::test]
async fn prepared_roles_on_postgres() {
    killed_at_every_step(
        "prepared_roles_on_postgres",
        Store::postgres(preparing),
        Target::roles(preparing, "killed_p"),
        &Deed::OF_STATEFUL,
    )
    .await;
}

#[tokio::test]
async fn memberships_on_sqlite() {
    killed_at_every_step(
        "memberships_on_sqlite",
        Store::sqlite(),
        Target::members(plain, "killed_s"),
        &Deed::OF_SHARED,
    )
    .await;
}

#[tokio::test]
async fn memberships_on_postgres() {
    killed_at_every_step(
        "memberships_on_postgres",
        Store::postgres(plain),
        Target::members(plain, "killed_p"),
        &[Deed::MintAndGiveBack],
    )
    .await;
}
