import base64

import pytest

from tests.unit.mesh.worldly import codes, publish, report, world_of
from tulle.mesh.declaration import Settings
from tulle.mesh.workload.container import image_names
from tulle.mesh.workload.environment import expand
from tulle.mesh.world import World
from tulle.model.agentapi import Container, Probe, WorkloadAssignment

CONFIG = """
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings, namespace: shop}
        data: {color: blue, app.conf: "x = 1"}
        binaryData: {blob: AAE=}
        ---
        apiVersion: v1
        kind: Secret
        metadata: {name: keys, namespace: shop}
        data: {password: c2VzYW1l}
        stringData: {user: me}
        ---
        """


def pod(container: str, more: str = "") -> str:
    return f"""
        apiVersion: v1
        kind: Pod
        metadata:
          {{name: web, namespace: shop, labels: {{app: web, tier: front}}, annotations: {{a/b: c}}}}
        spec:
          containers:
          - {{name: c, image: nginx, {container}}}
          {more}
        ---
        """


def assigned(world: World, name: str = "web") -> WorkloadAssignment:
    assignment = world.assignment(("shop", name))
    assert assignment is not None, world.findings()
    return assignment


def container_of(world: World) -> Container:
    return assigned(world).containers[-1]


def test_the_process_of_an_app() -> None:
    world = world_of(
        """
        apiVersion: tulle.dev/v1
        kind: App
        metadata: {name: shop, namespace: shop}
        spec:
          services:
            web:
              ports: [{port: 53, name: dns, protocol: udp}, {port: 80, targetPort: 8080, name: http}]
              command: run --fast
              env: {LEVEL: 3}
              workdir: src
            batch: {command: batch, readiness: {exec: check it, period: 500ms}}
            page: {port: 80, command: page, readiness: {http: /ok, timeout: 2}}
            rpc: {port: 80, command: rpc, readiness: {grpc: 81, service: s}}
            late: {port: 80, external: true}
        """,
        Settings(directory="/srv/shop"),
    )
    web = assigned(world)
    (container,) = web.containers
    assert container.command == ("run", "--fast")
    assert dict(container.env) == {"HOSTNAME": "web", "LEVEL": "3"}
    assert container.workdir == "/srv/shop/src"
    assert container.readiness == Probe(kind="tcp", port=8080, period_seconds=1)
    assert (web.ports, web.service_account, web.external) == ((8080,), "web", False)
    batch, page, rpc, late = (assigned(world, name) for name in ("batch", "page", "rpc", "late"))
    assert batch.containers[0].readiness == Probe(kind="exec", command=("check", "it"), period_seconds=0.5)
    assert page.containers[0].readiness == Probe(
        kind="http", port=80, path="/ok", period_seconds=1, timeout_seconds=2
    )
    assert rpc.containers[0].readiness == Probe(kind="grpc", port=81, service="s", period_seconds=1)
    assert late.external and late.containers[0].command == ()


def test_the_folder_of_the_file_is_where_an_app_works() -> None:
    world = world_of(
        """
        apiVersion: tulle.dev/v1
        kind: App
        metadata: {name: shop, namespace: shop}
        spec: {services: {one: {command: x}, two: {command: x, workdir: /abs}}}
        """,
        Settings(directory="/srv"),
    )
    assert [assigned(world, name).containers[0].workdir for name in ("one", "two")] == ["/srv/", "/abs"]


