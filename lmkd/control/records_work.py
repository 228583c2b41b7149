"""The records' one definition, the helper's part of it and the store's; and all of them together."""

from __future__ import annotations

from lmkd.control.records import DECISIONS, NAME, PID, SERVICE, RecordKind, fields

_REFUSED = ("refused", "text", "Why it was not done.", "not done")
_DEVICE = ("device", "text", "The device.")
_USED = ("swap_used_kib", "int?", "What was swapped to it.")
_ZSWAP = "zswap"

APPLICATIONS = (
    RecordKind(
        "trim", "info", "An idle application was paged out to the store, or found not worth it.",
        fields(
            PID, NAME,
            ("ratio", "number?", "At which ratio a sample of its pages compressed; null: nobody asked."),
            ("skipped", "text", "`does not compress`: left where it is.", "left alone"),
            ("priority", "int", "Its priority.", "paged out"),
            ("advised_kib", "int", "How much of its memory the kernel was asked to store.", "paged out"),
            ("ms", "number", "How long it took, with the rests between the pieces.", "paged out"),
            ("how", "text", "`process_madvise`, or `memory.reclaim` for one with a cgroup of its own.", "paged out"),
            ("stored_kib", "int", "How much more of it lies in the store now.", "paged out"),
            ("left_kib", "int", "Its anonymous memory that is left.", "paged out"),
        ),
    ),
    RecordKind(
        "cool", "debug", "The memory of one that grows was marked as not used lately, so that reclaim takes it first.",
        fields(
            PID, NAME, ("priority", "int", "Its priority."), ("advised_kib", "int", "How much of its memory."),
            ("ms", "number", "How long it took."),
        ),
    ),
    RecordKind(
        "freeze", "info", "One that thrashes was stopped.",
        fields(
            PID, NAME, ("ms", "int", "For so long at most."),
            ("how", "text", "`cgroup` or `signal` (SIGSTOP); empty: not at all."), ("reason", "text", "Why."), _REFUSED,
        ),
        "warning where it was not done",
    ),
    RecordKind(
        "hold", "info", "One that came back soon after lmkd had ended it was stopped.",
        fields(
            PID, NAME, ("ms", "int", "For so long: each time twice as long."),
            ("how", "text", "`cgroup` or `signal` (SIGSTOP); empty: not at all."),
            ("round", "int", "How often it came back."), ("reason", "text", "Why."), _REFUSED,
        ),
        "warning where it was not done",
    ),
    RecordKind(
        "release", "info", "One that was stopped goes on.",
        fields(
            PID, NAME, ("ms", "int?", "How long it was stopped; null: by a helper before this one."),
            ("how", "text", "As it was stopped."), ("reason", "text", "Why now."),
            ("failed", "text", "Why it could not be let go.", "failed"),
        ),
        "error where that failed",
    ),
    RecordKind(
        "renice", "info", "One that grows faster than memory is made ready yields the processor; or has it back.",
        fields(
            PID, NAME, ("nice", "int", "Its nice value from now on."), ("reason", "text", "Why.", "done"),
            ("was", "int", "Its nice value before.", "yields"),
            ("threads", "int", "Of how many threads.", "yields"), _REFUSED,
            ("failed", "text", "Why a thread did not get its own back.", "failed"),
        ),
        "warning where it was not done",
    ),
    RecordKind(
        "front", "info",
        "The order of the processor while memory is short: what is in front, the kernel's reclaim, all others.",
        fields(
            ("processes", "int", "How many were raised, kswapd among them; 0: all have their own share."),
            ("reason", "text", "Why.", "done"),
            ("nice", "int", "The nice value of what is in front.", "raised"),
            ("reclaim", "int", "That of the kernel's reclaim (kswapd).", "raised"), _REFUSED,
            ("failed", "text", "Why a thread did not get its own back.", "failed"),
        ),
        "warning where it was not done",
    ),
    RecordKind(
        "group", "info", "Who belongs to a victim, by its rule's `group` or as it was registered, got the same signal.",
        fields(
            ("pid", "int", "The victim."), ("name", "text", "The rule, or the registered group."),
            ("group", "text", "`tree`, `cgroup` or `registered`."), ("signal", "text", "The signal."),
            ("pids", "list", "Who got it."),
        ),
    ),
    RecordKind(
        "set", "info", "A priority was set, registered or cleared over a socket.",
        fields(
            PID, NAME, ("priority", "int", "Its priority from now on."), ("previous", "int", "And before."),
            ("by", "int", "The process that asked."),
        ),
    ),
    RecordKind(
        "kill_asked", "info", "A kill was asked for over a socket; `kill` or `refusal` follows.",
        fields(
            PID, ("start", "int", "Its start time, in clock ticks since boot."),
            ("by", "int", "The process that asked."),
        ),
    ),
    RecordKind(
        "notified", "info", "The level rose, and `notify:` said to tell somebody.",
        fields(
            ("pressure", "text", "The level."),
            ("to", "text", "The rule or the class."), ("signal", "int?", "The signal's number."),
            ("signalled", "list", "Who got it, the first 16."), ("count", "int", "How many got it."),
            ("deaf", "list", "Who did not, as they do not catch it, the first 16."),
            ("program", "text?", "The program."), ("ran", "bool", "Whether it was started."),
        ),
    ),
    RecordKind(
        "hook", "warning", "A program of `on_kill`, `notify` or `tmpfs` was not run, failed, or took too long.",
        fields(
            ("command", "text", "The program."), ("pid", "int", "Whom it was about; 0: nobody in particular."),
            ("outcome", "text", "What became of it."),
        ),
    ),
    RecordKind(
        "shield", "info", "The memory of a declared foreground is kept out of reclaim.",
        fields(("cgroup", "text", "Its cgroup."), ("low_kib", "int", "`memory.low` from now on.")),
    ),
)  # fmt: skip
"""What was done about applications, beside ending them."""

