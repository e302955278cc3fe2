"""What do the codes of the file interface mean?

One enum for each table that the messages use (別紙5-1, numbered OQSCDnnn; oqs-interface section 3.8), each member
with its Japanese label. Records keep the raw text, for tables grow over the years: `Validity.of(raw)` gives the
member, or `None` for a code this release does not know. Tables 042 and 044 have no public values.
"""

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """A code with its Japanese label."""

    label: str

    def __new__(cls, value: str, label: str = "") -> Self:
        code = str.__new__(cls, value)
        code._value_ = value
        code.label = label
        return code

    @classmethod
    def of(cls, raw: str | None) -> Self | None:
        """Find the member for a raw field; spaces around it do not count."""
        try:
            return cls((raw or "").strip(" "))
        except ValueError:
            return None


class LimitConsent(Code):
    """限度額適用認定証同意フラグ (OQSCD001)."""

    NO = "0", "未同意"
    YES = "1", "同意"


class ReferenceClassification(Code):
    """照会区分 (OQSCD002)."""

    MY_NUMBER_CARD = "1", "マイナンバーカード"
    INSURANCE_CARD = "2", "被保険者証情報"


class Segment(Code):
    """処理結果区分 (OQSCD003)."""

    NORMAL = "1", "正常終了"
    PROCESSING = "2", "処理中"
    FAILED = "9", "異常終了"


class ProcessingStatus(Code):
    """処理結果状況 (OQSCD004)."""

    NORMAL = "1", "正常終了"
    ERROR = "2", "エラー"


class CharacterCode(Code):
    """文字コード識別 (OQSCD005)."""

    UTF8 = "0", "UTF-8"
    SHIFT_JIS = "1", "Shift_JIS"


class Validity(Code):
    """資格有効性 (OQSCD006)."""

    VALID = "1", "有効"
    INVALID = "2", "無効"
    INVALID_NEWER = "3", "無効（新しい資格あり）"
    NONE_FOUND = "4", "該当資格なし"
    SEVERAL = "5", "複数該当"
    VALID_UNREGISTERED = "6", "有効（未登録）"


class Sex(Code):
    """性別 (OQSCD007)."""

    MALE = "1", "男"
    FEMALE = "2", "女"
    UNSET = "3", "未設定"


class ReasonOfLoss(Code):
    """資格喪失事由 (OQSCD008)."""

    DEATH = "01", "死亡"
    PUBLIC_ASSISTANCE = "02", "生活保護受給開始"
    OTHER_INSURANCE = "03", "医療保険等の資格取得"
    OTHER = "99", "その他"


class Relationship(Code):
    """本人・家族の別 (OQSCD009)."""

    INSURED = "1", "本人"
    FAMILY = "2", "家族"


class CardClassification(Code):
    """被保険者証区分 (OQSCD010)."""

    GENERAL = "01", "一般"
    RETIRED = "02", "退職"
    SHORT_TERM = "03", "短期（一般）"
    SHORT_TERM_RETIRED = "04", "短期（退職）"
    SPECIAL_EXPENSE = "05", "特別療養費支給対象者"
    SPECIAL_RETIRED = "06", "特例退職"
    SELF_DEFENSE = "07", "自衛官"
    MEDICAL_AID = "A1", "医療扶助"


class LimitClassification(Code):
    """限度額適用認定証区分 (OQSCD011)."""

    LIMIT = "01", "限度額適用認定証"
    LIMIT_AND_MEALS = "02", "限度額適用・標準負担額減額認定証"
    MEALS = "03", "標準負担額減額認定証"


class LimitFlag(Code):
    """限度額適用区分 (OQSCD012)."""

    A01 = "A01", "ア"
    A02 = "A02", "イ"
    A03 = "A03", "ウ"
    A04 = "A04", "エ"
    A05 = "A05", "オ"
    A06 = "A06", "オ（境）"
    B01 = "B01", "現役並みⅢ"
    B02 = "B02", "現役並みⅡ"
    B03 = "B03", "現役並みⅠ"
    B04 = "B04", "一般"
    B05 = "B05", "低所得Ⅱ"
    B06 = "B06", "低所得Ⅰ"
    B07 = "B07", "低所得Ⅰ（老福）"
    B08 = "B08", "低所得Ⅰ（境）"
    B09 = "B09", "一般Ⅱ"
    B10 = "B10", "一般Ⅰ"


class SpecificDiseaseCategory(Code):
    """認定疾病区分 (OQSCD013)."""

    RENAL_FAILURE = "1", "人工透析を要する慢性腎不全"
    COAGULATION = "2", "先天性血液凝固因子障害"
    HIV = "3", "血液凝固因子製剤によるHIV感染症"


class LimitChanged(Code):
    """限度額適用認定証情報変更有無 (OQSCD014)."""

    UNCHANGED = "0", "変更なし"
    CHANGED_OR_UNKNOWN = "1", "変更あり・判定不能"


class Preschool(Code):
    """未就学区分 (OQSCD015)."""

    PRESCHOOL = "1", "未就学"


