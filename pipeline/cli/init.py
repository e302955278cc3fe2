"""`onshi init DIR`: a working single-clinic configuration; takes a new or empty directory, never overwrites."""

import json
import os
import pwd
from argparse import Namespace
from pathlib import Path

from pipeline.cli.key_care import issue_keys
from pipeline.cli.main import WrongUseError
from pipeline.settings import Settings, load

EXAMPLE_PATIENTS = """\
patient_id,name,kana,birthdate,sex,postal_code,address,insurer_number,symbol,number,branch_number,\
relationship,burden_ratio,limit_class,limit_flag,valid_from,valid_to
00001,見本　花子,ミホン　ハナコ,1985-04-12,2,990-0001,見本県例示市試験町１丁目２番３号,06999999,7001,0001234,00,\
1,,,,2020-04-01,9999-12-31
00002,例示　太郎,レイジ　タロウ,1953-07-18,1,990-0002,見本県例示市北例示３－４－５,999995,例示・５５,8842,01,\
1,020,,,2025-08-01,2026-07-31
"""


def configuration(
    *,
    broker: str = "embedded:",
    store: str = "sqlite:///state/onshi.db",
    os_user: str | None = None,
    fetch: bool = True,
    more: str = "",
) -> str:
    """Write the text of a single-clinic configuration. `fetch`: whether consents lead to requests by themselves.

    `more`: lines that follow in the clinic, before its staff.
    """
    user = os_user or pwd.getpwuid(os.geteuid()).pw_name
    return f"""\
# Onshi (オン資) for one clinic. Paths are relative to this file.

[broker]
url = {json.dumps(broker)}               # or amqp://… / amqps://… for a group of clinics
[store]
url = {json.dumps(store)}  # or postgresql+psycopg://…
[keys]
dir = "state/keys"                    # keep this folder apart from the backups of the store

[[clinics]]
id = "c001"                           # ours; institution codes may change
institution_codes = ["9919000011"]    # 医療機関コード: yours, ten digits

  [[clinics.terminals]]
  id = "t1"
  face = "oqs/face"                   # the terminal's shared folders, e.g. a mount of \\\\\\\\terminal\\\\OQS
  res = "oqs/res"
  req = "oqs/req"
  mode = "own"                        # "beside" while another program still reads the same folders

  [clinics.chart]
  kind = "folder"
  at = "clinic"
  inbox = "chart/inbox"               # results arrive here
  patients = "chart/patients.csv"     # the chart exports its patients here

  [clinics.fetch]                     # medication and checkups (薬剤情報・特定健診) of whoever consents to it
  enabled = {json.dumps(fetch)}{" " * (26 if fetch else 25)}# ask for them by itself
{more}
[[staff]]
id = "s1"
os_user = {json.dumps(user)}
role = "manager"
view_medication = true
view_checkup = true
"""


def make(directory: Path, text: str, *, patients: str | None = EXAMPLE_PATIENTS) -> Settings:
    """Make configuration, folders, keys and patient list in a new or empty directory.

    Raises:
        WrongUseError: something is there already.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise WrongUseError(f"{directory}: is not a new or empty directory; nothing was changed")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "onshi.toml"
    path.write_text(text, encoding="utf-8")
    settings = load(path, {})
    for clinic in settings.clinics:
        for terminal in clinic.terminals:
            for folder in (terminal.face, terminal.res, terminal.req):
                folder.mkdir(parents=True, exist_ok=True)
        if clinic.chart:
            clinic.chart.inbox.mkdir(parents=True, exist_ok=True)
            if patients is not None:
                clinic.chart.patients.write_text(patients, encoding="utf-8")
    settings.state.mkdir(mode=0o700, exist_ok=True)
    issue_keys(settings)
    return settings


def init(arguments: Namespace) -> int:
    directory = Path(arguments.directory)
    make(directory, configuration())
    path = directory / "onshi.toml"
    if arguments.json:
        print(json.dumps({"config": str(path)}))
        return 0
    print(f"made {path}")
    print()
    print("next:")
    print(f"  1. put your institution code (医療機関コード) and folders into {path}")
    print(f"  2. onshi check -c {path}")
    print(f"  3. onshi run   -c {path}")
    print(f"to try it first: onshi simulate -c {path} --terminal t1 --count 5")
    return 0
