//! The list of all cases: the one place that names them.

use super::{Case, deciding, failing, loading, repeating};

/// Gives the list to a macro: the module, the name and the contract point of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __policy_cases {
    ($then:ident ! $($args:tt)*) => {
        $crate::$then! {
            $($args)*
            deciding a_permit_names_its_rule_and_its_demands "3",
            deciding what_no_rule_permits_is_denied "3",
            deciding a_forbid_wins_and_demands_nothing "3",
            deciding every_action_must_be_permitted "evaluate",
            deciding demands_of_several_actions_are_merged "evaluate",
            deciding membership_is_not_only_direct "evaluate",
            deciding a_resource_stands_for_what_is_below_it_only "evaluate",
            deciding the_clock_is_that_of_the_input "1",
            deciding nothing_is_permitted_without_a_rule "3",
            failing a_rule_that_fails_denies "2",
            failing an_unknown_demand_denies "2",
            failing what_is_unavailable_denies "2",
            failing strange_inputs_are_decided "2",
            failing large_inputs_are_decided "2",
            repeating the_same_input_is_the_same_decision "1",
            repeating the_order_of_what_was_gathered_changes_nothing "1",
            repeating what_is_unrelated_changes_nothing "1",
            repeating many_threads_decide_the_same "1",
            repeating a_small_stack_is_enough "2",
            repeating a_decision_replays_identically "1",
            repeating what_was_tampered_with_does_not_replay "document",
            loading a_snapshot_is_its_bundle "3, document",
            loading what_is_loaded_is_what_is_evaluated "1, document",
            loading the_engine_is_the_one_described "engine, descriptor",
            loading what_is_wrong_does_not_load "load",
            loading what_is_for_another_engine_does_not_load "load",
        }
    };
}

/// Makes the list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __policy_case_list {
    ($($module:ident $name:ident $contract:literal,)*) => {
        vec![$(Case::new(stringify!($name), $contract, |subject| Box::pin($module::$name(subject)))),*]
    };
}

/// Makes a test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __policy_case_tests {
    (($factory:expr) $($module:ident $name:ident $contract:literal,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::policy::test_case($factory, stringify!($name));
            }
        )*

        #[test]
        fn decisions_are_the_same_in_fresh_processes() {
            let test = concat!(module_path!(), "::decisions_are_the_same_in_fresh_processes");
            if let Err(failure) = $crate::conformance::policy::processes_agree($factory, test) {
                panic!("{failure}");
            }
        }
    };
}

/// A test of each case of the [suite](crate::conformance::policy) with the engines of a
/// [`PolicyFactory`](crate::conformance::policy::PolicyFactory), an expression that is evaluated in each of them. Goes at the top of
/// a module.
///
/// ```ignore
/// jit_testkit::policy_conformance!(MyFactory);
/// ```
#[macro_export]
macro_rules! policy_conformance {
    ($factory:expr) => {
        $crate::__policy_cases! { __policy_case_tests! ($factory) }
    };
}

/// Every case, in the order of the suite.
#[must_use]
pub fn cases() -> Vec<Case> {
    crate::__policy_cases! { __policy_case_list! }
}
