use with_a_backend::sign_up;

fn the_address_is_new_to_this_backend() {
    let status = sign_up("same@example.com").unwrap();
    assert!(status.starts_with("HTTP/1.1 2"), "{status}");
}

#[test]
fn one() {
    the_address_is_new_to_this_backend();
}

#[test]
fn two() {
    the_address_is_new_to_this_backend();
}
