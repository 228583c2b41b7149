"""What the client raises, and nothing else of its own: all are ClientError, and each text can be shown as it is."""

from __future__ import annotations


class ClientError(Exception):
    """Something between this process and lmkd went wrong."""


class NotAvailable(ClientError):
    """No lmkd here, no right to connect, or it went away or did not answer in time. Going on without it is right."""


class Refused(ClientError):
    """lmkd answered and said no: no right to do that, no such process, a field that is wrong."""


class OddAnswer(ClientError):
    """What came is not the protocol (version 1): the other side is not lmkd, or much newer than this client."""
