"""Which keys does a clinic's machine get? Its own pair and public parts: it can seal, and open what is sealed to it.

The private half leaves the centre with the bundle: from then on it lies on that machine alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.key_events import KeysPublished, PublicEpoch
from pipeline.keyring import (
    EdgeKey,
    EpochKey,
    Ring,
    changing,
    new_edge,
    read_ring,
    write_ring,
    write_secret,
)
from pipeline.topology import Edge

_HEX: Final = 64
NOT_HERE: Final = -1
"""The slot of an epoch whose private key lies elsewhere."""


def public_epochs(ring: Ring, clinic: str) -> tuple[PublicEpoch, ...]:
    """List what a clinic's edges may seal to, in a fixed order: of each epoch the newest key."""
    usable = sorted((k for k in ring.epochs if k.clinic == clinic and k.is_usable), key=lambda key: key.generation)
    newest = {(key.key_class, key.epoch): key for key in usable}
    return tuple(_public(newest[name]) for name in sorted(newest))


def _public(key: EpochKey) -> PublicEpoch:
    return PublicEpoch(key_class=key.key_class, epoch=key.epoch, public=key.public, generation=key.generation)


def hand_over(centre: Path, edge: Edge, machine: Path, *, again: bool = False) -> bool:
    """Make the keys of an edge's machine in a new folder, and take its private half from the centre.

    With `again`, and where a machine has its private half already, a new pair is drawn first: what was sealed to the
    former one, its machine alone can open. Returns whether a machine had it.
    """
    machine.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"edge.{edge.clinic}.{edge.edge}.key"
    with changing(centre):
        ring = read_ring(centre)[0]
        own = centre / name
        was_known = not own.exists() and any((key.clinic, key.edge) == (edge.clinic, edge.edge) for key in ring.edges)
        if again:
            own.unlink(missing_ok=True)
        if again or not own.exists():
            made = new_edge(centre, edge)
            others = tuple(key for key in ring.edges if (key.clinic, key.edge) != (edge.clinic, edge.edge))
            ring = ring.model_copy(update={"edges": (*others, made)})
            write_ring(centre, ring)
        write_secret(machine / f"identity.{edge.clinic}.key", (centre / f"identity.{edge.clinic}.key").read_bytes())
        write_secret(machine / name, own.read_bytes())
        write_ring(machine, _of_machine(ring, edge))
        # Last: until the machine's copy is flushed, there must be one here.
        own.unlink()
    return was_known


def _of_machine(ring: Ring, edge: Edge) -> Ring:
    epochs = tuple(_elsewhere(edge.clinic, each) for each in public_epochs(ring, edge.clinic))
    own: tuple[EdgeKey, ...] = tuple(k for k in ring.edges if (k.clinic, k.edge) == (edge.clinic, edge.edge))
    return Ring(epochs=epochs, edges=own, signing=ring.signing)


def _elsewhere(clinic: str, key: PublicEpoch) -> EpochKey:
    return EpochKey(clinic=clinic, slot=NOT_HERE, **key.model_dump())


def published(ring: Ring, edges: Sequence[Edge]) -> list[KeysPublished]:
    """Say to each edge what it may seal to; the same keys always make the same event."""
    keys = {clinic: public_epochs(ring, clinic) for clinic in {edge.clinic for edge in edges}}
    return [KeysPublished(clinic=edge.clinic, edge=edge.edge, keys=keys[edge.clinic]) for edge in edges]


def accept(directory: Path, told: KeysPublished) -> int:
    """Take up public keys that were not known; returns how many. Idempotent, in any order.

    Of a month's keys only a newer generation is news: a later word about a known one, or an older one, changes nothing.
    """
    with changing(directory):
        ring = read_ring(directory)[0]
        known: dict[tuple[str, str], int] = {}
        for key in ring.epochs:
            if key.clinic == told.clinic:
                name = (key.key_class, key.epoch)
                known[name] = max(key.generation, known.get(name, -1))
        fresh = tuple(
            _elsewhere(told.clinic, each)
            for each in told.keys
            if each.generation > known.get((each.key_class, each.epoch), -1) and len(each.public) == _HEX
        )
        if fresh:
            write_ring(directory, ring.model_copy(update={"epochs": (*ring.epochs, *fresh)}))
        return len(fresh)
