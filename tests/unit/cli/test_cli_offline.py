"""render and analyze: files without a mesh."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import Tulle

APP = """\
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    web: {port: 9080, protocol: http, command: web}
    reviews: {port: 9080, protocol: http, command: reviews}
"""
BAD = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n  rulez: []\n"
DANGLING = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews}]
  rules:
  - backendRefs: [{name: nobody, port: 80}]
"""
FILTER = """\
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: slow, namespace: shop}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: reviews.shop.svc.cluster.local}, context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {connect_timeout: 7s}}
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx:1.27}]}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("app", APP), ("bad", BAD), ("dangling", DANGLING), ("deployment", DEPLOYMENT)):
        Path(f"{name}.yaml").write_text(text)


def test_render_prints_what_a_proxy_would_run(tulle: Tulle) -> None:
    done = tulle("render", "web", "-n", "shop", "-f", "app.yaml")
    assert done.status == 0, done.err
    tree = yaml.safe_load(done.out)
    assert "outbound|9080||reviews.shop.svc.cluster.local" in {each["name"] for each in tree["clusters"]}
    assert any(each["lb_endpoints"] for group in tree["endpoints"] for each in group.get("endpoints", []))
    as_json = tulle("render", "shop/web", "-f", "app.yaml", "-o", "json").out
    assert json.loads(as_json) == tree
    assert tulle("render", "web", "-f", "app.yaml").out == done.out, (
        "a name that is unique needs no namespace"
    )


def test_render_says_why_each_object_exists(tulle: Tulle) -> None:
    done = tulle("render", "--why", "web", "-n", "shop", "-f", "app.yaml", "-f", "dangling.yaml")
    assert done.status == 0, done.err
    lines = [line.split("  ") for line in done.out.splitlines()]
    rows = {line[0]: [cell.strip() for cell in line[1:] if cell.strip()] for line in lines if line[0]}
    port = ["App shop/shop", "spec.services.reviews.port", "app.yaml:7"]
    assert rows["cluster outbound|9080||reviews.shop.svc.cluster.local"] == port
    assert rows["listener virtualInbound"] == ["takes every connection that reaches the workload"]
    found = json.loads(
        tulle(
            "render", "--why", "web", "-n", "shop", "-f", "app.yaml", "-f", "dangling.yaml", "-o", "json"
        ).out
    )
    route = next(each for each in found if each.get("because", {}).get("kind") == "HTTPRoute")
    assert route["object"] == "route table"
    assert route["path"][:2] == ["9080", "reviews.shop.svc.cluster.local:9080"]
    assert route["because"]["file"] == "dangling.yaml"
    assert route["because"]["line"] == 7
    by_name = {(each["object"], *each["path"]): each for each in found}
    assert "because" not in by_name["cluster", "BlackHoleCluster"]
    assert by_name["cluster", "BlackHoleCluster"]["note"]


def test_render_says_which_envoy_filter_changed_what(tulle: Tulle) -> None:
    Path("filter.yaml").write_text(FILTER)
    asked = ("render", "--why", "web", "-n", "shop", "-f", "app.yaml", "-f", "filter.yaml")
    lines = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in tulle(*asked).out.splitlines()
    ]
    at = next(
        index for index, each in enumerate(lines) if each[0].startswith("cluster outbound|9080||reviews")
    )
    assert lines[at + 1] == [
        "(changed by)",
        "EnvoyFilter shop/slow",
        "spec.configPatches[0]",
        "filter.yaml:6",
    ]
    assert sum(each[0] == "(changed by)" for each in lines) == 1
    found = json.loads(tulle(*asked, "-o", "json").out)
    (changed,) = [each for each in found if "changedBy" in each]
    assert changed["path"] == ["outbound|9080||reviews.shop.svc.cluster.local"]
    assert changed["changedBy"][0]["line"] == 6


def test_a_patch_that_is_not_envoys_is_an_error_of_analyze_at_its_line(tulle: Tulle) -> None:
    Path("filter.yaml").write_text(FILTER.replace("connect_timeout", "conect_timeout"))
    done = tulle("analyze", "app.yaml", "filter.yaml", "-o", "json")
    assert done.status == 1
    (found,) = json.loads(done.out)["findings"]
    assert (found["code"], found["line"]) == ("unknown-field", 8)
    assert found["field"] == "spec.configPatches[0].patch.value.conect_timeout"


def test_render_begins_with_where_http_is_processed_and_why(tulle: Tulle) -> None:
    app = """\
