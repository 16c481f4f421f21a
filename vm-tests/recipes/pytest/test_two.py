from backend import sign_up


def test_the_address_is_new_to_this_backend():
    assert sign_up("same@example.com")["user_id"]
