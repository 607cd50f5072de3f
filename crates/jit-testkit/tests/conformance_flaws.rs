//! The conformance suite passes what is right and catches each mistake, by the case that is there for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests may panic")]

mod flawed;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use flawed::{Flaw, Flawed};
use jit_store::Backend;
use jit_testkit::conformance::backend::{BackendFactory, cases, run_all, run_case};

#[async_trait]
impl BackendFactory for Flaw {
    type Guard = Flawed;

    async fn fresh(&self) -> (Arc<dyn Backend>, Flawed) {
        let backend = Flawed::new(*self);
        (Arc::new(backend.clone()), backend)
    }

    async fn beside(&self, backend: &Flawed) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(backend.clone()))
    }

    async fn reopen(&self, backend: &Flawed) -> Option<Arc<dyn Backend>> {
        let kept = if *self == Flaw::ForgetsWhenClosed { Flawed::new(Flaw::None) } else { backend.clone() };
        Some(Arc::new(kept))
    }
}

/// Each mistake with the case that is there for it.
const CAUGHT: [(Flaw, &str); 93] = [
    (Flaw::HeadBeforeCreate, "nothing_but_create_creates"),
    (Flaw::CreatesTwice, "creating_twice_changes_nothing"),
    (Flaw::CreatesTwice, "one_of_many_creates"),
    (Flaw::CreatesHalf, "a_wrong_first_batch_creates_nothing"),
    (Flaw::CreatesInTwo, "a_dropped_create_leaves_all_or_nothing"),
    (Flaw::CreatesWithoutProjections, "create_keeps_the_settings_and_the_first_batch"),
    (Flaw::NoSettingsOfNoBytes, "no_settings_are_settings"),
    (Flaw::NoLock, "a_transaction_excludes_others"),
    (Flaw::NoLock, "many_writers_leave_no_gap"),
    (Flaw::LocksReads, "reads_do_not_wait_for_a_transaction"),
    (Flaw::LeaksLockWhenDropped, "a_dropped_transaction_writes_nothing_and_frees_the_lock"),
    (Flaw::LeaksLockWhenRefused, "a_refused_commit_frees_the_lock"),
    (Flaw::LeaksLockWhenGivenUp, "giving_up_waiting_takes_no_lock"),
    (Flaw::LeaksLockWhenGivenUp, "many_tasks_give_up_at_any_time"),
    (Flaw::LeaksLockWhenGivenUp, "a_dropped_begin_leaks_no_lock"),
    (Flaw::ReadsBeforeLocking, "a_transaction_excludes_others"),
    (Flaw::StreamsInKeyOrder, "begin_answers_in_the_order_asked"),
    (Flaw::RecordsAskedOnce, "begin_answers_in_the_order_asked"),
    (Flaw::IgnoresLeavesFrom, "begin_hands_out_new_leaves"),
    (Flaw::AllLeaves, "begin_hands_out_at_most_so_many_leaves"),
    (Flaw::NewIncarnationEachTime, "the_incarnation_stays"),
    (Flaw::AcceptsGaps, "a_wrong_batch_is_refused_whole"),
    (Flaw::AcceptsKnownRecords, "a_wrong_batch_is_refused_whole"),
    (Flaw::AcceptsAnyHead, "a_wrong_batch_is_refused_whole"),
    (Flaw::WritesHalfOfRefused, "a_wrong_batch_is_refused_whole"),
    (Flaw::CommitsInTwo, "reads_see_whole_commits"),
    (Flaw::CommitsInTwo, "a_dropped_commit_writes_all_or_nothing"),
    (Flaw::DropsEmptyPayloads, "bytes_come_back_as_written"),
    (Flaw::CutsHeaders, "bytes_come_back_as_written"),
    (Flaw::LosesStreamHead, "stream_heads_are_replaced"),
    (Flaw::ReopensStreams, "stream_heads_are_replaced"),
    (Flaw::ReplacesBlobs, "what_was_written_stays"),
    (Flaw::ForgetsWhenClosed, "what_was_committed_survives_closing"),
    (Flaw::NothingIsAsAssumed, "what_is_as_assumed_is_written"),
    (Flaw::AllIsAsAssumed, "what_is_not_as_assumed_is_not_written"),
    (Flaw::AllIsAsAssumed, "what_was_sent_after_a_refused_write_is_refused"),
    (Flaw::RefusesLargeBatches, "a_large_batch_is_committed"),
    (Flaw::OneRowTooMany, "rows_come_by_index"),
    (Flaw::RowsFromOneLater, "rows_come_by_index"),
    (Flaw::SignedNumbers, "stream_rows_come_by_number"),
    (Flaw::SignedNumbers, "lookups_come_by_index"),
    (Flaw::MoreThanLimit, "stream_rows_come_by_number"),
    (Flaw::MoreThanLimit, "limits_may_be_none_or_all"),
    (Flaw::SignedLimit, "limits_may_be_none_or_all"),
    (Flaw::LookupExcludesFrom, "lookups_come_by_index"),
    (Flaw::LookupOfLastFirst, "lookups_come_by_index"),
    (Flaw::LargePagesBreakOff, "large_rows_come_all"),
    (Flaw::TilesInKeyOrder, "the_tree_answers_in_the_order_asked"),
    (Flaw::RootsBeyondGap, "the_tree_answers_in_the_order_asked"),
    (Flaw::StaleHead, "every_handle_sees_a_commit"),
    (Flaw::NoBlobIsEmpty, "blobs_are_found_by_key"),
    (Flaw::AnswersOfOthers, "dropped_reads_leave_the_next_ones_right"),
    (Flaw::SignedKeys, "scans_go_by_unsigned_bytes"),
    (Flaw::RecordsByIndex, "scans_go_by_unsigned_bytes"),
    (Flaw::LookupsByIndex, "lookups_come_by_index"),
    (Flaw::DueByKey, "due_work_comes_by_time_then_key"),
    (Flaw::DueInclusive, "due_work_has_bounds"),
    (Flaw::DueIgnoresAfter, "due_work_has_bounds"),
    (Flaw::DueAfterTimeOnly, "due_work_has_bounds"),
    (Flaw::DueSkipsHeld, "due_work_has_bounds"),
    (Flaw::KeepsFirstDue, "due_work_is_moved_and_taken_off"),
    (Flaw::KeepsDone, "due_work_is_moved_and_taken_off"),
    (Flaw::NothingBefore1970, "due_work_falls_due_at_any_time"),
    (Flaw::ClaimsHeld, "claims_go_in_order_and_skip_what_is_held"),
    (Flaw::ClaimsLastFirst, "claims_go_in_order_and_skip_what_is_held"),
    (Flaw::ClaimCountsHeld, "claims_go_in_order_and_skip_what_is_held"),
    (Flaw::ClaimSkipsOwn, "claiming_again_renews"),
    (Flaw::ClaimSkipsOwn, "dropped_claims_and_leases_leak_nothing"),
    (Flaw::ClaimsNeverExpire, "an_expired_claim_goes_to_another"),
    (Flaw::ClaimRace, "claims_at_once_share_the_work"),
    (Flaw::ClaimsWithoutLease, "a_claim_is_a_lease"),
    (Flaw::NeverExpires, "a_lease_excludes_until_it_expires"),
    (Flaw::ExpiresEarly, "a_lease_excludes_until_it_expires"),
    (Flaw::RenewsWithoutExtending, "a_renewal_keeps_the_fence_and_lasts_longer"),
    (Flaw::NewFenceOnRenewal, "a_renewal_keeps_the_fence_and_lasts_longer"),
    (Flaw::SameFence, "every_other_holder_gets_a_larger_fence"),
    (Flaw::AnyoneReleases, "a_stale_release_frees_nothing"),
    (Flaw::ReleasesAnyFence, "a_stale_release_frees_nothing"),
    (Flaw::RefusesLongLease, "leases_last_any_time"),
    (Flaw::LeaseRace, "one_of_many_gets_the_lease"),
    (Flaw::CheckpointIgnoresAfter, "checkpoints_never_go_back"),
    (Flaw::CheckpointGoesBack, "checkpoints_never_go_back"),
    (Flaw::CheckpointRace, "one_of_many_saves_the_next_checkpoint"),
    (Flaw::CheckpointOfExactSize, "checkpoints_are_found_by_size"),
    (Flaw::CheckpointOfLargest, "checkpoints_are_found_by_size"),
    (Flaw::CheckpointInTwo, "a_dropped_checkpoint_is_saved_or_not"),
    (Flaw::SizesOf32Bits, "sizes_go_to_the_largest"),
    (Flaw::RebuildSeenEarly, "a_rebuild_is_seen_when_committed"),
    (Flaw::RebuildKeepsOld, "a_rebuild_replaces_all_projections"),
    (Flaw::RebuildCommitsWhenDropped, "a_dropped_rebuild_changes_nothing"),
    (Flaw::RebuildWithoutLock, "a_rebuild_excludes_writers"),
    (Flaw::RebuildForgetsFirst, "projections_add_up"),
    (Flaw::RebuildInTwo, "a_dropped_rebuild_call_leaves_all_or_nothing"),
];

