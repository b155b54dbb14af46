"""What is declared to the control plane: a hundred services of ten workloads, and one route that changes."""

from __future__ import annotations

SERVICES, REPLICAS = 100, 10
TRUST_DOMAIN = "cluster.local"
HOST = "local"
_NAMESPACE = "fleet"


def documents() -> str:
    """The App."""
    services = "".join(
        f"    service-{number}: {{port: 9080, protocol: http, command: 'true', replicas: {REPLICAS}}}\n"
        for number in range(SERVICES)
    )
    return (
        "apiVersion: tulle.dev/v1\nkind: App\n"
        f"metadata: {{name: fleet, namespace: {_NAMESPACE}}}\nspec:\n  services:\n{services}"
    )


def route(weight: int) -> str:
    """A policy: so many of a hundred requests to one service go to it, the others to another one."""
    return f"""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: split, namespace: {_NAMESPACE}}}
spec:
  parentRefs: [{{group: "", kind: Service, name: service-0, port: 9080}}]
  rules:
  - backendRefs:
    - {{name: service-0, port: 9080, weight: {weight}}}
    - {{name: service-1, port: 9080, weight: {100 - weight}}}
"""
