from tests.unit.mesh.worldly import name_table, report, report_all, world_of

TEXT = """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, command: [run]}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: db.example.com}
---
apiVersion: tulle.dev/v1
kind: App
metadata: {name: shop, namespace: shop}
spec:
  services:
    log: {ports: [{port: 514, targetPort: 5514, protocol: udp}], command: log}
    web: {port: 80, command: web}
"""


def test_what_dns_answers() -> None:
    world = world_of(TEXT)
    web, log = world.find_service("web", "shop"), world.find_service("log", "shop")
    assert web is not None and log is not None
    table = name_table(world)
    assert table.cluster_domain == "cluster.local"
    assert table.addresses[web.host] == web.addresses
    assert table.addresses["db.shop.svc.cluster.local"] == ()
    assert table.aliases == {"alias.shop.svc.cluster.local": "db.example.com"}
    assert table.udp == {f"{log.addresses[0]}:514": ()}


def test_headless_names_follow_readiness() -> None:
    world = world_of(TEXT)
    report(world, "shop", "db-0")
    first, second = (world.workload(("shop", name)) for name in ("db-0", "db-1"))
    assert first is not None and second is not None
    assert name_table(world).addresses["db.shop.svc.cluster.local"] == first.addresses
    assert name_table(world).addresses["db-0.db.shop.svc.cluster.local"] == first.addresses
    assert "db-1.db.shop.svc.cluster.local" not in name_table(world).addresses
    report(world, "shop", "db-1")
    both = tuple(sorted((first.address, second.address)))
    assert name_table(world).addresses["db.shop.svc.cluster.local"] == both


def test_udp_goes_to_ready_endpoints() -> None:
    world = world_of(TEXT)
    report_all(world)
    log = world.workload(("shop", "log"))
    assert log is not None
    assert list(name_table(world).udp.values()) == [(f"{log.address}:5514",)]


def test_the_readiness_of_a_plain_service_touches_the_table_of_that_service_alone() -> None:
    world = world_of(TEXT)
    before = {host: world.names_of(host) for host in world.service_hosts()}
    counted = world.graph.computed.copy()
    report(world, "shop", "web")
    after = {host: world.names_of(host) for host in world.service_hosts()}
    assert (world.graph.computed - counted)["records"] == 1
    assert [host for host in before if before[host] != after[host]] == ["web.shop.svc.cluster.local"]
    assert before["web.shop.svc.cluster.local"].addresses == after["web.shop.svc.cluster.local"].addresses
