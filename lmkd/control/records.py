"""The records' one definition: every event that lmkd writes, its fields, and what they mean; the guard's part of it.

docs/events.md is made from it (``lmkd.control.records_page``), and the tests hold what the code writes against it.
"""

from __future__ import annotations

from lmkd.values import value


@value
class RecordField:
    """One field. ``kind`` is text, int, number, bool or list, with ``?`` where it may be null.

    ``when`` is empty for a field that each such record has, else it says which have it.
    """

    name: str
    kind: str
    doc: str
    when: str = ""


@value
class RecordKind:
    """One event: ``level`` is that of the usual record, and ``raised`` says when it is another."""

    name: str
    level: str
    doc: str
    fields: tuple[RecordField, ...] = ()
    raised: str = ""


def fields(*rows: tuple[str, ...]) -> tuple[RecordField, ...]:
    """Rows of (name, kind, doc) or (name, kind, doc, when)."""
    return tuple(RecordField(*row) for row in rows)


ENVELOPE = fields(
    ("event", "text", "The record's name: one of those below."),
    ("level", "text", "`debug`, `info`, `warning` or `error`; `log.level` goes by it."),
    ("timestamp", "number", "Unix time in seconds."),
    ("seq", "int", "Its number, from 1 at the start of lmkd; `lmkd events --since N` begins with that one."),
    ("t_ms", "number", "The monotonic clock, in milliseconds: what times between records are taken by."),
)
"""What every record begins with."""
TRUNCATED = RecordField(
    "truncated", "bool", "Long texts were cut, or all other fields left out, to fit a record's size.", "too large"
)

PID = ("pid", "int", "The process.")
NAME = ("name", "text", "Its name.")
_ROOM = (
    ("headroom_kib", "int", "The headroom. Its parts follow, but for swap on a disk."),
    ("free_kib", "int", "Of it: free memory above the low watermark; may be negative."),
    ("cache_kib", "int", "Of it: clean file cache above `policy.file_floor`."),
    ("store_kib", "int", "Of it: what storing more would give back, net of the store's own growth."),
)
_RATE = ("rate_kib_s", "int", "How fast headroom is consumed: the higher of the fast and the slow slope.")
_CAUSE = (
    "cause", "text",
    "What woke the guard: `timer`, `faults` (the fault meter), `psi_some`, `psi_full`, `death`, `signal`, `helper`.",
)  # fmt: skip
_RUNAWAY, _FILES = "runaway", "tmpfs"

KILL = RecordKind(
    "kill", "warning", "A process was sent its signal; one record for each victim of a decision.",
    fields(
        PID,
        NAME,
        ("priority", "int", "Its priority, on the scale of `oom_score_adj`."),
        ("rule", "text", "File and line of the rule that gave the priority, or `own oom_score_adj`."),
        ("signal", "text", "SIGTERM where its class has a grace and memory lasts as long, else SIGKILL."),
        ("reason", "text", "Why this one: `priority`, `runaway: ...`, `tmpfs: ...`, `it was asked for`."),
        ("predicted_kib", "int", "What its death is to return: resident memory, and what its pages occupy in the "
         "store."),
        ("trigger", "text", "Why somebody: the reason that the pressure gave; empty for one that was asked for."),
        _CAUSE,
        *_ROOM,
        ("deficit_kib", "int", "How much must come back."),
        _RATE,
        ("exhaustion_ms", "int", "When the headroom above its floor is forecast to end; 3600000: not in sight."),
        ("stall_full_pct", "number", "Share of the last `policy.stall_window` in which all tasks waited for memory."),
        ("refaults_s", "int", "Pages a second that were read again soon after they were reclaimed."),
        ("grows_kib_s", "int", "How fast it grows.", _RUNAWAY),
        ("others_return_kib", "int", "What the deaths of all below it would return.", "runaway, tmpfs"),
        ("others_last_ms", "int", "How long that would last at its growth.", "runaway, tmpfs"),
        ("horizon_ms", "int", "`policy.runaway_horizon`: lasting longer, it would not be the victim.", _RUNAWAY),
        ("shmem_kib", "int", "Memory in files (tmpfs, memfd, System V), resident.", _FILES),
        ("shmem_kib_s", "int", "How fast that grows.", _FILES),
        ("files_return_kib", "int", "What of the files its death returns.", _FILES),
        ("decide_us", "int", "From the wake-up of the guard until the signal was sent."),
        ("dry_run", "bool", "true: nothing was sent."),
    ),
)  # fmt: skip

