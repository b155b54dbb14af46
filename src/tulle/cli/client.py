"""The command line's end of the two local APIs: the control plane's and the agent's."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from tulle.api.contract import (
    ApplyRequest,
    ApplyResponse,
    DeleteRequest,
    Document,
    ExplainRequest,
    Explanation,
    FindingList,
    Problem,
    Progress,
    Readiness,
    Rendered,
    ResourceList,
    Status,
    Target,
)
from tulle.cli.failure import Failure
from tulle.cli.place import layout
from tulle.model.findings import Finding

T = TypeVar("T", bound=BaseModel)
_START = "start one: `tulle up PATH...`, or `tulle demo` to look around"
_RETURN_SECONDS = 10.0
"""How long a daemon that has ended is given to come back."""
_POLL_SECONDS = 0.1


class ApiError(Failure):
    """An API was not reached, or did not do what it was asked."""


class Refusal(ApiError):  # noqa: N818  it is an answer
    """An API's answer that is not 2xx: its HTTP status, and where findings say why."""

    def __init__(self, code: int, problem: Problem) -> None:
        self.code = code
        self.findings = problem.findings
        self.sources: dict[str, str] = {}
        """The texts that the findings speak of, by file."""
        super().__init__(problem.error, remedy=problem.remedy)


class _Socket:
    """HTTP over one Unix socket; everything that goes wrong is an ApiError that says what to do."""

    def __init__(
        self, path: Path, who: str, kept: Callable[[], bool], patience_seconds: float | None = None
    ) -> None:
        """`kept`: whether somebody starts the listener again when it has ended; it is waited for so long."""
        self._path = path
        self._patience = _RETURN_SECONDS if patience_seconds is None else patience_seconds
        self._who = who
        self._kept = kept
        self._http = httpx2.Client(
            # verify: there is no TLS here, and reading the trusted authorities costs 90 ms
            transport=httpx2.HTTPTransport(uds=os.fspath(path), verify=False),
            base_url="http://tulle",
            timeout=httpx2.Timeout(30.0, connect=5.0),
        )

    def request(self, method: str, url: str, *, patient: bool = True, **options: Any) -> httpx2.Response:
        if patient:
            self._await_listener()
        with self._explained():
            return self._checked(self._http.request(method, url, **options))

    @contextmanager
    def stream(self, url: str, read_seconds: float | None, **options: Any) -> Generator[httpx2.Response]:
        self._await_listener()
        timeout = httpx2.Timeout(30.0, connect=5.0, read=read_seconds)
        with self._explained(), self._http.stream("GET", url, timeout=timeout, **options) as response:
            if response.is_error:
                response.read()
            yield self._checked(response)

    def _await_listener(self) -> None:
        if _listens(self._path) or not self._kept():
            return
        from tulle.cli.progress import line  # which needs this module

        deadline = time.monotonic() + self._patience
        with line(f"waiting for {self._who} to come back; what runs goes on as it is"):
            while not _listens(self._path) and self._kept() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except httpx2.ConnectError as error:
            raise self._unreachable() from error
        except httpx2.TimeoutException as error:
            remedy = f"look at its log: {self._path.parent}"
            raise ApiError(f"{self._who} did not answer in time", remedy=remedy) from error
        except httpx2.HTTPError as error:
            raise ApiError(f"{self._who} went away while it answered: {error}", remedy=_START) from error

    def _unreachable(self) -> ApiError:
        if not os.access(self._path.parent, os.X_OK) and _exists(self._path.parent):
            return ApiError("this mesh belongs to another user", remedy="run the command with sudo")
        if _exists(self._path) and not os.access(self._path, os.W_OK):
            return ApiError("this mesh belongs to another user", remedy="run the command with sudo")
        if self._kept():
            remedy = f"see why in {layout().logs}, and repeat the command; what runs goes on as it is"
            return ApiError(f"{self._who} is away and has not come back yet", remedy=remedy)
        return ApiError(
            f"no mesh is running here: {self._who} does not listen on {self._path}", remedy=_START
        )

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if not response.is_error:
            return response
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            raise ApiError(f"{self._who} answered {response.status_code}: {response.text[:500]}") from None
        raise Refusal(response.status_code, problem)


def mesh(patience_seconds: float | None = None) -> Client:
    """The control plane of this home; one that is away is waited for so long."""
    return Client(layout().api_socket, _supervised, patience_seconds)


def agent() -> AgentClient:
    """The agent of this home."""
    return AgentClient(layout().agent_socket, _supervised)


def _supervised() -> bool:
    from tulle.app import supervisor  # only where something is amiss

    return supervisor.running(layout().home) is not None


def _never() -> bool:
    return False


def _listens(path: Path) -> bool:
    """False only where a listener may come yet."""
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass
    return True


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True


