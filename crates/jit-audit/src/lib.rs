//! The answers: bundles, offline verification, replay, the story of a case.
