//! The invariants by name: what each one says, and how it is observed.

use std::fmt;

macro_rules! invariants {
    ($( $name:ident = $text:literal, $observation:ident, $statement:literal; )*) => {
        /// An invariant, by its id in the architecture.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum InvariantId {
            $( #[doc = $statement] $name, )*
        }

        impl InvariantId {
            /// All of them, in order.
            pub const ALL: &'static [InvariantId] = &[$( Self::$name ),*];

            /// The id as documents write it, `INV-01` for example.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text ),* }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub const fn statement(self) -> &'static str {
                match self { $( Self::$name => $statement ),* }
            }

            /// How a violation shows.
            #[must_use]
            pub const fn observation(self) -> Observation {
                match self { $( Self::$name => Observation::$observation ),* }
            }
        }
    };
}

/// How a violation of an invariant shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observation {
    /// In the records alone.
    Records,
    /// In the behaviour of a running program alone, to instruments of a test.
    Instruments,
    /// Partly in the records, partly to instruments.
    Both,
}

invariants! {
    Inv01 = "INV-01", Records, "Every issued credential is preceded, in its stream, by a permitting decision, a met quorum or a recorded approval by rule, an approved grant and its own intent, all with matching ids.";
    Inv02 = "INV-02", Instruments, "No secret is released before the record of its issuance is under a checkpoint that meets what effects require.";
    Inv03 = "INV-03", Records, "Every intent is followed by exactly one outcome, and an unknown outcome by exactly one reconciliation.";
    Inv04 = "INV-04", Records, "A grant has at most one end record, and exactly one once its window has passed and a sweep has run.";
    Inv05 = "INV-05", Records, "The issued window lies within the approved one, that within the requested one, and that within the policy's maximum, per request and per extension.";
    Inv06 = "INV-06", Records, "The issued scope lies within the approved one, and that within the requested one.";
    Inv07 = "INV-07", Records, "Approvers are distinct, and none is the requester, the recipient, the principal acted for, or stands above in the delegation chain.";
    Inv08 = "INV-08", Records, "An approval names exactly what was approved and counts once; the decision at issuance names the first one as its cause, permits, and demands nothing stricter.";
    Inv09 = "INV-09", Records, "A required quorum is at least one, and every named group's count is met.";
    Inv10 = "INV-10", Records, "A justification is given, or an emergency defers it and an obligation with a deadline is open.";
    Inv11 = "INV-11", Records, "Every decision cites a published policy snapshot whose text is retrievable by digest.";
    Inv12 = "INV-12", Records, "An evaluation error, an undefined result or an unknown obligation denies, and the record says which.";
    Inv13 = "INV-13", Records, "Stream numbers and log indexes are dense, links hold, and folding the log gives the signed roots.";
    Inv14 = "INV-14", Records, "Time never runs backwards in a stream beyond the declared errors of its clocks.";
    Inv15 = "INV-15", Records, "A delegated request stays within its parent, depth equals the path length, there is no cycle, and ending a parent ends its children, each with its cause.";
    Inv16 = "INV-16", Records, "An agent's request names its owner, mode, initiating event, task, and the workload identity that receives the privilege.";
    Inv17 = "INV-17", Instruments, "No secret bytes appear in any record, error, debug output or log line.";
    Inv18 = "INV-18", Records, "What is missing of a payload is covered by a recorded purge or erasure that the declared retention allows and no hold forbids.";
    Inv19 = "INV-19", Records, "An emergency opens a review that only another person can close.";
    Inv20 = "INV-20", Both, "A command repeated under its idempotency key has one effect.";
    Inv21 = "INV-21", Records, "Ending one grant leaves access that another live grant still justifies, and says so.";
    Inv22 = "INV-22", Records, "After an end, each credential is confirmed dead, expired by itself, or listed as unconfirmed with its reason.";
}

impl fmt::Display for InvariantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
