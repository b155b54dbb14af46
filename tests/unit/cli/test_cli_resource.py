"""apply, delete, get, diff."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.unit.api.fake import DISK_FULL, FakeMesh, finding
from tests.unit.cli.conftest import ROUTE, Tulle
from tulle.api.contract import ApplyRequest, Because, Progress, Rejection
from tulle.cli.resource import conditions
from tulle.model.findings import Severity

GATEWAY = "apiVersion: {}\nkind: Gateway\nmetadata: {{name: shop, namespace: shop}}\nspec: {{}}\n"
BOTH = ("gateway.networking.k8s.io/v1", "networking.istio.io/v1")


def test_apply_says_what_became_of_each_object(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    done = tulle("apply", "-f", route)
    assert (done.status, done.out) == (0, "HTTPRoute shop/reviews created\n")
    assert "every proxy concerned has acknowledged" in done.err
    assert tulle("apply", "-f", route).out == "HTTPRoute shop/reviews unchanged\n"


def test_files_are_sent_with_absolute_names(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    tulle("apply", "-f", route)
    assert [each.file for each in mesh.requests[0].documents] == [str(Path.cwd() / "route.yaml")]


@pytest.mark.parametrize("command", [["apply"], ["delete"], ["diff"]])
def test_a_namespace_goes_with_the_files(
    tulle: Tulle, mesh: FakeMesh, route: Path, command: list[str]
) -> None:
    tulle(*command, "-f", route, "-n", "shop")
    assert [each.namespace for each in mesh.requests[0].documents] == ["shop"]


def test_apply_reads_standard_input(
    tulle: Tulle, mesh: FakeMesh, route: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(ROUTE))
    assert tulle("apply", "-f", "-").out == "HTTPRoute shop/reviews created\n"


def test_apply_reads_folders_in_order_and_leaves_out_what_is_hidden(
    tulle: Tulle, mesh: FakeMesh, route: Path
) -> None:
    for name in ("b.yml", "a.yaml", ".git/c.yaml", "sub/d.json", "readme.md"):
        path = Path("set") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ROUTE if not name.endswith(".json") else json.dumps({**BARE, "kind": "Service"}))
    tulle("apply", "-f", "set")
    names = [Path(each.file).name for each in mesh.requests[0].documents]
    assert names == ["a.yaml", "b.yml", "d.json"]


BARE = {"apiVersion": "v1", "metadata": {"name": "s", "namespace": "shop"}}


def test_a_refused_apply_shows_the_line(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    mesh.refuse = (finding(file=str(route.absolute())),)
    done = tulle("apply", "-f", route)
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "error: HTTPRoute shop/r: spec.x: there is no field  [unknown-field]\n"
        "  at route.yaml:3:5\n"
        "  3 | metadata: {name: reviews, namespace: shop}\n"
        "    |     ^\n"
        "  fix: remove it\n"
        "error: 1 error in the documents; nothing was changed\n"
    )


def test_what_is_applied_with_warnings_ends_with_0(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    mesh.warn = (finding("no-backend", Severity.WARNING),)
    done = tulle("apply", "-f", route)
    assert done.status == 0
    assert "warning: HTTPRoute shop/r: spec.x: there is no field  [no-backend]" in done.err


def test_a_refusing_proxy_ends_apply_with_1_and_the_line(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    because = Because(
        kind="HTTPRoute",
        namespace="shop",
        name="reviews",
        field="spec.rules[0]",
        file="/r.yaml",
        line=7,
        column=5,
    )
    refused = Rejection(proxy="shop/storefront-1", error="invalid regex", because=because)
    mesh.progress = (
        Progress(revision=8, waiting=("shop/storefront-1",)),
        Progress(revision=8, rejected=(refused,), done=True),
    )
    done = tulle("apply", "-f", route)
    assert done.status == 1
    assert "waiting for 1 proxy: shop/storefront-1" in done.err
    assert (
        "error: the proxy of shop/storefront-1 refused what HTTPRoute shop/reviews (spec.rules[0]) asks for: "
        "invalid regex\n  at /r.yaml:7:5\n  fix: correct it"
    ) in done.err
    mesh.objects.clear()
    assert (
        json.loads(tulle("apply", "-f", route, "-o", "json").out)["rejected"][0]["error"] == "invalid regex"
    )


def test_apply_gives_up_after_its_time(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    mesh.progress, mesh.never_done = (Progress(revision=8, waiting=("shop/a", "shop/b")),), True
    done = tulle("apply", "-f", route, "--timeout", "0.05s")
    assert done.status == 1
    assert "error: not acknowledged within 0.05 s by shop/a, shop/b" in done.err


def test_apply_does_not_wait_when_told_so(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    mesh.progress, mesh.never_done = (), True
    assert tulle("apply", "-f", route, "--no-wait").status == 0
    mesh.objects.clear()
    assert tulle("apply", "-f", route, "--timeout", "0").status == 0


def test_a_dry_run_changes_nothing(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    done = tulle("apply", "-f", route, "--dry-run")
    assert done.out == "HTTPRoute shop/reviews created (dry run)\n"
    assert isinstance(mesh.requests[0], ApplyRequest)
    assert mesh.requests[0].dry_run
    assert not mesh.objects


def test_apply_as_json(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    answer = json.loads(tulle("apply", "-f", route, "-o", "json").out)
    assert answer["revision"] == 8
    assert answer["results"][0]["result"] == "created"
    assert (answer["findings"], answer["rejected"]) == ([], [])


def test_a_full_disk_is_said_with_its_remedy(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    mesh.failure = DISK_FULL
    done = tulle("apply", "-f", route)
    assert (done.status, done.err) == (1, "error: the disk is full\n  fix: make room\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "error: there is no file or folder x.yaml"),
        (b"\xff\xfe", "is not UTF-8 text (byte 0)"),
        (b"#" * (17 * 1024 * 1024), "error: these files are larger than 16 MiB together"),
    ],
)
def test_files_that_cannot_be_read(
    tulle: Tulle, mesh: FakeMesh, route: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        Path("x.yaml").write_bytes(content)
    done = tulle("apply", "-f", "x.yaml")
    assert done.status == 1
    assert message in done.err


def test_a_folder_without_documents_is_an_error(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    Path("empty").mkdir()
    assert "the folder empty has no .yaml, .yml or .json file" in tulle("apply", "-f", "empty").err


def test_delete_by_file_and_by_name(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    tulle("apply", "-f", route)
    assert tulle("delete", "-f", route).out == "HTTPRoute shop/reviews deleted\n"
    assert tulle("delete", "-f", route).out == "HTTPRoute shop/reviews absent\n"
    tulle("apply", "-f", route)
    assert tulle("delete", "httproute", "reviews", "-n", "shop").out == "HTTPRoute shop/reviews deleted\n"
    missing = tulle("delete", "httproute/reviews", "-n", "shop")
    assert missing.status == 1
    assert "error: no HTTPRoute shop/reviews" in missing.err


def test_delete_needs_to_know_what(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    assert tulle("delete").status == 2
    assert tulle("delete", "svc", "x", "-f", route).status == 2
    assert tulle("delete", "svc").status == 2


def test_get_shows_the_object_as_written(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    tulle("apply", "-f", route)
    as_json = json.loads(tulle("get", "httproute", "reviews", "-n", "shop", "-o", "json").out)
    assert as_json["spec"]["rules"][0]["backendRefs"][0]["name"] == "reviews-v1"
    assert tulle("get", "httproutes/reviews", "-n", "shop", "-o", "yaml").out.startswith(
        "apiVersion: gateway"
    )
    listed = json.loads(tulle("get", "HTTPRoute.gateway.networking.k8s.io", "-A", "-o", "json").out)
    assert (listed["kind"], len(listed["items"])) == ("List", 1)
    table = tulle("get", "httproute", "-n", "shop").out.splitlines()
    assert table[0].split() == ["NAMESPACE", "NAME", "GENERATION", "AGE", "STATUS"]
    assert table[1].split() == ["shop", "reviews"]


def test_get_says_what_is_not_there(tulle: Tulle, mesh: FakeMesh) -> None:
    none = tulle("get", "vs")
    assert (none.status, none.out) == (0, "")
    assert none.err == "no virtualservices in the namespace default\n"
    one = tulle("get", "vs", "x", "-n", "shop")
    assert one.status == 1
    assert one.err == (
        "error: no VirtualService x in the namespace shop\n  fix: `tulle get virtualservices -A` lists them\n"
    )
    unknown = tulle("get", "httproot")
    assert (unknown.status, "did you mean HTTPRoute?" in unknown.err) == (2, True)
    assert json.loads(tulle("get", "vs", "-o", "json").out)["items"] == []


def test_several_kinds_in_one_list(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    tulle("apply", "-f", "route.yaml")
    lines = tulle("get", "svc,httproute", "-A").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["NAMESPACE", "NAME"], ["shop", "reviews"]]
    assert "no services or virtualservices in the namespace default" in tulle("get", "svc,vs").err
    assert tulle("get", "svc,nonsense").status == 2


def test_the_two_gateways_are_both_listed_and_told_apart(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    Path("gateways.yaml").write_text("---\n".join(GATEWAY.format(version) for version in BOTH))
    tulle("apply", "-f", "gateways.yaml")
    assert [line.split()[0] for line in tulle("get", "gateways", "-A").out.splitlines()[1:]] == list(BOTH)
    vague = tulle("get", "gateway", "shop", "-n", "shop", "-o", "yaml")
    assert vague.status == 2
    assert "write gateway.gateway.networking.k8s.io or gateway.networking.istio.io" in vague.err
    exact = tulle("get", "gateway.networking.istio.io", "shop", "-n", "shop", "-o", "json")
    assert json.loads(exact.out)["apiVersion"] == BOTH[1]
    assert tulle("delete", "gateway", "shop", "-n", "shop").status == 2
    assert tulle("delete", "gateway.networking.istio.io", "shop", "-n", "shop").status == 0
    # The other one is now the only one of that name, so the short form is enough.
    assert tulle("delete", "gateway", "shop", "-n", "shop").status == 0


def test_diff_shows_what_would_change(tulle: Tulle, mesh: FakeMesh, route: Path) -> None:
    tulle("apply", "-f", route)
    same = tulle("diff", "-f", route)
    assert (same.status, same.out, same.err) == (0, "", "nothing would change\n")
    route.write_text(ROUTE.replace("reviews-v1", "reviews-v2"))
    changed = tulle("diff", "-f", route)
    assert changed.status == 1
    assert "-    - name: reviews-v1\n" in changed.out
    assert "+    - name: reviews-v2\n" in changed.out
    assert "1 object would change" in changed.err


def test_conditions_are_summed_up_in_words() -> None:
    accepted = {"type": "Accepted", "status": "True"}
    unresolved = {"type": "ResolvedRefs", "status": "False", "reason": "BackendNotFound"}
    parents = {"parents": [{"conditions": [accepted, unresolved]}, {"conditions": [accepted]}]}
    assert conditions(parents) == "Accepted, not ResolvedRefs (BackendNotFound)"
    assert (
        conditions({"addresses": [{"value": "10.0.0.1"}], "conditions": [accepted]}) == "10.0.0.1, Accepted"
    )
    assert conditions({}) == ""


_SHOP = """\
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    web: {port: 9080, protocol: http, command: web, replicas: 2}
    reviews: {port: 9080, protocol: http, command: reviews}
"""
_TIMEOUT = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: reviews, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews}]
  rules:
  - backendRefs: [{name: reviews, port: 9080}]
    timeouts: {request: 7s}
"""


def test_diff_shows_what_the_envoys_would_run(tulle: Tulle, mesh: FakeMesh, tmp_path: Path) -> None:
    del mesh
    shop, timeout = tmp_path / "shop.yaml", tmp_path / "timeout.yaml"
    shop.write_text(_SHOP)
    timeout.write_text(_TIMEOUT)
    tulle("apply", "-f", shop)
    done = tulle("diff", "-f", timeout)
    assert done.status == 1, done.err
    assert "Envoy of shop/reviews, shop/web-1, shop/web-2\n--- routes 9080 (now)\n" in done.out
    assert "timeout: 7s\n" in done.out
    assert "clusters" not in done.out, "nothing else changes"
    assert done.err.endswith("1 object would change, and the configuration of 3 proxies\n")
