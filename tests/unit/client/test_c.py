"""The C client, compiled here and run against the fake lmkd: events, restarts, escaping, and parsers under fuzzing."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.client.compiled import C_DIR, WARNINGS, build, compiler
from tests.unit.client.fake_server import FakeLmkd

DRIVER = Path(__file__).with_name("driver.c")
FUZZED = 10_000
UNKNOWN = -(2**63)
# A string of C has no NUL, and a text in UTF-8 no surrogates.
STRINGS = st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace").decode().replace("\0", " "))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build([DRIVER], tmp_path_factory.mktemp("c") / "driver")


class Running:
    """The driver's poll loop in a process of its own."""

    def __init__(self, driver: Path, path: Path, records: str = "") -> None:
        command = [str(driver), "run", str(path), *([records] if records else [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.communicate(timeout=20)[0] == "" and self.process.returncode == 0


@pytest.fixture
def running(driver: Path, server: FakeLmkd) -> Iterator[Running]:
    made = Running(driver, server.path, "kill,trim")
    assert made.line() == "open there"
    assert made.line() == f"registered {made.pid} priority 700"
    assert made.line() == "level calm from calm headroom -9223372036854775808 exhaustion -9223372036854775808"
    yield made
    made.end()


def test_the_requests_are_those_of_the_protocol(running: Running, server: FakeLmkd) -> None:
    assert server.requests == [
        {"v": 1, "op": "register", "id": 1, "name": 'player "x"\\', "priority": 700, "trim": True},
        {"v": 1, "op": "subscribe", "id": 2, "levels": True, "text": True, "events": ["kill", "trim"]},
    ]
    running.say("again")
    assert running.line() == "registered 77 priority 900"
    running.say("stop")
    server.wait(lambda: len(server.requests) == 4)
    assert server.requests[2:] == [
        {"v": 1, "op": "register", "id": 1, "pid": 77, "priority": "cached", "freeze": False},
        {"v": 1, "op": "unregister", "id": 3, "pid": 77},
    ]


def test_events_arrive_with_their_numbers(running: Running, server: FakeLmkd) -> None:
    server.level("critical", dropped=3)
    assert running.line() == "level critical from calm headroom 8123 exhaustion 850 dropped 3"
    server.about_to_kill(running.pid, grace_ms=150)
    assert running.line() == f"about_to_kill {running.pid} (app) SIGTERM grace 150"
    server.event("kill", pid=12, name="app")
    server.event("swap", pid=13)
    server.event("trim", pid=14)
    assert running.line() == "record kill pid 12"
    assert running.line() == "record trim pid 14"


def test_what_is_no_notice_is_passed_over(running: Running, server: FakeLmkd) -> None:
    for message in (b"\x00", b"{", b"{}", b"level=", b"level=wet", b"\xff" * 5000, b'{"v":1,"weather":1}', b"hello"):
        server.raw(message)
    server.event("kill", pid=12)
    assert running.line() == "record kill pid 12"


def test_a_restart_of_lmkd_is_outlived(driver: Path, running: Running, server: FakeLmkd) -> None:
    server.level("moderate")
    running.line()
    server.stop()
    assert running.line() == "gone: lmkd ended the connection"
    server.present = "low"
    server.start()
    assert running.line() == f"registered {running.pid} priority 700"
    assert running.line().startswith("level low from moderate")
    assert server.ops() == ["register", "subscribe"] * 2


def test_an_lmkd_that_comes_later_is_found(driver: Path, absent: FakeLmkd) -> None:
    running = Running(driver, absent.path)
    assert running.line() == "open absent"
    absent.start()
    assert running.line() == f"registered {running.pid} priority 700"
    assert running.line().startswith("level calm")
    assert absent.requests[1]["events"] == []
    running.end()


def test_while_lmkd_is_absent_it_sleeps(driver: Path, absent: FakeLmkd) -> None:
    running = Running(driver, absent.path)
    running.line()
    before = os.times().children_user
    time.sleep(0.3)
    running.end()
    assert os.times().children_user - before < 0.2


def test_it_looks_for_lmkd_less_and_less_often_but_within_ten_seconds(driver: Path, tmp_path: Path) -> None:
    command = [str(driver), "delays", str(tmp_path / "none")]
    delays = [int(ms) for ms in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]
    meant = [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000, 10_000]
    assert all(0.74 * most - 50 <= delay <= most for delay, most in zip(delays, meant, strict=True)), delays


def test_a_refusal_is_told_with_its_request_and_reason(driver: Path, server: FakeLmkd) -> None:
    server.refuse = {"register": 'no class "x" \u00e9\n'}
    running = Running(driver, server.path)
    assert running.line() == "open there"
    assert running.line() == 'refused register: no class "x" ??'
    assert running.line().startswith("level calm")
    running.end()


def test_waiting_ends_with_an_event_or_with_the_time(driver: Path, absent: FakeLmkd) -> None:
    def waited(timeout_ms: str) -> str:
        command = [str(driver), "wait", str(absent.path), timeout_ms]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert waited("30") == "none\n"
    absent.start()
    assert waited("-1").startswith("level calm")
    absent.silent = True
    assert waited("30") == "none\n"


@settings(max_examples=60)
@given(STRINGS, STRINGS, STRINGS, st.integers(-1000, 1000))
def test_strings_are_escaped_so_that_they_come_back(
    driver: Path, name: str, group: str, record: str, number: int
) -> None:
    command = [str(driver), "write", name, str(number), group, f"{record},kill"]
    lines = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\n")
    assert json.loads(lines[0].removesuffix("0")) == {
        "v": 1, "op": "register", "id": 1, "name": name, "group": group, "priority": number,
    }  # fmt: skip
    wanted = [each for each in record.split(",") if each] + ["kill"]
    assert json.loads(lines[1].removesuffix("0"))["events"] == wanted


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        (b"a\xffb", "a\ufffdb"),
        (b"\xc3", "\ufffd"),
        (b"\xc0\x80", "\ufffd\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xf4\x90\x80\x80", "\ufffd" * 4),
        ("\u00e9\U0001f600".encode(), "\u00e9\U0001f600"),
    ],
)
def test_bytes_that_are_no_text_are_replaced(driver: Path, name: bytes, meant: str) -> None:
    command = [os.fsencode(driver), b"write", name, b"cached", b"g", b""]
    line = subprocess.run(command, capture_output=True, check=True).stdout.split(b"\n")[0]
    fields = json.loads(line.removesuffix(b"0").decode())
    assert (fields["name"], fields["priority"]) == (meant, "cached")


def test_strings_too_long_are_an_error_and_nothing_is_sent(driver: Path) -> None:
    command = [str(driver), "write", "x" * 2000, "7.5", "g", "kill," * 500]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "-7\n-7\n"


def write_messages(path: Path, messages: Iterable[bytes]) -> None:
    path.write_bytes(b"".join(len(message).to_bytes(2, "big") + message for message in messages))


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (b"level=low previous=calm headroom_kib=-7 exhaustion_ms=12.9\n",
         "level low from calm headroom -7 exhaustion 12"),
        (b" level=low  dropped=2 new=1", f"level low from calm headroom {UNKNOWN} exhaustion {UNKNOWN} dropped 2"),
        (b"level=low exhaustion_ms=none headroom_kib=1e9",
         f"level low from calm headroom {UNKNOWN} exhaustion {UNKNOWN}"),
        (b'about_to_kill pid=12 name="a \\"b\\" c\\\\ =" signal=SIGKILL grace_ms=0',
         'about_to_kill 12 (a "b" c\\ =) SIGKILL grace 0'),
        (b'about_to_kill pid=12 name="a\\u00e9\\n signal=SIGTERM grace_ms=1', f"about_to_kill 12 ()  grace {UNKNOWN}"),
        (b"about_to_kill pid=99999999999 name=" + b"x" * 100, f"about_to_kill 0 ({'x' * 63})  grace {UNKNOWN}"),
        (b"event=kill pid=7 name=app", "record kill pid 7"),
        (b"event=", "nothing"),
        (b"level=", "nothing"),
        (b"levels=low", "nothing"),
        (b"", "nothing"),
    ],
)  # fmt: skip
def test_a_line_is_read_word_by_word(driver: Path, tmp_path: Path, line: bytes, meant: str) -> None:
    write_messages(tmp_path / "line", [line])
    command = [str(driver), "parse", str(tmp_path / "line")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == meant + "\n"


def test_the_lines_that_lmkd_writes_are_read_whatever_a_process_is_called(driver: Path, tmp_path: Path) -> None:
    lines = pytest.importorskip("lmkd.control.lines", reason="NOT TESTED HERE: lmkd writes no lines of text yet")
    chance = random.Random(7)
    names = ["".join(chance.choices('ab"\\ =\n\t\x7f\u00e9{,}', k=chance.randrange(1, 16))) for _ in range(2000)]
    victims = [{"pid": 5, "name": name, "signal": "SIGTERM", "grace_ms": 200} for name in names]
    write_messages(tmp_path / "lines", [lines.line_of("about_to_kill", victim, 3) for victim in victims])
    command = [str(driver), "parse", str(tmp_path / "lines")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seen = [re.sub("[\n\t\x7f\u00e9]", "?", name) for name in names]
    assert shown == "".join(f"about_to_kill 5 ({name}) SIGTERM grace 200 dropped 3\n" for name in seen)


def nonsense(chance: random.Random) -> bytes:
    """One message: a good one, cut, mixed with another or with bytes of any kind."""
    good = (
        b"level=moderate previous=low headroom_kib=8123 exhaustion_ms=850 dropped=0",
        b"level=critical previous=moderate headroom_kib=-5 exhaustion_ms=null dropped=99999999999999999999",
        b'event=kill pid=12 name="a \\"b\\u00e9" reason="x y" dropped=1',
        b"about_to_kill pid=12 name=app signal=SIGTERM grace_ms=200",
        b'{"v":1,"ok":true,"id":1,"registered":{"pid":3,"priority":-5,"class":"x","more":[1,{"a":"]"}]}}',
        b'{"v":1,"ok":true,"id":2,"subscribed":{"level":"low"}}',
        b'{"id":3,"error":"no \\"such\\" \\u00e9 \\\\","v":1,"ok":false}',
        b'[{"order":1,"pid":7,"name":"a","priority":900,"class":"x","gain_kib":1},{"pid":8,"rule_match":["}"]}]',
    )
    message = bytearray(chance.choice(good))
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(message) + 1)
        change = chance.randrange(5)
        if change == 0:
            del message[at:]
        elif change == 1:
            message[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif change == 2:
            message[at:at] = bytes(chance.choices(b'"\\{}[]:,= \n\0u-.9', k=chance.randrange(1, 6)))
        elif change == 3:
            message[at : at + chance.randrange(5)] = b""
        else:
            message[at:at] = chance.choice(good) * chance.choice((1, 1, 1, 60))
    return bytes(message)


def test_ten_thousand_fuzzed_messages_do_the_parsers_no_harm(driver: Path, tmp_path: Path) -> None:
    chance = random.Random(20240607)
    write_messages(tmp_path / "messages", (nonsense(chance) for _ in range(FUZZED)))
    began_s = time.monotonic()
    done = subprocess.run([driver, "fuzz", tmp_path / "messages"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kinds = [int(number) for number in done.stdout.split()]
    assert sum(kinds[:7]) == FUZZED and time.monotonic() - began_s < 60
    assert all(kinds[kind] > 200 for kind in (0, 1, 2, 3)), "every kind of notice is among them"
    assert all(kinds[7 + kind] > 200 for kind in (0, 1, 4, 5)), "and every kind of reply"


def test_the_client_takes_no_memory_and_never_exits(tmp_path: Path) -> None:
    if shutil.which("nm") is None:
        pytest.skip("NOT TESTED HERE: what the C client calls (there is no nm)")
    object_file = tmp_path / "lmkd.o"
    subprocess.run([compiler(), *WARNINGS, "-O2", "-c", C_DIR / "lmkd.c", "-o", object_file], check=True)
    listed = subprocess.run(["nm", "-u", object_file], capture_output=True, text=True, check=True).stdout
    called = {line.split()[-1].lstrip("_") for line in listed.splitlines()}
    assert called.isdisjoint({"malloc", "calloc", "realloc", "free", "strdup", "exit", "abort", "signal", "sigaction"})
    assert {"recv", "send", "connect"} <= called


def test_the_header_is_of_use_to_cxx(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("NOT TESTED HERE: lmkd.h in C++ (there is no g++)")
    source = tmp_path / "x.cc"
    source.write_text('#include "lmkd.h"\nint main() { struct lmkd made; return lmkd_open(&made, "/x") == 0; }\n')
    command = ["g++", "-Wall", "-Wextra", "-Werror", "-I", str(C_DIR), "-c", str(source), "-o", str(tmp_path / "x.o")]
    subprocess.run(command, check=True)


def test_a_write_to_an_lmkd_that_died_does_not_kill_the_application(running: Running, server: FakeLmkd) -> None:
    os.kill(running.pid, signal.SIGSTOP)  # so that it writes before it has seen the end
    server.stop()
    running.say("again")
    os.kill(running.pid, signal.SIGCONT)
    assert running.line() == "gone: lmkd ended the connection"
    assert running.process.poll() is None, f"SIGPIPE would be {-signal.SIGPIPE}"
