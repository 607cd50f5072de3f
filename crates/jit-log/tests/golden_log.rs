//! The golden log comes out byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests may panic"
)]

use jit_log::{
    Checkpoint, CosignatureTime, DirectoryVerifier, FullTile, Hash, ProofPlan, SignerKey, TileBuilder, TileId,
    TlogProof, TrustPolicy, VerifierKey, leaf_hash, tiles_for_size,
};

mod golden;

const CHECKPOINT: &str = "\
jit.example/evidence/golden
300
rrsCfVw90Ihx7lJXemH8gxItDRQ1J5GUNjm9TBLTaUM=

— jit.example/evidence/golden dCmQI+anI+cX3kvUJ6DNCdIK8BhWwcbo8VeWR0xelQgWlDupmTi98rExfsf550mma7RjMvoXsMpCIyLtRSGG4W5ibwg=
— witness.example/w1 JaafmgAAAABlU/EAi2/fnjPEDbhB8wPRSoh1V8ICu8YDOHAn33r+8o+KdHYF8DlTiOJRRtKxGOUEP1P9T5FcX4kd3d8lXZ5FHEN/AA==
";

const SIZES: [(u64, &str, &str); 7] = [
    (
        0,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "dCmQI2ou+ETaVJ2rWtegSnCcM9MAVAizGIyaXbg85uVI/5nb+zGkJ038ZR3BCdOsATA48oEGnWhIKWl6Le5diLYNqAE=",
    ),
    (
        1,
        "40766b2033429026f53d54502679a839706b4741f8dcaf3a8bba5f41b5ffe075",
        "dCmQI3YfCOLM3TSgKqEK4AN30nLWaxfmfEiRi3TjL9NE6l4wL+3YEv1IPlJ2mABSD3QVUVnXM21eqo0SeBGejnhajQg=",
    ),
    (
        5,
        "1aa68d3074905a581f84cbbd0f753794904fd80451bc4c13e69d9a53bc59502c",
        "dCmQI8eq35NXEcAqaRtbTGoUk/0zmxhFS/H0jJxig2jkGnYLAOKnqtPKBz+2ebBIr4yFjyfkcZAKQmZRaTVXISYl4gU=",
    ),
    (
        255,
        "45da9f374748e17a372f71c00422b12e2bf96842f1f61c5740fe494e4becff0f",
        "dCmQI1G5CIwise5KXcpzbZO9jFyZ7371PQQAtsHOOgVanb8CeKySdYZWsagXevSBa0PTeCZ4g1ZxKHWXNW0ajWEH4QM=",
    ),
    (
        256,
        "f85f4ead34080710b4d1e808301543aaab81aa04deb88599350dc26a4f2f58de",
        "dCmQI1o59ERNEG2h/OYe43WibiEFXqbD+c6dihCd139tubs3ZSbIqNY6XqLrHP/HDP0y16kl46AL20WzdwxzL3yVxw0=",
    ),
    (
        257,
        "918b1cec64f317c76e3cf55c0536841c039eff06772ebb8828ce7c176028b5ac",
        "dCmQI2+HVMXxlIfRFd/Tm47H57j8KibVD2c0CNRyw+F5+P2e64PQ/zxuwfwvjEDfBo55YMfI7cfjxC5BlyU9yPov3QI=",
    ),
    (
        300,
        "aebb027d5c3dd08871ee52577a61fc83122d0d14352791943639bd4c12d36943",
        "dCmQI+anI+cX3kvUJ6DNCdIK8BhWwcbo8VeWR0xelQgWlDupmTi98rExfsf550mma7RjMvoXsMpCIyLtRSGG4W5ibwg=",
    ),
];

/// Everything of the golden log at one size that a proof can be made from.
struct Log {
    builder: TileBuilder,
    full: Vec<FullTile>,
}

impl Log {
    fn of(size: u64) -> Self {
        let mut log = Log { builder: TileBuilder::new(), full: Vec::new() };
        for index in 0..size {
            let leaf = leaf_hash(&golden::entry(index));
            log.full.extend(log.builder.push(leaf).unwrap());
        }
        log
    }

    fn root(&self) -> Hash {
        self.builder.frontier().root()
    }

    fn hashes(&self, tile: &TileId) -> Option<&[Hash]> {
        let place = |id: TileId| (id.level(), id.index());
        let full = self.full.iter().find(|full| place(full.id()) == place(*tile));
        let partial = || self.builder.partials().find(|(id, _)| place(*id) == place(*tile));
        full.map(FullTile::hashes).or_else(|| partial().map(|(_, hashes)| hashes))
    }
}

#[test]
fn keys() {
    assert_eq!(golden::log_key().verifier().to_string(), golden::LOG_VKEY);
    assert_eq!(golden::witness_key().verifier().to_string(), golden::WITNESS_VKEY);
    let encoded = golden::log_key().encode();
    assert!(encoded.starts_with("PRIVATE+KEY+jit.example/evidence/golden+74299023+"));
    let decoded = SignerKey::parse(&encoded).unwrap();
    assert_eq!(decoded.verifier(), golden::log_key().verifier());
    let shown = format!("{:?} {:?}", golden::log_key(), golden::witness_key());
    assert!(shown.contains("golden") && !shown.contains(&encoded[50..]), "{shown}");
}

