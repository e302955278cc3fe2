"""How is a request kept until it is placed, and handed to the terminal that places it?

The row is committed before any order leaves; the order is made from the row each time it is issued. The sealed form
is a `RequestDetail` with the file's bytes beside it, so that whoever only wants the detail reads it as before.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ConfigDict, Field
from sqlalchemy import Connection

from consumers.consent.request_state import RequestState
from consumers.consent.requests import ToPlace
from pipeline.contents import SealedFile, request_context
from pipeline.events import RequestPlace, derive_id
from pipeline.keyring import Keyring
from pipeline.oqs.names import Extension, Folder, Phase
from pipeline.request_row import RequestDetail
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import requests
from pipeline.topology import Role


class RequestFile(RequestDetail):
    """A request with its file, ready to be placed."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    content: bytes = Field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request that is to be made. `category` and `grant_id` are none only for what needs no consent."""

    clinic: str
    terminal: str
    kind: str
    file: RequestFile = field(repr=False)
    person_hash: str | None
    category: str | None = None
    grant_id: str | None = None
    window_until: datetime | None = None
    patient_hash: str | None = None
    inquiry_id: str | None = None
    """The inquiry it is one step of; none: it begins one of its own."""
    phase: Phase = "01"
    attempt: int = 1
    period: str | None = None
    asked_by: str = Role.CONSENT.value
    not_before: datetime | None = None
    request_id: str | None = None
    """Derived from what it is wanted for, where a second wish for the same must make no second request."""
    treatment_grant_id: str | None = None
    file_category: str | None = None
    wanted_until: datetime | None = None
    """How long it may wait for its turn; its time-out then begins anew with each order."""


def add(connection: Connection, keyring: Keyring, wanted: Wanted, timeout: timedelta, now: datetime) -> str:
    """Write a request row; consent orders it within a second. Returns the request id.

    A row of that id that is there already is left as it is.
    """
    correlation = keyring.identity(wanted.clinic).mac("correlation", wanted.file.base_name.encode())
    request_id = wanted.request_id or derive_id("request", wanted.clinic, correlation)
    public = keyring.epoch_key(wanted.clinic, KeyClass.STANDING, now)
    sealed = Sealer().seal(public, wanted.clinic, request_context(request_id), wanted.file.model_dump_json().encode())
    row = {
        "request_id": request_id,
        "clinic": wanted.clinic,
        "terminal": wanted.terminal,
        "kind": wanted.kind,
        "state": RequestState.WANTED.value,
        "category": wanted.category,
        "base_hash": correlation,
        "person_hash": wanted.person_hash,
        "patient_hash": wanted.patient_hash,
        "sealed_request": sealed,
        "grant_id": wanted.grant_id,
        "treatment_grant_id": wanted.treatment_grant_id,
        "file_category": wanted.file_category,
        "inquiry_id": wanted.inquiry_id or request_id,
        "phase": wanted.phase,
        "attempt": wanted.attempt,
        "period": wanted.period,
        "asked_by": wanted.asked_by,
        "wanted_at": now,
        "not_before": wanted.not_before,
        "window_until": wanted.window_until,
        "wanted_until": wanted.wanted_until,
        "withdraw_at": (wanted.not_before or now) + timeout,
    }
    insert_new(connection, requests, [row])
    return request_id


def order(keyring: Keyring, opener: Opener, sealer: Sealer, place: ToPlace) -> RequestPlace:
    """Seal the request's file to the terminal that shall place it.

    Raises:
        PermanentError: it cannot be opened, is no `RequestFile`, or the terminal has no key.
    """
    context = request_context(place.request_id)
    held = RequestFile.model_validate_json(opener.open(place.clinic, context, place.sealed_request))
    content = SealedFile(held.base_name + Extension.XML, Folder.REQ, held.content).to_bytes()
    return RequestPlace(
        clinic=place.clinic,
        edge=place.terminal,
        request_id=place.request_id,
        sealed=sealer.seal(keyring.edge_key(place.clinic, place.terminal), place.clinic, context, content),
        until=place.until,
        window_until=place.window_until,
        withdraw_at=place.withdraw_at,
    )
