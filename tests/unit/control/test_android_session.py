"""Sessions of Android's protocol against a registry in memory: ownership, ranges, purges, counts, notices."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmkd.control.android import Level
from lmkd.control.android_session import ORDERS_AT_ONCE, AndroidSession, android_sessions
from lmkd.control.android_shared import CONNECTIONS_MAX, DEFAULT_RELEASE, RECORDS_MAX, VICTIMS_MAX, Shared
from lmkd.control.hands import EVENT, VICTIM, Answer, Peer
from lmkd.values import replace
from tests.unit.control.android_fakes import FakeHands, kill_record, victim
from tests.unit.control.test_android import MESSAGES

APP, OTHER, THIRD = 500, 501, 502


def words(*numbers: int) -> bytes:
    return struct.pack(f"!{len(numbers)}i", *numbers)


class Board:
    """Hands, what the sessions share, and clients by their process ids."""

    def __init__(self, release: int = DEFAULT_RELEASE) -> None:
        self.hands = FakeHands()
        self.hands.alive = {APP: 1000, OTHER: 1001, THIRD: 1002}
        self.shared = Shared(release)
        self.make = android_sessions(self.shared)
        self.made = 0

    def client(self, pid: int, privileged: bool = True, start: int = 0) -> AndroidSession:
        self.made += 1
        peer = Peer(self.made, pid, 0 if privileged else 1000, privileged, start)
        return self.make(peer, self.hands)

    def say(self, client: AndroidSession, *numbers: int) -> list[bytes]:
        """Send a message and carry out what comes of it, to the end; the replies."""
        replies = client.feed(words(*numbers))
        while self.hands.orders:
            for number, answer in self.hands.carry_out():
                replies += client.answered(number, answer)
        return replies

    def priorities(self) -> dict[int, int | None]:
        return {pid: found.priority for pid, found in self.hands.registry.items()}

    def refusal(self) -> str:
        return str(self.shared.status(self.hands)["refusal"])


@pytest.fixture
def board() -> Board:
    return Board()


def test_a_process_is_registered_with_its_priority_and_nothing_is_answered(board: Board) -> None:
    client = board.client(7)
    assert board.say(client, 1, APP, 10101, 900) == []
    assert board.say(client, 1, OTHER, 10102, -800, 1) == []
    assert board.say(client, 1, THIRD, 10103, 0, 0, 1) == []
    assert board.priorities() == {APP: 900, OTHER: -800, THIRD: 0}
    assert board.say(client, 1, APP, 10101, 100) == []
    assert board.priorities()[APP] == 100


def test_the_next_message_waits_for_the_order(board: Board) -> None:
    client = board.client(7)
    assert client.feed(words(1, APP, 0, 900)) == []
    assert client.waiting
    replies = client.feed(words(4, -1000, 1000))
    assert replies == []
    assert [name for _, name, _, _ in board.hands.orders] == ["register"]
    (number, answer), *_ = board.hands.carry_out()
    assert client.answered(number + 1, answer) == []
    assert client.waiting
    assert client.answered(number, answer) == []
    assert not client.waiting


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ((1, APP, 0, 1001), "adj 1001"),
        ((1, APP, 0, -1001), "adj -1001"),
        ((1, APP, 0, 0, 2), "type 2"),
        ((1, 999, 0, 0), "there is no process 999"),
        ((1, -1, 0, 0), "process -1"),
        ((1, APP, 0), "command 1 with 2 fields"),
        ((6, APP, 0), "command 6"),
        ((77,), "command 77"),
    ],
)
def test_what_is_wrong_is_not_answered_and_the_status_says_what_it_was(
    board: Board, numbers: tuple[int, ...], complaint: str
) -> None:
    client = board.client(7)
    assert board.say(client, *numbers) == []
    assert board.hands.registry == {}
    assert complaint in board.refusal()
    assert board.say(client, 1, OTHER, 0, 900) == []
    assert board.priorities() == {OTHER: 900}


def test_a_batch_is_registered_but_for_what_is_wrong_in_it(board: Board) -> None:
    client = board.client(7)
    assert board.say(client, 11, APP, 0, 900, 0, OTHER, 0, 2000, 0, THIRD, 0, 700, 1) == []
    assert board.priorities() == {APP: 900, THIRD: 700}
    assert "adj 2000" in board.refusal()
    board.say(client, 11, 999, 0, 900, 0, 0, OTHER, 0, 100, 0, 0)
    assert board.priorities() == {APP: 900, THIRD: 700, OTHER: 100}


def test_a_record_is_its_registrants_until_his_last_connection_ends(board: Board) -> None:
    first, again, second = board.client(7), board.client(7), board.client(8)
    board.say(first, 1, APP, 0, 900)
    board.say(second, 1, APP, 0, 0)
    board.say(second, 2, APP)
    assert board.priorities() == {APP: 900}
    assert board.refusal() == f"process {APP} was registered by another client"
    board.say(again, 1, APP, 0, 800)
    assert board.priorities() == {APP: 800}
    first.closed()
    board.say(second, 1, APP, 0, 0)
    assert board.priorities() == {APP: 800}
    again.closed()
    assert board.priorities() == {APP: 800}
    board.say(second, 1, APP, 0, 0)
    assert board.priorities() == {APP: 0}
    assert board.hands.registry[APP].owner == 8


def test_a_record_is_removed_by_its_registrant(board: Board) -> None:
    client = board.client(7)
    board.say(client, 1, APP, 0, 900)
    assert board.say(client, 2, APP) == []
    assert board.priorities() == {}
    assert board.say(client, 2, APP) == []
    assert board.hands.orders == []


def test_a_purge_takes_the_peers_records_and_the_unclaimed_ones(board: Board) -> None:
    gone, mine, other = board.client(6), board.client(7), board.client(8)
    board.say(gone, 1, APP, 0, 900)
    board.say(mine, 1, OTHER, 0, 900)
    board.say(other, 1, THIRD, 0, 900)
    gone.closed()
    assert board.say(mine, 3) == []
    assert board.priorities() == {THIRD: 900}
    assert board.shared.status(board.hands)["registered"] == 1


def test_a_purge_takes_what_clients_of_an_earlier_talker_have_left_and_nothing_else(board: Board) -> None:
    board.hands.alive = dict.fromkeys(range(500, 600), 0)
    gone = board.client(6)
    for pid in range(500, 580):
        board.say(gone, 1, pid, 0, 900)
    board.hands.registry[590] = replace(board.hands.registry[500], pid=590, record=False)  # by the native protocol
    next_one = Board()
    next_one.hands = board.hands
    other, mine = next_one.client(8), next_one.client(7)
    next_one.say(other, 1, 580, 0, 900)
    mine.feed(words(3))
    assert len(next_one.hands.orders) <= ORDERS_AT_ONCE
    assert next_one.say(mine, 0) == []
    while next_one.hands.orders:
        for number, answer in next_one.hands.carry_out():
            assert mine.answered(number, answer) == []
    assert not mine.waiting
    assert sorted(next_one.priorities()) == [580, 590]
    assert next_one.shared.status(next_one.hands)["registered"] == 1


def test_who_has_the_process_id_of_a_registrant_is_not_that_one(board: Board) -> None:
    board.say(board.client(7), 1, APP, 0, 900)
    next_one = Board()
    next_one.hands = board.hands
    again, other = next_one.client(7, start=99), next_one.client(8)
    next_one.say(other, 3)
    assert next_one.priorities() == {}
    assert again.keeps


def test_what_must_be_known_to_the_next_talker_is_kept() -> None:
    memory = memoryview(bytearray(64))
    first = Shared(memory=memory)
    assert (first.booted, first.levels) == (False, ())
    first.set_levels((Level(18432, 0), Level(46080, 950)))
    first.boot()
    second = Shared(memory=memory)
    assert (second.booted, second.levels) == (True, (Level(18432, 0), Level(46080, 950)))
    second.set_levels(())
    assert (first.booted, first.levels) == (True, ())


def test_a_process_that_has_just_ended_does_not_stop_a_purge(board: Board) -> None:
    gone, mine = board.client(6), board.client(7)
    for pid in (APP, OTHER):
        board.say(gone, 1, pid, 0, 900)
    gone.closed()
    del board.hands.alive[APP]
    assert board.say(mine, 3) == []
    assert board.priorities() == {APP: 900}
    assert board.say(mine, 2, APP) == []
    assert board.refusal() == f"there is no process {APP}"


def test_a_process_id_that_is_used_again_is_nobodys(board: Board) -> None:
    first, second = board.client(7), board.client(8)
    board.say(first, 1, APP, 0, 900)
    board.hands.registry[APP] = replace(board.hands.registry[APP], start_ticks=1)
    board.say(second, 1, APP, 0, 0)
    assert board.priorities() == {APP: 0}


@pytest.mark.parametrize(
    ("low", "high", "count"),
    [
        (-1000, 1000, 4),
        (900, 900, 2),
        (0, 899, 2),
        (-(2**31), 2**31 - 1, 4),
        (1001, 1001, 4),
        (1000, -1000, 0),
        (1002, 1001, 0),
        (-2000, -1500, 0),
    ],
)
def test_kills_are_counted_by_adj_and_all_of_them_above_1000(board: Board, low: int, high: int, count: int) -> None:
    board.hands.kills = [900, 900, 100, 0]
    assert board.say(board.client(7), 4, low, high) == [words(4, count)]


def test_an_unknown_count_is_an_error_to_the_client(board: Board) -> None:
    board.hands.trouble = "the guard has not written a status yet"
    assert board.say(board.client(7), 4, 0, 1000) == [words(4, -1)]


def test_levels_are_kept_and_shown(board: Board) -> None:
    assert board.say(board.client(7), 0, 18432, 0, 46080, 950) == []
    assert board.shared.status(board.hands)["minfree"] == [{"pages": 18432, "adj": 0}, {"pages": 46080, "adj": 950}]


def test_the_end_of_boot_is_acknowledged_once_and_monitoring_is_not_answered(board: Board) -> None:
    client = board.client(7)
    assert board.say(client, 10) == [words(10, 0)]
    assert board.say(client, 10) == [words(10, 1)]
    assert board.say(board.client(8), 10) == [words(10, 1)]
    assert board.say(client, 9) == []
    assert board.shared.status(board.hands)["refused"] == 0


@pytest.mark.parametrize(("event", "result"), [("reload", 0), ("reload_failed", -1)])
def test_a_reload_is_answered_by_how_it_ended(board: Board, event: str, result: int) -> None:
    client = board.client(7)
    assert board.say(client, 7) == []
    assert (client.waiting, client.interests) == (True, frozenset((EVENT,)))
    assert client.notify(EVENT, {"event": "pressure"}, 0) is None
    assert client.notify(EVENT, {"event": event}, 0) == words(7, result)
    assert not client.waiting
    assert client.interests == set()
    assert client.notify(EVENT, {"event": event}, 0) is None


def test_a_reload_that_ends_before_the_order_is_answered(board: Board) -> None:
    client = board.client(7)
    assert client.feed(words(7)) == []
    early = client.notify(EVENT, {"event": "reload_failed"}, 0)
    assert early is None
    (number, answer), *_ = board.hands.carry_out()
    assert client.answered(number, answer) == [words(7, -1)]


def test_a_reload_that_cannot_begin_has_failed(board: Board) -> None:
    client = board.client(7)
    board.hands.reloads_fail = "no memory"
    assert board.say(client, 7) == [words(7, -1)]
    board.hands.trouble = "the helper does not answer"
    assert board.say(client, 7) == [words(7, -1)]
    assert not client.waiting
    assert client.interests == set()


def test_who_is_not_privileged_is_not_served(board: Board) -> None:
    client = board.client(7, privileged=False)
    for message in ((1, APP, 0, 900), (4, -1000, 1000), (5, 0), (7,), (10,)):
        assert board.say(client, *message) == []
    assert board.hands.registry == {}
    assert client.interests == set()
    assert not client.keeps
    client.closed()
    assert board.client(8).keeps


def test_connections_over_the_bound_are_not_served_until_one_has_ended(board: Board) -> None:
    served = [board.client(pid) for pid in range(1, CONNECTIONS_MAX + 1)]
    late = board.client(1000)
    assert not late.keeps
    assert board.say(late, 4, 0, 1000) == []
    late.closed()
    served[0].closed()
    served[0].closed()
    assert board.client(1001).keeps
    assert not board.client(1002).keeps


def test_a_kill_is_told_once_to_who_subscribed_with_the_uid_of_the_registrant(board: Board) -> None:
    told, silent = board.client(7), board.client(8)
    board.say(silent, 1, APP, 10101, 900)
    assert board.say(told, 5, 0) == []
    assert told.interests == {VICTIM}
    assert silent.interests == set()
    assert told.notify(VICTIM, victim(APP, sequence=1), 3) == words(6, APP, 10101)
    assert told.notify(VICTIM, victim(APP, sequence=2, signal="SIGKILL"), 0) is None
    assert told.notify(VICTIM, victim(600, sequence=3, uid=4242), 0) == words(6, 600, 4242)
    assert told.notify(VICTIM, victim(APP, sequence=4, start_ticks=1, uid=77), 0) == words(6, APP, 77)


def test_clients_of_android_16_get_the_rss_as_well() -> None:
    board = Board(release=16)
    board.hands.rows = [{"pid": OTHER, "resident_kib": 1}, {"pid": APP, "resident_kib": 20480, "swapped_kib": 4}]
    client = board.client(7)
    board.say(client, 5, 0)
    assert client.notify(VICTIM, victim(APP, uid=5), 0) == words(6, APP, 5, 20480)
    assert client.notify(VICTIM, victim(THIRD, 2), 0) == words(6, THIRD, 1000, -1)


@pytest.mark.parametrize(
    ("message", "with_rss"),
    [((10,), False), ((11, APP, 5, 900, 0), False), ((11, APP, 5, 900, 0, 0), True), ((1, APP, 5, 900, 0, 0), True)],
)
def test_whose_records_have_five_fields_is_later_than_16(
    board: Board, message: tuple[int, ...], with_rss: bool
) -> None:
    client, other = board.client(7), board.client(8)
    board.hands.rows = [{"pid": APP, "resident_kib": 20480}]
    board.say(client, *message)
    board.say(client, 5, 0)
    board.say(other, 5, 0)
    notice = victim(APP, uid=5)
    assert client.notify(VICTIM, notice, 0) == words(6, APP, 5, *([20480] if with_rss else []))
    assert other.notify(VICTIM, notice, 0) == words(6, APP, 5)


def test_statistics_follow_with_the_record(board: Board) -> None:
    client = board.client(7)
    board.say(client, 5, 1)
    assert client.interests == {VICTIM, EVENT}
    board.hands.rows = [{"pid": APP, "resident_kib": 20480, "swapped_kib": 4}]
    assert client.notify(VICTIM, victim(APP, uid=5), 0) is None
    board.hands.rows = []
    message = client.notify(EVENT, kill_record(APP, name="a\0b" * 100), 0)
    assert message is not None
    wide, narrow = struct.unpack_from("!6q", message, 4), struct.unpack_from("!8i", message, 52)
    assert wide == (-1, -1, 20480 * 1024, -1, 4096, APP * 10 * 10_000_000)
    assert narrow == (5, 900, -999, 4096, -1, 8, -1, -1)
    assert message[84:] == b"\0\1a\0"


@pytest.mark.parametrize(
    ("trigger", "cause"),
    [
        ("headroom below its floor", 8),
        ("forecast: exhausted before a kill could help", 8),
        ("it came back after its kill, and grows again", 8),
        ("the store is full before a kill could help", 3),
        ("the store's pool is full before a kill could help", 3),
        ("stall: the foreground waits for memory that others hold", 4),
        ("asked for by uid 0", -1),
        (None, -1),
    ],
)
def test_a_trigger_has_androids_number(board: Board, trigger: Any, cause: int) -> None:
    client = board.client(7)
    board.say(client, 5, 1)
    message = client.notify(EVENT, kill_record(APP, trigger=trigger), 0)
    assert message is not None
    assert struct.unpack_from("!i", message, 72) == (cause,)


def test_free_memory_below_the_watermarks_is_none(board: Board) -> None:
    client = board.client(7)
    board.say(client, 5, 1)
    message = client.notify(EVENT, kill_record(APP, free_kib=-3776), 0)
    assert message is not None
    assert struct.unpack_from("!i", message, 64) == (0,)


def test_what_is_no_kill_gives_no_statistics(board: Board) -> None:
    client = board.client(7)
    board.say(client, 5, 1)
    odd = kill_record(APP) | {"pid": "1"}
    for record in (kill_record(APP, dry_run=True), {"event": "pressure"}, {"event": "kill"}, odd):
        assert client.notify(EVENT, record, 0) is None
    board.say(board.client(8), 5, 0)
    assert client.notify(EVENT, "nothing", 0) is None
    assert client.notify(VICTIM, None, 0) is None


def test_an_end_in_the_middle_of_a_request_ends_it(board: Board) -> None:
    client = board.client(7)
    client.feed(words(1, APP, 0, 900))
    client.closed()
    assert [client.answered(number, answer) for number, answer in board.hands.carry_out()] == [[]]
    assert not client.waiting
    assert client.feed(words(4, 0, 1000)) == []


def test_what_is_kept_of_clients_and_victims_is_bounded(board: Board) -> None:
    client = board.client(7)
    board.say(client, 5, 0)
    board.say(client, 5, 1)
    board.hands.alive = dict.fromkeys(range(1, 3000), 0)
    for pid in range(1, 2000):
        board.say(client, 1, pid, 0, 900)
        client.notify(VICTIM, victim(pid, pid), 0)
        board.say(client, 2, pid) if pid % 2 else board.hands.registry.pop(pid, None)
    assert len(board.shared._records) <= RECORDS_MAX
    assert len(board.shared._victims) <= VICTIMS_MAX
    assert len(board.shared._facts) <= VICTIMS_MAX


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), MESSAGES | st.none())
        | st.tuples(st.integers(0, 3), st.sampled_from([VICTIM, EVENT]), st.integers(498, 503))
        | st.tuples(st.integers(0, 3), st.just("closed"))
    )
)
def test_nothing_that_comes_raises_and_each_reply_is_one_of_the_protocol(steps: list[tuple[Any, ...]]) -> None:
    board = Board()
    clients = [board.client(7), board.client(7), board.client(8), board.client(9, privileged=False)]
    for index, *step in steps:
        client = clients[index]
        replies: list[bytes | None] = []
        if step[0] == "closed":
            client.closed()
        elif len(step) == 2:
            payload = victim(step[1]) if step[0] == VICTIM else kill_record(step[1])
            replies = [client.notify(step[0], payload, 0)]
        else:
            replies += client.feed(step[0])
        for number, answer in board.hands.carry_out():
            for each in clients:
                replies += each.answered(number, answer)
        replies.append(client.notify(EVENT, {"event": "reload"}, 0))
        for reply in replies:
            if reply is not None:
                assert int.from_bytes(reply[:4], "big") in (4, 6, 7, 8, 10)
    assert not any(client.waiting for client in clients)


def test_an_answer_to_a_purge_with_an_error_ends_nothing_half(board: Board) -> None:
    client = board.client(7)
    board.say(client, 1, APP, 0, 900)
    client.feed(words(3))
    ((number, *_),) = board.hands.orders
    board.hands.orders = []
    replies = client.answered(number, Answer(error="the helper does not answer"))
    while board.hands.orders:
        for number, answer in board.hands.carry_out():
            replies += client.answered(number, answer)
    assert replies == []
    assert not client.waiting
