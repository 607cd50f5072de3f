//! `ssh-keygen -Q` agrees with every list.

use std::{collections::BTreeSet, num::NonZeroU64};

use jit_core::Timestamp;
use jit_issuer::{
    CredentialReason,
    key::KeyAlgorithm,
    ssh::{Krl, SshPublicKey, SshSerial},
};
use proptest::prelude::*;

use crate::{
    issuing::{issuer_for, release, serials, setup},
    openssh::{listed, revoked},
};

fn serial(number: u64) -> SshSerial {
    SshSerial::new(NonZeroU64::new(number).unwrap())
}

fn krl(authority: Option<&SshPublicKey>, numbers: &BTreeSet<u64>) -> Vec<u8> {
    Krl::new(1, Timestamp::EPOCH).revoke(authority, numbers.iter().map(|n| serial(*n)), []).to_bytes().unwrap()
}

/// The numbers and ranges that `ssh-keygen -Q -l` lists.
fn numbers_of(krl: &[u8]) -> BTreeSet<u64> {
    let text = listed(krl);
    let mut found = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("serial: ")) {
        match line.split_once('-') {
            Some((low, high)) => found.extend(low.trim().parse::<u64>().unwrap()..=high.trim().parse().unwrap()),
            None => assert!(found.insert(line.trim().parse().unwrap())),
        }
    }
    found
}

#[tokio::test]
async fn a_certificate_is_revoked_by_serial_or_key_id_under_its_authority_alone() {
    let issuer = issuer_for("deploy", KeyAlgorithm::Ed25519);
    let other = issuer_for("deploy", KeyAlgorithm::EcdsaP256Sha256);
    let first = release(&issuer, setup()).await;
    let second = release(&issuer, jit_testkit::CaseSetup { seed: 2, ..setup() }).await;
    let (one, two) = (first.parts().1, second.parts().1);
    let certificates = [one.as_str(), two.as_str()];
    let number = SshSerial::of(first.descriptor.id);
    let case = second.case.case();
    let key_id = CredentialReason {
        grant: case.grant_id(),
        decision: case.decisions().last().unwrap().id,
        evidence: case.credentials()[&second.descriptor.id].intended_leaf,
    }
    .to_string();
    let list = |authority, serials: &[SshSerial], ids: &[String]| {
        Krl::new(1, Timestamp::EPOCH).revoke(authority, serials.to_vec(), ids.to_vec()).to_bytes().unwrap()
    };
    let own = Some(issuer.authority());
    assert_eq!(revoked(&list(own, &[], &[]), &certificates), [false, false]);
    assert_eq!(revoked(&list(own, &[number], &[]), &certificates), [true, false]);
    assert_eq!(revoked(&list(own, &[], std::slice::from_ref(&key_id)), &certificates), [false, true]);
    assert_eq!(revoked(&list(own, &[number], std::slice::from_ref(&key_id)), &certificates), [true, true]);
    assert_eq!(revoked(&list(None, &[number], &[key_id]), &certificates), [true, true]);
    assert_eq!(revoked(&list(Some(other.authority()), &[number], &[]), &certificates), [false, false]);
}

#[test]
fn a_list_says_its_number_and_date_and_has_one_spelling() {
    let numbers = BTreeSet::from([3, 5, u64::MAX]);
    let bytes = |order: Vec<u64>| {
        let at = "2026-11-02T10:00:00.999999Z".parse().unwrap();
        Krl::new(77, at).revoke(None, order.into_iter().map(serial), []).to_bytes().unwrap()
    };
    assert_eq!(bytes(vec![3, 5, u64::MAX]), bytes(vec![u64::MAX, 5, 3, 5]));
    assert_eq!(numbers_of(&bytes(vec![3, 5, u64::MAX])), numbers);
    let text = listed(&bytes(vec![3]));
    assert!(text.contains("# KRL version 77\n"), "{text}");
    let date = crate::openssh::output("date", ["-d", "2026-11-02T10:00:00Z", "+%Y%m%dT%H%M%S"]);
    assert!(text.contains(&format!("# Generated at {date}")), "{text}");
}

#[test]
fn every_shape_of_a_list_is_read_back_as_it_was_meant() {
    let shapes: [BTreeSet<u64>; 10] = [
        [1].into(),
        [u64::MAX].into(),
        (1..=2).collect(),
        (1..=20_000).collect(),
        (u64::MAX - 300..=u64::MAX).collect(),
        (1..=20_000).step_by(2).collect(),
        // Bitmaps whose highest bit is and is not the highest of a byte.
        (8..=2_000).step_by(3).chain([2_007]).collect(),
        (u64::MAX - 40_000..=u64::MAX).step_by(7).collect(),
        (1..=1_000).chain((1_002..=1_400).step_by(2)).chain(5_000..=5_001).chain([9_000_000_000]).collect(),
        (0..200).map(|n| 1 + n * n * 31).collect(),
    ];
    for numbers in &shapes {
        assert_eq!(numbers_of(&krl(None, numbers)), *numbers);
    }
}

#[test]
fn large_lists_are_small_and_quick() {
    let dense: BTreeSet<u64> = (1..=300_000).collect();
    assert!(krl(None, &dense).len() < 100);
    let every_other: BTreeSet<u64> = (1..=300_000).step_by(2).collect();
    assert!(krl(None, &every_other).len() < 38_000);
    let credentials = serials(1, 50_000);
    let scattered: BTreeSet<u64> = credentials.values().map(|serial| serial.get()).collect();
    assert_eq!(scattered.len(), credentials.len(), "serial numbers collide");
    let list = krl(None, &scattered);
    assert!(list.len() < 8 * scattered.len() + 100);
    assert!(scattered.iter().all(|n| *n > 1 << 20), "hashed numbers are spread out");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_list_is_read_back_as_it_was_meant(
        clusters in proptest::collection::vec((1_u64..=u64::MAX, proptest::collection::vec((0_u64..200, 1_u64..600), 0..12)), 0..6),
    ) {
        let mut numbers = BTreeSet::new();
        for (start, runs) in clusters {
            let mut next = start;
            for (gap, length) in runs {
                let first = next.saturating_add(gap);
                next = first.saturating_add(length);
                numbers.extend(first..next);
            }
        }
        prop_assert_eq!(numbers_of(&krl(None, &numbers)), numbers);
    }
}