_HELD = (
    ("reason", "text", "What this means."),
    ("mount", "text?", "The tmpfs that holds most; null: there is none."),
    ("used_kib", "int?", "What that holds."),
    ("holders", "list", "Who holds the largest files, as `name[pid]`."),
    ("files", "list", "The largest files, with size and kind."),
    ("writer_pid", "int?", "Who was seen to fill one."),
    ("gains", "list", "Whose death returns how much, as `pid: KiB`."),
    ("deletable_kib", "int", "What `tmpfs: delete` allows to delete."),
    ("complete", "bool", "false: some process or mount could not be looked at."),
)
FILES = (
    RecordKind("holders", "info", "Memory is in files: who holds them.", fields(*_HELD), "warning before a kill"),
    RecordKind("futile", "info", "The same, and no death returns any of it.", fields(*_HELD), "warning before a kill"),
    RecordKind(
        "told", "info", "The program of a `tmpfs:` entry was run.",
        fields(
            ("mount", "text", "The tmpfs."), ("program", "text", "The program."),
            ("reason", "text", "`limit` or `short`."), ("used_kib", "int?", "What the tmpfs holds."),
        ),
    ),
    RecordKind(
        "deleted", "warning", "Files that `tmpfs: delete` names were deleted.",
        fields(
            ("mount", "text", "The tmpfs."), ("reason", "text", "Why."),
            ("wanted_kib", "int", "How much was to go."), ("files", "int", "How many files."),
            ("deleted_kib", "int", "How much they had."), ("oldest", "list", "Their names, the first five."),
            ("rule", "text", "File and line of the entry."), ("dry_run", "bool", "true: nothing was deleted."),
        ),
    ),
)  # fmt: skip
"""About memory in files (tmpfs, memfd, System V)."""

_STORE_IS = (
    _DEVICE, ("algorithm", "text?", "The compression algorithm."),
    ("size_kib", "int?", "What fits in, before compression."), ("mem_limit_kib", "int?", "What it may take of RAM."),
    ("backing", "text?", "What stands behind zswap.", _ZSWAP), ("pool", "text?", "zswap's allocator.", _ZSWAP),
)


def _values(kind: str) -> tuple[tuple[str, str, str], ...]:
    return ("old", kind, "The value before."), ("new", kind, "The value from now on.")


