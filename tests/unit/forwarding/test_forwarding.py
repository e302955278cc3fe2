"""Each revision goes to its own clinic's chart, and a file is over when the chart says so."""

import itertools
import json
from pathlib import Path

import pytest

from pipeline.errors import PermanentError
from pipeline.events import DeliveryDone, DeliveryRefused, RecordReconciled
from pipeline.storage import Store
from pipeline.topology import CHART_EDGE
from tests.support.chart import CLINIC, NOW, file_id_of
from tests.support.forwarding import ForwardingClinic

RES = Path(__file__).parents[2] / "samples" / "res"


def reconciled(file_id: str, revision: int = 1, clinic: str = CLINIC) -> RecordReconciled:
    return RecordReconciled(clinic=clinic, file_id=file_id, revision=revision, needs_review=True)


def done(file_id: str, revision: int = 1, clinic: str = CLINIC) -> DeliveryDone:
    return DeliveryDone(
        clinic=clinic, edge=CHART_EDGE, file_id=file_id, revision=revision, receipt="r" * 64, done_at=NOW
    )


def refused(file_id: str, revision: int = 1) -> DeliveryRefused:
    return DeliveryRefused(clinic=CLINIC, edge=CHART_EDGE, file_id=file_id, revision=revision, reason="name_taken")


def test_the_chart_is_given_original_record_and_verdicts(clinic: ForwardingClinic, face: Path) -> None:
    file_id = clinic.add_file(1, face)
    (outcome,) = clinic.handle(reconciled(file_id))
    delivery = clinic.opened(outcome)
    (result,) = delivery.record.pop("results")
    assert delivery.original == face.read_bytes()
    assert delivery.record == {
        "schema": 1,
        "file_id": file_id,
        "kind": "face",
        "name": face.name,
        "captured_at": clinic.now.isoformat(),
        "revision": 1,
    }
    assert result.pop("record")["result"]["insurer_number"]
    assert result == {
        "patient_id": "P0",
        "verdicts": ["name_mismatch", "address_mismatch"],
        "needs_review": True,
        "candidates": ["P8", "P9"],
        "compared": {"name": {"file": "山田", "chart": "山口"}},
    }
    assert clinic.delivery(file_id) == ("wanted", 1, 0, None)
    assert (clinic.outcome(file_id), clinic.receipts(file_id)) == ("pending", [])


def test_of_a_bulk_answer_each_result_holds_its_own_person_only(clinic: ForwardingClinic) -> None:
    file_id = clinic.add_file(1, RES / "OQSmuquc02res_202605120002.xml", people=3)
    (outcome,) = clinic.handle(reconciled(file_id))
    records = [result["record"] for result in clinic.opened(outcome).record["results"]]
    names = [record.get("result", {}).get("name") for record in records]
    assert len(set(names)) > 1
    assert all("units" not in record and "header" in record for record in records)
    for record, name in itertools.product(records, filter(None, names)):
        assert (name in json.dumps(record, ensure_ascii=False)) == (record.get("result", {}).get("name") == name)


def test_of_several_coverages_what_stands_aside_of_one_goes_to_no_other(
    clinic: ForwardingClinic, tmp_path: Path
) -> None:
    sample = RES / "OQSsiquc01res_202605120012.xml"
    head, tail = sample.read_text(encoding="utf-8").rsplit("</ResultOfQualificationConfirmation>", 1)
    changed = tmp_path / sample.name
    aside = "<Nickname>ONLY_THE_TWIN</Nickname></ResultOfQualificationConfirmation>"
    changed.write_text(head + aside + tail.replace("</MessageBody>", "<Later>ALL</Later></MessageBody>"), "utf-8")
    file_id = clinic.add_file(1, changed, people=2)
    (outcome,) = clinic.handle(reconciled(file_id))
    records = [result["record"] for result in clinic.opened(outcome).record["results"]]
    assert all("ONLY_THE_TWIN" not in json.dumps(record) for record in records)
    assert [record["unknown"] for record in records] == [[["MessageBody/Later", "ALL"]]] * 2


def test_a_medication_answer_goes_as_one_record(clinic: ForwardingClinic) -> None:
    file_id = clinic.add_file(1, RES / "YZKsiquc01res_202605120031.xml")
    (outcome,) = clinic.handle(reconciled(file_id))
    assert clinic.opened(outcome).record["results"][0]["record"]["schema_kind"] == "medication"


def test_a_medication_answer_goes_with_its_drugs_and_treatments(clinic: ForwardingClinic) -> None:
    file_id = clinic.add_file(1, RES / "YZKsiquc01res_202605120031.xml")
    (outcome,) = clinic.handle(reconciled(file_id))
    record = clinic.opened(outcome).record["results"][0]["record"]
    assert [(row["source"], row.get("duplicate_of")) for row in record["drugs"]] == [
        *[("receipt", None)] * 3,
        ("dispensed", None),
        ("prescribed", 3),
    ]
    assert [row["name"] for row in record["treatments"]] == ["見本血液検査", "見本手術"]
    assert {"months", "prescribed", "dispensed", "header"} <= record.keys()


