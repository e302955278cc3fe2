"""The benchmark tells medians, ratios of one measurement, and what follows from them; and asks the kernel rightly."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report, rest
from benchmarks.burst import _volumes_a_file
from benchmarks.costs import Tree
from benchmarks.figures import Figures, read, write
from benchmarks.load import centre_ms, clinics_a_core
from benchmarks.rest import Rest
from benchmarks.volumes import Held, _total

RUN = Figures(
    setup="embedded + SQLite, 1 of each",
    product="this",
    round=1,
    files=1000,
    bytes_a_file=4000,
    seconds_to_chart=5.0,
    seconds_to_certificate=10.0,
    cpu_ms_a_file={"terminal": 1.0, "parsing": 2.0, "RabbitMQ": 1.0},
    idle_cpu_ms_a_second={"terminal": 4.0, "parsing": 8.0, "RabbitMQ": 20.0},
    memory_bytes={"terminal": 64 << 20, "parsing": 70 << 20, "RabbitMQ": 130 << 20},
    written_bytes_a_file={"terminal": 4096, "parsing": 8192, "RabbitMQ": 0},
    rows_a_file={"files": 1.0, "outbox": 5.0},
    store_bytes_a_file={"files": 2048, "outbox": 4096},
    wal_bytes_a_file=0,
    broker_a_file={"published": 5.0, "delivered": 6.0, "bytes_in": 2048.0, "bytes_out": 1024.0},
    waits_ms=(1200, 1300),
    cores=2,
    memory_gib=24,
    load=0.5,
)


SMALL = Rest(2, 40, 20, 100 << 20, {"terminal": 9.0, "RabbitMQ": 20.0, "parsing": 5.0})


def line(text: str, begins: str) -> list[str]:
    (found,) = [one for one in text.splitlines() if one.startswith(f"| {begins} |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_of_several_rounds_the_median_is_told_with_the_slowest_and_the_fastest() -> None:
    runs = [replace(RUN, seconds_to_certificate=seconds) for seconds in (10.0, 20.0, 5.0)]
    assert line(report._speed(runs), RUN.setup)[1:4] == ["3", "100 (50–200)", "1.00"]


def test_every_setup_is_a_ratio_to_the_first() -> None:
    slow = replace(RUN, setup="RabbitMQ + SQLite, 1 of each", seconds_to_certificate=20.0)
    assert line(report._speed([RUN, slow]), slow.setup)[3] == "0.50"


def test_rows_that_go_after_two_weeks_are_counted_apart() -> None:
    assert line(report._store([RUN]), RUN.setup)[1:4] == ["6.0", "2.0", "4.0"]


def test_products_that_were_compared_stand_in_a_table_of_their_own() -> None:
    before = replace(RUN, product="before")
    after = replace(RUN, product="after", cpu_ms_a_file={"parsing": 2.0})
    text = report.tables([before, after])
    assert "files/s, to the certificate" not in text
    assert [each.split("|")[2:6] for each in text.splitlines() if "| before |" in each or "| after |" in each] == [
        [" before ", " 1 ", " 4.00 ", " 1.00 "],
        [" after ", " 1 ", " 2.00 ", " 0.50 "],
    ]


def test_lines_of_both_kinds_are_written_into_one_file_and_read_again(tmp_path: Path) -> None:
    write(tmp_path / "figures", [RUN, RUN])
    rest.write(tmp_path / "figures", [SMALL])
    assert (read(tmp_path / "figures"), rest.read(tmp_path / "figures")) == ([RUN, RUN], [SMALL])


def test_what_the_larger_group_costs_more_is_shared_by_its_further_clinics() -> None:
    large = Rest(12, 60, 70, 150 << 20, {"terminal": 90.0, "RabbitMQ": 40.0, "parsing": 8.0})
    assert line(report._resting([large, SMALL]), "each further clinic")[1:] == ["2.0", "5.0", "5.0", "2.00", "0.30"]


def test_what_a_clinics_own_machine_spends_is_no_cost_of_the_centre() -> None:
    assert centre_ms(RUN) == pytest.approx(3.0)


def test_a_core_carries_what_keeps_it_half_full_in_the_busiest_hour() -> None:
    # 5 ms a file: half a core does 100 files/s, 360,000 in an hour, of which a clinic of 100 a day brings 20.
    assert clinics_a_core(5.0, 100) == 18_000


def test_what_was_there_before_the_burst_is_nobodys_cost() -> None:
    before = Held({"files": 60}, {"files": 6000}, 100, {"published": 300})
    after = Held({"files": 70, "holds": 0}, {"files": 7000}, 1100, {"published": 350})
    assert _volumes_a_file(before, after, 10) == {
        "rows_a_file": {"files": 1.0},
        "store_bytes_a_file": {"files": 100},
        "wal_bytes_a_file": 100,
        "broker_a_file": {"published": 5.0},
    }


def test_a_counter_of_the_broker_is_summed_over_its_labels_and_not_over_its_namesakes() -> None:
    page = '# HELP x y\nx{protocol="amqp091"} 3\nx{protocol="amqp10"} 4\nx_more 100\n'
    assert _total(page, "x") == 7


def test_a_process_is_measured_with_its_children() -> None:
    burn = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass"
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print('done', flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert Tree(process.pid).spent().cpu >= 0.3
        assert Tree(process.pid).memory() > 1 << 20
        process.communicate(b"\n")