STORE = (
    RecordKind(
        "store_up", "info", "A store was made.", fields(*_STORE_IS, ("swap_priority", "int?", "Its swap priority."))
    ),
    RecordKind(
        "store_adopted", "info", "A store that was there already is used as it is.",
        fields(*_STORE_IS, _USED, ("foreign", "bool", "true: somebody else's, of which nothing is changed.")),
    ),
    RecordKind(
        "store_down", "info", "A store was taken down.",
        fields(_DEVICE, _USED, ("orig_kib", "int?", "What it held.", "one that was left by a move")),
    ),
    RecordKind("store_reset", "warning", "Devices that were left half made were freed.", fields(_DEVICE)),
    RecordKind(
        "store_changed", "info", "Swap came or went, whoever did it.",
        fields(
            ("appeared", "list", "What is new, as `name priority`."), ("gone", "list", "What is gone."),
            ("swaps", "list", "All that there is."), ("own", "text?", "lmkd's own zram."),
            ("disk_kib", "int", "What of it is not zram."),
        ),
    ),
    RecordKind(
        "store_rejects", "warning", "zswap refused pages: by how much its counters grew since the last such record, "
        "every 10 s at most.",
        fields(
            ("pool_limit_hit", "int", "The pool was full.", "it grew"),
            ("reject_alloc_fail", "int", "No memory for it.", "it grew"),
            ("reject_compress_poor", "int", "It does not compress.", "it grew"),
            ("reject_compress_fail", "int", "The algorithm refused it.", "it grew"),
            ("pswpout", "int", "Pages written to the device that takes nothing.", "it grew"),
        ),
    ),
    RecordKind(
        "compact", "info", "The store was compacted, after a death or in calm.",
        fields(
            ("slack_kib", "int", "What it took above the bytes that it held."),
            ("returned_kib", "int", "What came back."), ("ms", "number", "How long it took."),
        ),
    ),
    RecordKind(
        "writeback", "info", "Pages were written out to `store.backing_dev`.",
        fields(
            ("mode", "text", "`idle` or `huge` (those that do not compress)."), ("pages", "int", "How many."),
            ("bytes", "int", "The same in bytes."), ("ms", "int", "How long it took."),
            ("left_today_kib", "int", "What is left of the day's budget."),
            ("failed", "text?", "The kernel's refusal (errno); null: none."),
        ),
        "warning where that failed",
    ),
    RecordKind(
        "recompress", "info", "Idle pages were compressed again, by `store.recompress`.",
        fields(
            ("algorithm", "text", "The algorithm."), ("compressed_kib", "int", "How much smaller they are."),
            ("returned_kib", "int", "What came back."), ("ms", "number", "How long it took."),
        ),
    ),
    RecordKind(
        "trial", "info", "The trial of the store's algorithms has ended.", fields(("outcome", "text", "How."))
    ),
    RecordKind("trial_cleared", "info", "The device of a trial that had died was removed.", fields(_DEVICE)),
    RecordKind(
        "store_move", "info", "The store was to be moved to the algorithm that the trial picked.",
        fields(("outcome", "text", "What came of it."), ("algorithm", "text", "The store's algorithm now.")),
    ),
    RecordKind(
        "sysctl", "info", "A kernel setting was changed for the store, or put back.",
        fields(("name", "text", "Which."), *_values("int")),
    ),
    RecordKind(
        "sysctl_left", "info", "A kernel setting was not put back: somebody else has changed it since.",
        fields(("name", "text", "Which."), ("now", "int?", "Its value."), ("reason", "text", "Why.")),
    ),
    RecordKind(
        "zswap", "info", "A parameter of zswap was changed, or put back.",
        fields(("name", "text", "Which."), *_values("text?")),
    ),
    RecordKind(
        "zswap_left", "info", "A parameter of zswap was not put back: somebody else has changed it since.",
        fields(("name", "text", "Which."), ("now", "text?", "Its value."), ("reason", "text", "Why.")),
    ),
)  # fmt: skip
"""About the store, and what the kernel was set to for it."""

SECTIONS = (
    ("Decisions", DECISIONS), ("Applications", APPLICATIONS), ("Memory in files", FILES), ("The store", STORE),
    ("The service", SERVICE),
)  # fmt: skip
RECORDS = tuple(kind for _, kinds in SECTIONS for kind in kinds)
