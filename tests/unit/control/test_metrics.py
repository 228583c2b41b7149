"""Metrics: the text is OpenMetrics, says what the status says, and never names a process."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmkd.control.metrics import EVENTS_MAX, METRICS, metrics_markdown, openmetrics, prometheus_text
from tests.unit.cli.watch_sample import EVENTS, STATUS
from tests.unit.source_tree import ROOT

COUNTED = {
    **STATUS, "killed": {"cached": 2, "background": 1}, "records": {"kill": 3, "trim": 17},
    "clients": {"connected": 4, "dropped": 7, "registered": 2},
}  # fmt: skip
SAMPLE = re.compile(r"([a-z_]+)(?:\{((?:[a-z_]+=\"(?:[^\"\\\n]|\\.)*\",?)*)\})? ([0-9.e+-]+|[+-]Inf)")


def families(text: str) -> dict[str, dict[str, float]]:
    """A strict reading of OpenMetrics text: samples by family. AssertionError for whatever the format forbids."""
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1 and "\n\n" not in text
    found: dict[str, dict[str, float]] = {}
    name = kind = ""
    for said in text.splitlines()[:-1]:
        if said.startswith("# "):
            _, keyword, about, rest = said.split(" ", 3)
            if keyword == "TYPE":
                assert about not in found, f"{about} stands twice"
                name, kind, found[about] = about, rest, {}
                assert kind in ("gauge", "counter", "info", "stateset")
            elif keyword == "UNIT":
                assert about.endswith(f"_{rest}") and kind not in ("info", "stateset")
            else:
                assert keyword == "HELP" and rest
            assert about == name and not found[name], "what describes a family comes before its samples"
            continue
        sample = SAMPLE.fullmatch(said)
        assert sample is not None, said
        assert sample[1] == name + {"counter": "_total", "info": "_info"}.get(kind, "")
        number = float(sample[3])
        assert not (kind == "counter" and (number < 0 or math.isinf(number)))
        assert (sample[2] or "") not in found[name], f"{said} stands twice"
        found[name][sample[2] or ""] = number
    assert all(found.values()), "no family without samples"
    return found


def test_the_status_and_the_last_records_are_in_it() -> None:
    found = families(openmetrics(COUNTED, EVENTS))
    assert found["lmkd_headroom_bytes"] == {"": 72_704 * 1024}
    assert found["lmkd_pressure_level"]['lmkd_pressure_level="low"'] == 1
    assert sum(found["lmkd_pressure_level"].values()) == 1
    assert found["lmkd_stall_ratio"]['kind="some"'] == pytest.approx(0.024)
    assert found["lmkd_kills"] == {"": 3} and found["lmkd_kills_by_class"]['class="cached"'] == 2
    assert found["lmkd_records"] == {'event="kill"': 3, 'event="trim"': 17}
    assert found["lmkd_last_receipt_returned_bytes"] == {"": 60_211 * 1024}
    assert found["lmkd_clients_dropped_messages"] == {"": 7}
    assert set(found) == {metric.name for metric in METRICS}, "the sample shows every one"


def test_an_exhaustion_that_is_not_in_sight_is_infinite() -> None:
    calm = {"forecast": {"exhaustion_ms": 3_600_000}}
    assert families(openmetrics(calm))["lmkd_exhaustion_seconds"] == {"": math.inf}


def test_a_number_has_no_more_digits_than_it_means() -> None:
    text = openmetrics({"t_ms": 16297.757998, "started_ms": 0.1})
    assert "lmkd_uptime_seconds 16.297658\n" in text


def test_what_is_not_known_has_no_sample() -> None:
    assert set(families(openmetrics({}))) == {"lmkd_build"}
    assert "lmkd_store_used_bytes" not in openmetrics({**STATUS, "store": None})


def test_no_label_has_a_process_in_it() -> None:
    labels = {label for metric in METRICS for label in metric.labels}
    assert labels == {"version", "store", "dry_run", "lmkd_pressure_level", "part", "kind", "class", "event", "process"}
    assert "browser" not in openmetrics(COUNTED, EVENTS) and "877" not in openmetrics(COUNTED, EVENTS)


def test_however_many_names_there_are_the_series_are_few() -> None:
    many = {"records": {f"event{number:03d}": 1 for number in range(200)}}
    found = families(openmetrics(many))["lmkd_records"]
    assert len(found) == EVENTS_MAX + 1 and found['event="other"'] == 200 - EVENTS_MAX


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(("total_kib", "kind", "kill", 'a"\n\\', "guard", "pss_kib")), inner, max_size=3),
    max_leaves=8,
)
ODD = st.dictionaries(st.sampled_from((*COUNTED, "event", "ms", "timestamp")), JSON, max_size=8)


@given(ODD, st.lists(ODD, max_size=3))
def test_odd_answers_do_no_harm(status: dict[str, Any], records: list[dict[str, Any]]) -> None:
    for text in (openmetrics(status, records), prometheus_text(status, records)):
        assert all(line.isprintable() or not line.isascii() for line in text.split("\n"))


def test_a_parser_from_elsewhere_takes_it() -> None:
    parser = pytest.importorskip(
        "prometheus_client.openmetrics.parser", reason="prometheus_client is not installed: our own reading only"
    )
    text = openmetrics(COUNTED, EVENTS)
    theirs = {family.name: len(family.samples) for family in parser.text_string_to_metric_families(text)}
    assert theirs == {name: len(samples) for name, samples in families(text).items()}


def test_the_text_for_node_exporter_is_the_older_format() -> None:
    text = prometheus_text(COUNTED, EVENTS)
    assert "# EOF" not in text and "# UNIT" not in text
    kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    assert set(kinds.values()) == {"gauge", "counter"}
    assert kinds["lmkd_kills_total"] == "counter" and kinds["lmkd_build_info"] == "gauge"
    named = {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}
    assert named == set(kinds)


def test_the_text_for_node_exporter_is_taken_by_a_parser_from_elsewhere() -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
    found = list(parser.text_string_to_metric_families(prometheus_text(COUNTED, EVENTS)))
    assert {family.type for family in found} == {"gauge", "counter"} and len(found) == len(METRICS)


def test_the_page_in_docs_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == metrics_markdown(), "run `make docs`"
