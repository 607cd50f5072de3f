use jit_core::{GroupCount, GroupName};

fn nobody(group: GroupName) -> GroupCount {
    GroupCount { group, count: 0 }
}

fn main() {}
