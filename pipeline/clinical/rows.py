"""Which facts does one row of a clinical history hold?

Texts are as the service wrote them; days, numbers and code systems are what could be read of them, and none where
nothing could. Layout: oqs-interface sections 3.4.3 to 3.4.5.
"""

from datetime import date
from decimal import Decimal
from enum import StrEnum

from pipeline.clinical.amounts import Bound
from pipeline.hidden import Hidden


class Source(StrEnum):
    """Who reported a drug; the first is believed most (oqs-interface section 3.4.4)."""

    RECEIPT = "receipt"
    """レセプト: a claim, of a pharmacy or of a clinic that dispenses itself."""
    DISPENSED = "dispensed"
    """調剤: by a pharmacy, on an electronic prescription."""
    PRESCRIBED = "prescribed"
    """処方: in an electronic prescription."""

    @property
    def rank(self) -> int:
        return tuple(Source).index(self)


class CodeSystem(StrEnum):
    """By the shape of the code alone: the messages do not name it."""

    RECEIPT = "receipt_code"
    """レセプト電算処理システムコード: 9 digits."""
    YJ = "yj"
    """個別医薬品コード (YJ): 12 characters."""
    GENERAL_NAME = "general_name"
    """一般名コード: 12 characters that end in ZZZ."""
    JLAC10 = "jlac10"
    """臨床検査項目分類コード: 17 characters."""
    OTHER = "other"


class Place(Hidden):
    """An institution (医療機関・薬局), as far as it is named."""

    code: str | None = None
    """医療機関コード, 10 digits."""
    name: str | None = None

    @property
    def is_known(self) -> bool:
        return self.code is not None or self.name is not None


class DrugRow(Hidden):
    """One drug that was given or prescribed."""

    number: int = 0
    """Its place in the list it stands in, from 0."""
    duplicate_of: int | None = None
    """Number of the row of a better source that tells of the same drug; none: it stands for itself."""
    source: Source
    month: str | None = None
    """YYYYMM of the report (診療年月・調剤年月・処方年月)."""
    day: date | None = None
    """Of dispensing or treatment; of a prescription its own day."""
    prescribed_on: date | None = None
    in_out: str | None = None
    """入外等の別; 4 is a pharmacy."""
    place: Place = Place()
    """Where it was given; of a prescription who wrote it."""
    prescriber: Place = Place()
    """Who prescribed it, where that is somebody else."""
    treatment_class: str | None = None
    """診療識別: 21 internal (内服), 22 as needed (頓服), 23 external (外用)."""
    code: str | None = None
    code_system: CodeSystem | None = None
    name: str | None = None
    ingredient: str | None = None
    """成分名"""
    amount: Decimal | None = None
    """使用量, a day's or the whole, in `unit`."""
    amount_text: str | None = None
    unit: str | None = None
    dose: Decimal | None = None
    """1回用量"""
    times: int | None = None
    """回数"""
    days: int | None = None
    """Days it is taken: the times of an internal drug (内服), which is counted by days."""
    usage: str | None = None
    """用法"""
    usage_code: str | None = None
    special_instruction: str | None = None
    """特別指示"""
    serial: str | None = None
    """機関毎連番: tells claims of one institution and month apart; the messages carry no prescription's own number."""


class AdditionRow(Hidden):
    """歯科診療行為加算"""

    code: str | None = None
    name: str | None = None
    amount: Decimal | None = None
    amount_text: str | None = None
    unit: str | None = None


class TreatmentRow(Hidden):
    """One treatment of a claim (診療情報)."""

    month: str | None = None
    day: date | None = None
    in_out: str | None = None
    place: Place = Place()
    treatment_class: str | None = None
    code: str | None = None
    """診療行為コード"""
    name: str | None = None
    amount: Decimal | None = None
    amount_text: str | None = None
    amount2_text: str | None = None
    unit: str | None = None
    times: int | None = None
    additions: tuple[AdditionRow, ...] = ()


class ValueType(StrEnum):
    NUMERIC = "numeric"
    CODED = "coded"
    TEXT = "text"


class CheckupRow(Hidden):
    """One finding, measurement or answer of one checkup."""

    day: date | None = None
    """実施年月日"""
    code: str | None = None
    code_system: CodeSystem | None = None
    name: str | None = None
    type: ValueType
    value: str | None = None
    """As written; of a coded value the code."""
    value_name: str | None = None
    """What a code stands for, where the answer says so."""
    number: Decimal | None = None
    bound: Bound | None = None
    """Set where the value is no more than a limit."""
    unit: str | None = None
    """The answer's own; never converted."""
    oid: str | None = None
    """Names the table of a code."""
