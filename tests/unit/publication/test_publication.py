"""Publication: each vendor hears of what it is granted, in words of its own, and of nothing else."""

import json
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey, OKPKey

from consumers.publication import Publication
from consumers.publication.records import VendorKeyError, read_key
from pipeline.envelope import enclose, pack
from pipeline.errors import PermanentError
from pipeline.events import (
    ConsentExpired,
    ConsentExpiring,
    ConsentRecorded,
    DeliveryDone,
    DeliveryRefused,
    Event,
    FileRejected,
    FileSettled,
)
from pipeline.storage.schema import vendor_held
from pipeline.vendor_events import NOTICES, FileSettledNotice, RecordReconciledNotice
from tests.support.publication import Publishing, reconciled
from tests.support.vendors import make_key, opened, table

INSIDE = ("file-1", "grant-1", "PERSONHASH", "PATIENTHASH", "見本", "ASIDE", "CANARY", "mihon_hanako")

ATTRIBUTES = {"specversion", "id", "source", "type", "time"}


def everything(publishing: Publishing) -> list[Event]:
    """Make one of every public event, about file-1 and grant-1 of clinic c1."""
    until = publishing.now + timedelta(days=1)
    consent = {"clinic": "c1", "grant_id": "grant-1", "category": "medication", "until": until}
    return [
        reconciled("file-1"),
        DeliveryDone(clinic="c1", file_id="file-1", revision=1, receipt="CANARY", done_at=publishing.now),
        DeliveryRefused(clinic="c1", file_id="file-1", revision=1, reason="mihon_hanako"),
        FileRejected(clinic="c1", file_id="file-1", reason="foreign_institution"),
        FileSettled(clinic="c1", file_id="file-1", outcome="delivered"),
        ConsentRecorded(**consent, granted=True),
        ConsentExpiring(**consent),
        ConsentExpired(**consent),
    ]


@pytest.fixture
def filled(publishing: Publishing) -> Publishing:
    publishing.add_file("file-1")
    publishing.add_grant("grant-1", "file-1")
    return publishing


def test_every_public_event_has_its_notice_and_nothing_from_inside_is_on_the_wire(filled: Publishing) -> None:
    found = set()
    for event in everything(filled):
        notice = filled.told(event)["acme"]
        found.add(type(notice))
        (message,) = pack([filled.wire(notice, event)])
        said = message.body.decode() + json.dumps(dict(message.headers)) + message.routing_key + message.message_id
        assert not [word for word in (*INSIDE, event.id) if word in said]
        assert {name.removeprefix("cloudEvents_") for name in message.headers} == ATTRIBUTES
    assert found == set(NOTICES)


def test_a_field_that_an_event_gains_reaches_no_vendor(filled: Publishing) -> None:
    class Grown(FileSettled):
        patient_name: str

        @classmethod
        def type_name(cls) -> str:
            return "file.settled"

    before = filled.told(FileSettled(clinic="c1", file_id="file-1", outcome="delivered"))["acme"]
    after = filled.told(Grown(clinic="c1", file_id="file-1", outcome="delivered", patient_name="CANARY"))["acme"]
    assert after.model_dump_json() == before.model_dump_json()


def test_a_notice_takes_no_field_that_is_not_on_its_list(filled: Publishing) -> None:
    notice = filled.told(FileSettled(clinic="c1", file_id="file-1", outcome="delivered"))["acme"]
    with pytest.raises(ValueError, match="patient_name"):
        FileSettledNotice(**{**dict(notice), "patient_name": "CANARY"})


def test_a_vendor_hears_only_of_its_clinics_events_and_kinds(publishing: Publishing) -> None:
    publishing.add_file("in-c1")
    publishing.add_file("in-c2", clinic="c2")
    publishing.add_file("medication", kind="YZKsiquc")
    settled = FileSettled(clinic="c1", file_id="medication", outcome="delivered")
    heard = [reconciled("in-c1"), reconciled("in-c2", clinic="c2"), reconciled("medication"), settled]
    assert [sorted(publishing.told(event)) for event in heard] == [
        ["acme"],
        ["acme", "beta"],
        ["acme", "gamma"],
        ["acme"],
    ]


