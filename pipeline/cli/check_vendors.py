"""Can every vendor be told what it is granted? Its registered public key, its secret, and its certificate's end."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from consumers.publication.records import VendorKeyError, VendorKeys
from pipeline.authority import Authority, AuthorityError
from pipeline.cli.desk import as_text
from pipeline.errors import PermanentError
from pipeline.group import vendor_user
from pipeline.keyring import Keyring
from pipeline.settings import Settings
from pipeline.vendors import Vendor

ENDING = timedelta(days=30)
"""How long before its end a certificate is a fault; the alert comes as early."""


def vendors(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """Look at each vendor; its `faults` say what is wrong. A disabled one has none."""
    authority = _authority(settings)
    return [_vendor(settings, vendor, authority, now) for vendor in settings.vendors]


def line(row: dict[str, Any]) -> str:
    """Say it in one line for a person."""
    key = "no public key (公開鍵なし)"
    if row["key"]:
        since = as_text(row["key_since"])
        key = f"{row['key']} key {row['kid'][:12]}… since {since} JST, {row['key_age_days']} days (公開鍵)"
    until = f", certificate until {as_text(row['certificate_until'])} JST (証明書)" if row["certificate_until"] else ""
    return f"  vendor {row['vendor']}{' (disabled)' if row['disabled'] else ''}: {key}{until}"


def _vendor(settings: Settings, vendor: Vendor, authority: Authority | None, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {
        "vendor": vendor.id,
        "disabled": vendor.disabled,
        "key": None,
        "kid": None,
        "key_since": None,
        "key_age_days": None,
        "certificate_until": None,
    }
    faults = list(_key(vendor, row, now))
    try:
        Keyring(settings.keys.dir).vendor(vendor.id)
    except PermanentError as error:
        faults.append(f"vendors.{vendor.id}: its events wait: {error}")
    if authority:
        faults += _certificate(authority, vendor, row, now)
    return {**row, "faults": [] if vendor.disabled else faults}


def _key(vendor: Vendor, row: dict[str, Any], now: datetime) -> Iterator[str]:
    path = vendor.public_key_file
    if path is None:
        if vendor.records:
            yield f"vendors.{vendor.id}: records are granted, and no public key is registered: its events wait"
        return
    try:
        key = VendorKeys().key(vendor.id, path)
    except VendorKeyError as error:
        yield f"vendors.{vendor.id}.public_key_file: {error}: its events wait"
        return
    since = _since(path)
    row |= {
        "key": f"{key.key_type} {key.as_dict(private=False)['crv']}",
        "kid": key.as_dict(private=False).get("kid") or key.thumbprint(),
        "key_since": since,
        "key_age_days": (now - since).days,
    }


def _since(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _certificate(authority: Authority, vendor: Vendor, row: dict[str, Any], now: datetime) -> Iterator[str]:
    try:
        standing = authority.standing(vendor_user(vendor.id), now)
    except AuthorityError as error:
        yield f"group.ca_dir: {error}"
        return
    until = row["certificate_until"] = max((each.not_after for each in standing), default=None)
    command = f"`onshi vendors rotate {vendor.id}`"
    if until is None:
        yield f"vendors.{vendor.id}: has no certificate that counts ({command})"
    elif until < now + ENDING:
        yield f"vendors.{vendor.id}: its certificate ends {as_text(until)} JST ({command})"


def _authority(settings: Settings) -> Authority | None:
    """Open the group's authority where it lies on this machine."""
    if settings.group is None or not (settings.group.ca_dir / "ca.crt").exists():
        return None
    try:
        return Authority(settings.group.ca_dir)
    except AuthorityError:
        return None  # `onshi ca` says why