def test_a_checkup_answer_goes_with_its_items(clinic: ForwardingClinic) -> None:
    file_id = clinic.add_file(1, RES / "TKKsiquc01res_202605120032.xml")
    (outcome,) = clinic.handle(reconciled(file_id))
    record = clinic.opened(outcome).record["results"][0]["record"]
    assert len(record["checkup_items"]) == sum(len(checkup["items"]) for checkup in record["checkups"]) == 10
    assert record["checkup_items"][0]["number"] == "138"


@pytest.mark.parametrize(
    ("clinical", "sample", "suffix", "is_given"),
    [
        (True, "YZKsiquc01res_202605120031", ".xml", True),
        ({"medication": ["data"]}, "YZKsiquc01res_202605120031", ".xml", True),
        ({"medication": ["pdf"]}, "YZKsiquc01res_202605120031", ".xml", False),
        ({"medication": ["pdf"]}, "YZKsiquc01res_202605120031", ".pdf", True),
        ({"medication": ["data"]}, "YZKsiquc01res_202605120031", ".pdf", False),
        ({"medication": []}, "YZKsiquc01res_202605120031", ".xml", False),
        ({"medication": False}, "YZKsiquc01res_202605120031", ".pdf", False),
        ({"medication": []}, "TKKsiquc01res_202605120032", ".xml", True),
        ({"checkup": ["pdf"]}, "TKKsiquc01res_202605120032", ".xml", False),
        ({"checkup": []}, "TKKsiquc01res_202605120032", ".pdf", False),
        # Why there is no PDF is told by a message.
        ({"medication": ["pdf"]}, "YZKsiquc01res_202605120033", ".xml", True),
        ({"medication": []}, "YZKsiquc01res_202605120033", ".xml", False),
    ],
)
def test_a_chart_is_given_each_kind_in_the_forms_it_wants(  # noqa: PLR0917 - a table
    tmp_path: Path,
    store: Store,
    clinical: object,
    sample: str,
    suffix: str,
    is_given: bool,  # noqa: FBT001 - a table
) -> None:
    clinic = ForwardingClinic(tmp_path, store, clinical=clinical)
    file_id = clinic.add_file(1, RES / f"{sample}.xml")
    clinic.set_file(file_id, suffix=suffix)
    (outcome,) = clinic.handle(reconciled(file_id))
    assert (outcome.result, bool(outcome.events)) == (("wanted", True) if is_given else ("not_wanted", False))
    assert clinic.outcome(file_id) == ("pending" if is_given else "delivered")


def test_a_chart_that_is_not_given_clinical_data_ends_the_file_at_once(tmp_path: Path, store: Store) -> None:
    clinic = ForwardingClinic(tmp_path, store, clinical=False)
    file_id = clinic.add_file(1, RES / "YZKsiquc01res_202605120031.xml")
    (outcome,) = clinic.handle(reconciled(file_id))
    assert (outcome.result, outcome.events) == ("not_wanted", ())
    assert (clinic.outcome(file_id), clinic.receipts(file_id)) == ("delivered", [("forwarding", "done")])


def test_a_stale_revision_does_nothing(clinic: ForwardingClinic, face: Path) -> None:
    file_id = clinic.add_file(1, face, revision=2)
    (outcome,) = clinic.handle(reconciled(file_id, 1))
    assert (outcome.result, outcome.events, outcome.writes) == ("stale", (), ())


@pytest.mark.parametrize(("confirmed", "has_original"), [(True, False), (False, True)])
def test_the_original_goes_along_until_the_chart_has_confirmed_it(
    clinic: ForwardingClinic, face: Path, *, confirmed: bool, has_original: bool
) -> None:
    file_id = clinic.add_file(1, face)
    clinic.handle(reconciled(file_id))
    if confirmed:
        clinic.handle(done(file_id))
    clinic.set_file(file_id, revision=2)
    (outcome,) = clinic.handle(reconciled(file_id, 2))
    assert (clinic.opened(outcome).original is not None) == has_original
    assert clinic.delivery(file_id)[:3] == ("wanted", 2, int(confirmed))


def test_a_rejected_file_is_not_delivered(clinic: ForwardingClinic, face: Path) -> None:
    file_id = clinic.add_file(1, face, outcome="rejected")
    assert clinic.handle(reconciled(file_id))[0].result == "closed"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (reconciled(file_id_of(9)), "unknown_file"),
        (done(file_id_of(9)), "unknown_file"),
        (reconciled(file_id_of(1), 7), "unknown_revision"),
        (done(file_id_of(1), clinic="c002"), "foreign_clinic"),
        (reconciled(file_id_of(1), clinic="c002"), "foreign_clinic"),
    ],
)
def test_what_the_store_does_not_know_is_parked(
    clinic: ForwardingClinic, face: Path, event: RecordReconciled | DeliveryDone, reason: str
) -> None:
    clinic.add_file(1, face)
    with pytest.raises(PermanentError) as caught:
        clinic.handle(event)
    assert caught.value.reason == reason


