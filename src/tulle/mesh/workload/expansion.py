"""The workloads that one resource declares: App, Deployment, StatefulSet, DaemonSet, Job, Pod, and a
Gateway's proxy.

Pure; read by `workload.py`. A workload is NAME in its namespace; replicas are NAME-1, NAME-2, ... (those
of a StatefulSet NAME-0, NAME-1, ..., as on Kubernetes). A DaemonSet is one workload: a mesh has one host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tulle.mesh.gateway import deployment
from tulle.mesh.workload.draft import Draft, WorkloadPort, sorted_labels, wants_no_envoy, wants_proxy
from tulle.model import app, gateway_api, kubernetes
from tulle.model.agentapi import RestartPolicy
from tulle.model.resource import Resource

APP_LABEL = "app"
OWNERS = frozenset(
    {
        (app.GROUP, "App"),
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("batch", "Job"),
        ("", "Pod"),
        (gateway_api.GROUP, "Gateway"),
    }
)
"""(group, kind) of what declares workloads by itself."""


def expand(resource: Resource[Any]) -> tuple[Draft, ...]:
    """The workloads of a resource, in the order in which they are written; none of any other kind."""
    match (resource.key.group, resource.key.kind):
        case (app.GROUP, "App"):
            return tuple(_of_app(resource))
        case ("apps", "Deployment"):
            return tuple(_of_deployment(resource))
        case ("apps", "StatefulSet"):
            return tuple(_of_stateful_set(resource))
        case ("apps", "DaemonSet"):
            return (_of_template(resource, resource.spec.template, resource.name),)
        case ("batch", "Job"):
            return (_of_job(resource),)
        case ("", "Pod"):
            metadata = resource.metadata
            return (
                _of_pod(
                    resource, resource.spec, metadata.labels, metadata.annotations, resource.name, "spec"
                ),
            )
        case (gateway_api.GROUP, "Gateway"):
            proxy = deployment.own_proxy(resource)
            return (proxy,) if proxy is not None else ()
        case _:
            return ()


def replica_names(name: str, count: int) -> tuple[str, ...]:
    """NAME for one replica, else NAME-1, NAME-2, ..."""
    return (name,) if count == 1 else tuple(f"{name}-{number}" for number in range(1, count + 1))


def _of_app(resource: Resource[app.AppSpec]) -> Iterator[Draft]:
    for name, service in resource.spec.services.items():
        ports = tuple(
            WorkloadPort(port.target_port or port.port, port.name, port.protocol == "udp")
            for port in service.service_ports()
        )
        for version, process in service.variants().items():
            field = f"spec.services.{name}" + (f".versions.{version}" if version else "")
            labels = {**process.labels, APP_LABEL: name}
            replicas = 1 if process.replicas is None else process.replicas
            for workload in replica_names(f"{name}-{version}" if version else name, replicas):
                yield Draft(
                    namespace=resource.namespace,
                    name=workload,
                    key=resource.key,
                    field=field,
                    labels=sorted_labels(labels),
                    annotations=sorted_labels(resource.metadata.annotations),
                    service_account=process.service_account or name,
                    runs=process,
                    runs_field=field,
                    ports=ports,
                    locality=process.locality or "",
                    inject=wants_proxy(labels, {}) and process.proxy != "none",
                    proxyless=process.proxy == "grpc",
                    external=process.external,
                )


def _of_deployment(resource: Resource[kubernetes.DeploymentSpec]) -> Iterator[Draft]:
    for name in replica_names(resource.name, resource.spec.replicas):
        yield _of_template(resource, resource.spec.template, name)


def _of_stateful_set(resource: Resource[kubernetes.StatefulSetSpec]) -> Iterator[Draft]:
    """Each has a stable name, which is also its host name under the governing service."""
    for number in range(resource.spec.replicas):
        name = f"{resource.name}-{number}"
        identity = {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}
        yield _of_template(
            resource, resource.spec.template, name, identity, name, resource.spec.service_name or ""
        )


def _of_job(resource: Resource[kubernetes.JobSpec]) -> Draft:
    draft = _of_template(resource, resource.spec.template, resource.name, {"job-name": resource.name})
    return replace(draft, backoff_limit=resource.spec.backoff_limit)


def _of_template(
    resource: Resource[Any],
    template: kubernetes.PodTemplateSpec,
    name: str,
    more_labels: Mapping[str, str] | None = None,
    hostname: str = "",
    subdomain: str = "",
) -> Draft:
    labels = {**template.metadata.labels, **(more_labels or {})}
    annotations = template.metadata.annotations
    field = "spec.template.spec"
    return _of_pod(resource, template.spec, labels, annotations, name, field, hostname, subdomain)


def _of_pod(
    resource: Resource[Any],
    pod: kubernetes.PodSpec,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    name: str,
    field: str,
    hostname: str = "",
    subdomain: str = "",
) -> Draft:
    ports = tuple(
        WorkloadPort(port.container_port, port.name or "", port.protocol == "UDP")
        for container in pod.containers
        for port in container.ports
    )
    return Draft(
        namespace=resource.namespace,
        name=name,
        key=resource.key,
        field="",
        labels=sorted_labels(labels),
        service_account=pod.service_account_name or pod.service_account or "default",
        runs=pod,
        runs_field=field,
        annotations=sorted_labels(annotations),
        ports=ports,
        hostname=hostname or pod.hostname or "",
        subdomain=subdomain or pod.subdomain or "",
        restart=RestartPolicy(pod.restart_policy),
        inject=wants_proxy(labels, annotations),
        proxyless=wants_no_envoy(annotations),
    )
