"""What is resolved after any sequence of changes is what a fresh start on the same resources resolves."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.mesh.certificate import secret
from tests.unit.mesh.routed import SHOP
from tulle.kit.derived import Graph
from tulle.mesh.declaration import Settings
from tulle.mesh.resolve import Resolution
from tulle.mesh.world import World
from tulle.model.parse import parse
from tulle.model.resource import Key, Resource

ROUTES = """
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: producer, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews}]
  rules:
  - {matches: [{path: {value: /a}}], backendRefs: [{name: ratings, port: 9080}, {name: later, port: 80}]}
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: consumer, namespace: front}
spec:
  parentRefs: [{group: "", kind: Service, name: reviews, namespace: shop}]
  rules: [{backendRefs: [{name: details, port: 9080, namespace: shop, weight: 2}]}]
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: rim, namespace: front}
spec:
  parentRefs:
  - {name: edge, namespace: shop, sectionName: http}
  - {name: edge, namespace: shop, sectionName: https}
  hostnames: [a.example.com]
  rules: [{backendRefs: [{name: reviews, port: 9080, namespace: shop}]}]
---
kind: Gateway
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: tulle
  listeners:
  - {name: http, port: 80, protocol: HTTP,
     allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: web}}}}}
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]},
     allowedRoutes: {namespaces: {from: All}}}
---
kind: ReferenceGrant
apiVersion: gateway.networking.k8s.io/v1beta1
metadata: {name: grant, namespace: shop}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: front}]
  to: [{group: "", kind: Service}]
---
kind: Namespace
apiVersion: v1
metadata: {name: front, labels: {team: web}}
---
kind: GatewayClass
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: tulle}
spec: {controllerName: example.com/other}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - {route: [{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: later}, weight: 1}]}
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: wide, namespace: front}
spec:
  hosts: ["*.shop.svc.cluster.local"]
  exportTo: ["."]
  http: [{route: [{destination: {host: details.shop}}]}]
---
kind: VirtualService
apiVersion: networking.istio.io/v1
metadata: {name: rim, namespace: shop}
spec:
  hosts: [b.example.com]
  gateways: [mesh, front/edge]
  http: [{match: [{gateways: [front/edge]}], route: [{destination: {host: orders}}]},
         {route: [{destination: {host: storefront.front}}]}]
  tcp: [{route: [{destination: {host: orders}}]}]
---
kind: Gateway
apiVersion: networking.istio.io/v1
metadata: {name: edge, namespace: front}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"]}
  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: reviews, namespace: shop}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
kind: DestinationRule
apiVersion: networking.istio.io/v1
metadata: {name: reviews, namespace: front}
spec:
  host: reviews.shop
  trafficPolicy: {tls: {mode: DISABLE}}
  subsets: [{name: v1, labels: {version: v2}}]
---
kind: Service
apiVersion: v1
metadata: {name: later, namespace: shop}
spec: {selector: {app: ratings}, ports: [{port: 80, targetPort: 9080, name: http}]}
---
kind: Service
apiVersion: v1
metadata: {name: each, namespace: shop}
spec: {clusterIP: None, selector: {app: ratings}, ports: [{port: 9080, name: grpc}, {port: 1, name: tcp}]}
---
kind: Service
apiVersion: v1
metadata: {name: alias, namespace: front}
spec: {type: ExternalName, externalName: later.shop.svc.cluster.local}
---
kind: MeshConfig
apiVersion: tulle.dev/v1
metadata: {name: mesh}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""


def _documents() -> dict[Key, Resource[Any]]:
    resources, findings = parse(f"{ROUTES}---{SHOP}---{secret('cert', 'shop')}", "mesh.yaml")
    assert not findings
    return {resource.key: resource for resource in resources}


DOCUMENTS = _documents()


def everything(world: World, resolution: Resolution) -> dict[object, object]:
    """All that anybody is told: parts, endpoints' names, status and findings."""
    told: dict[object, object] = {"findings": resolution.findings()}
    for proxy in resolution.proxies():
        for part in resolution.parts(proxy):
            told[part] = (resolution.part(part), resolution.endpoint_queries(part))
    for key in DOCUMENTS:
        told[key] = resolution.status(key)
    return told


def fresh(present: set[Key], allocations: dict[str, str]) -> dict[object, object]:
    world = World(Graph(), Settings(), dict(allocations))
    for key in sorted(present, reverse=True):
        world.resources.publish(key, DOCUMENTS[key])
    return everything(world, Resolution(world))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(DOCUMENTS)), min_size=1, max_size=25), st.booleans())
def test_changes_lead_where_a_fresh_start_leads(toggled: list[Key], full: bool) -> None:
    allocations: dict[str, str] = {}
    world = World(Graph(), Settings(), allocations)
    resolution = Resolution(world)
    present = set(DOCUMENTS) if full else set[Key]()
    for key in present:
        world.resources.publish(key, DOCUMENTS[key])
    everything(world, resolution)
    for key in toggled:
        if key in present:
            present.discard(key)
            world.resources.remove(key)
        else:
            present.add(key)
            world.resources.publish(key, DOCUMENTS[key])
        told = everything(world, resolution)
    assert told == fresh(present, allocations)
