"""The counters of this agent in Prometheus' text form."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from drivers.readings import LinkState
from edge_agent.health import HealthReport


def exposition(report: HealthReport, *, results: Mapping[str, int], refusals: Mapping[str, int], pages: int) -> bytes:
    """One page of metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(list(_families(report, results, refusals, pages))))
    return generate_latest(registry)


class _Once(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(
    report: HealthReport, results: Mapping[str, int], refusals: Mapping[str, int], pages: int
) -> Iterator[Metric]:
    gauges = {
        "codepool_edge_facts_waiting": ("Facts that are not in the ledger yet.", float(report.facts_waiting)),
        "codepool_edge_oldest_waiting_seconds": ("Age of the oldest of them.", report.oldest_waiting_s or 0.0),
        "codepool_edge_replica_version": ("Ledger version of the replica.", float(report.replica_version)),
        "codepool_edge_replica_age_seconds": (
            "Since the replica was up to date; NaN if it never was.",
            float("nan") if report.replica_age_s is None else report.replica_age_s,
        ),
        "codepool_edge_connected": ("1 if broker and central answer.", float(report.is_connected)),
        "codepool_edge_recording": ("1 if facts can be written.", float(report.is_recording)),
        "codepool_edge_failing_parts": ("Parts that safe mode goes on without.", float(len(report.failing))),
        "codepool_edge_pages": ("Pages that follow live.", float(pages)),
    }
    for name, (text, value) in gauges.items():
        yield GaugeMetricFamily(name, text, value=value)
    devices = GaugeMetricFamily("codepool_edge_device_ready", "1 if the device can be used.", labels=["device"])
    for device in report.devices:
        devices.add_metric([device.name], float(device.state is LinkState.READY))
    yield devices
    scans = CounterMetricFamily("codepool_edge_verdicts", "Answers to scans and confirmations.", labels=["result"])
    for result, number in results.items():
        scans.add_metric([result], number)
    yield scans
    refused = CounterMetricFamily("codepool_edge_refusals", "Refused scans and confirmations.", labels=["reason"])
    for reason, number in refusals.items():
        refused.add_metric([reason], number)
    yield refused