def test_two_vendors_have_no_name_in_common_and_one_vendor_keeps_its_names(publishing: Publishing) -> None:
    for file_id in ("one", "two"):
        publishing.add_file(file_id, clinic="c2")
    first, second = (publishing.told(reconciled(file_id, clinic="c2")) for file_id in ("one", "two"))

    def names(notice: object) -> set[str]:
        assert isinstance(notice, RecordReconciledNotice)
        (result,) = notice.results
        assert result.patient
        assert result.insured_person
        return {notice.handle, notice.id, result.patient, result.insured_person}

    assert len(names(first["acme"])) == 4
    assert not names(first["acme"]) & names(first["beta"])
    assert len(names(first["acme"]) & names(second["acme"])) == 2, "the patient and the person"
    settled = FileSettled(clinic="c2", file_id="one", outcome="delivered")
    assert publishing.told(settled)["beta"].handle == first["beta"].handle


def test_an_events_id_is_the_same_in_every_repeat_and_without_the_vendors_secret_nobodys_to_compute(
    filled: Publishing,
) -> None:
    event = reconciled("file-1")
    first = filled.told(event)["acme"]
    assert filled.told(event)["acme"].id == first.id
    assert first.model_copy(update={"source_id": event.id}).id != first.id
    secret = filled.root / "keys" / "vendor.acme.key"
    secret.write_bytes(bytes(32))
    other = filled.told(event)["acme"]
    assert other.id != first.id


def test_the_record_comes_only_where_it_is_granted_and_only_its_vendor_opens_it(publishing: Publishing) -> None:
    publishing.add_file("face", clinic="c2")
    publishing.add_file("other", clinic="c2", kind="OQSsiquc")
    told = publishing.told(reconciled("face", clinic="c2"))
    acme, beta = told["acme"], told["beta"]
    assert isinstance(acme, RecordReconciledNotice)
    assert isinstance(beta, RecordReconciledNotice)
    assert acme.record_state == "sealed"
    content = opened(str(acme.record), publishing.key)
    assert content["record"] == {"schema_kind": "eligibility", "validity": "1", "results": [{"name": "見本　花子"}]}
    assert (content["handle"], content["revision"]) == (acme.handle, 1)
    assert (beta.record_state, beta.record) == ("not_granted", None)
    other = publishing.told(reconciled("other", clinic="c2"))["acme"]
    assert isinstance(other, RecordReconciledNotice)
    assert (other.record_state, other.record) == ("not_granted", None)


def test_a_record_that_ended_with_its_key_is_said_to_be_unavailable(publishing: Publishing) -> None:
    publishing.add_file("gone", sealed_record=None)
    publishing.add_file("damaged", sealed_record=b"O1" + bytes(200))
    for file_id in ("gone", "damaged"):
        notice = publishing.told(reconciled(file_id))["acme"]
        assert isinstance(notice, RecordReconciledNotice)
        assert (notice.record_state, notice.record) == ("unavailable", None)


def test_a_broken_key_holds_its_vendor_back_and_nobody_else_and_order_is_kept(publishing: Publishing) -> None:
    for file_id in ("one", "two"):
        publishing.add_file(file_id, clinic="c2")
    whole = publishing.root / "acme.jwk"
    good = whole.read_text()
    whole.write_text("{}")
    settled = FileSettled(clinic="c2", file_id="one", outcome="delivered")
    events = [reconciled("one", clinic="c2"), settled, reconciled("two", clinic="c2")]
    assert [sorted(publishing.told(event)) for event in events] == [["beta"]] * 3
    assert publishing.due() == []
    assert len(publishing.centre.rows(vendor_held)) == 3
    whole.write_text(good)
    released = publishing.due()
    assert [(each.edge, each.type_name()) for each in released] == [
        ("acme", "onshi.record.reconciled"),
        ("acme", "onshi.file.settled"),
        ("acme", "onshi.record.reconciled"),
    ]
    assert publishing.centre.rows(vendor_held) == []
    assert sorted(publishing.told(FileSettled(clinic="c2", file_id="two", outcome="delivered"))) == ["acme", "beta"]


@pytest.mark.parametrize("broken", [{}, {"use": "sig"}, {"kty": "OKP", "crv": "X25519", "x": "A" * 43}])
def test_what_needs_no_key_does_not_overtake_in_one_batch_what_waits_for_it(
    publishing: Publishing, broken: dict[str, str]
) -> None:
    publishing.add_file("one")
    whole = publishing.root / "acme.jwk"
    whole.write_text(json.dumps({**json.loads(whole.read_text()), **broken} if broken else {}))
    batch = [reconciled("one"), FileSettled(clinic="c1", file_id="one", outcome="delivered")]
    heard = [publishing.publication.prepare(enclose(event, publishing.now)) for event in batch]
    with publishing.centre.store.reading() as connection:
        facts = publishing.publication.gather(connection, heard)
    outcomes = [publishing.publication.decide(one, facts, publishing.now) for one in heard]
    assert [(outcome.result, outcome.events) for outcome in outcomes] == [("held", ()), ("held", ())]


