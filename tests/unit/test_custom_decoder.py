"""Decoders that users bring: what is loaded, and what becomes of everything that such code may do wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import StrKey, scval

from app.errors import Fatal, Poison
from app.rules import load_rules
from connectors.soroban import keys
from connectors.soroban.contracts import decoder_for
from connectors.soroban.contracts.custom import DecoderFailed, GuardedEnumerable, load_decoder
from connectors.soroban.decoding import key_value, persistent_key, variant
from connectors.soroban.keys import ContractData
from tests.support.token_world import EXAMPLE, TOKEN, holder
from tests.support.wasm import stored

FOUND = ContractData("", TOKEN, {"address": holder(1)}, {"i128": "5"})
CODE = """
from connectors.soroban.decoding import address_key
class Mine:
    entry = "mine"
    def named_by(self, topics, data): return {named_by}
    def ledger_key(self, contract, key): return {ledger_key}
    def value(self, found): return {value}
DECODER = Mine()
"""
RIGHT = {"named_by": "()", "ledger_key": "address_key(contract, key)", "value": "{}"}


def decoder(folder: Path, **parts: str) -> Any:
    path = folder / "mine.py"
    path.write_text(CODE.format(**RIGHT | parts), encoding="utf-8")
    load_decoder.cache_clear()
    return load_decoder(path, "mine")


def entry_of(value: Any) -> ContractData:
    change = stored(TOKEN, variant("Balance", keys.address_value(holder(1))), value)
    return keys.read_contract_data(str(change.data))


# ---- the example


def example() -> Any:
    return load_decoder(EXAMPLE / "decoder.py", "token-balance")


def test_the_example_names_the_holders_of_every_generation_of_events() -> None:
    one, two, asset = {"address": holder(1)}, {"address": holder(2)}, {"string": "USDC:G"}
    nothing: dict[str, Any] = {"i128": "1"}
    named = example().named_by
    assert named([{"symbol": "transfer"}, one, two, asset], nothing) == (holder(1), holder(2))
    assert named([{"symbol": "mint"}, one, asset], {"map": []}) == (holder(1),)
    assert named([{"symbol": "mint"}, two, one], nothing) == (holder(2), holder(1))
    assert named([{"symbol": "burn"}, one], nothing) == (holder(1),)
    assert named([{"symbol": "approve"}, one, two], nothing) == ()
    assert named([], nothing) == ()


def test_the_example_finds_a_balance_where_the_contract_keeps_it() -> None:
    place = persistent_key(TOKEN, variant("Balance", key_value("address", holder(1))))
    assert example().ledger_key(TOKEN, holder(1)) == place
    with pytest.raises(Poison):
        example().ledger_key(TOKEN, "nobody")


def test_the_example_reads_a_bare_amount_and_an_asset() -> None:
    bare = example().value(entry_of(scval.to_int128(1 << 100)))
    assert bare == {"amount": str(1 << 100), "authorized": True, "clawback": False}
    parts = {
        "amount": scval.to_int128(7),
        "authorized": scval.to_bool(False),
        "clawback": scval.to_bool(True),
    }
    assert example().value(entry_of(scval.to_struct(parts))) == {
        "amount": "7",
        "authorized": False,
        "clawback": True,
    }
    with pytest.raises(Poison, match="neither an i128 nor a map"):
        example().value(entry_of(scval.to_symbol("x")))


def test_a_rule_finds_its_decoder_beside_it_and_changes_with_it(tmp_path: Path) -> None:
    environ = {"TOKEN_CONTRACT_ID": TOKEN}
    [shipped] = load_rules([EXAMPLE / "rule.yaml"], environ)
    assert decoder_for(shipped.right).entry == "token-balance"
    for name in ("rule.yaml", "decoder.py"):
        (tmp_path / name).write_text((EXAMPLE / name).read_text(encoding="utf-8"), encoding="utf-8")
    [copied] = load_rules([tmp_path / "rule.yaml"], environ)
    assert copied.digest == shipped.digest
    with (tmp_path / "decoder.py").open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    [changed] = load_rules([tmp_path / "rule.yaml"], environ)
    assert changed.digest != shipped.digest
    (tmp_path / "decoder.py").unlink()
    with pytest.raises(Fatal, match=r"right\.decoder: there is no file 'decoder\.py' beside the rule"):
        load_rules([tmp_path / "rule.yaml"], environ)


# ---- what such code may do wrong


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("x = (", "SyntaxError"),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("x = 1", "it has no DECODER"),
        ("DECODER = object()", "no named_by, ledger_key, value"),
        (CODE.format(**RIGHT).replace('"mine"', '"other"'), "its entry is 'other'"),
    ],
)
def test_a_file_that_is_no_decoder_is_refused_with_its_name(tmp_path: Path, code: str, told: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(code, encoding="utf-8")
    with pytest.raises(Fatal, match=told) as caught:
        load_decoder(path, "mine")
    assert "bad.py" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("found.value['map']", "KeyError: 'map'"),
        ("[]", "instead of a dict"),
        ("{1: 2}", "field name 1"),
        ("{'a': 1.5}", "float 1.5"),
        ("{'a': {'b': b'x'}}", "bytes"),
        ("(lambda held: held.update(a=held) or held)({})", "dict"),
    ],
)
def test_a_value_of_another_shape_is_one_clear_error(tmp_path: Path, answer: str, told: str) -> None:
    with pytest.raises(DecoderFailed, match=told) as caught:
        decoder(tmp_path, value=answer).value(FOUND)
    assert "mine.py" in str(caught.value)
    assert TOKEN in str(caught.value)


def test_big_integers_become_texts_and_everything_json_has_passes(tmp_path: Path) -> None:
    said = "{'big': 1 << 70, 'low': -1 << 60, 'small': 5, 'on': True, 'none': None, 'list': [1, ('a',)]}"
    assert decoder(tmp_path, value=said).value(FOUND) == {
        "big": str(1 << 70),
        "low": str(-1 << 60),
        "small": 5,
        "on": True,
        "none": None,
        "list": [1, ["a"]],
    }


@pytest.mark.parametrize("answer", ["1 / 0", "None", "'GABC'", "[1]", "['']", "{'a'}"])
def test_keys_of_another_shape_are_a_failure_of_that_event(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DecoderFailed, match="named_by"):
        decoder(tmp_path, named_by=answer).named_by([{"symbol": "x"}], {"void": None})


@pytest.mark.parametrize("answer", ["1 / 0", "None", "'nonsense'", "'AAAA'", "key", "'AAAABgAAAAE='"])
def test_a_ledger_key_that_a_node_would_refuse_is_a_failure_of_that_key(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DecoderFailed, match="ledger_key"):
        decoder(tmp_path, ledger_key=answer).ledger_key(TOKEN, holder(1))


def test_a_key_that_can_have_no_entry_is_the_decoders_own_word(tmp_path: Path) -> None:
    with pytest.raises(Poison) as caught:
        decoder(tmp_path).ledger_key(TOKEN, "nobody")
    assert not isinstance(caught.value, DecoderFailed)


def test_a_decoder_that_lists_its_keys_is_guarded_too(tmp_path: Path) -> None:
    path = tmp_path / "lists.py"
    lists = (
        "    def count(self, instance): return -1\n    def numbered_key(self, contract, number): return 1\n"
    )
    text = CODE.format(**RIGHT).replace("DECODER", lists + "    def key_in(self, found): return 5\nDECODER")
    path.write_text(text, encoding="utf-8")
    found = load_decoder(path, "mine")
    assert isinstance(found, GuardedEnumerable)
    for call in (
        lambda: found.count(FOUND),
        lambda: found.numbered_key(TOKEN, 1),
        lambda: found.key_in(FOUND),
    ):
        with pytest.raises(DecoderFailed):
            call()


def test_ledger_keys_are_told_from_other_texts() -> None:
    assert keys.is_contract_data_key(keys.instance_key(TOKEN))
    assert keys.is_contract_data_key(persistent_key(TOKEN, key_value("u64", "7")))
    assert keys.is_contract_data_key(keys.address_key(TOKEN, StrKey.encode_contract(bytes(32))))
    assert not keys.is_contract_data_key(persistent_key(TOKEN, key_value("symbol", "ab")).rstrip("="))
    loose = persistent_key(TOKEN, key_value("bytes", "00"))
    assert loose.endswith("E=")
    assert not keys.is_contract_data_key(loose.removesuffix("E=") + "F=")
    assert not keys.is_contract_data_key(str(stored(TOKEN, scval.to_uint32(1), scval.to_uint32(1)).data))


@pytest.mark.parametrize(
    ("tag", "text"), [("u32", "x"), ("u32", "-1"), ("address", "G"), ("bytes", "zz"), ("vec", "a")]
)
def test_a_text_that_is_no_key_of_its_type_can_have_no_entry(tag: str, text: str) -> None:
    with pytest.raises(Poison):
        key_value(tag, text)


@pytest.mark.parametrize(
    ("tag", "text"),
    [("u64", "18446744073709551615"), ("symbol", "INV_1"), ("string", "a b"), ("bytes", "00ff")],
)
def test_a_key_is_the_value_of_its_type(tag: str, text: str) -> None:
    change = stored(TOKEN, key_value(tag, text), scval.to_uint32(1))
    assert keys.read_contract_data(str(change.data)).key == {tag: text}
