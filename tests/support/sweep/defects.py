"""Known-bad products: each is what a careless change would make, and must be found out by the sweep or the order check.

`plant` patches the process that calls it, at its start (`planted/sitecustomize.py`). The product has no hook for it.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from tests.support.sweep.points import Point


class _Unflushed:
    """`os` for one module, whose flushes do nothing."""

    def __getattr__(self, name: str) -> Any:
        return (lambda _handle: None) if name == "fsync" else getattr(os, name)


def _unflush(module: ModuleType) -> None:
    module.os = _Unflushed()  # type: ignore[attr-defined]


def _erase_before_delivery() -> None:
    from sqlalchemy import true  # noqa: PLC0415

    from consumers.deletion import orders  # noqa: PLC0415

    orders.REQUIRED = dict.fromkeys(orders.FileOutcome, ())  # type: ignore[misc]
    orders._has_receipts = lambda outcome, roles: true()


def _spool_not_flushed() -> None:
    from producers.terminal import spool  # noqa: PLC0415

    _unflush(spool)


def _publish_without_confirm() -> None:
    from pipeline.broker import rabbitmq  # noqa: PLC0415

    def publish(self: Any, batch: Any, seconds: float) -> None:
        self._batch = batch
        self.link.do(lambda: self._send(batch))

    rabbitmq._Session.publish = publish  # type: ignore[method-assign]


def _publish_before_ledger() -> None:
    from producers.terminal.ledger import Ledger  # noqa: PLC0415

    begin = Ledger.__init__

    def unsafe(self: Any, path: Any) -> None:
        begin(self, path)
        self._db.execute("PRAGMA synchronous = OFF")

    Ledger.__init__ = unsafe  # type: ignore[method-assign]


def _overwriting_not_flushed() -> None:
    from producers.terminal import wipe  # noqa: PLC0415

    wipe.flush_all = lambda folder, handles, filesystem: None


def _intent_after_rename() -> None:
    from producers.terminal import erase  # noqa: PLC0415

    # The name that is written down is not the name that is used.
    take = erase.take

    def other(folder: int, target: Any, mac_of: Any) -> Any:
        return take(folder, replace(target, quarantine=erase.quarantine_name()), mac_of)

    erase.take = other


def _inbox_not_atomic() -> None:
    from producers.chart.folder import FolderChart  # noqa: PLC0415

    stage_of = FolderChart._stage_of

    def visible(self: Any, one: Any, place: int) -> Any:
        stage = stage_of(self, one, place)
        original = stage.original_name if stage.original_temporary else None
        return replace(stage, original_temporary=original, record_temporary=stage.record_name)

    FolderChart._stage_of = visible  # type: ignore[method-assign]


def _inbox_not_flushed() -> None:
    from producers.chart import folder  # noqa: PLC0415

    folder.flush_files = lambda place, handles: None


def _receipt_before_effect() -> None:
    from producers.chart.deliveries import Done  # noqa: PLC0415
    from producers.chart.worker import Worker  # noqa: PLC0415

    carry_out = Worker._carry_out

    def early(self: Any, taken: Sequence[Any]) -> Any:
        apply = self._chart.apply

        def late(deliveries: Any) -> Any:
            self._deliveries.end([Done(one, "0" * 64, has_original=True) for one in taken], self._clock.now())
            self._answered.set()
            return apply(deliveries)

        self._chart.apply = late
        try:
            return carry_out(self, taken)
        finally:
            self._chart.apply = apply

    Worker._carry_out = early  # type: ignore[method-assign]


DEFECTS: dict[str, Callable[[], None]] = {
    "erase_before_delivery": _erase_before_delivery,
    "spool_not_flushed": _spool_not_flushed,
    "publish_without_confirm": _publish_without_confirm,
    "publish_before_ledger": _publish_before_ledger,
    "overwriting_not_flushed": _overwriting_not_flushed,
    "intent_after_rename": _intent_after_rename,
    "inbox_not_atomic": _inbox_not_atomic,
    "inbox_not_flushed": _inbox_not_flushed,
    "receipt_before_effect": _receipt_before_effect,
}
SEEN_IN_ORDER = {
    "spool_not_flushed": ("terminal", "spool flushed before ledger"),
    "publish_without_confirm": ("terminal", "confirm before mark"),
    "publish_before_ledger": ("terminal", "ledger flushed before publish"),
    "overwriting_not_flushed": ("terminal", "overwriting flushed before unlink"),
    "intent_after_rename": ("terminal", "intent flushed before rename"),
    "inbox_not_flushed": ("chart", "file flushed before its name"),
}
"""Which role has the defect, and the check of `order` that must tell."""
SEEN_IN_SWEEP = {
    "erase_before_delivery": ("deletion", Point("chart", "receiver", "pwrite64", 1), "left the terminal before"),
    "inbox_not_atomic": ("chart", Point("chart", "worker 0", "write", 2), "the chart got"),
    "receipt_before_effect": ("chart", Point("chart", "worker 0", "renameat", 1), "left the terminal before"),
}
"""Which role has the defect, the point that shows it, and what must be complained of."""


def plant(name: str) -> None:
    DEFECTS[name]()