#[tokio::test(start_paused = true)]
async fn what_is_right_passes() {
    run_all(Flaw::None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_mistake_is_caught_by_its_case() {
    let mut passed = Vec::new();
    for (flaw, case) in CAUGHT {
        match run_case(flaw, case).await {
            Ok(()) => passed.push((flaw, case)),
            Err(failure) => assert_eq!(failure.case, case),
        }
    }
    assert_eq!(passed, [], "mistakes that were not seen");
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_which_point_of_the_contract_is_broken() {
    let failure = run_case(Flaw::NoLock, "a_transaction_excludes_others").await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "a_transaction_excludes_others (contract: 1): a second transaction began beside the first"
    );
    let hanging = run_case(Flaw::LocksReads, "reads_do_not_wait_for_a_transaction").await.unwrap_err();
    assert!(hanging.what.starts_with("hangs"), "{hanging}");
}

#[test]
fn every_point_has_a_case_and_every_case_a_mistake() {
    let tested: BTreeSet<&str> = cases().iter().flat_map(|case| case.contract().split(", ")).collect();
    // 4, that a lost answer is called unknown, needs a database that loses one.
    for point in ["1", "2", "3", "5", "6", "7", "8", "9", "10", "11", "12"] {
        assert!(tested.contains(point), "no case for point {point}");
    }
    for case in cases() {
        assert!(
            CAUGHT.iter().any(|(_, caught)| *caught == case.name()),
            "no mistake shows that {} can fail",
            case.name()
        );
    }
    let names: BTreeSet<_> = cases().iter().map(|case| case.name()).collect();
    assert_eq!(names.len(), cases().len(), "a name twice");
}
