"""The one tree of errors: what went wrong, on what, and what a person can do.

DriftwatchError
  Transient   back off and try again (`retry_after_s` when the other side named a time)
  Poison      this one record can never be understood: dead-letter it and go on
  Fatal       stop; a person is needed, and `hint` says what to do
"""

from __future__ import annotations


class DriftwatchError(Exception):
    """What was being done (`operation`), to what (`subject`), why it failed (`cause`), what to do
    (`hint`)."""

    def __init__(self, operation: str, subject: str, cause: object, hint: str = "") -> None:
        self.operation, self.subject, self.cause, self.hint = operation, subject, cause, hint
        super().__init__(f"{operation} {subject}: {cause}" + (f" ({hint})" if hint else ""))


class Transient(DriftwatchError):
    """Worth trying again after `retry_after_s` seconds (None: the caller's own back-off)."""

    def __init__(
        self,
        operation: str,
        subject: str,
        cause: object,
        hint: str = "",
        *,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(operation, subject, cause, hint)
        self.retry_after_s = retry_after_s


class Poison(DriftwatchError):
    """This record can never be understood; its bytes belong in the dead-letter topic."""


class Fatal(DriftwatchError):
    """Nothing that the program does by itself can mend this."""
