"""A connection to the system bus: found, authenticated, named; it sends signals and answers what clients may ask."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from urllib.parse import unquote

from lmkd.dbus.wire import (
    ERROR,
    METHOD_CALL,
    METHOD_RETURN,
    NO_REPLY_EXPECTED,
    SIGNAL,
    Message,
    Stream,
    WireError,
    encode,
    string,
)
from lmkd.errors import LmkdError

DEFAULT_ADDRESS = "unix:path=/run/dbus/system_bus_socket"
BUS = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"
TIMEOUT_S = 5.0
LINE_BYTES_MAX = 512
DO_NOT_QUEUE = 4
PRIMARY_OWNER, ALREADY_OWNER = 1, 4
CHUNK_BYTES = 4096


class BusError(LmkdError):
    """The bus is not there, refuses us, or has gone."""


def socket_addresses(address: str) -> list[str]:
    """The addresses of sockets in a D-Bus address list that can be connected to here (``unix:`` with path, abstract).

    An abstract one begins with NUL, as Python's sockets take it.
    """
    found = []
    for entry in address.split(";"):
        kind, _, rest = entry.partition(":")
        keys = dict(pair.partition("=")[::2] for pair in rest.split(","))
        if kind == "unix" and keys.get("path"):
            found.append(unquote(keys["path"]))
        elif kind == "unix" and keys.get("abstract"):
            found.append("\0" + unquote(keys["abstract"]))
    return found


class Bus:
    """A connection that owns ``name`` and has one object, whose description (introspection data) is ``xml``."""

    def __init__(self, name: str, path: str, xml: str, environment: Mapping[str, str] = os.environ) -> None:
        """BusError when there is no bus, or it does not let us have the name."""
        address = environment.get("DBUS_SYSTEM_BUS_ADDRESS") or DEFAULT_ADDRESS
        self._name, self._path, self._xml = name, path, xml
        self._stream = Stream()
        self._serial = 0
        self._early: list[Message] = []
        self._socket = _connect(address)
        try:
            self._authenticate()
            self._call("Hello")
            wanted = string(name)
            wanted += b"\0" * (-len(wanted) % 4) + DO_NOT_QUEUE.to_bytes(4, "little")
            owner = self._call("RequestName", "su", wanted).number()
            if owner not in (PRIMARY_OWNER, ALREADY_OWNER):
                raise BusError(f"{name} belongs to another program already: is low-memory-monitor running?")
        except (OSError, LmkdError) as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise BusError(f"the bus at {address} does not answer: {error.strerror or error}") from error
            raise

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of name and connection."""
        self._socket.close()

    def emit(self, interface: str, member: str, signature: str, body: bytes) -> None:
        """Send a signal of our object to all who listen. BusError when the bus has gone."""
        message = Message(SIGNAL, path=self._path, interface=interface, member=member, signature=signature, body=body)
        self._send(message)

    def answer(self) -> None:
        """Take what has come and answer it. BusError when the bus has gone, or taken the name away."""
        early, self._early = self._early, []
        for message in (*early, *self._receive()):
            if message.kind == METHOD_CALL and not message.flags & NO_REPLY_EXPECTED:
                self._send(self.reply(message))
            elif message.kind == SIGNAL and message.sender == BUS and message.member == "NameLost":
                raise BusError(f"the bus has taken the name {self._name} away")

    def reply(self, call: Message) -> Message:
        """The answer to a method call."""
        made = Message(METHOD_RETURN, flags=NO_REPLY_EXPECTED, reply_to=call.serial, destination=call.sender)
        asked = (call.interface.removeprefix(BUS), call.member)
        if asked in ((".Introspectable", "Introspect"), ("", "Introspect")):
            text = self._xml if call.path == self._path else _nodes(self._path, call.path)
            return _with(made, "s", string(text))
        if asked == (".Peer", "Ping"):
            return made
        if asked == (".Properties", "GetAll"):
            return _with(made, "a{sv}", b"\0" * 8)  # no properties: an empty array, and the gap before its entries
        text = f"there is no method {call.member} of {call.interface or 'any interface'} here"
        return Message(ERROR, flags=NO_REPLY_EXPECTED, error=f"{BUS}.Error.UnknownMethod", reply_to=call.serial,
                       destination=call.sender, signature="s", body=string(text))

    def _authenticate(self) -> None:
        """SASL's EXTERNAL: the bus takes our user from the socket (D-Bus specification, Authentication Protocol)."""
        self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        line = b""
        while not line.endswith(b"\r\n"):
            piece = self._socket.recv(1)  # nothing comes after this line until BEGIN was sent
            line += piece
            if not piece or len(line) > LINE_BYTES_MAX:
                raise BusError("the bus ends the connection instead of authenticating it")
        if not line.startswith(b"OK "):
            raise BusError(f"the bus does not let us in: {line.decode('ascii', 'replace').strip()}")
        self._socket.sendall(b"BEGIN\r\n")

    def _call(self, member: str, signature: str = "", body: bytes = b"") -> Message:
        """Call a method of the bus itself and wait for its answer."""
        serial = self._send(Message(METHOD_CALL, path=BUS_PATH, interface=BUS, member=member, destination=BUS,
                                    signature=signature, body=body))
        while True:
            for message in self._receive():
                if message.kind == ERROR and message.reply_to == serial:
                    why = message.text() if message.signature.startswith("s") else message.error
                    raise BusError(f"the bus refuses {member}: {why}")
                if message.kind == METHOD_RETURN and message.reply_to == serial:
                    return message
                self._early.append(message)

    def _send(self, message: Message) -> int:
        self._serial = self._serial % 0xFFFFFFFF + 1
        try:
            self._socket.sendall(encode(message, self._serial))
        except OSError as error:
            raise BusError(f"the bus has gone: {error.strerror or error}") from error
        return self._serial

    def _receive(self) -> list[Message]:
        try:
            data = self._socket.recv(CHUNK_BYTES)
            if not data:
                raise BusError("the bus has ended the connection")
            return self._stream.feed(data)
        except OSError as error:
            raise BusError(f"the bus does not answer: {error.strerror or error}") from error
        except WireError as error:
            raise BusError(str(error)) from error


def _connect(address: str) -> socket.socket:
    places = socket_addresses(address)
    reason = "no address that can be used"
    for place in places:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        made.settimeout(TIMEOUT_S)
        try:
            made.connect(place)
        except (OSError, ValueError) as error:
            made.close()
            reason = getattr(error, "strerror", None) or str(error)
            continue
        return made
    raise BusError(f"no system bus at {address}: {reason}")


def _with(message: Message, signature: str, body: bytes) -> Message:
    return Message(message.kind, flags=message.flags, reply_to=message.reply_to, destination=message.destination,
                   signature=signature, body=body)


def _nodes(path: str, asked: str) -> str:
    """The description of a path above our object: what lies below it."""
    prefix = asked.rstrip("/") + "/"
    child = path.removeprefix(prefix).split("/")[0] if path.startswith(prefix) else ""
    return f'<node><node name="{child}"/></node>' if child else "<node/>"
