"""The facade that the API's server stands on; the control plane's composition root implements it.

Refusals are the exceptions below: they carry what a person is told; the server gives each its HTTP status.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from tulle.api.contract import (
    ApplyRequest,
    ApplyResponse,
    DeleteRequest,
    ExplainRequest,
    Explanation,
    Progress,
    Readiness,
    Rendered,
    Status,
)
from tulle.model.findings import Finding


class Refused(Exception):  # noqa: N818  it is an answer, not a fault
    """What an API server would refuse stands in the documents (422). Nothing was changed."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        errors = sum(finding.severity == "error" for finding in findings)
        super().__init__(f"{errors} error{'s' if errors != 1 else ''} in the documents; nothing was changed")


class Absent(Exception):  # noqa: N818
    """There is no such object or workload (404)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(message)


class Malformed(Exception):  # noqa: N818
    """What was asked cannot be understood (400)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(message)


class Unavailable(Exception):  # noqa: N818
    """It cannot be done now (503): the disk is full, the store cannot be written. Nothing was changed."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(message)


class Mesh(Protocol):
    """One running mesh, as people and scripts see it."""

    async def apply(self, request: ApplyRequest) -> ApplyResponse:
        """Store the documents in one transaction, or nothing. Raises Refused, Unavailable.

        With `dry_run` everything is checked and nothing stored. The findings of the answer are those of the
        documents' resources: warnings, infos, and references that lead nowhere (yet).
        """
        ...

    async def delete(self, request: DeleteRequest) -> ApplyResponse:
        """Remove what the documents name and the targets. Raises Refused, Absent, Unavailable."""
        ...

    def follow(self, revision: int) -> AsyncIterator[Progress]:
        """How far the proxies are with a revision: at once, and again whenever it changes, up to `done`.

        The server closes the iterator when the client leaves or its time is over.
        """
        ...

    async def resources(
        self, *, group: str | None, kind: str | None, namespace: str | None, name: str | None
    ) -> tuple[Mapping[str, Any], ...]:
        """Objects as written, with `metadata.generation` and `status`. None: any. Sorted by
        kind, namespace and name. Nothing found is an empty answer."""
        ...

    async def status(self) -> Status:
        """Workloads, proxies, gateways and the control plane itself, sorted by namespace and name."""
        ...

    async def findings(self) -> tuple[Finding, ...]:
        """Everything that is wrong or worth knowing in the running mesh, sorted."""
        ...

    async def render(self, namespace: str, name: str) -> Rendered:
        """What the control plane holds for one proxy. Raises Absent."""
        ...

    async def explain(self, request: ExplainRequest) -> Explanation:
        """What would happen to a request. Raises Absent, Malformed."""
        ...

    async def readiness(self) -> Readiness:
        """Cheap: asked again and again while a mesh starts."""
        ...
