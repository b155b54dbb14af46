"""LoadBalancerSettings, field by field as in Istio's destination_rule.proto, with the rules of its validation
(pkg/config/validation: validateLoadBalancer, ValidateLocalityLbSetting, ValidateZoneAwareLbSetting)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tulle.model.remark import Remark
from tulle.model.schema import (
    AnyDuration,
    Bool,
    FineDuration,
    Int,
    IstioDuration,
    Model,
    NoEffect,
    Number,
    at_most_one,
    problem,
)

Count = Annotated[Int, Field(ge=0, le=2**32 - 1)]
"""uint32"""
_Size = Annotated[Int, Field(ge=0, le=2**63 - 1)]

_LARGEST_TABLE = 5_000_011
_TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


# -- consistent hashing -----------------------------------------------------------------------------


class HTTPCookieAttribute(Model):
    name: Annotated[str, Field(min_length=1)]
    value: str = ""


class HTTPCookie(Model):
    name: Annotated[str, Field(min_length=1)]
    path: str = ""
    ttl: AnyDuration | None = None
    attributes: tuple[HTTPCookieAttribute, ...] = ()

    @model_validator(mode="after")
    def _attributes_are_distinct(self) -> HTTPCookie:
        names = [attribute.name for attribute in self.attributes]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise problem(
                    "duplicate-name",
                    f"two attributes are called “{name}”",
                    remedy="Give a cookie each attribute once.",
                    field=f"attributes[{index}].name",
                )
        return self


class RingHash(Model):
    minimum_ring_size: _Size = 0
    """0: Envoy's 1024"""


def _is_prime(number: int) -> bool:
    """As Envoy's maglev counts, where 1 is one (`isPrime`)."""
    return number > 0 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


class MagLev(Model):
    table_size: _Size = 65537

    @model_validator(mode="after")
    def _size(self) -> MagLev:
        if self.table_size >= _LARGEST_TABLE or not _is_prime(self.table_size):
            raise problem(
                "out-of-range",
                f"{self.table_size} is not a prime number below {_LARGEST_TABLE}",
                remedy="Write a prime number, such as 65537, or leave it out.",
                field="tableSize",
            )
        return self