class Client:
    """The control plane's API. Every method raises ApiError."""

    def __init__(
        self, path: Path, kept: Callable[[], bool] = _never, patience_seconds: float | None = None
    ) -> None:
        self._socket = _Socket(path, "the control plane", kept, patience_seconds)

    def apply(self, documents: tuple[Document, ...], *, dry_run: bool = False) -> ApplyResponse:
        request = ApplyRequest(documents=_absolute(documents), dry_run=dry_run)
        return self._write("/v1/apply", request, documents)

    def delete(
        self, documents: tuple[Document, ...] = (), targets: tuple[Target, ...] = (), *, dry_run: bool = False
    ) -> ApplyResponse:
        request = DeleteRequest(documents=_absolute(documents), targets=targets, dry_run=dry_run)
        return self._write("/v1/delete", request, documents)

    def follow(self, revision: int, timeout_seconds: float) -> Iterator[Progress]:
        """Until everything is acknowledged or the time is over."""
        query = {"revision": revision, "timeout": timeout_seconds}
        with self._socket.stream("/v1/sync", timeout_seconds + 5, params=query) as response:
            for line in response.iter_lines():
                if line:
                    yield Progress.model_validate_json(line)

    def resources(
        self,
        *,
        group: str | None = None,
        kind: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
    ) -> tuple[dict[str, Any], ...]:
        query = {"group": group, "kind": kind, "namespace": namespace, "name": name}
        given = {key: value for key, value in query.items() if value is not None}
        return self._get(ResourceList, "/v1/resources", params=given).items

    def status(self) -> Status:
        return self._get(Status, "/v1/status")

    def findings(self) -> tuple[Finding, ...]:
        return self._get(FindingList, "/v1/findings").findings

    def render(self, namespace: str, name: str) -> Rendered:
        return self._get(Rendered, f"/v1/render/{namespace}/{name}")

    def explain(self, request: ExplainRequest) -> Explanation:
        body = request.model_dump(mode="json", by_alias=True)
        return Explanation.model_validate_json(self._socket.request("POST", "/v1/explain", json=body).content)

    def is_ready(self) -> bool:
        """False also when nothing listens; does not wait for it."""
        try:
            return self._get(Readiness, "/v1/ready", patient=False).ready
        except ApiError:
            return False

    def _get(self, shape: type[T], url: str, **options: Any) -> T:
        return shape.model_validate_json(self._socket.request("GET", url, **options).content)

    def _write(self, url: str, body: BaseModel, documents: tuple[Document, ...]) -> ApplyResponse:
        content = body.model_dump_json(by_alias=True)
        headers = {"content-type": "application/json"}
        try:
            response = self._socket.request("POST", url, content=content, headers=headers, timeout=120.0)
        except Refusal as refusal:
            refusal.sources = {each.file: each.text for each in documents}
            refusal.findings = _as_given(refusal.findings, documents)
            raise
        answer = ApplyResponse.model_validate_json(response.content)
        return answer.model_copy(update={"findings": _as_given(answer.findings, documents)})


def _absolute(documents: tuple[Document, ...]) -> tuple[Document, ...]:
    """The control plane stands elsewhere: an App's working directory begins at its file's folder."""
    return tuple(each.model_copy(update={"file": str(Path(each.file).absolute())}) for each in documents)


def _as_given(findings: tuple[Finding, ...], documents: tuple[Document, ...]) -> tuple[Finding, ...]:
    """Findings with the file names that the person gave."""
    given = {str(Path(each.file).absolute()): each.file for each in documents}
    return tuple(replace(each, file=given.get(each.file, each.file)) for each in findings)


class AgentClient:
    """This host's agent. Every method raises ApiError."""

    def __init__(self, path: Path, kept: Callable[[], bool] = _never) -> None:
        self._socket = _Socket(path, "the agent of this host", kept)

    def enter(self, namespace: str, name: str) -> dict[str, Any]:
        """The agent's `Entry`."""
        return json.loads(self._socket.request("GET", f"/v1/workloads/{namespace}/{name}/enter").content)

    def logs(
        self, namespace: str, name: str, *, proxy: bool, follow: bool, tail: int | None
    ) -> Iterator[bytes]:
        query: dict[str, str] = {"proxy": str(proxy).lower(), "follow": str(follow).lower()}
        if tail is not None:
            query["tail"] = str(tail)
        url = f"/v1/workloads/{namespace}/{name}/logs"
        with self._socket.stream(url, None if follow else 30.0, params=query) as response:
            yield from response.iter_bytes()

    def admin(self, namespace: str, name: str, path: str, **query: str) -> bytes:
        """GET of a path of its Envoy's admin interface."""
        url = f"/v1/proxies/{namespace}/{name}/admin/{path}"
        return self._socket.request("GET", url, params=query).content
