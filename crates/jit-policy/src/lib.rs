//! Policy evaluation that can be re-run: snapshots, canonical input, decisions, obligations, replay.