class ConsistentHash(Model):
    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: Bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: _Size = 0

    def remarks(self) -> Iterator[Remark]:
        if self.minimum_ring_size:
            message = "minimumRingSize is deprecated here"
            yield Remark("minimumRingSize", "deprecated", message, "Write ringHash: {minimumRingSize: N}.")

    @model_validator(mode="after")
    def _one_key_one_algorithm(self) -> ConsistentHash:
        at_most_one(self, "http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        at_most_one(self, "ring_hash", "maglev")
        if self.minimum_ring_size and (self.ring_hash or self.maglev):
            raise problem(
                "exclusive-fields",
                "minimumRingSize excludes ringHash and maglev",
                remedy="Write ringHash: {minimumRingSize: N} alone.",
                field="minimumRingSize",
            )
        return self


# -- localities -------------------------------------------------------------------------------------


class LocalityDistribute(Model):
    from_: Annotated[str, Field(alias="from")] = ""
    to: dict[str, Count] = {}

    @model_validator(mode="after")
    def _weights(self) -> LocalityDistribute:
        for locality, weight in self.to.items():
            if not 1 <= weight <= 100:
                raise problem(
                    "out-of-range",
                    f"weight {weight} is not between 1 and 100",
                    remedy="Leave out localities that shall get nothing.",
                    field=f"to[{locality}]",
                )
        if sum(self.to.values()) != 100:
            raise problem(
                "out-of-range",
                f"the weights add up to {sum(self.to.values())}",
                remedy="Write weights whose sum is 100.",
                field="to",
            )
        _check_localities(tuple(self.to), "to")
        return self


class Failover(Model):
    """From one region to another."""

    from_: Annotated[str, Field(alias="from")] = ""
    to: str = ""

    @model_validator(mode="after")
    def _regions(self) -> Failover:
        if self.from_ == self.to:
            raise problem("invalid-locality", "from and to are one region", remedy="Name two regions.")
        for field, region in (("from", self.from_), ("to", self.to)):
            if "/" in region or "*" in region:
                raise problem(
                    "invalid-locality",
                    f"“{region}” is not the name of a region",
                    remedy="Write a region alone; zones are looked after without it.",
                    field=field,
                )
        return self


class LocalityLoadBalancerSetting(Model):
    distribute: tuple[LocalityDistribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: Bool | None = None

    @model_validator(mode="after")
    def _compatible(self) -> LocalityLoadBalancerSetting:
        if self.distribute and self.failover:
            raise problem(
                "exclusive-fields",
                "distribute and failover exclude each other",
                remedy="Write one of them.",
                field="failover",
            )
        for index, label in enumerate(self.failover_priority if self.failover else ()):
            if label in _TOPOLOGY:
                raise problem(
                    "exclusive-fields",
                    f"failover excludes {label} here",
                    remedy="Leave one of the two out.",
                    field=f"failoverPriority[{index}]",
                )
        _check_localities(tuple(each.from_ for each in self.distribute), "distribute")
        return self


class ZoneAwareLoadBalancerSetting(Model):
    enabled: Bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: Annotated[
        Annotated[Int, Field(ge=1, le=2**32 - 1)] | None,
        NoEffect("zones of one region are equal here, as in Istio without self-discovery"),
    ] = None

    @model_validator(mode="after")
    def _labels(self) -> ZoneAwareLoadBalancerSetting:
        for index, label in enumerate(self.failover_priority):
            if label in _TOPOLOGY:
                raise problem(
                    "exclusive-fields",
                    f"{label} is looked after already",
                    remedy="Leave it out.",
                    field=f"failoverPriority[{index}]",
                )
        return self


def _check_localities(localities: tuple[str, ...], field: str) -> None:
    """Raise unless each is REGION[/ZONE[/SUBZONE]] with “*” at the end alone, and none is in another."""
    for index, written in enumerate(localities):
        parts = written.split("/", 2)
        if not all(parts) or "*" in written[:-1]:
            raise problem(
                "invalid-locality",
                f"“{written}” is not a locality",
                remedy="Write REGION, REGION/ZONE or REGION/ZONE/SUBZONE; “*” may be the last character.",
                field=field,
            )
        for other in localities[:index]:
            if any(
                _within(one.split("/", 2), another.split("/", 2))
                for one, another in ((written, other), (other, written))
            ):
                raise problem(
                    "invalid-locality",
                    f"“{written}” overlaps with “{other}”",
                    remedy="Write localities of which none contains another.",
                    field=field,
                )


def _within(one: list[str], other: list[str]) -> bool:
    """Whether the first locality is written inside the second (Istio's `validateLocalities`)."""
    if other == ["*"]:
        return True
    return len(other) <= len(one) and one[: len(other)] == other


# -- the whole --------------------------------------------------------------------------------------


class WarmupConfiguration(Model):
    duration: IstioDuration
    minimum_percent: Annotated[Number, Field(ge=0, le=100)] | None = None
    aggression: Annotated[Number, Field(gt=0)] | None = None


class LoadBalancerSettings(Model):
    simple: (
        Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"] | None
    ) = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    warmup_duration_secs: FineDuration | None = None
    warmup: WarmupConfiguration | None = None

    @model_validator(mode="after")
    def _one(self) -> LoadBalancerSettings:
        at_most_one(self, "simple", "consistent_hash")
        at_most_one(self, "locality_lb_setting", "zone_aware_lb_setting")
        at_most_one(self, "warmup_duration_secs", "warmup")
        return self

    @property
    def is_local(self) -> bool:
        """Whether it matters where callers are."""
        return self.locality_lb_setting is not None or self.zone_aware_lb_setting is not None

    @property
    def compared_labels(self) -> frozenset[str]:
        """The names of labels in which callers are compared with endpoints."""
        settings = (self.locality_lb_setting, self.zone_aware_lb_setting)
        priorities = (each.failover_priority for each in settings if each is not None)
        return frozenset(name for each in priorities for name in each if "=" not in name)
