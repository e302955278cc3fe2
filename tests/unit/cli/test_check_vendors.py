"""What `onshi check` says of vendors: which key, since when, and until when they may come."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.authority import Authority, Purpose, found
from pipeline.cli import check_vendors
from pipeline.group import GroupSettings, vendor_user
from pipeline.keyring import issue, issue_vendors
from pipeline.settings import KeysSettings, Settings
from pipeline.vendors import Vendor
from tests.support.centre import make_settings
from tests.support.vendors import make_key

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    make_key(tmp_path / "acme.jwk")
    at = (NOW - timedelta(days=40)).timestamp()
    os.utime(tmp_path / "acme.jwk", (at, at))
    issue(tmp_path / "keys", ["c1"], [], NOW)
    issue_vendors(tmp_path / "keys", ["acme"])
    authority = found(tmp_path / "ca", "test", NOW)
    authority.issue(vendor_user("acme"), Purpose.CLIENT, tmp_path / "out", NOW, age=timedelta(days=90))
    acme = Vendor(id="acme", clinics="*", records=("face",), public_key_file=tmp_path / "acme.jwk")
    more = {"group": GroupSettings(ca_dir=tmp_path / "ca"), "keys": KeysSettings(dir=tmp_path / "keys")}
    return make_settings(tmp_path).model_copy(update={"vendors": (acme,), **more})


def looked(settings: Settings, at: datetime = NOW, **changes: Any) -> dict[str, Any]:
    (acme,) = settings.vendors
    (row,) = check_vendors.vendors(
        settings.model_copy(update={"vendors": (acme.model_copy(update=changes),)}), at
    )  # fmt: skip
    return row


def test_a_vendor_that_can_be_told_shows_its_key_its_age_and_its_certificates_end(settings: Settings) -> None:
    row = looked(settings)
    assert row["faults"] == []
    assert (row["key"], row["kid"], row["key_age_days"]) == ("EC P-256", "acme", 40)
    assert row["certificate_until"] == NOW + timedelta(days=90)
    said = check_vendors.line(row)
    assert all(part in said for part in ("acme", "EC P-256", "40 days", "2027-02-18", "公開鍵", "証明書"))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda root: (root / "acme.jwk").unlink(), "public_key_file"),
        (lambda root: (root / "acme.jwk").write_text("{}"), "public_key_file"),
        (lambda root: (root / "keys" / "vendor.acme.key").unlink(), "its events wait"),
        (lambda root: (root / "ca" / "register" / "issued.json").write_text("{"), "issued.json"),
        (lambda root: Authority(root / "ca").revoke("vendor.acme", NOW), "no certificate that counts"),
    ],
    ids=["no key file", "no key in it", "no secret", "register damaged", "revoked"],
)
def test_what_keeps_a_vendor_from_hearing_is_a_fault(settings: Settings, harm: Any, says: str) -> None:
    harm(settings.root)
    (fault,) = looked(settings)["faults"]
    assert says in fault
    assert looked(settings, disabled=True)["faults"] == []


def test_records_that_are_granted_without_a_key_are_a_fault_and_no_records_need_none(settings: Settings) -> None:
    (fault,) = looked(settings, public_key_file=None)["faults"]
    assert "no public key is registered" in fault
    row = looked(settings, public_key_file=None, records=())
    assert (row["faults"], row["key"]) == ([], None)
    assert "公開鍵なし" in check_vendors.line(row)


def test_a_certificate_is_a_fault_thirty_days_before_its_end(settings: Settings) -> None:
    assert looked(settings, NOW + timedelta(days=60))["faults"] == []
    (fault,) = looked(settings, NOW + timedelta(days=60, seconds=1))["faults"]
    assert "onshi vendors rotate acme" in fault
