"""Prometheus' text format, written by its own client library, which is loaded by the first scrape."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from domain.histogram import Histogram, Labels
from gateway.metrics.registry import REGISTRY, Metric

if TYPE_CHECKING:
    from prometheus_client.core import Metric as Family

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Samples = Mapping[str, Mapping[Labels, float | Histogram]]
"""By a metric's name, by the values of its labels."""


class _Shown:
    """What the library asks for its families."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Iterator["Family"]:
        for metric in REGISTRY:
            yield _family(metric, self._samples.get(metric.name, {}))


def text(samples: Samples) -> bytes:
    """The page. Counters whose labels' values are known show all of them. Raises KeyError for a metric that nobody registered."""
    from prometheus_client.exposition import generate_latest  # noqa: PLC0415 - a server that nobody scrapes does without

    unknown = samples.keys() - {metric.name for metric in REGISTRY}
    if unknown:
        raise KeyError(f"not in the registry of metrics: {', '.join(sorted(unknown))}")
    shown: Any = _Shown(samples)
    return generate_latest(shown)


def _family(metric: Metric, samples: Mapping[Labels, float | Histogram]) -> "Family":
    from prometheus_client.core import (  # noqa: PLC0415 - see above
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    if metric.kind == "histogram":
        histograms = HistogramMetricFamily(metric.name, metric.about, labels=metric.labels)
        for labels, histogram in sorted(samples.items()):
            assert isinstance(histogram, Histogram), f"{metric.name} is a histogram"  # noqa: S101 - a fact of the code
            buckets = [("+Inf" if bound == float("inf") else f"{bound:g}", count) for bound, count in histogram.cumulative()]
            histograms.add_metric(labels, buckets, histogram.total)
        return histograms
    family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(metric.name, metric.about, labels=metric.labels)
    zeros = dict.fromkeys(product(*metric.values), 0) if metric.kind == "counter" and len(metric.values) == len(metric.labels) else {}
    for labels, value in sorted({**zeros, **samples}.items()):
        assert not isinstance(value, Histogram), f"{metric.name} is no histogram"  # noqa: S101 - see above
        family.add_metric(labels, value)
    return family
