"""The bridge between a control socket and a bus, both real sockets with the test at the other end."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.dbus.bridge import FIRST_PAUSE_MS, INTERFACE, NAME, PATH, SUBSCRIBE, XML, Bridge, Levels, level_of
from lmkd.dbus.bus import BUS, Bus, BusError, socket_addresses
from lmkd.dbus.warnings import VALUES
from lmkd.dbus.wire import ERROR, METHOD_CALL, METHOD_RETURN, SIGNAL, Message, Stream, encode, string
from lmkd.errors import ControlError
from lmkd.policy.step import State
from tests.unit.control.talking import Talking


class FakeBus:
    """One connection of a bus daemon: lets the bridge in, then shows what it sends."""

    def __init__(self, path: Path, owner: int = 1, auth: bytes = b"OK 0123\r\n") -> None:
        self.path, self._owner, self._auth = path, owner, auth
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path=/nonexistent;unix:path={path},guid=1"}
        self.said = b""
        self._thread = threading.Thread(target=self._let_in)
        self._thread.start()

    def connect(self) -> Bus:
        try:
            return Bus(NAME, PATH, XML, self.environment)
        finally:
            self._thread.join()

    def _let_in(self) -> None:
        self.peer, _ = self._listener.accept()
        self.peer.settimeout(10)
        self.stream, self._messages = Stream(), list[Message]()
        while not self.said.endswith(b"\r\n"):
            self.said += self.peer.recv(1)
        self.peer.sendall(self._auth)
        if not self._auth.startswith(b"OK"):
            return
        begin = b""
        while not begin.endswith(b"BEGIN\r\n"):
            begin += self.peer.recv(1)
        self.send(Message(METHOD_RETURN, reply_to=self.take().serial, sender=BUS, signature="s", body=string(":1.7")))
        self.send(Message(SIGNAL, path="/x", interface=BUS, member="NameAcquired", signature="s", body=string(":1.7")))
        self.asked = self.take()
        owner = self._owner.to_bytes(4, "little")
        answer = Message(METHOD_RETURN, reply_to=self.asked.serial, signature="u", body=owner)
        if self._owner < 0x100:
            self.send(answer)
        else:
            self.send(Message(ERROR, error="x.AccessDenied", reply_to=self.asked.serial, signature="s",
                              body=string("not allowed")))

    def send(self, message: Message, serial: int = 9) -> None:
        self.peer.sendall(encode(message, serial))

    def take(self) -> Message:
        while not self._messages:
            data = self.peer.recv(4096)
            assert data, "the bridge has ended the connection"
            self._messages += self.stream.feed(data)
        return self._messages.pop(0)

    def close(self) -> None:
        self._listener.close()
        self.peer.close()


class Lmkd:
    """A control socket with one subscriber."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(10)

    def accept(self, level: str) -> None:
        self.client, _ = self.listener.accept()
        assert json.loads(self.client.recv(4096)) == json.loads(SUBSCRIBE)
        self.send({"subscribed": {"level": level}})

    def say(self, level: str) -> None:
        self.send({"level": {"level": level, "previous": "low", "t_ms": 1.0, "headroom_kib": 2, "exhaustion_ms": None}})

    def send(self, fields: dict[str, object]) -> None:
        self.client.send(json.dumps({"v": 1, "ok": True, **fields}).encode())

    def close(self) -> None:
        self.listener.close()
        self.path.unlink()
        if hasattr(self, "client"):
            self.client.close()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[FakeBus]:
    made = FakeBus(tmp_path / "bus")
    yield made
    made.close()


@pytest.fixture
def lmkd(tmp_path: Path) -> Iterator[Lmkd]:
    made = Lmkd(tmp_path / "control")
    yield made
    made.close()


class Clock:
    now_ms = 0.0

    def __call__(self) -> float:
        return self.now_ms


def turn_to(bridge: Bridge, level: str) -> None:
    """Turn until the bridge has heard of this level: other messages may come first."""
    for _ in range(5):
        bridge.turn()
        if bridge._warnings._level == VALUES[level]:
            return
    pytest.fail(f"never heard of {level}")