class Consent(Code):
    """同意区分 (OQSCD016)."""

    REFUSED = "0", "同意なし"
    GIVEN = "1", "同意あり"
    EXPIRED = "2", "同意有効期限切れ"
    NOT_OBTAINABLE = "3", "同意取得困難"


class PrescriptionIssue(Code):
    """処方箋発行形態 (OQSCD017)."""

    ELECTRONIC = "1", "電子処方箋"
    PAPER = "2", "紙の処方箋"


class TicketType(Code):
    """医療券・調剤券別 (OQSCD018)."""

    MEDICAL = "01", "医療券"
    DISPENSING = "02", "調剤券"


class TreatmentType(Code):
    """診療別 (OQSCD019)."""

    INPATIENT = "01", "入院"
    OUTPATIENT = "02", "入院外"
    DENTAL = "03", "歯科"
    DISPENSING = "04", "調剤"
    VISITING_NURSE = "05", "訪問看護"


class SingleOrCombined(Code):
    """単独・併用別 (OQSCD020)."""

    SINGLE = "01", "単独"
    COMBINED = "02", "併用"


class Presence(Code):
    """社会保険・感染症法・後期高齢者医療・都道府県費の状況 (OQSCD021, 023, 024, 025)."""

    PRESENT = "01", "あり"
    ABSENT = "02", "なし"


class SocialInsuranceConsistency(Code):
    """社会保険状況の整合性フラグ (OQSCD022)."""

    INCONSISTENT = "1", "不整合あり"


class DesignatedInstitution(Code):
    """指定医療機関確認フラグ (OQSCD026)."""

    SAME = "0", "一致"
    OTHER = "1", "不一致"


class SamePerson(Code):
    """同一個人有無フラグ (OQSCD027)."""

    EXISTS = "1", "同一個人あり"


class TreatmentFlag(Code):
    """診療区分 (OQSCD028)."""

    OUTPATIENT = "1", "外来"
    VISIT = "2", "訪問診療等"
    ONLINE = "3", "オンライン診療等"
    EMERGENCY = "4", "救急時"


class HistoryKind(Code):
    """医療情報種別 (OQSCD029)."""

    CHECKUP = "TKK", "特定健診"
    MEDICATION = "YZK", "薬剤"


class PrescriptionView(Code):
    """処方・調剤情報閲覧区分 (OQSCD030)."""

    HIDE = "0", "表示しない"
    SHOW = "1", "表示する"


class ExpiredReason(Code):
    """同意有効期限切れ理由 (OQSCD031)."""

    TIME = "0", "期限"
    INSTITUTION = "1", "医療機関による取消"
    PATIENT = "2", "患者による取消"
    CHANGED_USE = "3", "用途変更による取消"


class QualificationChange(Code):
    """資格情報変更確認フラグ (OQSCD032)."""

    SAME = "0", "一致"
    CHANGED = "1", "不一致"


class AccessUrlKind(Code):
    """URL取得区分 (OQSCD033)."""

    VISIT = "2", "訪問診療等"
    ONLINE = "3", "オンライン診療等"


class AccessUrlForm(Code):
    """URLファイル形式 (OQSCD034)."""

    PDF = "1", "PDF"
    PNG = "2", "PNG"


class AccessUrlChange(Code):
    """URL変更区分 (OQSCD035)."""

    KEEP = "0", "変更しない"
    CHANGE = "1", "変更する"


class ConsentKind(Code):
    """閲覧同意情報種別 (OQSCD036)."""

    SPECIFIC_DISEASE = "TSR", "特定疾病"
    CHECKUP = "TKK", "特定健診"
    MEDICATION = "YZK", "薬剤"
    DIAGNOSIS = "SRJ", "診療"
    OPERATION = "SHJ", "手術"


class UseSetting(Code):
    """利用設定区分 (OQSCD037)."""

    OFF = "0", "利用しない"
    ON = "1", "利用する"


class ElectronicPrescriptionUse(Code):
    """電子処方箋利用区分 (OQSCD038)."""

    NONE = "0", "利用しない"
    ELECTRONIC = "1", "電子のみ"
    BOTH = "2", "電子と紙"
    PAPER = "3", "紙のみ"


class IssueSelectionTime(Code):
    """発行形態選択タイミング (OQSCD039)."""

    OTHER = "1", "資格確認時以外"
    CONFIRMATION = "2", "資格確認時"


class EmergencyRequest(Code):
    """情報要求パターン（救急） (OQSCD040)."""

    SUMMARY = "1", "救急用サマリー"
    FULL = "2", "全量版"
    PRESCRIPTION_AND_BOTH = "3", "電子処方箋と両者"
    MEDICATION = "4", "薬剤"
    TREATMENT_AND_MEDICATION = "5", "診療・薬剤"
    CHECKUP = "6", "特定健診"


class AuthenticationFactor(Code):
    """二要素認証要素 (OQSCD041)."""

    KNOWLEDGE = "1", "記憶"
    BIOMETRIC = "2", "生体"
    POSSESSION = "3", "物理媒体"


class EmergencyViewRight(Code):
    """救急時閲覧権限 (OQSCD043)."""

    NO = "0", "なし"
    YES = "1", "あり"
