"""What the agents say runs on their hosts: the platform's half of the World in local and fleet mode.

Fed by `source/agents.py`, one call for each message; publishes `Instance`s through a callable that the
composition root gives. Knows neither gRPC nor time: the clock is handed in.

A host holds a lease, which every message renews. A lease that lapses takes nothing away: what ran
there probably still runs, and only the way to its agent is broken. The instances stay, marked as
lapsed. Only what an agent has seen itself (not ready, dead, gone) takes an endpoint away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from tulle.kit.quiet import Quiet
from tulle.model.agentapi import Instance, Report

LEASE_SECONDS = 20.0
"""Above 15 s: an agent that starts again, or a pause of a busy machine, is no reason to move traffic."""
_MOST_INSTANCES = 10_000
"""Of one host: a bound on what a mad agent can make the control plane remember."""

Name = tuple[str, str]
"""(namespace, workload)"""
Placed = Callable[[str, str, str], str | None]
"""(host, namespace, workload) -> the identity of the workload, if it is placed on that host."""
Publish = Callable[[Name, Instance | None, bool], None]
"""(name, its state or None if nothing is known of it any more, whether its host's lease has lapsed)"""
Persist = Callable[[str, Name, Instance | None], None]
"""Keep (host, name) -> instance, or forget it: what `restore` gets after the next start."""

_log = structlog.get_logger("tulle.registry")


class RefusedReport(ValueError):  # noqa: N818  the agent's mistake
    """A report that cannot be true; nothing of it was taken."""


@dataclass(slots=True)
class _Host:
    lease_ends: float
    instances: dict[Name, Instance]
    lapsed: bool = False


class Registry:
    """Instances by host, with leases.

    Must not be fed before the World is complete: what is not placed on a host yet is held back, and
    published by `reconsider`.
    """

    def __init__(
        self,
        placed: Placed,
        publish: Publish,
        now: Callable[[], float],
        persist: Persist = lambda _host, _name, _instance: None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """`now` is in seconds in which this process was awake: a laptop's sleep is no agent's silence."""
        self.lease_seconds = lease_seconds
        self._placed = placed
        self._publish = publish
        self._persist = persist
        self._now = now
        self._hosts: dict[str, _Host] = {}
        self._holders: dict[Name, set[str]] = {}
        self._published: dict[Name, tuple[Instance, bool]] = {}
        self._quiet = Quiet(now=now)

    def restore(self, saved: Iterable[tuple[str, Instance]]) -> None:
        """What was persisted before the control plane started again: it counts as live for one lease."""
        names: set[Name] = set()
        for host, instance in saved:
            names.add(self._hold(host, instance))
        self.reconsider(names)

    def report(self, host: str, report: Report) -> None:
        """Take a host's report; it renews the lease. Raises RefusedReport."""
        known = self._hosts.get(host)
        before: Mapping[Name, Instance] = known.instances if known is not None else {}
        if len(report.instances) + (0 if report.full else len(before)) > _MOST_INSTANCES:
            raise RefusedReport(f"more than {_MOST_INSTANCES} instances on one host")
        told = {(instance.namespace, instance.name): instance for instance in report.instances}
        gone = set(before) - set(told) if report.full else {name for name in report.gone if name in before}
        lapsed_before = self._renew(host)
        for name, instance in told.items():
            if before.get(name) != instance:
                self._hold(host, instance)
                self._persist(host, name, instance)
        for name in gone - set(told):
            self._release(host, name)
            self._persist(host, name, None)
        self.reconsider(set(self._hosts[host].instances) if lapsed_before else set(told) | gone)
        self._tell_of_strangers(host, told)

    def forget(self, host: str) -> None:
        """A host was taken out of the mesh: nothing runs there any more."""
        known = self._hosts.get(host)
        if known is None:
            return
        names = set(known.instances)
        for name in names:
            self._release(host, name)
            self._persist(host, name, None)
        del self._hosts[host]
        self.reconsider(names)

    def reconsider(self, names: Iterable[Name] | None = None) -> None:
        """Publish what is so now of these names (all: None), after a placement has changed."""
        for name in sorted(self._holders.keys() | self._published.keys() if names is None else set(names)):
            holders = [
                host for host in sorted(self._holders.get(name, ())) if self._placed(host, *name) is not None
            ]
            # While a workload moves, two hosts may hold it: a live lease says more than a lapsed one.
            host = min(holders, key=lambda each: self._hosts[each].lapsed, default=None)
            value = (self._hosts[host].instances[name], self._hosts[host].lapsed) if host else None
            if self._published.get(name) == value:
                continue
            if value is None:
                del self._published[name]
                self._publish(name, None, False)
            else:
                self._published[name] = value
                self._publish(name, *value)

    def expire(self) -> float:
        """Mark the hosts whose lease has ended. Returns the seconds until the next one can end."""
        now = self._now()
        for name, host in self._hosts.items():
            if not host.lapsed and host.lease_ends <= now:
                host.lapsed = True
                _log.warning("a host is silent, its endpoints are used last", host=name)
                self.reconsider(host.instances)
        ends = (host.lease_ends for host in self._hosts.values() if not host.lapsed)
        return max(min(ends, default=now + self.lease_seconds) - now, 0)

    def hosts(self) -> Mapping[str, bool]:
        """The hosts known, and whether the lease of each has lapsed."""
        return {name: host.lapsed for name, host in sorted(self._hosts.items())}

    def _renew(self, host: str) -> bool:
        """Returns whether the lease had lapsed."""
        until = self._now() + self.lease_seconds
        known = self._hosts.setdefault(host, _Host(until, {}))
        lapsed, known.lapsed = known.lapsed, False
        known.lease_ends = until
        if lapsed:
            _log.info("a silent host is back", host=host)
        return lapsed

    def _hold(self, host: str, instance: Instance) -> Name:
        name = instance.namespace, instance.name
        known = self._hosts.setdefault(host, _Host(self._now() + self.lease_seconds, {}))
        known.instances[name] = instance
        self._holders.setdefault(name, set()).add(host)
        return name

    def _release(self, host: str, name: Name) -> None:
        self._hosts[host].instances.pop(name, None)
        holders = self._holders.get(name, set())
        holders.discard(host)
        if not holders:
            self._holders.pop(name, None)

    def _tell_of_strangers(self, host: str, told: Iterable[Name]) -> None:
        for namespace, workload in told:
            strange = self._placed(host, namespace, workload) is None
            if strange and self._quiet.first((host, namespace, workload)):
                _log.warning(
                    "a host reports a workload that is not placed there, which counts for nothing",
                    host=host,
                    namespace=namespace,
                    workload=workload,
                )