#[test]
fn leaves_and_frontier() {
    for (index, hash) in [
        (0, "40766b2033429026f53d54502679a839706b4741f8dcaf3a8bba5f41b5ffe075"),
        (1, "e868811a482c27d50b6d45dde79c465d6adb9b06645100477a90cf3d8518898b"),
        (259, "6d8bf0706264da6c471ce04372892b414da2b27b9cca04b347e4d5e86285016f"),
        (299, "315fed207adeebdd86a87afd9db04eccf384ccad5b0a5c9e0808d397fd4c06a0"),
    ] {
        assert_eq!(leaf_hash(&golden::entry(index)).to_hex(), hash);
    }
    let frontier = Log::of(300).builder.frontier();
    let nodes: Vec<_> = frontier.nodes().iter().map(Hash::to_hex).collect();
    assert_eq!(
        nodes,
        [
            "f85f4ead34080710b4d1e808301543aaab81aa04deb88599350dc26a4f2f58de",
            "02655bb1ddd50af854553d72961aa23e268f247ae5cf60e5a859de25303878fb",
            "e50586a0abd50dc5b16b67fc2575fc0a6c18f21ed791ee821a2d1fafffbe7fe9",
            "52088901ed3de3000db113fe8a5976f8e57e770a9bc47e7e039613edd70a55af",
        ]
    );
}

#[test]
fn roots_and_log_signatures_at_each_listed_size() {
    for (size, root, line) in SIZES {
        let log = Log::of(size);
        assert_eq!(log.root().to_hex(), root);
        let note = golden::checkpoint_note(&log.builder, false);
        let expected = format!("— jit.example/evidence/golden {line}\n");
        assert_eq!(note.signatures()[0].to_string(), expected);
    }
}

#[test]
fn checkpoint_with_cosignature() {
    let note = golden::checkpoint_note(&Log::of(300).builder, true);
    assert_eq!(note.text().len(), 77);
    assert_eq!(
        golden::sha256_hex(note.text().as_bytes()),
        "58b7cbb93a22e660792e69472f4d4b79891358c82f39e1fae420d3f57a248034"
    );
    assert_eq!(String::from_utf8(note.to_bytes()).unwrap(), CHECKPOINT);
    assert_eq!(
        golden::sha256_hex(&note.to_bytes()),
        "c029b1f018c43e21de0fa9c28682bec7d89ecbe49eed4c8e8802a1cf5b209b30"
    );
    let policy = format!("log {}\nwitness w {}\nquorum none\n", golden::LOG_VKEY, golden::WITNESS_VKEY);
    let verified = TrustPolicy::parse(&policy).unwrap().verify(CHECKPOINT.as_bytes()).unwrap();
    assert_eq!(*verified.checkpoint(), Checkpoint::parse(note.text()).unwrap());
    let cosignature = &verified.cosignatures()[0];
    assert_eq!(cosignature.cosigner().as_str(), "witness.example/w1");
    assert_eq!(Some(cosignature.time()), CosignatureTime::from_unix_seconds(1_700_000_000));
}

#[test]
fn tiles_and_entries() {
    let files = golden::export(300).0;
    let listed: Vec<_> = files
        .iter()
        .filter(|(path, _)| *path != "checkpoint")
        .map(|(path, file)| (path.as_str(), file.len(), golden::sha256_hex(file)))
        .collect();
    let expected = [
        ("tile/0/000", 8192, "8921c57d2f65271c82bf0f686c002793863c80c8d1cbbbf5db6046ff59e8b590"),
        ("tile/0/001.p/44", 1408, "7bac48c6f72db216f103763f08f639e038a4097f2763009eb3cf2bb457280832"),
        ("tile/1/000.p/1", 32, "0dbddfec97fdc03a63eca701dce6bc0a6493d5d938070377900a6529cc71a448"),
        ("tile/entries/000", 2706, "2e41f76a98595afb6b3a27a02a74792386a99b155db3579513faf3bf67057752"),
        ("tile/entries/001.p/44", 484, "2c03c7039c4ae3773cff75f105c5757a3a4f12cd64b33e85704be36f9297853b"),
    ];
    assert_eq!(listed, expected.map(|(path, bytes, sum)| (path, bytes, sum.to_owned())));
}

