"""What are the invented people called, and where do they live?

Family names are words for samples and trials, so that nobody is taken for a real person. Kana is kept full-width,
as a chart writes it; the service writes it half-width (oqs-interface section 4, no. 6).
"""

import unicodedata
from typing import Final

_SURNAMES = """
見本:ミホン 例示:レイジ 試験:シケン 仮名:カメイ 架空:カクウ 想定:ソウテイ 模擬:モギ 演習:エンシュウ 練習:レンシュウ
雛形:ヒナガタ 標本:ヒョウホン 仮想:カソウ 例題:レイダイ 試作:シサク 見立:ミタテ 例野:レイノ 試山:タメシヤマ
仮田:カリタ 見木:ミキ 例川:レイカワ 試島:タメシジマ 仮谷:カリヤ 本見:ホンミ 例井:レイイ 試原:タメシハラ
仮森:カリモリ 見沢:ミサワ 例村:レイムラ 試岡:タメシオカ 仮橋:カリハシ 見浦:ミウラ 例坂:レイサカ 試崎:タメシザキ
仮池:カリイケ 見松:ミマツ 例藤:レイトウ 試本:タメシモト 仮口:カリグチ 見瀬:ミセ 例林:レイバヤシ 試野:タメシノ
仮尾:カリオ 髙見:タカミ 見﨑:ミサキ 試邉:タメシベ 例德:レイトク 齋例:サイレイ 髙﨑:タカサキ
"""
_MALE = """
太郎:タロウ 一郎:イチロウ 次郎:ジロウ 健:ケン 蓮:レン 誠:マコト 翔太:ショウタ 大輔:ダイスケ 直樹:ナオキ 修:オサム
隆:タカシ 勇気:ユウキ 駿:シュン 悠真:ユウマ 湊:ミナト 亮:リョウ 学:マナブ 進:ススム 清:キヨシ 茂:シゲル 涼介:リョウスケ
拓也:タクヤ 和也:カズヤ 剛:ツヨシ 浩二:コウジ 正人:マサト 光:ヒカル 陽斗:ハルト 朔:サク 樹:イツキ 晃:アキラ 豊:ユタカ
"""
_FEMALE = """
花子:ハナコ 葵:アオイ 結衣:ユイ 陽菜:ヒナ 京子:キョウコ 恵:メグミ 直美:ナオミ 由美子:ユミコ 香織:カオリ 愛:アイ
美咲:ミサキ 七海:ナナミ 凛:リン 芽衣:メイ 咲良:サクラ 幸子:サチコ 和子:カズコ 千代:チヨ ハル:ハル キク:キク
順子:ジュンコ 洋子:ヨウコ 真理:マリ 彩:アヤ 舞:マイ 紬:ツムギ 朱里:シュリ 優奈:ユウナ 明美:アケミ 智子:トモコ
礼:レイ 澪:ミオ
"""


def _pairs(stock: str) -> tuple[tuple[str, str], ...]:
    return tuple((word, kana) for word, _, kana in (entry.partition(":") for entry in stock.split()))


SURNAMES: Final = _pairs(_SURNAMES)
MALE_NAMES: Final = _pairs(_MALE)
FEMALE_NAMES: Final = _pairs(_FEMALE)

FOREIGN_NAMES: Final = (
    ("ＳＡＭＰＬＥ　ＪＯＨＮ　ＥＸＡＭＰＬＥ", "サンプル ジョン エグザンプル"),
    ("ＭＯＤＥＬＯ　ＭＡＲＩＡ　ＥＪＥＭＰＬＯ　ＰＲＵＥＢＡ", "モデロ マリア エヘンプロ プルエバ"),
    (
        "ＴＥＳＴＭＡＮＶＯＮＢＥＩＳＰＩＥＬＨＡＵＳＥＮＺＵＭＵＳＴＥＲＢＥＲＧ",
        "テストマンフォンバイシュピールハウゼンツームスターベルク",
    ),
    ("架空見本例", "カクウケンホンレイ"),
    ("ＥＸＥＭＰＬＥ　ＬＵＣ", "エグザンプル リュック"),
)
"""Names with a middle name, without a split, or longer than most fields (oqs-interface section 4, no. 7)."""

_PLACES = """
市試験町 市北例示 市南例示 市中央 市西例示 市山手 市港見本 市福祉町 郡例示村大字見本 郡試作町
"""
TOWNS: Final = tuple("見本県例示" + place for place in _PLACES.split())
BUILDINGS: Final = ("", "", "", "　サンプルハイツ", "　見本荘", "　コーポ例示")

DRUGS: Final = (
    ("999000101", "見本降圧錠５ｍｇ", "サンプルジピン塩酸塩", "錠", "21", "１日１回朝食後", "1"),
    ("999000202", "見本去痰錠５００ｍｇ", "サンプルシステイン", "錠", "21", "１日３回毎食後", "3"),
    ("999000404", "例示糖尿錠１００ｍｇ", "サンプルグリプチン", "錠", "21", "１日２回朝夕食後", "2"),
    ("999000505", "試験眠剤錠２．５ｍｇ", "サンプルピデム", "錠", "21", "１日１回就寝前", "1"),
    ("999000606", "仮想脂質錠１０ｍｇ", "サンプルスタチン", "錠", "21", "１日１回夕食後", "1"),
)
"""Code, name, ingredient, unit, class (診療識別), usage, daily quantity."""


def _half_width_table() -> dict[int, str]:
    halves = [chr(point) for point in range(0xFF61, 0xFFA0)]
    table = {unicodedata.normalize("NFKC", half): half for half in halves}
    marked = {unicodedata.normalize("NFKC", half + mark): half + mark for half in halves for mark in "ﾞﾟ"}
    table |= {whole: parts for whole, parts in marked.items() if len(whole) == 1}
    return {ord(whole): half for whole, half in table.items()} | {ord("　"): " "}


_HALF_WIDTH: Final = _half_width_table()
_LARGE: Final = str.maketrans("ァィゥェォッャュョヮ", "アイウエオツヤユヨワ")
_FULL_DIGITS: Final = str.maketrans("0123456789-", "０１２３４５６７８９－")


def half_width(kana: str) -> str:
    """Write full-width katakana half-width, voiced marks as characters of their own."""
    return kana.translate(_HALF_WIDTH)


def large(kana: str) -> str:
    """Write small kana large, as many insurers do."""
    return kana.translate(_LARGE)


def full_digits(text: str) -> str:
    return text.translate(_FULL_DIGITS)
