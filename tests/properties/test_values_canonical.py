"""Laws of canonical values and of the change codec, over anything that JSON can hold."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.detector.model import FieldType
from app.errors import Poison
from app.rules import load_rules
from app.rules.canonical import Canonical, base_units, decimals, left_form, right_form
from app.settings import RULES_FOLDER
from connectors.debezium.codec import ChangeCodec

EXACT = Context(prec=100)
SCALES = st.integers(0, 20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text()
    | st.sampled_from(["NAN", "Infinity", "12.3400000", "-0.0000000", "1e5", "__debezium_unavailable_value"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FORMS = [
    *(left_form(kind, 7, None, "Europe/Paris" if kind is FieldType.TIME else None) for kind in FieldType),
    *(right_form(kind, 7, 2 if kind is FieldType.AMOUNT else None) for kind in FieldType),
]


class Arrived(NamedTuple):
    """A record as aiokafka gives it."""

    value: bytes | None
    key: bytes | None = b"GABC"
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "db.changes"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


CODEC = ChangeCodec(load_rules([RULES_FOLDER / "credit.yaml"], {"CREDIT_CONTRACT_ID": "C"}))


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=7, min_value=-(10**27), max_value=10**27),
    SCALES,
)
def test_an_amount_is_its_decimal_value_or_its_text(amount: Decimal, scale: int) -> None:
    text = format(amount, "f")

    canonical = decimals(scale)(text)

    if isinstance(canonical, int):
        assert EXACT.scaleb(Decimal(canonical), -scale) == amount
    else:
        assert canonical == text
        assert amount != EXACT.quantize(amount, Decimal(1).scaleb(-scale))


@given(st.integers(-(10**38), 10**38), SCALES, SCALES)
def test_base_units_and_decimal_text_of_one_amount_are_equal(units: int, own: int, more: int) -> None:
    scale = own + more
    text = format(EXACT.scaleb(Decimal(units), -own), "f")

    assert base_units(own, scale)(str(units)) == decimals(scale)(text)


@pytest.mark.parametrize("form", FORMS)
@given(value=JSON)
def test_a_canonical_value_is_a_scalar_and_no_float(form: Canonical, value: object) -> None:
    canonical = form(value)

    assert canonical is None or type(canonical) in (str, int, bool)
    assert (canonical is None) == (value is None)


@settings(max_examples=300)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_make_the_codec_fail_in_another_way(value: bytes) -> None:
    decodes_or_refuses(Arrived(value))


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["c", "u", "d", "r", "m", "t", "x"])},
        optional={
            "before": JSON,
            "after": JSON
            | st.fixed_dictionaries(
                {
                    "id": JSON,
                    "wallet_address": st.just("GABC") | JSON,
                    "credit_limit": JSON,
                    "available_credit": JSON,
                    "interest_rate_bps": JSON,
                    "status": JSON,
                    "deleted_at": st.none() | JSON,
                }
            ),
            "source": JSON
            | st.fixed_dictionaries(
                {"name": st.just("db"), "table": st.just("credit_lines")},
                optional={
                    "schema": st.just("public"),
                    "lsn": JSON,
                    "ts_us": st.integers(0, 10**17),
                    "txId": JSON,
                },
            ),
            "message": JSON | st.fixed_dictionaries({"prefix": st.just("wm:1"), "content": JSON}),
        },
    ),
    st.none() | st.just(b"GABC") | st.binary(),
    st.binary(),
)
def test_no_envelope_makes_the_codec_fail_in_another_way(
    told: dict[str, Any], key: bytes | None, header: bytes
) -> None:
    whole = json.dumps(told).encode()
    decodes_or_refuses(Arrived(whole, key, (("__debezium.oldkey", header),)))
    decodes_or_refuses(Arrived(whole[: len(whole) // 2], key))


def decodes_or_refuses(record: Arrived) -> None:
    try:
        found = CODEC.decode(record)
    except Poison:
        return
    for one in found:
        json.dumps(one)
