//! The list of all cases: the one place that names them.

use super::{Case, dropping, minting, observing, preparing, revoking};

/// Gives the list to a macro: the module, the name and the contract point of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __issuer_cases {
    ($then:ident ! $($args:tt)*) => {
        $crate::$then! {
            $($args)*
            minting name_and_capabilities_stay "4",
            minting what_fits_lies_within "3",
            minting a_credential_is_as_authorised "1, 3, 4",
            minting every_credential_has_a_name_of_its_own "2",
            minting what_another_issuer_may_mint_is_refused "1",
            minting a_secret_is_sealed_and_shown_nowhere "5",
            minting a_released_credential_opens_its_target "1, 7",
            minting many_are_minted_at_once "1, 10",
            preparing only_who_prepares_says_so "7",
            preparing what_is_prepared_opens_nothing "7",
            preparing a_commit_needs_its_own_record "7",
            preparing what_is_abandoned_is_gone "7",
            revoking what_is_taken_back_is_dead "4, 8",
            revoking taking_back_twice_is_no_error "8",
            revoking another_process_takes_back "2, 8",
            revoking an_authorisation_is_for_one_credential "8",
            revoking what_another_issuer_minted_is_refused "8",
            observing a_credential_is_found_by_its_id "2",
            observing what_was_never_minted_is_not_found "9",
            observing what_is_dead_is_not_found_alive "9",
            observing a_listing_has_what_lives "2",
            observing looking_changes_nothing "9",
            dropping a_dropped_mint_leaves_all_or_nothing "10",
            dropping a_dropped_commit_leaves_all_or_nothing "10",
            dropping a_dropped_revocation_is_made_again "8, 10",
        }
    };
}

/// Makes the list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __issuer_case_list {
    ($($module:ident $name:ident $contract:literal,)*) => {
        vec![$(Case::new(stringify!($name), $contract, |subject| Box::pin($module::$name(subject)))),*]
    };
}

/// Makes a test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __issuer_case_tests {
    (($factory:expr) $($module:ident $name:ident $contract:literal,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::issuer::test_case($factory, stringify!($name));
            }
        )*
    };
}

/// A test of each case of the [suite](crate::conformance::issuer) with the issuers of an
/// [`IssuerFactory`](crate::conformance::issuer::IssuerFactory), an expression that is evaluated in each of them. Goes at the top of
/// a module.
///
/// ```ignore
/// jit_testkit::issuer_conformance!(MyFactory);
/// ```
#[macro_export]
macro_rules! issuer_conformance {
    ($factory:expr) => {
        $crate::__issuer_cases! { __issuer_case_tests! ($factory) }
    };
}

/// Every case, in the order of the suite.
#[must_use]
pub fn cases() -> Vec<Case> {
    crate::__issuer_cases! { __issuer_case_list! }
}
