"""The terminal's edge: what lies in the exchange folders, and what becomes of it there?

It reads each file once it is whole, keeps it sealed in a spool, publishes it until the centre has it, places
requests and erases what it is ordered to. It speaks only to the broker and never opens the store.
The role itself is `producers.terminal.role`, which whoever only asks its files need not load.
"""

from producers.terminal.holdings import Holdings, ballast_path, spool_holdings, waiting
from producers.terminal.ledger import FORMAT, custody_counts, is_at_work, ledger_path, succeed
from producers.terminal.proof import Fault, find_faults
from producers.terminal.resend import resend

__all__ = [
    "FORMAT",
    "Fault",
    "Holdings",
    "ballast_path",
    "custody_counts",
    "find_faults",
    "is_at_work",
    "ledger_path",
    "resend",
    "spool_holdings",
    "succeed",
    "waiting",
]
