"""Pushing a run's figures to where people look at them: Prometheus remote write (version 1), and OpenTelemetry's OTLP over HTTP.

Rules:

- What is pushed are the families of `/metrics`, with the labels ``job``, ``verb`` and ``run`` (in OTLP: of the resource).
- A push that fails costs the run nothing; the caller says so once and tries again the next time.
- A push takes `TIMEOUT_S` at most, however slowly its receiver reads and answers, and keeps little of what that says.
- OTLP needs the extra ``otlp``; asking for it without is an error before anything starts.
"""

from __future__ import annotations

import logging
import math
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol

from chaosbot.core.errors import ConfigError, EngineError, TargetUnusable, UsageError
from chaosbot.transport import Tls, post

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.samples import Sample

TIMEOUT_S: Final = 5.0


class Pusher(Protocol):
    """Sends figures somewhere."""

    url: str

    def push(self, families: Iterable[Metric], now_s: float) -> None:
        """Sends all figures as they are at this Unix time.

        Raises:
            EngineError: They were not taken.
        """


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    try:
        status, _ = post(url, body, timeout_s=TIMEOUT_S, headers=tuple(headers.items()))
    except (TargetUnusable, ConfigError) as error:
        raise EngineError(f"{url}: the figures were not taken ({str(error).removeprefix(f'{url}: ')})") from None
    if not 200 <= status < 300:
        raise EngineError(f"{url}: the figures were not taken (status {status})")


class RemoteWrite:
    """Prometheus remote write, version 1: protobuf in Snappy's block format.

    Args:
        url: Where to, e.g. ``http://127.0.0.1:9090/api/v1/write``.
        labels: Labels of every series.
    """

    def __init__(self, url: str, labels: Mapping[str, str]) -> None:
        self.url = url
        self._labels = dict(labels)

    def push(self, families: Iterable[Metric], now_s: float) -> None:
        """Sends all figures; see `Pusher`."""
        when = int(now_s * 1000)
        series = (self._series(sample, when) for family in families for sample in family.samples)
        body = _snappy(b"".join(_field(1, one) for one in series))
        _post(
            self.url,
            body,
            {
                "Content-Type": "application/x-protobuf",
                "Content-Encoding": "snappy",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
                "User-Agent": "chaosbot",
            },
        )

    def _series(self, sample: Sample, when: int) -> bytes:
        labels = {**self._labels, **sample.labels, "__name__": sample.name}
        # The receiver wants labels sorted, and no empty ones.
        pairs = (_field(1, name.encode()) + _field(2, labels[name].encode()) for name in sorted(labels) if labels[name])
        point = b"\x09" + struct.pack("<d", sample.value) + b"\x10" + _varint(when)
        return b"".join(_field(1, pair) for pair in pairs) + _field(2, point)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    """A protobuf field of bytes."""
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _snappy(data: bytes) -> bytes:
    """The data in Snappy's block format, as literals: what is pushed is small and goes to a machine nearby."""
    chunks = (data[start : start + 65_536] for start in range(0, len(data), 65_536))
    literals = (b"\xf4" + struct.pack("<H", len(chunk) - 1) + chunk for chunk in chunks)
    return _varint(len(data)) + b"".join(literals)