def start(bridge: Bridge, lmkd: Lmkd, level: str) -> None:
    thread = threading.Thread(target=lmkd.accept, args=(level,))
    thread.start()
    turn_to(bridge, level)
    thread.join()


def test_levels_become_warnings(bus: FakeBus, lmkd: Lmkd) -> None:
    clock, connection, levels = Clock(), bus.connect(), Levels(str(lmkd.path))
    bridge = Bridge(connection, levels, clock)
    start(bridge, lmkd, "calm")
    for level in ("moderate", "critical", "calm"):
        lmkd.say(level)
        turn_to(bridge, level)
    found = [bus.take(), bus.take()]
    assert [(one.kind, one.path, one.interface, one.member, one.signature) for one in found] == [
        (SIGNAL, PATH, INTERFACE, "LowMemoryWarning", "y")
    ] * 2
    lmkd.say("moderate")
    clock.now_ms = 16_000
    turn_to(bridge, "moderate")
    assert [one.body for one in (*found, bus.take())] == [b"\x64", b"\xff", b"\x64"]
    levels.close()
    connection.close()


def test_the_level_that_is_there_at_the_start_is_told(bus: FakeBus, lmkd: Lmkd) -> None:
    connection, levels = bus.connect(), Levels(str(lmkd.path))
    start(Bridge(connection, levels, Clock()), lmkd, "critical")
    assert bus.take().body == b"\xff"
    levels.close()
    connection.close()


def test_lmkd_may_come_later_and_go_and_come_again(bus: FakeBus, tmp_path: Path) -> None:
    clock, connection, levels = Clock(), bus.connect(), Levels(str(tmp_path / "control"))
    bridge = Bridge(connection, levels, clock)
    bridge._look_for_lmkd()
    assert (levels.descriptor, bridge._timeout_ms()) == (-1, FIRST_PAUSE_MS)
    for _ in range(2):
        lmkd = Lmkd(tmp_path / "control")
        clock.now_ms += 60_000
        start(bridge, lmkd, "moderate")
        assert bus.take().body == b"\x64"
        lmkd.close()
        turn_to(bridge, "calm")
        assert levels.descriptor == -1
        assert bridge._warnings.timeout_ms(clock.now_ms) is None
    connection.close()


def test_it_authenticates_as_its_user_and_asks_for_the_name_without_waiting_in_line(bus: FakeBus) -> None:
    bus.connect().close()
    assert bus.said == b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n"
    assert (bus.asked.member, bus.asked.signature, bus.asked.text()) == ("RequestName", "su", NAME)
    assert bus.asked.body[-4:] == b"\4\0\0\0"


@pytest.mark.parametrize(
    ("owner", "auth", "said"),
    [
        (3, b"OK 1\r\n", "belongs to another program"),
        (0x100, b"OK 1\r\n", "refuses RequestName: not allowed"),
        (1, b"REJECTED EXTERNAL\r\n", "does not let us in: REJECTED EXTERNAL"),
        (1, b"x" * 600, "instead of authenticating"),
    ],
)
def test_a_bus_that_does_not_want_us_is_an_error(tmp_path: Path, owner: int, auth: bytes, said: str) -> None:
    bus = FakeBus(tmp_path / "bus", owner, auth)
    with pytest.raises(BusError, match=said):
        bus.connect()
    bus.close()


