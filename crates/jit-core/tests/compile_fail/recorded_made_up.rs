use jit_core::{Header, LeafHash, Recorded};

fn recorded(header: Header, leaf: LeafHash) -> Recorded {
    Recorded { header, leaf }
}

fn main() {}
