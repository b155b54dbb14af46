"""Delays and failures that somebody asked for (virtual_service.proto, HTTPFaultInjection)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from tulle.model.istio.shared import FaultPercent, Status
from tulle.model.remark import Remark
from tulle.model.schema import Int, IstioDuration, Model, at_most_one, problem


class FaultDelay(Model):
    percent: Annotated[Int, Field(ge=0, le=100)] | None = None
    """Deprecated: `percentage`."""
    fixed_delay: IstioDuration | None = None
    exponential_delay: IstioDuration | None = None
    percentage: FaultPercent | None = None

    @model_validator(mode="after")
    def _one(self) -> FaultDelay:
        if self.exponential_delay is not None:
            raise problem(
                "not-honoured",
                "exponentialDelay is not supported (by Istio either)",
                remedy="Write fixedDelay.",
                field="exponentialDelay",
            )
        return self

    @property
    def per_million(self) -> int:
        """Of the requests; without a percentage none."""
        return self.percentage.per_million if self.percentage is not None else (self.percent or 0) * 10_000


_GRPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""In the order of their numbers (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md)."""


class FaultAbort(Model):
    http_status: Status | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: FaultPercent | None = None

    @model_validator(mode="after")
    def _one(self) -> FaultAbort:
        at_most_one(self, "http_status", "grpc_status", "http2_error")
        if self.http2_error is not None:
            raise problem(
                "not-honoured",
                "http2Error is not supported (by Istio either)",
                remedy="Write httpStatus or grpcStatus.",
                field="http2Error",
            )
        if self.grpc_status is not None and self.grpc_status not in _GRPC_STATUSES:
            raise problem(
                "invalid-value",
                f"“{self.grpc_status}” is no status of gRPC",
                remedy=f"Write one of {', '.join(_GRPC_STATUSES)}.",
                field="grpcStatus",
            )
        return self

    def remarks(self) -> Iterator[Remark]:
        if self.http_status is None and self.grpc_status is None:
            yield Remark("", "no-effect", "it says no status, so nothing is aborted", "Write httpStatus.")

    @property
    def grpc_number(self) -> int | None:
        return _GRPC_STATUSES.index(self.grpc_status) if self.grpc_status is not None else None


class HTTPFaultInjection(Model):
    delay: FaultDelay | None = None
    abort: FaultAbort | None = None

    @model_validator(mode="after")
    def _any(self) -> HTTPFaultInjection:
        if self.delay is None and self.abort is None:
            raise problem("missing-field", "no fault is described", remedy="Write delay, abort or both.")
        return self
