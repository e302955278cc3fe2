"""`onshi certificates show NUMBER|COPY_ID`: one erasure certificate (消去証明) as a person reads it.

Says what the certificate says and nothing more: every sentence about the erasure follows from its level.
"""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, select

from pipeline import certificates as chain
from pipeline.chain import digest_of
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.oqs.times import JST
from pipeline.storage.schema import certificates as table
from pipeline.storage.schema import heads

JAPANESE: Final[Mapping[str, str]] = {
    "L0": "ファイルは削除されました。削除前に内容が上書きされたかどうかは、確認されていません。",
    "L1": "内容をその場で一回上書きし、ディスクへ書き出した後にファイルを削除し、"
    "フォルダを改めて一覧して、残っていないことを確認しました。",
}
"""What each level says; the English sentence stands in the certificate itself."""
LIMITS: Final = (
    "次のものには及びません: 記憶媒体の予備領域、ファイルシステムのジャーナル、スナップショット、"
    "バックアップ、ファイル名の記録。"
)
_TIMES: Final = (
    ("first_seen_at", "first seen", "検出"),
    ("stored_at", "stored sealed at the centre", "中央に暗号化して保存"),
    ("intended_at", "erasure begun", "消去開始"),
    ("erased_at", "erased", "消去"),
    ("certified_at", "certified", "証明発行"),
)
_RECEIPTS: Final = {
    "parsing": ("read", "読取"),
    "reconciliation": ("reconciled", "突合"),
    "consent": ("consents recorded", "同意記録"),
    "forwarding": ("delivered to the chart", "カルテへの送達"),
}
PRECONDITIONS: Final[Mapping[str, tuple[str, str]]] = {
    "C1": ("in the terminal's sealed spool", "端末側の暗号化スプールに保存済み"),
    "C2": ("spool read back and equal", "スプールを読み戻して一致"),
    "C3": ("in the centre's store", "中央の台帳に保存済み"),
    "C4": ("confirmed by the broker or the centre", "ブローカーまたは中央が受領を確認"),
    "C5": ("every receipt was in", "必要な処理の完了記録がすべて揃う"),
    "C6": ("no hold", "消去保留なし"),
    "C7": ("the same file, unlinked elsewhere, unchanged", "同一のファイルで、別名がなく、変更なし"),
    "C8": ("old enough, and the clock was sane", "所定の時間が経過し、時計は正常"),
}


def show(desk: Desk, arguments: Namespace) -> int:
    """Print one certificate; exit code 1 when it is not what was certified."""
    row = _find(desk, arguments.which, arguments.clinic)
    content = json.loads(row.content)
    proof = _proof(desk, row)
    desk.log_access("certificates.show", row.copy_id)
    desk.say({**content, "previous": row.previous, "digest": row.digest, "proof": proof}, list(_lines(content, proof)))
    return 0 if proof["unchanged"] and proof["chain_holds"] else 1


def _find(desk: Desk, which: str, clinic: str | None) -> Row[Any]:
    is_number = which.isascii() and which.isdecimal()
    query = select(table).where(table.c.number == int(which) if is_number else table.c.copy_id == which)
    if clinic:
        query = query.where(table.c.clinic == clinic)
    with desk.store.reading() as connection:
        rows = connection.execute(query.limit(2)).all()
    if not rows:
        raise WrongUseError(f"{which}: there is no such certificate")
    if len(rows) > 1:
        raise WrongUseError(f"{which}: several clinics have a certificate of this number: name one with --clinic")
    return rows[0]


def _proof(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    with desk.store.reading() as connection:
        faults = [str(fault) for fault in chain.verify(connection, desk.keyring, row.clinic)]
        later = (heads.c.clinic == row.clinic) & (heads.c.number >= row.number)
        head = connection.execute(select(heads).where(later).order_by(heads.c.number).limit(1)).first()
    return {
        "unchanged": digest_of(row.previous, row.content) == row.digest,
        "chain_holds": not faults,
        "faults": faults,
        "signed_at": head.at if head else None,
    }


def _lines(content: Mapping[str, Any], proof: Mapping[str, Any]) -> Iterator[str]:
    yield f"消去証明  Certificate of erasure  No. {content['certificate']}  ({content['clinic']})"
    yield ""
    yield from _pairs(_what(content))
    yield ""
    yield f"水準 Level {content['level']}"
    yield f"  {JAPANESE.get(content['level'], '')}"
    yield f"  {content['statement']}"
    yield f"  {LIMITS}"
    yield f"  {content['limits']}"
    yield ""
    yield "経過 Times (JST)"
    yield from _pairs([(f"{ja} {en}", _at(content.get(key))) for key, en, ja in _TIMES])
    yield from _pairs([_receipt(name, got) for name, got in content["receipts"].items()])
    yield ""
    yield "消去の前に確かめた条件 Preconditions seen"
    seen = content["preconditions"]
    for where, label in (("terminal", "端末 terminal"), ("centre", "中央 centre")):
        for name in seen[where]:
            english, japanese = PRECONDITIONS.get(name, ("", ""))
            yield f"  {name}  {japanese}  {english}  [{label}]"
    missing = sorted(set(PRECONDITIONS) - {*seen["terminal"], *seen["centre"]})
    if missing:
        yield f"  確認の記録なし not recorded: {', '.join(missing)}"
    yield ""
    yield from _trust(proof)


def _what(content: Mapping[str, Any]) -> Sequence[tuple[str, object]]:
    offset = content["clock"]["offset_seconds"]
    return [
        ("複製 copy", content["copy"]),
        ("ファイル file", content["file"]),
        ("端末 terminal", content["terminal"]),
        ("種別 kind", content["kind"]),
        ("結果 outcome", " ".join(filter(None, (content["outcome"], content["reason"])))),
        ("大きさ size", f"{content['size']} bytes"),
        ("内容の鍵付きハッシュ keyed hash", content["content_keyed_hash"]),
        ("方法 method", content["method"]),
        ("読み戻し read back", f"{content['bytes_read_back']} of {content['size']} bytes"),
        ("ファイルシステム file system", content["filesystem"]),
        ("ボリューム volume", content["volume"]),
        ("時計 clock", f"{content['clock']['source']}, offset {'unknown' if offset is None else f'{offset} s'}"),
        ("ソフトウェア software", f"{content['software']}, policy {content['policy']}"),
    ]


def _pairs(rows: Sequence[tuple[str, object]]) -> Iterator[str]:
    yield from (f"  {label}: {value}" for label, value in rows)


def _receipt(name: str, got: Mapping[str, Any]) -> tuple[str, str]:
    english, japanese = _RECEIPTS.get(name, (name, ""))
    result = "" if got["result"] == "done" else f" ({got['result']})"
    return f"{japanese} {english}", _at(got["at"]) + result


def _at(instant: str | None) -> str:
    return datetime.fromisoformat(instant).astimezone(JST).strftime("%Y-%m-%d %H:%M:%S") if instant else "-"


def _trust(proof: Mapping[str, Any]) -> Iterator[str]:
    if proof["unchanged"] and proof["chain_holds"]:
        yield "証明の連鎖は保たれています。 The chain of certificates holds."
    else:
        yield "警告: 証明または連鎖が改変されています。 WARNING: the certificate or its chain was changed."
        yield from (f"  {fault}" for fault in proof["faults"])
    if proof["signed_at"]:
        signed = proof["signed_at"].astimezone(JST)
        yield f"署名済み Signed up to here: {signed:%Y-%m-%d %H:%M:%S} JST"
    else:
        yield "まだ署名されていません。 Not signed yet; heads are signed hourly."
