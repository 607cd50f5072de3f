//! The list of all cases: the one place that names them.

use super::{
    Case, assuming, checkpointing, committing, creating, dropping, leasing, locking, racing, reading, rebuilding,
    scheduling,
};

/// Gives the list to a macro: the module, the name and the contract point of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __backend_cases {
    ($then:ident ! $($args:tt)*) => {
        $crate::$then! {
            $($args)*
            creating nothing_but_create_creates "11",
            creating create_keeps_the_settings_and_the_first_batch "create",
            creating no_settings_are_settings "create",
            creating creating_twice_changes_nothing "create",
            creating one_of_many_creates "create",
            creating a_wrong_first_batch_creates_nothing "2, 7",
            locking a_transaction_excludes_others "1",
            locking a_dropped_transaction_writes_nothing_and_frees_the_lock "2",
            locking a_refused_commit_frees_the_lock "2, 7",
            locking giving_up_waiting_takes_no_lock "12",
            locking reads_do_not_wait_for_a_transaction "5",
            locking begin_answers_in_the_order_asked "8",
            locking begin_hands_out_new_leaves "begin",
            locking begin_hands_out_at_most_so_many_leaves "begin",
            locking the_incarnation_stays "begin",
            committing a_wrong_batch_is_refused_whole "2, 7",
            committing bytes_come_back_as_written "commit",
            committing a_large_batch_is_committed "commit",
            committing stream_heads_are_replaced "6",
            committing what_was_written_stays "6",
            committing what_was_committed_survives_closing "3",
            assuming what_is_as_assumed_is_written "write_if",
            assuming what_is_not_as_assumed_is_not_written "write_if",
            assuming what_was_sent_after_a_refused_write_is_refused "write_if",
            reading rows_come_by_index "8, 9",
            reading stream_rows_come_by_number "8, 9",
            reading lookups_come_by_index "8, 9",
            reading the_tree_answers_in_the_order_asked "8",
            reading blobs_are_found_by_key "blob",
            reading scans_go_by_unsigned_bytes "8, 9",
            reading limits_may_be_none_or_all "9",
            reading large_rows_come_all "9",
            reading every_handle_sees_a_commit "5",
            reading reads_see_whole_commits "5",
            scheduling due_work_comes_by_time_then_key "8, 9",
            scheduling due_work_has_bounds "due",
            scheduling due_work_falls_due_at_any_time "due",
            scheduling due_work_is_moved_and_taken_off "commit",
            scheduling claims_go_in_order_and_skip_what_is_held "8, 9, claim",
            scheduling claiming_again_renews "claim",
            scheduling a_claim_is_a_lease "10, claim",
            scheduling claims_at_once_share_the_work "10, claim",
            scheduling an_expired_claim_goes_to_another "10, claim",
            leasing a_lease_excludes_until_it_expires "10",
            leasing a_renewal_keeps_the_fence_and_lasts_longer "10, lease",
            leasing every_other_holder_gets_a_larger_fence "10, lease",
            leasing a_stale_release_frees_nothing "release",
            leasing leases_last_any_time "lease",
            leasing one_of_many_gets_the_lease "10",
            checkpointing checkpoints_never_go_back "save_checkpoint",
            checkpointing checkpoints_are_found_by_size "checkpoint",
            checkpointing one_of_many_saves_the_next_checkpoint "save_checkpoint",
            checkpointing sizes_go_to_the_largest "save_checkpoint",
            rebuilding a_rebuild_replaces_all_projections "rebuild",
            rebuilding a_rebuild_is_seen_when_committed "5, rebuild",
            rebuilding a_dropped_rebuild_changes_nothing "2, rebuild",
            rebuilding a_rebuild_excludes_writers "1, rebuild",
            rebuilding projections_add_up "rebuild",
            racing many_writers_leave_no_gap "1, 5, 7",
            racing many_tasks_give_up_at_any_time "1, 2, 12",
            dropping a_dropped_create_leaves_all_or_nothing "12",
            dropping a_dropped_begin_leaks_no_lock "12",
            dropping a_dropped_commit_writes_all_or_nothing "2, 12",
            dropping a_dropped_rebuild_call_leaves_all_or_nothing "2, 12",
            dropping dropped_claims_and_leases_leak_nothing "12",
            dropping a_dropped_checkpoint_is_saved_or_not "12",
            dropping dropped_reads_leave_the_next_ones_right "12",
        }
    };
}

/// Makes the list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __backend_case_list {
    ($($module:ident $name:ident $contract:literal,)*) => {
        vec![$(Case::new(stringify!($name), $contract, |subject| Box::pin($module::$name(subject)))),*]
    };
}

/// Makes a test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __backend_case_tests {
    (($factory:expr) $($module:ident $name:ident $contract:literal,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::backend::test_case($factory, stringify!($name));
            }
        )*
    };
}

/// A test of each case of the [suite](crate::conformance::backend) with the databases of a
/// [`BackendFactory`](crate::conformance::backend::BackendFactory), an expression that is evaluated in each of them. Goes at the
/// top of a module.
///
/// ```ignore
/// jit_testkit::backend_conformance!(MyFactory);
/// ```
#[macro_export]
macro_rules! backend_conformance {
    ($factory:expr) => {
        $crate::__backend_cases! { __backend_case_tests! ($factory) }
    };
}

/// Every case, in the order of the suite.
#[must_use]
pub fn cases() -> Vec<Case> {
    crate::__backend_cases! { __backend_case_list! }
}
