use jit_core::{Principal, Request, RetentionClass, Scope, Window};

fn request(who: Principal, what: Scope, when: Window, retain: RetentionClass) {
    let _ = Request::builder(who, what, when, retain).build();
}

fn main() {}
