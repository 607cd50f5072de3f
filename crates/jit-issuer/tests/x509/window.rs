//! A certificate never outlives its grant, or its authority.

use std::{num::NonZeroU32, time::Duration};

use jit_core::{Seconds, Timestamp, Window};
use jit_issuer::CredentialIssuer;
use jit_testkit::{CaseSetup, RecordedCase};
use proptest::prelude::*;
use x509_cert::{Certificate, der::DecodePem};

use super::{
    minted::{issuer, release, setup},
    pki::STANDARD,
};

const SECOND: Duration = Duration::from_secs(1);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the window and the issuer's limit: a certificate works within both, to the second. Windows straddle both ends of the
    /// authority, which is valid from 2020 to 2110.
    #[test]
    fn a_certificate_never_outlives_its_grant(
        start in prop_oneof![
            1_577_836_800_000_000_i64 - 4_000_000_000..1_577_836_800_000_000 + 4_000_000_000,
            1_600_000_000_000_000_i64..4_400_000_000_000_000,
            4_417_977_600_000_000_i64 - 4_000_000_000..4_417_977_600_000_000 + 4_000_000_000,
        ],
        length in prop_oneof![1_i64..5_000_000, 1_i64..20_000_000_000],
        max in 1_u32..20_000,
    ) {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let window = Window::new(at(start), at(start + length)).unwrap();
        let authority = STANDARD.authority();
        let of_authority = authority.window();
        let issuer = issuer(authority).with_max_ttl(Seconds::new(NonZeroU32::new(max).unwrap()));
        let setup = CaseSetup { window, ..setup(1) };
        if RecordedCase::approved(setup.clone()).try_intend(&issuer).is_err() {
            // What a mint now is for: it begins now, whenever the authority does.
            let issuable = window.shortened_to(Duration::from_secs(max.max(2).into())).unwrap();
            let left = issuable.intersect(&of_authority).map_or(Duration::ZERO, |window| window.duration());
            prop_assert!(left < 3 * SECOND, "{left:?}");
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let released = runtime.block_on(release(&issuer, setup));
        let certificate = Certificate::from_pem(released.chain[0].as_bytes()).unwrap();
        let validity = certificate.tbs_certificate().validity();
        let moment = |time: x509_cert::time::Time| at(i64::try_from(time.to_unix_duration().as_micros()).unwrap());
        let (first, last) = (moment(validity.not_before), moment(validity.not_after));
        let descriptor = &released.minted.descriptor;
        prop_assert_eq!(descriptor.window, Window::new(first, last.saturating_add(SECOND)).unwrap());
        prop_assert!(descriptor.window.is_within(&window) && descriptor.window.is_within(&of_authority));
        prop_assert!(first < last && descriptor.window.duration() <= Duration::from_secs(max.max(2).into()));
        prop_assert_eq!(issuer.fit(descriptor.window), Some(descriptor.window));
    }
}
