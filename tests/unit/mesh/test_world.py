from collections import Counter

from tests.unit.mesh.worldly import codes, name_table, publish, report, world_of
from tulle.mesh.service.endpoint import EndpointQuery
from tulle.mesh.world import World
from tulle.model.resource import Key


def app(number: int, services: int, workloads: int) -> str:
    lines = [
        "apiVersion: tulle.dev/v1",
        "kind: App",
        f"metadata: {{name: app, namespace: ns{number}}}",
        "spec:",
        "  services:",
    ]
    lines += [
        f"    s{service}: {{port: 80, command: run, replicas: {workloads}}}" for service in range(services)
    ]
    return "\n".join(lines) + "\n---\n"


def service(name: str, namespace: str, port: int = 80) -> str:
    return f"""
        apiVersion: v1
        kind: Service
        metadata: {{name: {name}, namespace: {namespace}}}
        spec: {{selector: {{app: s0}}, ports: [{{port: {port}, targetPort: 80}}]}}
        """


ROUTE = """
        apiVersion: gateway.networking.k8s.io/v1
        kind: HTTPRoute
        metadata: {name: r, namespace: ns0}
        spec:
          parentRefs: [{kind: Service, group: "", name: s0}]
          rules: [{backendRefs: [{name: s0, port: 80}]}]
        """


def touch_everything(world: World) -> None:
    """Read all that the control plane reads."""
    world.workloads()
    world.services()
    for host in world.service_hosts():
        world.server_identities(host)
        world.endpoints(EndpointQuery(host, 80))
    for at in world.workload_ids():
        world.services_of(at)
        world.assignment(at)
    name_table(world)
    world.gateways()
    world.findings()


def work(world: World, change: str) -> Counter[str]:
    counted = world.graph.computed.copy()
    publish(world, change)
    touch_everything(world)
    return world.graph.computed - counted


def test_a_route_touches_no_workload_and_no_service() -> None:
    world = world_of(app(0, 3, 2))
    touch_everything(world)
    assert work(world, ROUTE) == {"namespaces": 1}
    assert work(world, ROUTE.replace("name: s0, port: 80}]", "name: s1, port: 80}]")) == {}
    assert world.of_kind("gateway.networking.k8s.io", "HTTPRoute", "ns0")[0].name == "r"
    assert world.of_kind("gateway.networking.k8s.io", "HTTPRoute", "ns1") == ()


def test_lines_that_move_change_nothing_but_the_lines_of_findings() -> None:
    text = service("web", "nobody")
    world = world_of(text)
    assert codes(world) == [("selects-nothing", 5, "spec.selector")]
    assigned = world.service("web.nobody.svc.cluster.local")
    publish(world, "        # moved\n" + text)
    assert codes(world) == [("selects-nothing", 6, "spec.selector")]
    assert world.service("web.nobody.svc.cluster.local") == assigned


def test_one_changed_service_touches_its_own_cells() -> None:
    world = world_of(app(0, 20, 5) + app(1, 20, 5))
    publish(world, service("web", "ns0"))
    touch_everything(world)
    done = work(world, service("web", "ns0", 81))
    assert done["service"] == 1
    assert done["identities"] == 1
    assert done["services_of_workload"] == 5
    assert done["names"] == 0  # its address and its names are the same
    assert done["workload"] == 0
    assert done["assignment"] == 0
    assert done["endpoints"] == 1
    assert done["service_addresses"] == 0


def test_the_cost_of_a_large_mesh() -> None:
    """1,000 workloads behind 200 services: each is made once, and a change costs what depends on it."""
    world = world_of("".join(app(number, 20, 5) for number in range(10)))
    touch_everything(world)
    first = world.graph.computed.copy()
    assert (len(world.workload_ids()), len(world.service_hosts())) == (1000, 200)
    assert (first["expansion"], first["workload"], first["assignment"]) == (10, 1000, 1000)
    assert (first["service"], first["endpoints"], first["records"]) == (200, 200, 200)
    assert (first["workload_addresses"], first["service_addresses"]) == (1, 1)
    touch_everything(world)
    assert world.graph.computed == first

    counted = world.graph.computed.copy()
    report(world, "ns3", "s7-2")
    touch_everything(world)
    assert world.graph.computed - counted == {"presence": 1, "endpoints": 1, "records": 1}

    done = work(world, service("new", "ns4"))
    assert (done["service"], done["records"], done["endpoints"]) == (1, 1, 1)
    assert (done["workload"], done["assignment"], done["expansion"]) == (0, 0, 0)

    counted = world.graph.computed.copy()
    world.resources.remove(Key("tulle.dev", "App", "ns9", "app"))
    touch_everything(world)
    done = world.graph.computed - counted
    assert (done["service"], done["assignment"], done["endpoints"]) == (0, 0, 0)
    assert len(world.workload_ids()) == 900


def test_the_order_of_arrival_does_not_matter() -> None:
    parts = [app(0, 2, 2), app(1, 2, 1), service("web", "ns0"), ROUTE]
    first, second = world_of(""), world_of("")
    for part in parts:
        publish(first, part)
    for part in reversed(parts):
        publish(second, part)
    for world in (first, second):
        touch_everything(world)
    assert first.workloads() == second.workloads()
    assert first.services() == second.services()
    assert name_table(first) == name_table(second)


def test_placement_answers_for_its_own_host_alone() -> None:
    world = world_of(app(0, 1, 1))
    assert world.placed("local", "ns0", "s0") == "spiffe://cluster.local/ns/ns0/sa/s0"
    assert world.placed("elsewhere", "ns0", "s0") is None
    assert world.placed("local", "ns0", "nobody") is None
    assert world.host_of(("ns0", "s0")) == "local"
    assert world.host_of(("ns0", "nobody")) is None
    assert world.namespaces() == ("ns0",)


def test_the_later_mesh_config_counts() -> None:
    text = """
        apiVersion: tulle.dev/v1
        kind: MeshConfig
        metadata: {name: %s}
        spec: {outboundTrafficPolicy: {mode: %s}}
        ---
        """
    world = world_of("")
    assert world.mesh_config().outbound_traffic_policy.mode == "ALLOW_ANY"
    publish(world, text % ("z", "ALLOW_ANY") + text % ("a", "REGISTRY_ONLY"))
    assert world.mesh_config().outbound_traffic_policy.mode == "REGISTRY_ONLY"
