"""How do the folder chart's stages outlive the process? In the ledger, beside the deliveries they belong to."""

import json
from collections.abc import Mapping, Sequence

from producers.chart.folder import Stage, stage_from_text, stage_to_text
from producers.chart.ledger import Ledger


class LedgerStages:
    """`Stages` in the ledger. A stage is forgotten with its receipt, by `Deliveries.end`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def read(self, keys: Sequence[str]) -> Mapping[str, Stage]:
        query = "SELECT key, content FROM stages WHERE key IN (SELECT value FROM json_each(?))"
        with self._ledger.transaction() as transaction:
            rows = transaction.execute(query, (json.dumps(list(keys)),))
            return {key: stage_from_text(content) for key, content in rows}

    def write(self, stages: Mapping[str, Stage]) -> None:
        with self._ledger.transaction() as transaction:
            transaction.executemany(
                "INSERT INTO stages (key, content) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET content = excluded.content",
                [(key, stage_to_text(stage)) for key, stage in stages.items()],
            )

    def forget(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        with self._ledger.transaction() as transaction:
            transaction.executemany("DELETE FROM stages WHERE key = ?", [(key,) for key in keys])
