"""D-Bus messages: what is made is read back, and whatever comes from a bus does no harm."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.dbus.wire import (
    BODY_BYTES_MAX,
    FIELDS_BYTES_MAX,
    FIXED_BYTES,
    METHOD_RETURN,
    SIGNAL,
    Message,
    Stream,
    WireError,
    encode,
    string,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
MESSAGES = st.builds(
    Message,
    kind=st.integers(1, 4),
    flags=st.integers(0, 7),
    path=TEXT,
    interface=TEXT,
    member=TEXT,
    error=TEXT,
    reply_to=st.integers(0, 2**32 - 1),
    destination=TEXT,
    signature=st.text("suya{}v", max_size=10),
    body=st.binary(max_size=100),
)

@given(st.lists(st.tuples(MESSAGES, st.integers(1, 2**32 - 1)), max_size=4), st.data())
def test_messages_arrive_as_they_were_sent_however_they_are_cut(
    sent: list[tuple[Message, int]], data: st.DataObject
) -> None:
    raw = b"".join(encode(message, serial) for message, serial in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    stream, found = Stream(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += stream.feed(raw[start:end])
    expected = [(message.path, message.member, message.reply_to, serial, message.body) for message, serial in sent]
    assert [(one.path, one.member, one.reply_to, one.serial, one.body) for one in found] == expected


def test_a_signal_has_the_bytes_that_the_specification_asks_for() -> None:
    message = Message(SIGNAL, flags=0, path="/org/freedesktop/LowMemoryMonitor",
                      interface="org.freedesktop.LowMemoryMonitor", member="LowMemoryWarning", signature="y",
                      body=b"\x64")
    made = encode(message, 2)
    (back,) = Stream().feed(made)
    assert (back.interface, back.member, back.signature, back.body) == (
        "org.freedesktop.LowMemoryMonitor", "LowMemoryWarning", "y", b"\x64",
    )  # fmt: skip
    assert len(made) % 8 == 1 and made[:4] == b"l\x04\x00\x01"


@given(st.binary(max_size=400))
def test_random_bytes_are_no_message_and_are_not_kept(data: bytes) -> None:
    stream = Stream()
    try:
        for start in range(0, len(data), 7):
            stream.feed(data[start : start + 7])
    except WireError:
        return
    assert len(stream._waiting) <= FIELDS_BYTES_MAX + BODY_BYTES_MAX + FIXED_BYTES + 16


@given(MESSAGES, st.data())
def test_a_message_with_a_byte_changed_is_a_message_or_an_error(message: Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message, 1))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        for found in Stream().feed(bytes(raw)):
            assert isinstance(found.path, str) and isinstance(found.reply_to, int)
    except WireError as error:
        assert str(error)


def test_a_large_body_is_passed_over_without_being_kept() -> None:
    stream = Stream()
    large = Message(METHOD_RETURN, reply_to=7, signature="s", body=b"x" * 1_000_000)
    raw = encode(large, 1) + encode(Message(METHOD_RETURN, reply_to=8), 2)
    found: list[Message] = []
    for start in range(0, len(raw), 1000):
        found += stream.feed(raw[start : start + 1000])
        assert len(stream._waiting) <= 2000
    assert [(one.reply_to, one.body) for one in found] == [(7, b""), (8, b"")]


def test_the_other_order_of_bytes_is_read_as_well() -> None:
    fields = b"\x05\x01u\x00" + struct.pack(">I", 9) + b"\x08\x01g\x00\x01s\x00"
    body = struct.pack(">I", 2) + b"hi\0"
    raw = struct.pack(">cBBBIII", b"B", METHOD_RETURN, 1, 1, len(body), 5, len(fields)) + fields + b"\0" + body
    (found,) = Stream().feed(raw)
    assert (found.reply_to, found.serial, found.text()) == (9, 5, "hi")


@pytest.mark.parametrize(
    "message",
    [Message(1), Message(1, signature="s"), Message(1, signature="s", body=b"\5\0\0\0x"), Message(1, signature="y"),
     Message(1, signature="s", body=b"\1\0\0\0\xff\0")],
)  # fmt: skip
def test_a_body_that_is_not_what_was_expected_is_an_error(message: Message) -> None:
    with pytest.raises(WireError):
        message.text()
    with pytest.raises(WireError):
        message.number()


@pytest.mark.parametrize(
    "raw",
    [
        b"x" * 16,
        struct.pack("<cBBBIII", b"l", 1, 0, 2, 0, 1, 0),
        struct.pack("<cBBBIII", b"l", 0, 0, 1, 0, 1, 0),
        struct.pack("<cBBBIII", b"l", 1, 0, 1, 0, 1, 1 << 20),
        struct.pack("<cBBBIII", b"l", 1, 0, 1, 1 << 31, 1, 0),
        struct.pack("<cBBBIII", b"l", 1, 0, 1, 0, 1, 8) + b"\x01\x01u\x00\x01\0\0\0",
        struct.pack("<cBBBIII", b"l", 1, 0, 1, 0, 1, 8) + b"\x0a\x01v\x00\x01\0\0\0",
    ],
)
def test_what_breaks_the_protocol_is_an_error(raw: bytes) -> None:
    with pytest.raises(WireError):
        Stream().feed(raw)


def test_strings_end_with_nul_and_begin_with_their_length() -> None:
    assert string("é") == b"\x02\0\0\0\xc3\xa9\0"
