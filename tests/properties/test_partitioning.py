"""Partitions are Kafka's: the same hash as aiokafka's of any key; quick strkeys and keys are the SDK's."""

from __future__ import annotations

from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import StrKey

from app.partitioning import murmur2, partition_of
from connectors.soroban import keys, quick

CONTRACT = StrKey.encode_contract(bytes(range(32)))
SYMBOLS = st.text("abcXYZ019_", max_size=32)


@given(st.binary(max_size=200))
def test_the_hash_is_that_of_every_producer(key: bytes) -> None:
    assert murmur2(key) == reference(key) & 0xFFFFFFFF
    assert partition_of(key, 7) == (reference(key) & 0x7FFFFFFF) % 7


@given(SYMBOLS, st.integers(0, (1 << 32) - 1), st.binary(min_size=32, max_size=32))
def test_keys_made_by_hand_are_those_of_the_sdk(name: str, number: int, raw: bytes) -> None:
    plain = keys.persistent_key(CONTRACT, keys.variant(name, keys.u32(number)))
    assert quick.variant_of_number_key(CONTRACT, name, number) == plain
    for strkey in (StrKey.encode_ed25519_public_key(raw), StrKey.encode_contract(raw)):
        under = keys.variant(name, keys.address_value(strkey))
        assert quick.variant_of_address_key(CONTRACT, name, strkey) == keys.persistent_key(CONTRACT, under)


@given(
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abc0189_ =", min_size=54, max_size=57), st.sampled_from("GCMg")
)
def test_what_is_no_address_has_no_quick_key(text: str, first: str) -> None:
    strkey = first + text[1:]
    is_address = StrKey.is_valid_ed25519_public_key(strkey) or StrKey.is_valid_contract(strkey)
    assert (quick.address_key(CONTRACT, strkey) is not None) == is_address


@given(st.binary(min_size=32, max_size=32), st.integers(0, 55), st.sampled_from("ABCQZ27"))
def test_an_address_with_another_letter_is_none(raw: bytes, place: int, letter: str) -> None:
    strkey = StrKey.encode_ed25519_public_key(raw)
    spoilt = strkey[:place] + letter + strkey[place + 1 :]
    assert (quick.address_key(CONTRACT, spoilt) is not None) == StrKey.is_valid_ed25519_public_key(spoilt)