def test_a_secret_that_was_cut_short_names_nobody(publishing: Publishing) -> None:
    publishing.add_file("one")
    secret = publishing.root / "keys" / "vendor.acme.key"
    whole = secret.read_bytes()
    secret.write_bytes(b"")
    assert publishing.told(reconciled("one")) == {}
    secret.write_bytes(whole)
    assert [each.edge for each in publishing.due()] == ["acme"]


def test_what_waits_for_a_vendor_that_was_taken_out_is_dropped(publishing: Publishing) -> None:
    publishing.add_file("one")
    (publishing.root / "acme.jwk").unlink()
    assert publishing.told(reconciled("one")) == {}
    publishing.configure(table("beta"))
    assert publishing.due() == []
    assert publishing.centre.rows(vendor_held) == []


def test_a_grant_that_is_revoked_counts_no_more_from_the_next_event_on(publishing: Publishing) -> None:
    publishing.add_file("one", clinic="c2")
    event = FileSettled(clinic="c2", file_id="one", outcome="delivered")
    assert sorted(publishing.told(event)) == ["acme", "beta"]
    publishing.configure(table("acme", disabled=True), table("beta", events=["file.settled"]))
    assert sorted(publishing.told(event)) == ["beta"]
    assert publishing.told(reconciled("one", clinic="c2")) == {}
    publishing.config.write_text("[[vendors")
    assert sorted(publishing.told(event)) == ["beta"], "a broken configuration changes nothing"


def test_a_grant_that_is_revoked_stays_so_when_the_role_begins_again_with_what_its_process_read(
    publishing: Publishing,
) -> None:
    publishing.add_file("one", clinic="c2")
    event = FileSettled(clinic="c2", file_id="one", outcome="delivered")
    assert sorted(publishing.told(event)) == ["acme", "beta"]
    publishing.configure(table("acme", disabled=True), table("beta"))
    publishing.publication = Publication(publishing.centre.settings, publishing.keyring)
    assert sorted(publishing.told(event)) == ["beta"]


def test_only_the_newest_revision_is_told(publishing: Publishing) -> None:
    publishing.add_file("one", revision=2)
    assert publishing.handle(reconciled("one", revision=1)).result == "stale"
    notice = publishing.told(reconciled("one", revision=2))["acme"]
    assert isinstance(notice, RecordReconciledNotice)
    assert notice.revision == 2


def test_what_the_store_does_not_know_so_is_parked(publishing: Publishing) -> None:
    publishing.add_file("one", clinic="c2")
    expected = {"unknown_file": reconciled("none"), "foreign_clinic": reconciled("one", clinic="c1")}
    for reason, event in expected.items():
        with pytest.raises(PermanentError) as parked:
            publishing.handle(event)
        assert parked.value.reason == reason


def test_a_public_key_is_taken_as_jwk_or_pem_and_a_private_or_unfit_one_never(publishing: Publishing) -> None:
    elliptic, edwards = ECKey.generate_key("P-256"), OKPKey.generate_key("X25519")
    for key in (elliptic, edwards):
        assert read_key(key.as_pem(private=False)).thumbprint() == key.thumbprint()
        assert read_key(json.dumps(key.as_dict(private=False)).encode()).thumbprint() == key.thumbprint()
        with pytest.raises(ValueError, match="private"):
            read_key(json.dumps(key.as_dict(private=True)).encode())
    with pytest.raises(ValueError, match="curve"):
        read_key(OKPKey.generate_key("Ed25519").as_pem(private=False))


def test_a_key_that_was_replaced_is_used_from_the_next_record_on(publishing: Publishing) -> None:
    publishing.add_file("one")
    publishing.told(reconciled("one"))
    newer = make_key(publishing.root / "acme.jwk")
    notice = publishing.told(reconciled("one"))["acme"]
    assert isinstance(notice, RecordReconciledNotice)
    assert opened(str(notice.record), newer)["handle"] == notice.handle
    with pytest.raises(VendorKeyError):
        publishing.publication._writer._keys.key("acme", None)