class Otlp:
    """OpenTelemetry's metrics over HTTP, sent by its own exporter.

    Args:
        url: Where to; a bare ``http://host:4318`` means its ``/v1/metrics``.
        labels: Attributes of the resource.

    Raises:
        UsageError: The extra ``otlp`` is not installed.
    """

    def __init__(self, url: str, labels: Mapping[str, str]) -> None:
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
            raise UsageError("--otlp: needs OpenTelemetry's exporter; install it with: pip install 'chaosbot[otlp]'")
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

        host, _, path = url.partition("://")[2].partition("/")
        self.url = url if path else f"{url.partition('://')[0]}://{host}/v1/metrics"
        self._labels = dict(labels)
        # What it logs is told by `push`, once.
        logging.getLogger("opentelemetry.exporter").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry.exporter").propagate = False
        self._exporter = OTLPMetricExporter(endpoint=self.url, timeout=TIMEOUT_S, session=_bounded_session())
        self._began = time.time_ns()

    def push(self, families: Iterable[Metric], now_s: float) -> None:
        """Sends all figures; see `Pusher`."""
        from opentelemetry.sdk.metrics import export  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

        found = [
            export.Metric(family.name, family.documentation, "s" if family.name.endswith("seconds") else "", data)
            for family in families
            if (data := self._data(family, int(now_s * 1e9), export)) is not None
        ]
        scope = export.ScopeMetrics(InstrumentationScope("chaosbot"), found, "")
        resource = Resource({"service.name": self._labels.get("job", "chaosbot"), **self._labels})
        sent = self._exporter.export(export.MetricsData([export.ResourceMetrics(resource, [scope], "")]))
        if sent is not export.MetricExportResult.SUCCESS:
            raise EngineError(f"{self.url}: the figures were not taken")

    def _data(self, family: Metric, now: int, export: Any) -> Any:
        """A family in OpenTelemetry's words; None without samples."""
        ever = export.AggregationTemporality.CUMULATIVE
        if family.type == "histogram":
            points = [
                export.HistogramDataPoint(labels, self._began, now, count, total, counts, bounds, 0.0, 0.0)
                for labels, count, total, counts, bounds in _histograms(family)
            ]
            return export.Histogram(points, ever) if points else None
        points = [
            export.NumberDataPoint(sample.labels, self._began if family.type == "counter" else 0, now, sample.value)
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
        if not points:
            return None
        return export.Sum(points, ever, is_monotonic=True) if family.type == "counter" else export.Gauge(points)


_MADE_ANEW: Final = frozenset({"host", "content-length", "connection", "accept", "accept-encoding"})


def _bounded_session() -> Any:
    """A session of requests, by which the exporter sends, whose time is bounded in total: its own bounds each read alone."""
    import requests  # noqa: PLC0415 - belongs to the extra
    from requests.adapters import BaseAdapter  # noqa: PLC0415

    class Adapter(BaseAdapter):
        def send(
            self,
            request: Any,
            stream: bool = False,  # noqa: ARG002 - the signature is the base's
            timeout: Any = None,  # noqa: ARG002
            verify: Any = True,
            cert: Any = None,
            proxies: Any = None,  # noqa: ARG002
        ) -> Any:
            pem, key = cert if isinstance(cert, tuple) else (cert or "", "")
            tls = Tls(bool(verify), verify if isinstance(verify, str) else "", pem, key or "")
            headers = tuple(pair for pair in request.headers.items() if pair[0].lower() not in _MADE_ANEW)
            try:
                status, body = post(request.url, request.body or b"", timeout_s=TIMEOUT_S, headers=headers, tls=tls)
            except (TargetUnusable, ConfigError) as error:
                raise requests.ConnectionError(str(error)) from None
            answer = requests.Response()
            answer.status_code, answer.raw, answer.url, answer.request = status, BytesIO(body), request.url, request
            return answer

        def close(self) -> None:
            """Nothing is kept."""

    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter())
    return session


def _histograms(family: Metric) -> Iterator[tuple[dict[str, str], int, float, list[int], list[float]]]:
    """Each histogram of a family: labels, count, sum, counts of its own in each bucket, upper bounds."""
    found: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        one = found.setdefault(labels, {"below": [], "sum": 0.0})
        if sample.name.endswith("_bucket"):
            one["below"].append((float(sample.labels["le"]), int(sample.value)))
        elif sample.name.endswith("_sum"):
            one["sum"] = sample.value
    for labels, one in found.items():
        below = sorted(one["below"])
        counts = [count - before for (_, count), (_, before) in zip(below, [(0.0, 0), *below], strict=False)]
        bounds = [bound for bound, _ in below if not math.isinf(bound)]
        yield dict(labels), below[-1][1] if below else 0, one["sum"], counts, bounds
