//! What a bundle becomes, and what does not load.

use jit_core::{Code, Version, code};
use jit_policy::{PolicyBundle, Target};

use super::{
    Sample, Subject,
    asking::Asking,
    subject::{demands, text},
};

pub(super) async fn a_snapshot_is_its_bundle(subject: Subject) {
    let bundle = subject.bundle(Sample::Access);
    assert!(bundle.files().count() > 1, "the suite wants more than one file");
    let snapshot = subject.load(Sample::Access);
    let document = snapshot.document();
    assert_eq!(*document.bundle(), bundle, "the snapshot carries other texts");
    let rules: Vec<&str> = document.manifest().rules().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(rules, ["early", "never", "read", "write"], "the rules of the manifest");
    let again = subject.load(Sample::Access);
    assert_eq!(again.document().digest(), document.digest(), "loaded anew, it is another policy");
    assert_ne!(subject.load(Sample::Stricter).document().digest(), document.digest());
    // The order in which files come is not part of a policy.
    let mut files: Vec<_> = bundle.files().map(|(path, bytes)| (path.clone(), bytes.to_vec())).collect();
    files.reverse();
    let turned = PolicyBundle::new(bundle.target().clone(), bundle.schema().cloned(), files).expect("a bundle");
    let turned = subject.engine().load(&turned).expect("the same files load");
    assert_eq!(turned.document().digest(), document.digest());
}

pub(super) async fn what_is_loaded_is_what_is_evaluated(subject: Subject) {
    let engine = subject.engine();
    let load = |sample| {
        let snapshot = engine.load(&subject.bundle(sample)).unwrap_or_else(|error| panic!("{sample:?}: {error}"));
        jit_policy::Evaluator::new(snapshot)
    };
    // Both at once, by one engine.
    let (access, stricter) = (load(Sample::Access), load(Sample::Stricter));
    let input = Asking::of("db:prod", &["read"]).input();
    for _ in 0..3 {
        assert_eq!(demands(&access.evaluate(&input)).1, Some(14_400));
        assert_eq!(demands(&stricter.evaluate(&input)), (vec![("ops".to_owned(), 1)], Some(60)));
    }
    // The engine is not needed any longer.
    let before = text(&access.evaluate(&input));
    drop(engine);
    assert_eq!(text(&access.evaluate(&input)), before);
}

pub(super) async fn the_engine_is_the_one_described(subject: Subject) {
    let engine = subject.engine();
    let snapshot = subject.load(Sample::Access);
    assert_eq!(snapshot.engine(), engine.descriptor(), "the snapshot names another engine");
    assert_eq!(subject.engine().descriptor(), engine.descriptor(), "the description changes");
    let manifest = snapshot.document().manifest();
    assert_eq!(*manifest.engine(), engine.descriptor().name);
    assert_eq!(*manifest.language(), engine.descriptor().language);
}

pub(super) async fn what_is_wrong_does_not_load(subject: Subject) {
    for sample in [Sample::RepeatedId, Sample::NoRule, Sample::Unreadable] {
        assert!(subject.try_load(sample).is_err(), "{sample:?} loads");
    }
}

pub(super) async fn what_is_for_another_engine_does_not_load(subject: Subject) {
    let bundle = subject.bundle(Sample::Access);
    let target = bundle.target().clone();
    let files = || bundle.files().map(|(path, bytes)| (path.clone(), bytes.to_vec()));
    for other in [
        Target { engine: code!("another_engine"), ..target.clone() },
        Target { language: Version::new("0.0.0-another").expect("a version"), ..target.clone() },
        Target { entrypoint: Code::new("another.entrypoint").expect("a code"), ..target },
    ] {
        let what = format!("{other:?}");
        let bundle = PolicyBundle::new(other, bundle.schema().cloned(), files()).expect("a bundle");
        match subject.engine().load(&bundle) {
            Err(jit_policy::LoadError::OtherEngine { .. }) => {}
            Err(error) => panic!("{what}: refused for {error}"),
            Ok(_) => panic!("{what} loads"),
        }
    }
}
