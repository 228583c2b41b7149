"""The rehearsal: the whole kill path once, on a child made for it, so that every page and code path is warm."""

from __future__ import annotations

import _signal
import os
import select
import struct

from lmkd.guard.act import RealPort
from lmkd.guard.record import encode
from lmkd.kernel.fault_meter import sampled_pids
from lmkd.kernel.process import read_sizes, read_stat
from lmkd.model import FLAG_GROUP, Candidate, Sample, StoreSample, Victim
from lmkd.policy.step import State, step
from lmkd.policy.table import table_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.guard.exchange import Exchange
    from lmkd.guard.observe import Observer
    from lmkd.kernel.fault_meter import FaultMeter
    from lmkd.plan import Plan

ROUNDS = 3
CHILD_S = 10
"""So long the child lives when its parent is ended meanwhile, and nobody ends it."""
SAMPLES = struct.pack("=IHHII", 9, 0, 16, 1, 1)
"""What the fault meter's ring holds (include/uapi/linux/perf_event.h): one sample."""
NAME = "\x01 \"\u00e9"
"""As an application may call itself."""


def rehearse(plan: Plan, exchange: Exchange, observer: Observer, meter: FaultMeter | None = None) -> None:
    """Decide a kill on made-up samples, and signal a child of our own (not in a dry run). Leaves nothing behind."""
    candidate = Candidate(1, 0, 900, 4096, 4096, 0, 0, FLAG_GROUP, -1, "rehearsal")
    table = table_of((candidate,))
    for _ in range(ROUNDS):
        state = State()
        for moment, free in ((0.0, 65536), (10.0, 4096), (20.0, 0), (30.0, 65536)):
            gone = (1,) if moment > 20.0 else ()
            sample = Sample(
                t_ms=moment,
                cause="rehearsal",
                free_kib=free,
                file_kib=0,
                dirty_kib=0,
                anon_kib=4096,
                shmem_kib=0,
                swap_total_kib=0,
                swap_free_kib=0,
                store=StoreSample(8192, 2048, 4096, 4096, 0, 65536, False, 4096, 4096),
                some_us=0,
                full_us=0,
                refault_anon=0,
                refault_file=0,
                grower_pid=1,
                grower_share=1.0,
                grower_kib_s=1.0,
                grower_resident_kib=64,
                grower_swapped_kib=0,
                gone=gone,
            )
            state, actions, _wake = step(state, sample, plan.settings, table)
            for action in actions:
                encode(str(action))
    table.index_of(1)
    len(exchange.table())
    _observe(plan, observer, meter)
    if not plan.dry_run:
        _signal_a_child(plan)


def _observe(plan: Plan, observer: Observer, meter: FaultMeter | None) -> None:
    """What a sample reads, and what it reads only when there were page faults."""
    observer.sample("rehearsal", calm=False)
    sampled_pids(SAMPLES, 0, len(SAMPLES))
    read_sizes(plan.proc, os.getpid())
    encode(NAME)
    if meter is None:
        return
    try:
        meter.set_period(meter.period + 1)
        meter.set_period(meter.period - 1)
    except OSError:
        return  # the loop will find that as well, and say so


def _signal_a_child(plan: Plan) -> None:
    child = os.fork()
    if child == 0:
        _signal.alarm(CHILD_S)
        while True:
            _signal.pause()
    port = RealPort(plan.proc)
    stat = read_stat(plan.proc, child)
    victim = Victim(child, stat.start_ticks if stat else 0, "rehearsal", 1000, -1, 0)
    handle = port.open(victim)
    if handle is None or port.signal(handle, "SIGKILL"):
        os.kill(child, _signal.SIGKILL)
    if handle is not None:
        # The first call of a C function writes its address into a page of the library: not while memory is out.
        port.release(handle)
        if handle.descriptor >= 0:
            watch = select.epoll()
            watch.register(handle.descriptor, select.EPOLLIN)
            watch.poll(1.0)
            watch.close()
    os.waitpid(child, 0)
    port.open(victim)  # as for one that has died by itself
    if handle is not None:
        port.release(handle)  # as for one that is gone before its turn
        port.close(handle)
