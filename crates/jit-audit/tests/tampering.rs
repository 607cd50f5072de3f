//! Every flipped bit of a bundle is noticed, whether or not the attacker repairs its digest; and no bytes make the verifier panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests may panic"
)]

mod support;

use jit_audit::{Bundle, Examination, Story, Verdict, VerifyOptions, verify};
use jit_core::canonical::Value;
use jit_log::{KeyName, SignerKey, TrustPolicy};
use proptest::prelude::*;
use support::{Plan, World};

/// The bundle of a short case.
async fn small(plan: Plan) -> (Vec<u8>, TrustPolicy) {
    let world = World::new().await;
    let case = world.run("a", plan).await;
    (world.bundle(case).await.to_bytes().unwrap(), world.trust.clone())
}

/// Runs a check for every so many bytes of the bundle, on two processors.
fn for_bytes(bytes: &[u8], step: usize, check: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let check = &check;
            scope.spawn(move || (half * step..bytes.len()).step_by(2 * step).for_each(check));
        }
    });
}

fn flipped(bytes: &[u8], at: usize, bit: usize) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    copy[at] ^= 1 << bit;
    copy
}

#[tokio::test]
async fn every_single_flipped_bit_is_refused() {
    let (bytes, trust) = small(Plan::Refused).await;
    let options = VerifyOptions::default();
    assert!(verify(&bytes, &trust, &options).verdict().is_proved());
    for_bytes(&bytes, 1, |at| {
        for bit in 0..8 {
            let report = verify(&flipped(&bytes, at, bit), &trust, &options);
            assert!(!report.verdict().is_proved(), "bit {bit} of byte {at}");
        }
    });
}

#[tokio::test]
async fn a_flipped_bit_under_a_repaired_digest_is_refused_unless_it_is_only_claimed() {
    let (bytes, trust) = small(Plan::Denied).await;
    let original = Bundle::parse(&bytes).unwrap();
    let options = VerifyOptions::default();
    for_bytes(&bytes, 5, |at| {
        let Ok(bundle) = Bundle::parse(&flipped(&bytes, at, at % 7)) else { return };
        let Ok(repaired) = bundle.to_bytes() else { return };
        let evidence = |b: &Bundle| (b.scope, b.logs.clone(), b.records.clone(), b.policies.clone());
        if evidence(&bundle) != evidence(&original) {
            assert!(!verify(&repaired, &trust, &options).verdict().is_proved(), "byte {at}");
        }
    });
}

#[tokio::test]
async fn what_is_flipped_in_a_value_is_disproved_at_its_record() {
    let (bytes, trust) = small(Plan::Denied).await;
    let at = bytes.windows(5).position(|window| window == b"INC-7").unwrap();
    let report = verify(&flipped(&bytes, at, 1), &trust, &VerifyOptions::default());
    let Verdict::Disproved(failure) = report.verdict() else { panic!("{:?}", report.failures()) };
    assert_eq!(failure.place.as_ref().unwrap().kind.as_ref().unwrap().as_str(), "request.submitted");
}

#[tokio::test]
async fn the_line_of_an_unknown_cosigner_is_ignored_and_never_counted() {
    let (bytes, trust) = small(Plan::Denied).await;
    let mut bundle = Bundle::parse(&bytes).unwrap();
    let text = bundle.logs[0].checkpoint.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let stranger = SignerKey::from_seed(KeyName::parse("witness.example").unwrap(), [42; 32]);
    bundle.logs[0].checkpoint.push_str(&stranger.sign(&text).to_string());
    let report = verify(&bundle.to_bytes().unwrap(), &trust, &VerifyOptions::default());
    assert!(report.verdict().is_proved());
    assert_eq!(report.checkpoint().unwrap().cosignatures().len(), 0);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!examine(&bytes).report().verdict().is_proved());
    }

    #[test]
    fn no_bundle_of_other_values_panics(seed in any::<u64>()) {
        examine(&mutated(seed));
    }
}

fn examine(bytes: &[u8]) -> Examination {
    let examination = Examination::new(bytes, Some(&good().1), &VerifyOptions::default());
    if let Some(story) = Story::of(&examination) {
        let _ = story.to_string();
    }
    examination
}

fn good() -> &'static (Vec<u8>, TrustPolicy) {
    static GOOD: std::sync::OnceLock<(Vec<u8>, TrustPolicy)> = std::sync::OnceLock::new();
    GOOD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let case = world.run("a", Plan::Granted).await;
            (world.bundle(case).await.to_bytes().unwrap(), world.trust.clone())
        })
    })
}

/// A bundle in which some value, deep or shallow, stands for another.
fn mutated(seed: u64) -> Vec<u8> {
    let mut value = Value::parse(&good().0).unwrap();
    let mut random = seed;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap()
    };
    mutate(&mut value, &mut next);
    let bytes = value.to_bytes().unwrap();
    // Half of them with a digest that fits.
    match Bundle::parse(&bytes) {
        Ok(bundle) if seed.is_multiple_of(2) => bundle.to_bytes().unwrap(),
        _ => bytes,
    }
}

fn mutate(value: &mut Value, next: &mut impl FnMut() -> usize) {
    if next().is_multiple_of(8) {
        *value = match next() % 5 {
            0 => Value::Bool(true),
            1 => Value::Int(u32::try_from(next() % 100_000).unwrap().into()),
            2 => Value::text("gov").unwrap(),
            3 => Value::Array(Vec::new()),
            _ => Value::Object(jit_core::canonical::Object::new()),
        };
        return;
    }
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = next() % items.len();
            match next() % 4 {
                0 => {
                    items.remove(at);
                }
                1 => {
                    let copy = items[at].clone();
                    items.push(copy);
                }
                _ => mutate(&mut items[at], next),
            }
        }
        Value::Object(object) if !object.is_empty() => {
            let at = next() % object.len();
            let key = object.iter().nth(at).unwrap().0.to_owned();
            let mut inner = object.remove(&key).unwrap();
            mutate(&mut inner, next);
            object.insert(key, inner).unwrap();
        }
        other => *other = Value::text("altered").unwrap(),
    }
}
