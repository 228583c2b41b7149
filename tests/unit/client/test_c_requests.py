"""The C client's requests against the fake lmkd: what they send, what they make of answers, and of none."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.unit.client.compiled import C_DIR, build
from tests.unit.client.fake_server import FakeLmkd

UNKNOWN = -(2**63)
STATUS = (
    b'{"v":1,"ok":true,"id":1,"status":{"t_ms":1.5,"level":"moderate","headroom":{"free_kib":-7,"total_kib":8123},'
    b'"forecast":{"rate_kib_s":900,"exhaustion_ms":%s},"kills":3}}'
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sources = [Path(__file__).with_name("requests.c"), C_DIR / "lmkd.c"]
    return build(sources, tmp_path_factory.mktemp("c") / "requests")


def asked(program: Path, path: Path, *words: str, ms: int = 10_000, how: str = "ask") -> list[str]:
    """The lines it prints: what was answered, then the error's number (0: none) and text."""
    command = [str(program), how, str(path), str(ms), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(("lasts", "meant"), [(b"850.5", 850), (b"3600000", UNKNOWN), (b"null", UNKNOWN)])
def test_the_status_is_read(program: Path, server: FakeLmkd, lasts: bytes, meant: int) -> None:
    server.instead = STATUS % lasts
    assert asked(program, server.path, "status") == [f"moderate 8123 {meant} 900 3", "0"]
    assert server.requests == [{"v": 1, "op": "status", "id": 1}]


def test_candidates_come_in_their_order_from_all_messages(program: Path, server: FakeLmkd) -> None:
    named = {"order": 1, "name": 'a "b"]', "priority": 900, "class": "cached", "rule_match": [{"x": "}"}]}
    server.rows = [[{**named, "pid": 1, "resident_kib": 9, "swapped_kib": 8, "gain_kib": 12}, {"pid": 2}], [{"pid": 3}]]
    nothing = f"{UNKNOWN} {UNKNOWN} {UNKNOWN}"
    assert asked(program, server.path, "candidates", "99") == [
        '1 1 a "b"] 900 cached 9 8 12', f"0 2  0  {nothing}", f"0 3  0  {nothing}", "0",
    ]  # fmt: skip
    assert asked(program, server.path, "candidates", "1")[1:] == ["0"], "one is enough"


@pytest.mark.parametrize(
    ("words", "sent", "told"),
    [
        (["set", "9", "cached"], {"op": "set", "pid": 9, "priority": "cached"}, "9 app 900 0 "),
        (["set", "9", "-5"], {"op": "set", "pid": 9, "priority": -5}, "9 app -5 0 "),
        (["clear", "9"], {"op": "clear", "pid": 9}, "9 app 0 700 "),
        (["trim", "9", "4096"], {"op": "trim", "pid": 9, "kib": 4096}, "0  0 0 "),
        (["trim", "0", "0"], {"op": "trim"}, "0  0 0 "),
        (["kill", "9"], {"op": "kill", "pid": 9}, "9 app 0 0 "),
        (["kill", "9", "unasked"], {"op": "kill", "pid": 9}, "0  0 0 "),
    ],
)
def test_an_order_is_sent_and_its_answer_read(
    program: Path, server: FakeLmkd, words: list[str], sent: dict[str, object], told: str
) -> None:
    assert asked(program, server.path, *words) == [told, "0"]
    assert server.requests == [{"v": 1, "id": 1, **sent}]
    server.wait(lambda: not server.peers, "the connection is closed")


def test_a_refusal_says_why(program: Path, server: FakeLmkd) -> None:
    server.refuse = {"kill": 'no right to "end" 9', "status": "not now"}
    assert asked(program, server.path, "kill", "9") == [
        '0  0 0 no right to "end" 9', "1 Operation not permitted",
    ]  # fmt: skip
    assert asked(program, server.path, "status") == ["1 Operation not permitted"]


def test_a_priority_too_long_is_not_sent(program: Path, server: FakeLmkd) -> None:
    assert asked(program, server.path, "set", "9", "x" * 300)[1].startswith("7 ")
    assert server.requests == []


@pytest.mark.parametrize("op", ["status", "candidates 99", "kill 9"])
def test_without_lmkd_every_request_says_so(program: Path, absent: FakeLmkd, op: str) -> None:
    assert asked(program, absent.path, *op.split())[-1] == "2 No such file or directory"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as left:
        left.bind(str(absent.path))
    assert asked(program, absent.path, *op.split())[-1] == "111 Connection refused"


def test_a_path_too_long_for_a_socket_is_an_error(program: Path, tmp_path: Path) -> None:
    assert asked(program, tmp_path / ("x" * 200), "status") == ["36 File name too long"]


@pytest.mark.parametrize("how", ["ask", "interrupted"])
@pytest.mark.parametrize("op", ["status", "candidates 99", "kill 9"])
def test_an_lmkd_that_does_not_answer_is_waited_for_as_long_as_was_said(
    program: Path, server: FakeLmkd, op: str, how: str
) -> None:
    server.silent = True
    began_s = time.monotonic()
    assert asked(program, server.path, *op.split(), ms=150, how=how)[-1] == "110 Connection timed out"
    assert 0.15 <= time.monotonic() - began_s < 5


def test_signals_do_not_end_a_request(program: Path, server: FakeLmkd) -> None:
    server.silent = True

    def answer() -> None:
        server.wait(lambda: bool(server.peers) and bool(server.requests))
        time.sleep(0.1)
        for peer in list(server.peers.values()):
            peer.connection.send(STATUS % b"1")

    answering = threading.Thread(target=answer)
    answering.start()
    assert asked(program, server.path, "status", ms=-1, how="interrupted") == ["moderate 8123 1 900 3", "0"]
    answering.join()


def test_a_full_queue_of_connections_is_waited_for_no_longer_than_was_said(program: Path, tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first,
    ):
        listener.bind(str(tmp_path / "c"))
        listener.listen(0)
        first.connect(str(tmp_path / "c"))
        assert asked(program, tmp_path / "c", "status", ms=50) == ["110 Connection timed out"]


@pytest.mark.parametrize("op", ["status", "candidates 99", "kill 9"])
@pytest.mark.parametrize(
    ("instead", "error"),
    [
        (b"hello", 71),
        (b"{", 71),
        (b'{"v":1}', 71),
        (b'{"v":2,"ok":true,"id":1,"status":{"level":"low"},"kill":{"pid":9},"end":true}', 71),
        (b'{"v":1,"ok":true,"id":1,"status":{"level":"wet"},"kill":[],"candidates":{}}', 71),
        (b'{"v":1,"ok":false,"error":"128 clients are served"}', 1),
        (b'{"v":1,"ok":true,"pad":"' + b"x" * 70_000 + b'"}', 90),
    ],
)
def test_an_answer_that_is_none_is_an_error(
    program: Path, server: FakeLmkd, op: str, instead: bytes, error: int
) -> None:
    server.instead = instead
    assert asked(program, server.path, *op.split())[-1].split()[0] == str(error)


def test_an_lmkd_that_goes_before_its_answer_is_an_error(program: Path, server: FakeLmkd) -> None:
    server.silent = True

    def stop() -> None:
        server.wait(lambda: bool(server.requests))
        server.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    assert asked(program, server.path, "status") == ["32 Broken pipe"]
    stopping.join()


def test_after_fork_both_have_a_connection_and_are_told(program: Path, server: FakeLmkd) -> None:
    running = subprocess.Popen([str(program), "fork", str(server.path)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None

    def lines(count: int) -> list[str]:
        assert running.stdout is not None
        return sorted(running.stdout.readline().rstrip("\n") for _ in range(count))

    assert lines(2) == [f"parent: 4 {running.pid}", "parent: calm"]
    registered, present = lines(2)
    child = int(registered.split()[-1])
    assert child != running.pid and (registered, present) == (f"child: 4 {child}", "child: calm")
    server.level("low")
    assert lines(2) == ["child: low", "parent: low"]
    server.level("critical")
    assert lines(1) == ["parent: critical"]
    assert running.wait(10) == 0 and len(server.ops()) == 4
    running.stdout.close()
