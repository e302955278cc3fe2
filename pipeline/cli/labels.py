"""How do staff read the kinds, states and reasons of requests? Japanese, as on a result list."""

from collections.abc import Mapping
from typing import Final

KINDS: Final[Mapping[str, str]] = {
    "OQSsiquc": "資格確認",
    "OQSsihvq": "資格確認（訪問診療等）",
    "OQSsionq": "資格確認（オンライン診療等）",
    "OQSsiimm": "照会番号登録",
    "OQSmuquc": "資格確認一括照会",
    "OQSmuimm": "照会番号一括登録",
    "OQSmutic": "医療券一括取得",
    "OQSmuhvq": "同意済資格情報一括取得（訪問診療等）",
    "OQSmuonq": "同意済資格情報一括取得（オンライン診療等）",
    "OQSsihvd": "閲覧同意取り消し",
    "YZKsiquc": "薬剤情報",
    "TKKsiquc": "特定健診情報",
}
STATES: Final[Mapping[str, str]] = {
    "wanted": "送信待ち",
    "placed": "回答待ち",
    "answered": "回答あり",
    "refused": "エラー",
    "timed_out": "時間切れ",
    "expired": "未送信（期限切れ）",
    "withdrawn": "取消",
    "processing": "処理中",
}
REASONS: Final[Mapping[str, str]] = {
    "returned": "要求が受け付けられませんでした",
    "message_error": "異常終了",
    "person_error": "照会エラー",
    "still_processing": "処理中",
    "no_reception_number": "受付番号がありません",
    "foreign_answer": "別人の回答のため破棄しました",
    "no_answer": "回答がありませんでした",
    "not_taken": "端末が受け取らなかったため取り下げました",
    "no_consent": "同意がありません",
    "consent_replaced": "同意が取り消されました",
    "window": "閲覧期限を過ぎました",
    "clock": "時刻が正しくありません",
    "share_away": "端末の共有フォルダが見つかりません",
    "folder": "req フォルダに書き込めません",
    "answer_exists": "同じ名前の回答が既にあります",
    "name_taken": "同じ名前の要求が既にあります",
    "unreadable": "要求を開けません",
    "by_staff": "職員が取り消しました",
}


def kind(code: str) -> str:
    return KINDS.get(code, code)


def state(word: str) -> str:
    return STATES.get(word, word)


def reason(word: str | None) -> str:
    return REASONS.get(word or "", word or "")
