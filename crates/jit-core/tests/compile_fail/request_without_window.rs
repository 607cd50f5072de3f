use jit_core::{Justification, Principal, Request, RetentionClass, Scope};

fn request(who: Principal, what: Scope, why: Justification, retain: RetentionClass) {
    let _ = Request::builder(who, what, why, retain).build();
}

fn main() {}
