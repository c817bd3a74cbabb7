from __future__ import annotations

from gateway.access.api_keys import ENTROPY_BYTES, PREFIX, ApiKeys, hash_of, make_key


def test_a_key_is_known_by_its_hash_and_has_its_owners_name() -> None:
    keys = {name: make_key(bytes([number]) * ENTROPY_BYTES) for number, name in enumerate(("ann", "bob"))}
    known = ApiKeys(f"{name}:{hash_of(key)}" for name, key in keys.items())
    for name, key in keys.items():
        grant = known.find(key)
        assert grant is not None
        assert (grant.subject, grant.expires_ms, grant.channels) == (f"key:{name}", None, None)
        assert known.find(key + "x") is None
        assert known.find(hash_of(key)) is None, "the hash is no key"
    assert known.find("") is None


def test_a_key_is_one_word_that_fits_into_a_subprotocol_and_is_told_by_its_beginning() -> None:
    key = make_key(b"\xff" * ENTROPY_BYTES)
    assert key.startswith(PREFIX)
    assert key.replace("-", "").replace("_", "").isalnum()


def test_without_entries_there_are_none() -> None:
    assert not ApiKeys(())
    assert ApiKeys(("ann:" + "0" * 64,))
