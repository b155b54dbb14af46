"""Calls that are counted: what a customer of the shop sees from outside."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

_AT_ONCE = 4
_PAUSE_SECONDS = 0.02
"""Between the calls of one customer who keeps visiting."""


@dataclass(frozen=True, slots=True)
class Visit:
    """How one call went."""

    ok: bool
    version: str = ""
    """Of the reviews behind the page."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How several calls went."""

    total: int
    failed: int = 0
    first_failure: str = ""
    versions: Counter[str] = field(default_factory=Counter[str])

    @property
    def succeeded(self) -> int:
        return self.total - self.failed

    @classmethod
    def of(cls, visits: list[Visit]) -> Counts:
        failures = [each.failure for each in visits if not each.ok]
        return cls(
            total=len(visits),
            failed=len(failures),
            first_failure=failures[0] if failures else "",
            versions=Counter(each.version for each in visits if each.ok),
        )


class Visits:
    """A growing number of calls."""

    def __init__(self) -> None:
        self._visits: list[Visit] = []
        self._lock = threading.Lock()

    def add(self, visit: Visit) -> None:
        with self._lock:
            self._visits.append(visit)

    def counts(self) -> Counts:
        with self._lock:
            return Counts.of(list(self._visits))


class Customer:
    """Calls one page. Nothing is tried twice: a failure is a failure."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx2.Client(timeout=10.0, trust_env=False)

    def visit(self) -> Visit:
        """One call. A page without its reviews counts as a failure."""
        try:
            response = self._http.get(self._url)
            page = response.json() if response.status_code == 200 else {}
        except httpx2.HTTPError as error:
            return Visit(ok=False, failure=f"{type(error).__name__}: {error}")
        except ValueError:
            return Visit(ok=False, failure="an answer that is no JSON")
        if response.status_code != 200:
            return Visit(ok=False, failure=f"{response.status_code} {response.text[:120].strip()}")
        statuses = page.get("status", {})
        if any(each != 200 for each in statuses.values()):
            return Visit(ok=False, failure=f"a page without {statuses}")
        return Visit(ok=True, version=str(page.get("reviews", {}).get("version", "")))

    def visits(self, number: int) -> Counts:
        """Several calls, a few at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return Counts.of(list(pool.map(lambda _: self.visit(), range(number))))

    @contextmanager
    def keeps_visiting(self) -> Generator[Visits]:
        """Calls go on while the block runs."""
        visits = Visits()
        enough = threading.Event()

        def customer() -> None:
            while not enough.wait(_PAUSE_SECONDS):
                visits.add(self.visit())

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            running = [pool.submit(customer) for _ in range(_AT_ONCE)]
            try:
                yield visits
            finally:
                enough.set()
        for each in running:
            each.result()
