//! Which witnesses suffice: thresholds over groups of witnesses and groups (C2SP tlog-policy).

/// Who must have cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quorum {
    None,
    Of(Member),
}

/// A witness or group, by its position in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Witness(usize),
    Group(usize),
}

/// A group is met if so many of its members are. All its members are defined before it, and each is a member
/// of no other group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) threshold: u64,
    pub(crate) members: Vec<Member>,
}

impl Quorum {
    /// Whether these witnesses, one flag each, suffice. Linear in the size of the policy, however deeply it nests, because
    /// groups are evaluated in the order of their definition.
    pub(crate) fn is_met(self, groups: &[Group], cosigned: &[bool]) -> bool {
        let Self::Of(quorum) = self else { return true };
        let mut met: Vec<bool> = Vec::with_capacity(groups.len());
        for group in groups {
            let count = group.members.iter().filter(|member| member.is_met(&met, cosigned)).count();
            met.push(count as u64 >= group.threshold);
        }
        quorum.is_met(&met, cosigned)
    }
}

impl Member {
    fn is_met(self, groups: &[bool], cosigned: &[bool]) -> bool {
        let flag = match self {
            Self::Witness(at) => cosigned.get(at),
            Self::Group(at) => groups.get(at),
        };
        flag.copied().unwrap_or(false)
    }
}