apiVersion: tulle.dev/v1
kind: App
metadata: {name: web, namespace: shop%s}
spec: {services: {web: {command: web, ports: [{port: 80, name: http}, {port: 81, name: tcp}]}}}
"""
    Path("client.yaml").write_text(app % ", annotations: {tulle.dev/http-processing: client}")
    Path("both.yaml").write_text(app % ", annotations: {tulle.dev/http-processing: both}")
    (line, *_) = tulle("render", "web", "-f", "client.yaml").out.splitlines()
    assert line == "# port 80: HTTP of meshed callers is processed on the client's side"
    (line, rest, *_) = tulle("render", "web", "-f", "both.yaml").out.splitlines()
    assert line == (
        "# port 80: HTTP of meshed callers is processed on both sides: annotation tulle.dev/http-processing "
        "(App shop/web metadata.annotations)"
    )
    assert not rest.startswith("#")


def test_render_says_what_it_does_not_find(tulle: Tulle) -> None:
    done = tulle("render", "nobody", "-f", "app.yaml")
    assert done.status == 1
    assert done.err == "error: no workload default/nobody\n  fix: the files describe shop/reviews, shop/web\n"


def test_render_refuses_what_apply_would_refuse(tulle: Tulle) -> None:
    done = tulle("render", "web", "-f", "app.yaml", "-f", "bad.yaml")
    assert (done.status, done.out) == (1, "")
    assert "at bad.yaml:5:3\n  5 |   rulez: []\n    |   ^\n" in done.err
    assert "error: 1 error in the files; nothing was rendered" in done.err


def test_analyze_names_the_line_and_the_remedy(tulle: Tulle) -> None:
    done = tulle("analyze", "bad.yaml", "-o", "json")
    (found,) = [each for each in json.loads(done.out)["findings"] if each["severity"] == "error"]
    assert done.status == 1
    assert (found["file"], found["line"], found["column"]) == ("bad.yaml", 5, 3)
    assert (found["kind"], found["namespace"], found["name"]) == ("HTTPRoute", "default", "r")
    assert set(found) == {
        *("code", "severity", "file", "line", "column", "kind", "namespace", "name"),
        *("field", "message", "remedy"),
    }


def test_only_schema_does_not_look_for_what_is_referred_to(tulle: Tulle) -> None:
    assert json.loads(tulle("analyze", "app.yaml", "dangling.yaml", "-o", "json").out)["findings"]
    alone = tulle("analyze", "--only-schema", "app.yaml", "dangling.yaml", "-o", "json")
    assert (alone.status, json.loads(alone.out)) == (0, {"findings": []})


def test_a_file_that_cannot_be_read_is_a_finding_for_programs(
    tulle: Tulle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("binary.yaml").write_bytes(b"\xff\xfe")
    for name in ("missing.yaml", "binary.yaml"):
        done = tulle("analyze", name, "-o", "json")
        (found,) = json.loads(done.out)["findings"]
        assert (done.status, found["code"], found["file"]) == (1, "file-not-readable", name)
    said = tulle("analyze", "missing.yaml").err
    assert said == "error: there is no file or folder missing.yaml\n  fix: check the path\n"


def test_nothing_wrong_is_said_too(tulle: Tulle) -> None:
    done = tulle("analyze", "app.yaml")
    assert (done.status, done.out, done.err) == (0, "", "nothing found in 1 file\n")


def test_an_object_that_stands_in_two_files_is_an_error(tulle: Tulle) -> None:
    Path("again.yaml").write_text(APP)
    done = tulle("analyze", "app.yaml", "again.yaml", "--only-schema")
    assert done.status == 1
    assert "duplicate-resource" in done.out


def test_images_stand_for_commands(tulle: Tulle) -> None:
    without = json.loads(tulle("analyze", "deployment.yaml", "-o", "json").out)["findings"]
    assert [each["code"] for each in without] == ["image-without-command"]
    Path("images.yaml").write_text("docker.io/library/nginx*: nginx -g 'daemon off;'\n")
    assert tulle("analyze", "deployment.yaml", "--images", "images.yaml").status == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nginx: [1, 2]\n", "image nginx: a command is a string or a list of strings"),
        ("nginx: ''\n", "image nginx: the command is empty"),
        ("nginx: 'a\n", "images.yaml:"),
        ("- nginx\n", "images.yaml:1:1"),
    ],
)
def test_a_wrong_images_file_is_refused_at_its_line(tulle: Tulle, text: str, message: str) -> None:
    Path("images.yaml").write_text(text)
    done = tulle("analyze", "deployment.yaml", "--images", "images.yaml")
    assert done.status == 1
    assert message in done.err


def test_of_a_very_long_line_the_part_around_the_column_is_shown(tulle: Tulle) -> None:
    head = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "'
    Path("long.json").write_text(f'{head}{"x" * 5000}"}}, "dota": {{}}}}')
    done = tulle("analyze", "long.json")
    assert done.status == 1
    lines = done.out.splitlines()
    excerpt, caret = lines[2], lines[3]
    assert len(excerpt) < 130 and "… " in excerpt
    assert excerpt[caret.index("^") :].startswith('"dota"')
