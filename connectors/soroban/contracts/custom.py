"""Decoders that users bring: one Python file each, found by the path in a rule, held to the shape of ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from app.errors import Fatal, Poison
from connectors.soroban import keys
from connectors.soroban.keys import ContractData
from connectors.soroban.scval import Decoded

T = TypeVar("T")
NAME: Final = "DECODER"
_CALLS: Final = ("named_by", "ledger_key", "value")
_LISTING: Final = ("count", "numbered_key", "key_in")
_LARGEST: Final = 1 << 53
_DEEPEST: Final = 32


class DecoderFailed(Poison):
    """A user's decoder raised something, or gave something of another shape."""


@lru_cache(maxsize=256)
def load_decoder(path: Path, entry: str) -> GuardedDecoder:
    """The decoder in a file's `DECODER`, loaded once in a process. Raises `Fatal` for a file that cannot be
    run, and for one that does not hold a decoder of this entry."""
    spec = importlib.util.spec_from_file_location(f"driftwatch_decoder_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise Fatal(
            "loading the decoder", str(path), "it is no Python file", "right.decoder names a .py file"
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise Fatal(
            "loading the decoder", str(path), cause, "run the file with python to see where"
        ) from error
    found = getattr(module, NAME, None)
    if found is None:
        raise Fatal("loading the decoder", str(path), f"it has no {NAME}", f"{NAME} = YourDecoder()")
    missing = [name for name in _CALLS if not callable(getattr(found, name, None))]
    if missing:
        cause = f"{NAME} has no {', '.join(missing)}"
        raise Fatal("loading the decoder", str(path), cause, "connectors/soroban/README.md, Decoders")
    if getattr(found, "entry", None) != entry:
        cause = f"its entry is {getattr(found, 'entry', None)!r}, the rule's right.entry is {entry!r}"
        raise Fatal("loading the decoder", str(path), cause, "say the same name in both")
    return (GuardedEnumerable if hasattr(found, "numbered_key") else GuardedDecoder)(found, path.name)


class GuardedDecoder:
    """A `ContractDecoder` around a user's: whatever that raises, and what it gives of another shape, is a
    `DecoderFailed` that names the call and what it was about; its own `Poison` passes."""

    def __init__(self, inner: Any, file: str) -> None:
        self._inner, self._file = inner, file
        self.entry: str = inner.entry
        if getattr(inner, "topics", None) is not None:
            self.topics = frozenset(str(topic) for topic in inner.topics)

    def named_by(self, topics: Sequence[Decoded], data: Decoded) -> tuple[str, ...]:
        """The keys. Unlike a decoder of ours it may raise `DecoderFailed`."""
        subject = f"an event {topics[0] if topics else '()'}"
        found = self._guard("named_by", subject, lambda: self._inner.named_by(topics, data))
        if not isinstance(found, list | tuple) or not all(isinstance(key, str) and key for key in found):
            raise self._wrong("named_by", subject, found, "a tuple of texts")
        return tuple(dict.fromkeys(found))

    def ledger_key(self, contract: str, key: str) -> str:
        """A key that a node will understand: it refuses a whole request for one that it does not."""
        found = self._guard("ledger_key", key[:80], lambda: self._inner.ledger_key(contract, key))
        return self._checked("ledger_key", key[:80], found)

    def value(self, found: ContractData) -> dict[str, Any]:
        """The fields, JSON-safe; integers that a double cannot hold as decimal texts."""
        subject = f"the {self.entry} of {found.contract} at {found.key}"[:300]
        value = self._guard("value", subject, lambda: self._inner.value(found))
        if not isinstance(value, dict):
            raise self._wrong("value", subject, value, "a dict of field names")
        try:
            return {_word(name): _plain(each, _DEEPEST) for name, each in value.items()}
        except TypeError as error:
            raise self._failed("value", subject, str(error)) from None

    def _checked(self, call: str, subject: str, found: object) -> str:
        if not isinstance(found, str) or not keys.is_contract_data_key(found):
            raise self._wrong(call, subject, found, "the ledger key of contract data, base64")
        return found

    def _guard(self, call: str, subject: str, attempt: Callable[[], T]) -> T:
        try:
            return attempt()
        except Poison:
            raise
        except Exception as error:
            raise self._failed(call, subject, f"{type(error).__name__}: {error}"[:300]) from error

    def _wrong(self, call: str, subject: str, found: object, wanted: str) -> DecoderFailed:
        return self._failed(call, subject, f"it gave {found!r}"[:200] + f" instead of {wanted}")

    def _failed(self, call: str, subject: str, cause: str) -> DecoderFailed:
        return DecoderFailed(f"asking {self._file} for {call} of", subject, cause, f"correct {self._file}")


class GuardedEnumerable(GuardedDecoder):
    """One whose contract can list its own keys."""

    def count(self, instance: ContractData) -> int:
        found = self._guard("count", instance.contract, lambda: self._inner.count(instance))
        if type(found) is not int or found < 0:
            raise self._wrong("count", instance.contract, found, "a number from 0")
        return found

    def numbered_key(self, contract: str, number: int) -> str:
        found = self._guard("numbered_key", str(number), lambda: self._inner.numbered_key(contract, number))
        return self._checked("numbered_key", str(number), found)

    def key_in(self, found: ContractData) -> str:
        key = self._guard("key_in", str(found.key)[:200], lambda: self._inner.key_in(found))
        if not isinstance(key, str) or not key:
            raise self._wrong("key_in", str(found.key)[:200], key, "a text")
        return key


def _word(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the field name {name!r} is no text")
    return name


def _plain(value: object, depth: int) -> Any:
    """The same as JSON can say it; raises TypeError."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -_LARGEST < value < _LARGEST else str(value)
    if depth and isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value]
    if depth and isinstance(value, dict):
        return {_word(name): _plain(each, depth - 1) for name, each in value.items()}
    raise TypeError(
        f"{type(value).__name__} {value!r:.80} is no text, integer, bool, None, list or dict of these"
    )
