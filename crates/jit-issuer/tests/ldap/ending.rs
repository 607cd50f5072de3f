//! What an end leaves.

use jit_issuer::RevokeError;

use crate::*;

#[tokio::test]
async fn a_group_that_lost_its_placeholder_gets_it_back() {
    let world = World::new().await;
    let descriptor = world.mint(&mut case(1)).await;
    world.change("delete", "member", NOBODY);
    assert_eq!(world.members(), [member(1)]);
    assert_eq!(world.revoke(&descriptor).await, removed());
    assert_eq!(world.members(), [NOBODY]);
    assert_eq!(world.marks(), Vec::<String>::new());
}

#[tokio::test]
async fn a_group_that_is_another_is_not_touched() {
    let world = World::new().await;
    let descriptor = world.mint(&mut case(1)).await;
    let (group, moved) = (world.group(), format!("moved-{}", world.name));
    world.slapd.modify(&format!("dn: {group}\nchangetype: modrdn\nnewrdn: cn={moved}\ndeleteoldrdn: 1\n"));
    let authorization = RevokeAuthorization::store_down(code!("test"), descriptor.window.start(), &descriptor);
    let failed = |cause| Err(RevokeError::Failed { cause });
    let issuer = &world.issuer;
    assert_eq!(issuer.revoke(&authorization, &descriptor).await, failed(code!("no_such_entry")));
    world.slapd.modify(&format!("dn: {group}\nchangetype: add\nobjectClass: groupOfNames\nmember: {}\n", member(1)));
    assert_eq!(issuer.revoke(&authorization, &descriptor).await, failed(code!("group_is_another")));
    assert_eq!(world.members(), [member(1)]);
    world.slapd.modify(&format!("dn: {group}\nchangetype: delete\n"));
    world.slapd.modify(&format!(
        "dn: cn={moved},ou=groups,dc=example,dc=org\nchangetype: modrdn\nnewrdn: cn={}\ndeleteoldrdn: 1\n",
        world.name
    ));
    assert_eq!(world.revoke(&descriptor).await, removed());
}

#[tokio::test]
async fn other_members_and_marks_stay() {
    let world = World::new().await;
    let (a, b) = (world.mint(&mut case(1)).await, world.mint(&mut case(2)).await);
    assert_eq!(world.revoke(&a).await, removed());
    assert!(!world.reads(1) && world.reads(2));
    assert_eq!(world.marks().len(), 1);
    assert_eq!(world.revoke(&b).await, removed());
    assert_eq!(world.members(), [NOBODY]);
}

#[tokio::test]
async fn many_ends_and_mints_in_one_group_all_come_true() {
    let world = Arc::new(World::new().await);
    let mut working = tokio::task::JoinSet::new();
    for seed in 0..12 {
        let world = world.clone();
        working.spawn(async move {
            let descriptor = world.mint(&mut case(seed)).await;
            if seed % 2 == 0 {
                assert_eq!(world.revoke(&descriptor).await, removed());
            }
        });
    }
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
    let mut expected: Vec<String> = (0..12).filter(|seed| seed % 2 == 1).map(member).collect();
    expected.push(NOBODY.to_owned());
    let mut members = world.members();
    members.sort();
    expected.sort();
    assert_eq!((members, world.marks().len()), (expected, 6));
}