def test_no_bus_and_a_silent_one_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in (f"unix:path={tmp_path}/none", "tcp:host=localhost", ";;", f"unix:path={'x' * 200}"):
        with pytest.raises(BusError, match="no system bus at"):
            Bus(NAME, PATH, XML, {"DBUS_SYSTEM_BUS_ADDRESS": address})
    monkeypatch.setattr("lmkd.dbus.bus.TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        with pytest.raises(BusError, match="does not answer"):
            Bus(NAME, PATH, XML, {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/silent"})


@pytest.mark.parametrize("losing", [b"", b"no message at all", "NameLost"])
def test_a_bus_that_goes_ends_the_bridge(bus: FakeBus, losing: bytes | str) -> None:
    connection = bus.connect()
    if isinstance(losing, str):
        bus.peer.sendall(_from_bus(losing))
    elif losing:
        bus.peer.sendall(losing)
    else:
        bus.peer.close()
    with pytest.raises(BusError):
        for _ in range(3):
            connection.answer()
    connection.close()


def _from_bus(member: str) -> bytes:
    raw = encode(Message(SIGNAL, path="/x", interface=BUS, member=member, destination=BUS, signature="s",
                         body=string(NAME)), 3)
    return raw.replace(b"\x06\x01s\x00", b"\x07\x01s\x00")  # the destination's field made the sender's


def call(connection: Bus, interface: str, member: str, path: str = PATH, flags: int = 0) -> Message:
    return connection.reply(Message(METHOD_CALL, 5, flags, path, interface, member, sender=":1.9"))


def test_it_answers_what_clients_ask_before_they_listen(bus: FakeBus) -> None:
    connection = bus.connect()
    bus.send(Message(METHOD_CALL, path=PATH, interface=f"{BUS}.Properties", member="GetAll", signature="s",
                     body=string(INTERFACE)), 77)
    connection.answer()
    answer = bus.take()
    assert (answer.kind, answer.reply_to, answer.signature, answer.body) == (METHOD_RETURN, 77, "a{sv}", b"\0" * 8)
    bus.send(Message(METHOD_CALL, flags=1, path=PATH, interface=f"{BUS}.Peer", member="Ping"), 78)
    bus.send(Message(METHOD_CALL, path=PATH, interface="x.y", member="Z"), 79)
    connection.answer()
    refusal = bus.take()
    assert (refusal.kind, refusal.reply_to, refusal.error) == (ERROR, 79, f"{BUS}.Error.UnknownMethod")
    connection.close()


def test_it_describes_itself_and_the_way_to_its_object(bus: FakeBus) -> None:
    connection = bus.connect()
    assert "LowMemoryWarning" in call(connection, f"{BUS}.Introspectable", "Introspect").text()
    assert call(connection, f"{BUS}.Introspectable", "Introspect", "/").text() == '<node><node name="org"/></node>'
    above = call(connection, "", "Introspect", "/org/freedesktop").text()
    assert above == '<node><node name="LowMemoryMonitor"/></node>'
    assert call(connection, f"{BUS}.Introspectable", "Introspect", "/com").text() == "<node/>"
    assert call(connection, f"{BUS}.Peer", "Ping").kind == METHOD_RETURN
    connection.close()


def test_addresses_of_a_bus() -> None:
    found = socket_addresses("tcp:host=x;unix:path=/a%20b,guid=1;unix:abstract=c;unix:tmpdir=/x;nonsense;")
    assert found == ["/a b", "\0c"]


@given(st.binary(max_size=80) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["level", "ok", "subscribed"]), inner),
).map(lambda thing: json.dumps(thing).encode()))
def test_whatever_the_control_socket_sends_is_a_level_or_none(data: bytes) -> None:
    try:
        level = level_of(data)
    except ControlError:
        return
    assert level is None or isinstance(level, str)


def test_the_talker_itself_is_understood(tmp_path: Path) -> None:
    talking = Talking(tmp_path, proc="/proc")
    talking.start()
    levels = Levels(talking.plan.socket)
    try:
        assert levels.connect()
        told = []
        before = "calm"
        for now in ("calm", "low", "moderate", "critical"):
            if now != before:
                talking.exchange.notices.tell_level(before, State(level=now), 5.0, "because")
            assert select.select([levels.descriptor], [], [], 10)[0]
            told.append(levels.receive())
            before = now
        assert told == ["calm", "low", "moderate", "critical"]
    finally:
        levels.close()
        talking.close()


def test_what_the_control_socket_tells() -> None:
    assert level_of(b'{"v":1,"ok":true,"subscribed":{"level":"low"}}') == "low"
    assert level_of(b'{"v":1,"ok":true,"level":{"level":"critical","previous":"low"},"dropped":3}') == "critical"
    assert level_of(b'{"v":1,"ok":true,"event":{"level":"warning"}}') is None
    with pytest.raises(ControlError, match="does not tell its levels: no such op"):
        level_of(b'{"v":1,"ok":false,"error":"no such op"}')