def test_the_environment_of_a_container() -> None:
    world = world_of(
        CONFIG
        + pod(
            """command: [run, $(COLOR), $$(COLOR)], args: [$(USER_NAME), $(NOBODY)], envFrom: [
            {prefix: S_, secretRef: {name: keys}}, {configMapRef: {name: nothing, optional: true}}], env: [
            {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}},
            {name: USER_NAME, value: "$(S_user):$(LATER)"},
            {name: LATER, value: x},
            {name: GONE, valueFrom: {secretKeyRef: {name: keys, key: nope, optional: true}}},
            {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
            {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}},
            {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}},
            {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['a/b']"}}},
            {name: SA, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}},
            {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
            {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}},
            {name: HOSTNAME, value: mine}]"""
        )
    )
    container = container_of(world)
    assert container.command == ("run", "blue", "$(COLOR)", "me:$(LATER)", "$(NOBODY)")
    assert dict(container.env) == {
        "HOSTNAME": "mine",
        "S_password": "sesame",
        "S_user": "me",
        "COLOR": "blue",
        "USER_NAME": "me:$(LATER)",
        "LATER": "x",
        "NAME": "web",
        "NS": "shop",
        "TIER": "front",
        "NOTE": "c",
        "SA": "default",
        "IP": assigned(world).addresses[0],
        "HOST_IP": "10.244.0.1",
    }


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)$(B)", "1$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("", ""),
    ],
)
def test_expansion_is_that_of_the_kubelet(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_volumes_become_files() -> None:
    world = world_of(
        CONFIG
        + pod(
            """command: [run], volumeMounts: [{name: all, mountPath: /all}, {name: some, mountPath: /some},
            {name: all, mountPath: /etc/app.conf, subPath: app.conf}, {name: key, mountPath: /key},
            {name: scratch, mountPath: /tmp/x}, {name: disk, mountPath: /disk}]""",
            """volumes:
          - {name: all, configMap: {name: settings}}
          - {name: some, configMap: {name: settings, items: [{key: color, path: a/color}]}}
          - {name: key, secret: {secretName: keys}}
          - {name: scratch, emptyDir: {}}
          - {name: disk, hostPath: {path: /}}""",
        )
    )
    mounts = {mount.path: mount for mount in container_of(world).mounts}
    assert mounts.keys() == {"/all", "/some", "/etc/app.conf", "/key", "/tmp/x"}
    assert [name for name, _ in mounts["/all"].files] == ["app.conf", "blob", "color"]
    assert dict(mounts["/all"].files)["blob"] == "AAE="
    assert mounts["/some"].files == (("a/color", base64.b64encode(b"blue").decode()),)
    assert mounts["/etc/app.conf"].single_file
    assert [base64.b64decode(text) for _, text in mounts["/etc/app.conf"].files] == [b"x = 1"]
    assert dict(mounts["/key"].files)["password"] == "c2VzYW1l"
    assert (mounts["/tmp/x"].empty_dir, mounts["/tmp/x"].empty_dir_name) == (True, "scratch")


def test_probes_with_named_ports() -> None:
    world = world_of(
        pod(
            """command: [run], ports: [{containerPort: 8080, name: http}],
            readinessProbe: {httpGet: {path: /ok, port: http, httpHeaders: [{name: A, value: b}]}},
            livenessProbe: {tcpSocket: {port: 9}, periodSeconds: 3}, startupProbe: {grpc: {port: 8080}}"""
        )
    )
    container = container_of(world)
    assert container.readiness == Probe(kind="http", port=8080, path="/ok", headers=(("A", "b"),))
    assert container.liveness == Probe(kind="tcp", port=9, period_seconds=3)
    assert container.startup == Probe(kind="grpc", port=8080)


def test_init_containers_come_first() -> None:
    world = world_of(pod("command: [run]", "initContainers: [{name: before, command: [prepare]}]"))
    assert [(each.name, each.init) for each in assigned(world).containers] == [("before", True), ("c", False)]


@pytest.mark.parametrize(
    ("container", "more", "code", "field"),
    [
        ("args: [a]", "", "image-without-command", "spec.containers[0].image"),
        (
            "command: [x], envFrom: [{secretRef: {name: nope}}]",
            "",
            "missing-reference",
            "spec.containers[0].envFrom[0].secretRef",
        ),
        (
            "command: [x], env: [{name: A, valueFrom: {configMapKeyRef: {name: settings, key: nope}}}]",
            "",
            "unknown-key",
            "spec.containers[0].env[0].valueFrom.configMapKeyRef.key",
        ),
        (
            "command: [x], env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.nope}}}]",
            "",
            "unknown-field-path",
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath",
        ),
        (
            "command: [x], readinessProbe: {tcpSocket: {port: nope}}",
            "",
            "unknown-port",
            "spec.containers[0].readinessProbe.tcpSocket.port",
        ),
        (
            "command: [x], volumeMounts: [{name: v, mountPath: /v}]",
            "volumes: [{name: v, configMap: {name: nope}}]",
            "missing-reference",
            "spec.volumes[0].configMap",
        ),
        (
            "command: [x], volumeMounts: [{name: v, mountPath: /v}]",
            "volumes: [{name: v, configMap: {name: settings, items: [{key: nope, path: a}]}}]",
            "unknown-key",
            "spec.volumes[0].configMap.items[0].key",
        ),
        (
            "command: [x], volumeMounts: [{name: v, mountPath: /v, subPath: nope}]",
            "volumes: [{name: v, configMap: {name: settings}}]",
            "unknown-key",
            "spec.containers[0].volumeMounts[0].subPath",
        ),
        (
            "command: [x], volumeMounts: [{name: v, mountPath: /v, subPath: a}]",
            "volumes: [{name: v, emptyDir: {}}]",
            "sub-path-of-empty-dir",
            "spec.containers[0].volumeMounts[0].subPath",
        ),
        ('command: [x, "a\\0b"]', "", "null-character", "spec.containers[0].command"),
        (
            "command: [x], envFrom: [{configMapRef: {name: settings}}]",
            "",
            "null-character",
            "spec.containers[0].env",
        ),
    ],
)
def test_what_cannot_run_says_why_at_its_field(container: str, more: str, code: str, field: str) -> None:
    world = world_of(CONFIG + pod(container, more))
    assert world.assignment(("shop", "web")) is None
    assert [(each.code, each.field) for each in world.findings()] == [(code, field)]


def test_a_missing_reference_is_answered_when_it_comes() -> None:
    world = world_of(pod("command: [x], envFrom: [{configMapRef: {name: settings}}]"))
    assert [code for code, _, _ in codes(world)] == ["missing-reference"]
    publish(world, CONFIG.replace("        binaryData: {blob: AAE=}\n", ""))
    assert dict(container_of(world).env)["color"] == "blue"
    assert codes(world) == []


@pytest.mark.parametrize(
    ("pattern", "command", "expected"),
    [
        ("nginx*", ("nginx", "-g", "daemon off;"), ("nginx", "-g", "daemon off;")),
        ("docker.io/library/nginx*", ("serve", "{args}"), ("serve", "a b", "c")),
        ("*", ("sh", "-c", "exec serve {args}"), ("sh", "-c", "exec serve 'a b' c")),
    ],
)
def test_an_image_stands_for_a_command(
    pattern: str, command: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    images = (("other", ("no",)), (pattern, command))
    world = world_of(pod("args: [a b, c]"), Settings(images=images))
    assert container_of(world).command == expected


def test_names_of_images() -> None:
    assert image_names("nginx:1.27") == ("nginx:1.27", "docker.io/library/nginx:1.27")
    assert image_names("istio/reviews") == ("istio/reviews", "docker.io/istio/reviews")
    assert image_names("registry.example.com/a/b@sha256:0") == ("registry.example.com/a/b@sha256:0",)
    assert image_names("localhost/a") == ("localhost/a",)


def test_the_incarnation_changes_with_what_needs_a_restart_alone() -> None:
    config = CONFIG.replace("        binaryData: {blob: AAE=}\n", "")
    text = config + pod("command: [run], envFrom: [{configMapRef: {name: settings}}]")
    world = world_of(text)
    first = assigned(world).incarnation
    assert assigned(world_of(text)).incarnation == first
    report(world, "shop", "web")
    publish(world, "        # a comment\n" + text)
    publish(world, text.replace("tier: front", "tier: back"))
    assert assigned(world).incarnation == first
    publish(world, config.replace("color: blue", "color: red"))
    changed = assigned(world).incarnation
    assert changed != first
    publish(world, text.replace("[run]", "[run, fast]"))
    assert assigned(world).incarnation not in (first, changed)


@pytest.mark.parametrize(("written", "limit"), [("", 6), ("backoffLimit: 0, ", 0)])
def test_a_job_is_tried_again_as_often_as_it_says(written: str, limit: int) -> None:
    world = world_of(
        f"""
        apiVersion: batch/v1
        kind: Job
        metadata: {{name: migrate, namespace: shop}}
        spec:
          {{{written}template: {{spec: {{restartPolicy: Never, containers: [{{name: c, command: [a]}}]}}}}}}
        """
    )
    assert assigned(world, "migrate").backoff_limit == limit
    assert codes(world) == []


def test_a_pod_of_nobody_is_not_tried_again_as_a_job_is() -> None:
    world = world_of(pod("command: [serve]"))
    assert assigned(world).backoff_limit is None
