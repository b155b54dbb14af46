"""localityLbSetting and zoneAwareLbSetting of a DestinationRule: which endpoints callers at one place prefer.

Failover needs outlierDetection, without which nobody would know that an endpoint has failed; with it, it
needs no setting at all (destination_rule.proto, `OutlierDetection`). A caller without a locality prefers
nobody. Read by `outbound/cluster.py`; `service/place.py` carries it out.
"""

from __future__ import annotations

from tulle.mesh.policy.destination import Settings
from tulle.mesh.service.place import NOWHERE, Locality, Order, within
from tulle.mesh.view import Spread
from tulle.mesh.workload.draft import Labels
from tulle.model.istio import LocalityLoadBalancerSetting, ZoneAwareLoadBalancerSetting


def order(settings: Settings, locality: Locality, labels: Labels) -> Order | None:
    """How callers at a locality, with these labels among theirs, want endpoints; None: anyhow."""
    balancer = settings.load_balancer
    if balancer is not None and balancer.zone_aware_lb_setting is not None:
        return _zone_aware(balancer.zone_aware_lb_setting, locality, labels)
    setting = balancer.locality_lb_setting if balancer is not None else None
    if setting is None:
        setting = LocalityLoadBalancerSetting()
    if setting.enabled is False:
        return None
    if setting.distribute:
        matching = (each for each in setting.distribute if within(locality, each.from_))
        first = next(matching, None)
        return Order(locality, weights=tuple(sorted(first.to.items()))) if first is not None else None
    if settings.outlier_detection is None or (locality == NOWHERE and not setting.failover_priority):
        return None
    return Order(
        locality,
        _asked(labels, setting.failover_priority),
        failover_labels=setting.failover_priority,
        by_place=bool(setting.failover) or not setting.failover_priority,
        failover_region=_failover(setting, locality),
    )


def _zone_aware(setting: ZoneAwareLoadBalancerSetting, locality: Locality, labels: Labels) -> Order | None:
    if setting.enabled is False or (locality == NOWHERE and not setting.failover_priority):
        return None
    return Order(
        locality,
        _asked(labels, setting.failover_priority),
        failover_labels=setting.failover_priority,
        only_regions=True,
        failover_region=_failover(setting, locality),
    )


def _failover(
    setting: LocalityLoadBalancerSetting | ZoneAwareLoadBalancerSetting, locality: Locality
) -> str | None:
    return next((each.to for each in setting.failover if each.from_ == locality[0]), None)


def _asked(labels: Labels, priority: tuple[str, ...]) -> Labels:
    return tuple(pair for pair in labels if pair[0] in priority)


def spread(settings: Settings) -> tuple[Spread, int | None]:
    """How the localities of one priority share requests, and how few hosts are not worth it."""
    balancer = settings.load_balancer
    if balancer is None:
        return Spread.ANY, None
    zones, setting = balancer.zone_aware_lb_setting, balancer.locality_lb_setting
    if zones is not None:
        near = Spread.NEVER_NEAR if zones.enabled is False else Spread.NEAR
        return near, zones.min_cluster_size
    if setting is None or setting.enabled is False:
        return Spread.ANY, None
    failing_over = settings.outlier_detection is not None and (setting.failover or setting.failover_priority)
    return Spread.WEIGHTED if setting.distribute or failing_over else Spread.ANY, None
