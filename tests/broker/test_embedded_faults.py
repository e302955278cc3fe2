"""What does the embedded broker keep when its process is killed, its disk is full, or a second process comes?"""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.broker.embedded import EmbeddedBroker, EmbeddedBusyError
from pipeline.broker.embedded_tables import Tables
from pipeline.broker.embedded_writer import Writer
from pipeline.broker.port import BrokerAwayError, Delivery, TopologyError
from pipeline.topology import NO_DELIVERY_LIMIT, QueueSpec, Topology
from tests.broker.builders import DELIVERY_LIMIT, TOPOLOGY, drain, ids, message, messages, publish, receive_all
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]

BEGIN = """
import os, resource, signal, sys
from datetime import timedelta
from pathlib import Path
from pipeline.broker import BrokerAwayError
from pipeline.broker.embedded import EmbeddedBroker
from tests.broker.builders import TOPOLOGY, message, messages, receive_all

broker = EmbeddedBroker(Path(sys.argv[1]))
broker.declare(TOPOLOGY)
publisher = broker.publisher()
"""
DIE = "\nos.kill(os.getpid(), signal.SIGKILL)\n"


def run(path: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + script, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_to_death(path: Path, script: str) -> None:
    done = run(path, script + DIE)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_confirmed_messages_survive_a_kill_and_those_in_hand_come_again_flagged(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    run_to_death(path, "publisher.publish_confirmed(messages(500)); receive_all(broker.subscribe('work', 3), 3)")
    broker = EmbeddedBroker(path)
    came = list(drain(broker, "work", 500))
    broker.close()
    assert ids(came) == [f"m{number}" for number in range(500)]
    assert [delivery.message_id for delivery in came if delivery.redelivered] == ["m0", "m1", "m2"]


def test_what_was_settled_before_a_kill_stays_settled(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    run_to_death(
        path,
        "publisher.publish_confirmed(messages(3)); s = broker.subscribe('work', 3); got = receive_all(s, 3);"
        "s.ack(got[:1]); s.reject(got[1:2], requeue=False)",
    )
    broker = EmbeddedBroker(path)
    assert ids(drain(broker, "work", 1)) == ["m2"]
    assert ids(drain(broker, "work.parked", 1)) == ["m1"]
    broker.close()


def test_a_message_that_kills_the_process_is_parked_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    run_to_death(path, "publisher.publish_confirmed([message('poison'), message('good')])")
    for _ in range(DELIVERY_LIMIT + 1):
        run_to_death(path, "receive_all(broker.subscribe('work', 1), 1)")
    broker = EmbeddedBroker(path)
    (parked,) = drain(broker, "work.parked", 1)
    assert (parked.message_id, parked.headers["x-first-death-reason"]) == ("poison", "delivery_limit")
    (good,) = drain(broker, "work", 1)
    assert (good.message_id, good.redelivered) == ("good", False)
    broker.close()


def test_a_retry_that_came_due_while_nothing_ran_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    run_to_death(path, "publisher.publish_confirmed([message(exchange='retry', key='work.soon')])")
    broker = EmbeddedBroker(path)
    assert ids(drain(broker, "work", 1)) == ["m1"]
    broker.close()


def test_a_second_process_is_refused_and_death_frees_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    broker = EmbeddedBroker(path)
    done = run(path, "")
    assert "EmbeddedBusyError" in done.stderr
    with pytest.raises(EmbeddedBusyError, match="another process"):
        EmbeddedBroker(path)
    broker.close()
    run_to_death(path, "")
    EmbeddedBroker(path).close()


def test_a_full_disk_says_away_loses_nothing_and_heals(tmp_path: Path) -> None:
    done = run(
        tmp_path / "broker.db",
        """
publisher.publish_confirmed([message('before')])
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
for number in range(3):
    try:
        publisher.publish_confirmed([message('during', body=bytes(1_000_000))])
    except BrokerAwayError as fault:
        print(fault)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
publisher.publish_confirmed([message('after')])
s = broker.subscribe('work', 10)
got = receive_all(s, 2)
print([d.message_id for d in got], s.receive(1, timedelta(0)))
broker.close()
""",
    )
    assert done.stdout.count("could not be written") == 3, done.stderr
    assert "['before', 'after'] []" in done.stdout
    assert not done.stderr


def test_what_the_full_disk_kept_in_hand_comes_again_to_the_next_subscription(tmp_path: Path) -> None:
    done = run(
        tmp_path / "broker.db",
        """
publisher.publish_confirmed([message('held'), message('next')])
s = broker.subscribe('work', 1)
got = receive_all(s, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
try:
    s.ack(got)
except BrokerAwayError as fault:
    print(fault)
s.close()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
got = receive_all(broker.subscribe('work', 2), 2)
print([(d.message_id, d.redelivered) for d in got])
broker.close()
""",
    )
    assert "could not be written" in done.stdout, done.stderr
    assert "[('held', True), ('next', False)]" in done.stdout


def test_a_settled_body_is_in_no_file_of_the_broker(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    broker.declare(TOPOLOGY)
    publish(broker, [message(body=b"canary-kana" * 1000), message("m2", body=b"canary-kanji")])
    assert _holding(tmp_path, b"canary")
    list(drain(broker, "work", 2))
    eventually(lambda: not _holding(tmp_path, b"canary"), seconds=15, what="the truncation of the write-ahead file")
    broker.close()


def _holding(folder: Path, text: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if text in path.read_bytes()]


def test_a_dead_letter_whose_exchange_has_no_queue_is_kept_and_tried_again(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    without = [b for b in TOPOLOGY.bindings if b.exchange not in ("dead", "lost")]
    broker.declare(type(TOPOLOGY)(TOPOLOGY.exchanges, TOPOLOGY.queues, tuple(without)))
    publish(broker, [message()])
    subscription = broker.subscribe("work", 1)
    subscription.reject(receive_all(subscription, 1), requeue=False)
    assert broker.depth("work") == 0
    subscription.close()
    broker.declare(TOPOLOGY)
    assert ids(drain(broker, "work.parked", 1)) == ["m1"]
    broker.close()


def test_a_garbled_file_says_away_and_lets_the_lock_go(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    path.write_bytes(b"not a database" * 1000)
    for _ in range(2):
        with pytest.raises(Exception, match="cannot be opened"):
            EmbeddedBroker(path)


def test_many_threads_share_their_commits(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    broker.declare(TOPOLOGY)
    publish(broker, messages(1000))
    assert len(list(drain(broker, "work", 1000))) == 1000
    broker.close()


def test_what_a_stalled_disk_marked_for_a_receiver_that_gave_up_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    broker.declare(TOPOLOGY)
    publish(broker, [message("m1")])
    subscription = broker.subscribe("work", 1)
    quick_take, patient_do = Tables.take, Writer.do

    gave_up, is_over = threading.Event(), threading.Event()

    def slow_take(tables: Tables, queue: str, most: int) -> list[Delivery]:
        taken = quick_take(tables, queue, most)
        gave_up.wait(30)
        is_over.set()
        return taken

    with monkeypatch.context() as stalled:
        stalled.setattr(Tables, "take", slow_take)
        stalled.setattr(Writer, "do", lambda writer, operation: patient_do(writer, operation, 0.2))
        with pytest.raises(BrokerAwayError):
            subscription.receive(1, timedelta(0))
        gave_up.set()
        assert is_over.wait(30)
    subscription.close()
    assert ids(drain(broker, "work", 1)) == ["m1"]
    broker.close()


def test_a_file_made_when_no_limit_was_left_unsaid_is_taken_as_it_is(tmp_path: Path) -> None:
    for limit in (None, NO_DELIVERY_LIMIT, None):
        broker = EmbeddedBroker(tmp_path / "broker.db")
        broker.declare(Topology((), (QueueSpec("edge.c001.t1", delivery_limit=limit),)))
        broker.close()
    broker = EmbeddedBroker(tmp_path / "broker.db")
    with pytest.raises(TopologyError, match="exists otherwise"):
        broker.declare(Topology((), (QueueSpec("edge.c001.t1", delivery_limit=3),)))
    broker.close()
