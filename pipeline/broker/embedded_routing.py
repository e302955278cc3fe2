"""Which queues does a message reach, by the rules of topic, direct and fanout exchanges?"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from pipeline.broker.port import TopologyError
from pipeline.topology import Binding, ExchangeKind, ExchangeSpec

ROUTES_REMEMBERED = 10_000


def topic_matches(pattern: str, key: str) -> bool:
    """Say whether a routing key fits: `*` is exactly one word, `#` any number of words, also none.

    Source: AMQP 0-9-1 specification, section 3.1.3.3, "The Topic Exchange Type".
    """
    return _words_match(pattern.split("."), key.split(".") if key else [])


def _words_match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(_words_match(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and _words_match(rest, words[1:])


@dataclass(frozen=True)
class Routes:
    """A fixed set of exchanges and bindings."""

    exchanges: dict[str, ExchangeSpec]
    bindings: dict[str, tuple[Binding, ...]]

    @classmethod
    def of(cls, exchanges: Iterable[ExchangeSpec], bindings: Iterable[Binding]) -> "Routes":
        by_exchange: dict[str, list[Binding]] = {}
        for binding in bindings:
            by_exchange.setdefault(str(binding.exchange), []).append(binding)
        named = {str(exchange.name): exchange for exchange in exchanges}
        return cls(named, {name: tuple(those) for name, those in by_exchange.items()})

    def queues(self, exchange: str, key: str) -> tuple[str, ...]:
        """Name the queues, each once. None of its own bindings: ask the alternate exchange.

        Raises:
            TopologyError: no such exchange.
        """
        spec = self.exchanges.get(exchange)
        if spec is None:
            raise TopologyError(f"no exchange {exchange}")
        found = tuple(dict.fromkeys(b.queue for b in self.bindings.get(exchange, ()) if _fits(spec.kind, b.key, key)))
        if found or spec.alternate is None or spec.alternate not in self.exchanges:
            return found
        return self.queues(spec.alternate, key)


class RememberedRoutes:
    """`Routes` with its answers kept: the same few keys come again and again."""

    def __init__(self, routes: Routes) -> None:
        self.queues = lru_cache(maxsize=ROUTES_REMEMBERED)(routes.queues)


def _fits(kind: ExchangeKind, pattern: str, key: str) -> bool:
    if kind is ExchangeKind.FANOUT:
        return True
    if kind is ExchangeKind.DIRECT:
        return pattern == key
    return topic_matches(pattern, key)