def test_a_clinic_without_a_chart_parks_so_that_nothing_is_erased_undelivered(
    clinic: ForwardingClinic, face: Path
) -> None:
    file_id = clinic.add_file(1, face, clinic="c007")
    with pytest.raises(PermanentError, match="no_chart"):
        clinic.handle(reconciled(file_id, clinic="c007"))
    assert clinic.receipts(file_id) == []


def test_a_broken_seal_is_its_own_files_fault(clinic: ForwardingClinic, face: Path) -> None:
    good, bad = clinic.add_file(1, face), clinic.add_file(2, face)
    with clinic.store.transaction() as connection:
        facts = clinic.forwarding.gather(connection, [reconciled(good)])
        sealed = clinic.forwarding.decide(reconciled(good), facts, NOW)
    clinic.set_file(bad, sealed_original=b"O1" + bytes(300))
    with clinic.store.transaction() as connection:
        facts = clinic.forwarding.gather(connection, [reconciled(good), reconciled(bad)])
    assert clinic.forwarding.decide(reconciled(good), facts, NOW).writes == sealed.writes
    with pytest.raises(PermanentError):
        clinic.forwarding.decide(reconciled(bad), facts, NOW)


def test_a_done_delivery_ends_the_file(clinic: ForwardingClinic, face: Path) -> None:
    file_id = clinic.add_file(1, face)
    clinic.handle(reconciled(file_id))
    clinic.handle(done(file_id))
    assert clinic.delivery(file_id) == ("done", 1, 1, None)
    assert (clinic.outcome(file_id), clinic.receipts(file_id)) == ("delivered", [("forwarding", "done")])


def test_a_rejected_file_stays_rejected_though_the_chart_took_it(clinic: ForwardingClinic, face: Path) -> None:
    file_id = clinic.add_file(1, face, outcome="rejected")
    clinic.handle(done(file_id))
    assert clinic.outcome(file_id) == "rejected"


@pytest.mark.parametrize("words", ["見本　花子 CANARY", "mihon_hanako"])
def test_a_refusal_in_a_chart_s_own_words_is_parked_under_a_word_of_the_house(
    clinic: ForwardingClinic, face: Path, words: str
) -> None:
    file_id = clinic.add_file(1, face)
    clinic.handle(reconciled(file_id))
    refusal = refused(file_id).model_copy(update={"reason": words})
    assert clinic.handle(refusal)[0].park == "other"
    assert clinic.delivery(file_id) == ("refused", 1, 0, "other")


def test_a_refusal_is_written_and_parked_and_is_outdone_when_the_chart_took_it(
    clinic: ForwardingClinic, face: Path
) -> None:
    file_id = clinic.add_file(1, face)
    clinic.handle(reconciled(file_id))
    assert clinic.handle(refused(file_id))[0].park == "name_taken"
    assert clinic.delivery(file_id) == ("refused", 1, 0, "name_taken")
    assert clinic.outcome(file_id) == "pending"
    clinic.handle(done(file_id))
    (replayed,) = clinic.handle(refused(file_id))
    assert (replayed.result, replayed.park) == ("outdone", None)
    assert clinic.delivery(file_id) == ("done", 1, 1, None)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_answers_end_in_the_same_rows_in_any_order_and_twice(
    clinic: ForwardingClinic, face: Path, order: tuple[int, ...]
) -> None:
    file_id = clinic.add_file(1, face)
    clinic.handle(reconciled(file_id))
    clinic.set_file(file_id, revision=2)
    clinic.handle(reconciled(file_id, 2))
    answers = [done(file_id, 1), refused(file_id, 1), done(file_id, 2)]
    for at in (*order, *order):
        clinic.handle(answers[at])
    assert clinic.delivery(file_id) == ("done", 2, 2, None)
    assert clinic.receipts(file_id) == [("forwarding", "done")]


def test_an_old_answer_does_not_end_what_a_newer_revision_waits_for(clinic: ForwardingClinic, face: Path) -> None:
    file_id = clinic.add_file(1, face)
    clinic.handle(reconciled(file_id))
    clinic.set_file(file_id, revision=2)
    clinic.handle(reconciled(file_id, 2))
    clinic.handle(refused(file_id, 2))
    clinic.handle(done(file_id, 1))
    assert clinic.delivery(file_id) == ("refused", 2, 1, "name_taken")
    assert clinic.outcome(file_id) == "delivered"


def test_a_batch_of_answers_ends_all_its_files(clinic: ForwardingClinic, face: Path) -> None:
    ids = [clinic.add_file(number, face) for number in range(20)]
    clinic.handle(*(reconciled(file_id) for file_id in ids))
    clinic.handle(*(done(file_id) for file_id in ids))
    assert {clinic.outcome(file_id) for file_id in ids} == {"delivered"}
    assert {clinic.delivery(file_id)[0] for file_id in ids} == {"done"}
