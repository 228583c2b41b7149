"""Owns the way to the right kind of store: one interface over ``zram_store`` and ``zswap_store``.

A store that is up is used as it is, of whichever kind: two of them would each take RAM for what one could hold.
"""

from __future__ import annotations

from lmkd.errors import StoreError
from lmkd.kernel import zswap
from lmkd.store import zram_store, zswap_store
from lmkd.store.device_effects import DeviceEffects, KernelDeviceEffects
from lmkd.store.dry_run_devices import DryRunDeviceEffects
from lmkd.store.record import read_record
from lmkd.store.state import StoreSpec, StoreState
from lmkd.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lmkd.kernel.files import Roots
    from lmkd.store.state import Report


def dry_run(roots: Roots) -> DryRunDeviceEffects:
    """The port that touches nothing; what would be done is in its ``actions``."""
    return DryRunDeviceEffects(roots)


def bring_up(roots: Roots, spec: StoreSpec, report: Report, effects: DeviceEffects | None = None) -> StoreState:
    """Adopt the store that is up, or make the one wanted, or where that cannot be, zram; then set the tunables.

    Reports and errors as those of ``zram_store.bring_up``.
    """
    port = effects or KernelDeviceEffects(roots)
    if zswap_store.status_or_none(roots) is not None:
        if spec.kind != "zswap":
            _use_other(report, spec.kind, "zswap")
        return zswap_store.bring_up(roots, spec, report, port)
    if spec.kind == "zswap":
        up = zram_store.status(roots)
        if up.kind != "none":
            _use_other(report, spec.kind, up.kind)
        else:
            try:
                if read_record(roots) is not None:  # a crash left a zram half made
                    zram_store.take_down(roots, report, effects=port)
                return zswap_store.bring_up(roots, spec, report, port)
            except StoreError as error:
                cost = "a zram store is used instead"
                report("degraded", {"feature": "store.kind", "cost": cost, "reason": str(error)})
            spec = replace(spec, kind="zram")
    elif zswap_store.is_there(roots):
        zswap_store.clear(roots, report, port)
    state = zram_store.bring_up(roots, spec, report, port)
    if state.kind == "zram" and port.zswap(zswap.ENABLED) == "Y":
        cost = "pages are compressed twice, and what zswap holds is in no figure"
        reason = "zswap is on in front of zram: write zswap.enabled=0 on the kernel's command line"
        report("degraded", {"feature": "store", "cost": cost, "reason": reason})
    return state


def take_down(roots: Roots, report: Report, force: bool = False, effects: DeviceEffects | None = None) -> None:
    """Take the store down, of whichever kind, and finish what was left half done. As ``zram_store.take_down``."""
    port = effects or KernelDeviceEffects(roots)
    if zswap_store.is_there(roots):
        zswap_store.take_down(roots, report, force, port)
    else:
        zram_store.take_down(roots, report, force, port)


def status(roots: Roots) -> StoreState:
    """What the store is now, of whichever kind; ``NO_STORE`` when there is none."""
    return zswap_store.status_or_none(roots) or zram_store.status(roots)


def _use_other(report: Report, wanted: str, there: str) -> None:
    report(
        "degraded",
        {
            "feature": "store.kind",
            "cost": f"the {there} store that is up is used as it is",
            "reason": f"{wanted} is wanted, but one store is enough: `lmkd store down` makes way for it",
        },
    )