#[test]
fn proof_file_of_index_259() {
    let log = Log::of(300);
    let plan = ProofPlan::inclusion(259, 300).unwrap();
    let proof = plan.finish(|tile| log.hashes(tile)).unwrap();
    let note = golden::checkpoint_note(&log.builder, true);
    let file = TlogProof::new(259, proof, note.to_bytes());
    let expected = format!(
        "\
c2sp.org/tlog-proof@v1
index 259
zNdx3eaYhVhqJd/gH/7buVgD1OUpL+Lo5HTm0HVcxCk=
JoX3mwwNj9aRbwJy8EJWfstilmLnozoqvnCdH3p1yls=
67IKK4Yzrq3amv+HL+lJLP8U47+UkGS6AI4+W8KGhRA=
gMZhbGIb1eu2Tp5qoxKXbBBA7cG1yAi9hsSfMUubkvQ=
qGMYnRoXwn5HNI63ort+UOltVbNkQIEpy1ImOCaLlcs=
H84m9rPXob0Es8cHUUDtU50AbqidfWjSJiDiv8iAX+g=
+F9OrTQIBxC00egIMBVDqquBqgTeuIWZNQ3Cak8vWN4=

{CHECKPOINT}"
    );
    assert_eq!(String::from_utf8(file.to_bytes()).unwrap(), expected);
    assert_eq!(
        golden::sha256_hex(&file.to_bytes()),
        "de303223306fa6b67a05286e208381fd0540338e2d78ceef07e6917f9a3bf192"
    );
    let key = VerifierKey::parse(golden::LOG_VKEY).unwrap();
    let policy = TrustPolicy::new_log_only(key).unwrap();
    let parsed = TlogProof::parse(expected.as_bytes()).unwrap();
    let verified = parsed.verify(&leaf_hash(b"entry-259"), &policy).unwrap();
    assert_eq!(verified.checkpoint().size(), 300);
    assert!(parsed.verify(&leaf_hash(b"entry-258"), &policy).is_err());
}

#[test]
fn consistency_proofs() {
    let log = Log::of(300);
    let hashes = |old| {
        let plan = ProofPlan::consistency(old, 300).unwrap();
        let proof = plan.finish(|tile| log.hashes(tile)).unwrap();
        proof.verify(old, &Log::of(old).root(), 300, &log.root()).unwrap();
        proof.hashes().iter().map(Hash::to_hex).collect::<Vec<_>>()
    };
    let last = "54c9f15b8775f926955f98ecf5aafa32ef42325e97b59d931b272271e05e25ef";
    assert_eq!(hashes(256), [last]);
    let from_5 = hashes(5);
    assert_eq!(from_5.len(), 10);
    assert_eq!(from_5[0], "194bb5a2d5bd10e5d1aa6fd5d42980b356caf1da623cd9987c4bfa2f81771ed7");
    assert_eq!(from_5[9], last);
}

#[test]
fn seventy_thousand_entries() {
    let log = Log::of(70_000);
    assert_eq!(log.root().to_base64(), "pipUvjMpT/1aXExjf9dUYwtxqJLoNW46Zmpcin/9FRg=");
    assert_eq!(
        golden::checkpoint_note(&log.builder, false).signatures()[0].to_string(),
        "— jit.example/evidence/golden dCmQIyNUDqNPokyodgeNMsNDA1isq311ogi8DHj6YFE7iZQ5yVb8rhwq38MPH1tqjwOqhGB4QF2jQdfHEPH/yikubQQ=\n"
    );
    let count = |level| tiles_for_size(70_000).unwrap().filter(|tile| tile.level() == level).count();
    assert_eq!([count(0), count(1), count(2), count(3)], [274, 2, 1, 0]);

    let plan = ProofPlan::inclusion(259, 70_000).unwrap();
    assert!(plan.tiles().len() <= 6, "{:?}", plan.tiles());
    let inclusion = plan.finish(|tile| log.hashes(tile)).unwrap();
    assert_eq!(inclusion.hashes().len(), 17);
    inclusion.verify(&leaf_hash(b"entry-259"), 259, 70_000, &log.root()).unwrap();

    let plan = ProofPlan::consistency(5, 70_000).unwrap();
    let consistency = plan.finish(|tile| log.hashes(tile)).unwrap();
    assert_eq!(consistency.hashes().len(), 18);
    consistency.verify(5, &Log::of(5).root(), 70_000, &log.root()).unwrap();

    let plan = ProofPlan::<Hash>::root(300).unwrap();
    assert_eq!(plan.finish(|tile| log.hashes(tile)).unwrap(), Log::of(300).root());
}

#[test]
fn the_exported_log_verifies_at_each_listed_size() {
    let key = VerifierKey::parse(golden::LOG_VKEY).unwrap();
    let policy = TrustPolicy::new_log_only(key).unwrap();
    for (size, root, _) in &SIZES[1..] {
        let mut seen = Vec::new();
        let report = DirectoryVerifier::new(&policy)
            .verify(&mut golden::export(*size), |index, entry| {
                assert_eq!(entry, golden::entry(index));
                seen.push(index);
                Ok(())
            })
            .unwrap();
        assert_eq!(report.checkpoint().checkpoint().root().to_hex(), *root);
        assert_eq!(report.tiles(), tiles_for_size(*size).unwrap().count() as u64);
        assert_eq!(seen, (0..*size).collect::<Vec<_>>());
    }
}
