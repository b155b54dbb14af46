"""Host names of services: what a short name means where it is written.

Read by `World.find_service` and by `resolve`, which needs the forms that a caller may use.
"""

from __future__ import annotations

from tulle.model.agentapi import OUTSIDE


def service_host(name: str, namespace: str, cluster_domain: str) -> str:
    """The one full name of a Service (Kubernetes, "DNS for Services and Pods")."""
    return f"{name}.{namespace}.svc.{cluster_domain}"


def qualify(name: str, namespace: str, cluster_domain: str) -> str:
    """The full host name that `name` means when it is written in `namespace`.

    `reviews`, `reviews.shop`, `reviews.shop.svc` and the full name mean the same service. Everything
    else (`httpbin.example.com`, `*.example.com`, `*`, an address) is returned as it is, in lower case.
    A name with one dot may be either (`reviews.shop`, `example.com`): `World.find_service` looks for the
    name as it is written first.
    """
    name = name.lower().rstrip(".")
    labels = name.split(".")
    if not all(labels) or "*" in name or name.replace(".", "").isdigit() or ":" in name or "/" in name:
        return name
    if len(labels) == 1:
        return service_host(name, namespace, cluster_domain)
    if len(labels) == 2:
        return service_host(labels[0], labels[1], cluster_domain)
    if len(labels) == 3 and labels[2] == "svc":
        return f"{name}.{cluster_domain}"
    return name


def short_forms(host: str, namespace: str, cluster_domain: str) -> tuple[str, ...]:
    """The names by which a caller in `namespace` may ask for `host`, the full name first.

    Istio generates the same domains for a virtual host (`GenerateVirtualHostDomains`): all forms within
    the service's own namespace, those that carry the namespace elsewhere.
    """
    suffix = f".svc.{cluster_domain}"
    if not host.endswith(suffix):
        return (host,)
    name, _, of_namespace = host.removesuffix(suffix).rpartition(".")
    if not name:
        return (host,)
    forms = (host, f"{name}.{of_namespace}.svc", f"{name}.{of_namespace}")
    return (*forms, name) if of_namespace == namespace else forms


def outside_name(name: str, cluster_domain: str) -> str:
    """The name by which a proxy asks for what a name is outside of the mesh.

    A ServiceEntry's host leads its callers to the mesh's own address for it; their proxy has the same
    nameserver, and would come back to itself.
    """
    if name.replace(".", "").isdigit() or name.endswith(f".{cluster_domain}"):
        return name
    return f"{name}.{OUTSIDE}.{cluster_domain}"


def cluster_name(host: str, port: int, subset: str = "", udp: bool = False) -> str:
    """`outbound|9080|v1|reviews.shop.svc.cluster.local`, as mesh tools know it from Istio (`BuildSubsetKey`).
    A service may have one number for TCP and for UDP; `outbound-udp` is our own word."""
    return f"outbound{'-udp' if udp else ''}|{port}|{subset}|{host}"