DECISIONS = (
    RecordKind(
        "pressure", "info", "The level of pressure that others are told has changed.",
        fields(
            ("pressure", "text", "The level from now on: calm, low, moderate or critical."),
            *_ROOM, _RATE, _CAUSE,
            ("reason", "text", "Why; `less than before` on the way down to a level that is not reached yet."),
        ),
        "warning for critical",
    ),
    KILL,
    RecordKind(
        "escalate", "warning", "A victim that was sent SIGTERM is still there: it was sent SIGKILL.",
        fields(
            PID, NAME,
            ("signal", "text", "SIGKILL."),
            ("reason", "text", "Its grace is over, or the forecast leaves no time for it."),
            ("refused", "text", "Why it could not be signalled; empty: it was."),
        ),
    ),
    RecordKind(
        "reap", "info", "The memory of a dying victim was freed in another's time (`process_mrelease`): by the helper "
        "20 ms after SIGKILL, or, when next to nothing has come back after 40 ms, by the guard itself.",
        fields(
            PID,
            ("outcome", "text", "`released`, `gone` (nothing was left), `busy`, `not dying`, or why it cannot be."),
            ("by", "text", "`guard`.", "by the guard"),
            ("ms", "number", "How long that took it.", "by the guard"),
        ),
        "warning by the guard",
    ),
    RecordKind(
        "receipt", "info", "The kill in flight is over: what came back, beside what was predicted.",
        fields(
            ("pid", "int", "The victim, of several the first."), NAME,
            ("victims", "int", "How many died together.", "more than one"),
            ("predicted_kib", "int", "What was to come back, of all of them."),
            ("returned_kib", "int", "What came back: free memory and page cache now against then, with what others "
             "took meanwhile."),
            ("ms", "number", "From the first signal until this."),
            ("half_ms", "number", "From SIGKILL (SIGTERM without one) until half of it was back: how long a kill "
             "takes to help."),
            ("outcome", "text", "`dead`; `returned`: the memory is back, the exit is not; `stuck`: neither, and no "
             "longer waited for."),
            ("kill_ms", "number", "Learned: `half_ms` as it is expected from now on."),
            ("gain_factor", "number", "Learned: returned over predicted, as later predictions are corrected by it."),
        ),
        "warning for stuck",
    ),
    RecordKind(
        "refusal", "warning", "Nobody was ended although somebody should have been, or not the one that was meant; "
        "while nothing can be ended, every 2 s.",
        fields(
            ("reason", "text", "Why not."),
            ("headroom_kib", "int", "The headroom.", "nothing is left to end"),
            ("shmem_kib", "int", "Memory in files.", "nothing is left to end"),
            ("pid", "int", "Who was meant.", "one was meant"),
            ("name", "text?", "Its name; null: not known any more.", "one was meant"),
        ),
    ),
    RecordKind(
        "thrash", "info", "A process takes most page faults, does not grow, and others stall: it is to be stopped for "
        "a while (`freeze` follows).",
        fields(
            PID, NAME,
            ("share_pct", "int", "Share of the looks in which it took at least half of the faults."),
            ("faults_kib_s", "int", "How much it faulted in."),
            ("some_pct", "number", "Share of the last `policy.stall_window` in which some task waited for memory."),
            ("for_ms", "int", "For how long it has done so."),
        ),
    ),
    RecordKind(
        "clean_receipt", "info", "Files were to be deleted because memory is short: what that returned.",
        fields(
            ("wanted_kib", "int", "How much was to go."),
            ("deleted_kib", "int", "How much the deleted files had."),
            ("returned_kib", "int", "How much memory came back."),
            ("ms", "number", "How long it took."),
            ("outcome", "text", "`returned`, `nothing was left`, or `late`: not done within 1 s."),
        ),
    ),
    RecordKind(
        "store_limit", "info", "The guard set the `mem_limit` of lmkd's zram.",
        fields(
            ("from_kib", "int", "The limit before."), ("to_kib", "int", "The limit from now on."),
            ("used_kib", "int", "What the store took at that moment."),
            ("ratio", "number", "At which ratio it stores now."),
            ("fills_kib_s", "int", "How fast it filled."),
            ("refused", "text", "Why the kernel did not take it; empty: it did."),
        ),
    ),
    RecordKind(
        "incompressible", "info", "Most of what goes into the store does not compress; or that is over.",
        fields(
            ("most", "bool", "true: it began (50 % and more); false: it is over (less than 25 %)."),
            ("huge_pct", "int", "Share of the last pages that the kernel kept as they are."),
            ("taken_kib", "int", "How much went in lately."),
            ("huge_kib", "int", "What the store holds as it is."),
            ("orig_kib", "int", "What it holds, before compression."), ("used_kib", "int", "What it takes."),
            ("ratio", "number", "At which ratio it stores now."),
        ),
    ),
)  # fmt: skip
"""What the policy decided, and what came of it."""

SERVICE = (
    RecordKind(
        "ready", "info", "lmkd guards the memory from here on.",
        fields(
            ("ms", "int", "Since the planner was started."), ("pid", "int", "The guard."),
            ("helper", "int", "The helper's process id."), ("dry_run", "bool", "true: it only pretends."),
        ),
    ),
    RecordKind(
        "stop", "info", "lmkd was told to stop.",
        fields(("store", "text", "`store.on_exit`: `keep` or `down`.")),
    ),
    RecordKind(
        "reload", "info", "The configuration was read again, and is in force.",
        fields(("rules", "int", "How many rules there are."), ("files", "list", "What was read.")),
    ),
    RecordKind(
        "reload_failed", "error", "It could not be used: the old one stays in force.",
        fields(("reason", "text", "Every mistake, with file, line and column.")),
    ),
    RecordKind(
        "degraded", "warning", "Something is not there, or did not work; lmkd goes on without it.",
        fields(
            ("feature", "text", "What."), ("cost", "text", "What is worse without it."),
            ("reason", "text", "Why, as the kernel says it.", "where that is not in `cost`"),
        ),
        "error where /proc/meminfo cannot be read",
    ),
    RecordKind(
        "helper_started", "info", "The helper is there.",
        fields(("pid", "int", "Its process id."), ("processes", "int", "How many processes it found.")),
    ),
    RecordKind(
        "helper_died", "warning", "The helper has ended; another is started after a while, each time a longer one.",
        fields(("pid", "int", "Its process id."), ("code", "int", "Its exit code; negative: the signal.")),
    ),
)  # fmt: skip
"""The life of the service itself."""
