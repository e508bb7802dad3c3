"""A Stellar RPC node over ledgers that are closed by hand: what stellar-rpc 28 answers, without a core.

Measured against recorded answers of the real server (tests/recorded). Known to differ:

* `getTransaction`, `getTransactions`, `getFeeStats`, `getVersionInfo`, `sendTransaction` and
  `simulateTransaction` are unknown methods here.
* `getLedgers` takes no `xdrFormat`, and its `headerXdr` is that of `getLatestLedger`: a `LedgerHeader`.
* `metadataXdr` is exact for a ledger without transactions. Of others `getLedgers` tells what the newest 64
  ledgers did to entries (before and after), as one operation of one transaction without fee; events,
  envelopes and TTL entries are left out, and `getLatestLedger` leaves out all of it.
* The `data` text for a topic that is base64 but no ScVal is exact where the first four bytes are at fault or
  bytes are left over; deeper faults get the text of our own decoder.
* Of several faults in the fields of one JSON-RPC request the first in the text is told; the real server
  takes a random one.
"""
