"""PodSpec and what is in it (Kubernetes core/v1): containers that run here as processes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tulle.model.kubernetes.environment import EnvFromSource, EnvVar
from tulle.model.label import Labels
from tulle.model.schema import (
    Bool,
    DnsLabel,
    DnsName,
    HeaderName,
    Int,
    Model,
    NoEffect,
    NotHonoured,
    Port,
    PortName,
    exactly_one,
    problem,
)

Count = Annotated[Int, Field(ge=0)]
Positive = Annotated[Int, Field(ge=1)]
_PROCESS = NoEffect("a process runs with the rights and the resources of the mesh's user")
_SCHEDULING = NoEffect("there is no scheduler: it runs on this machine")
_IMAGE = NoEffect("no image is pulled: a command runs")
_VOLUME = NoEffect("ConfigMap, Secret and emptyDir volumes are mounted, others are left out")


class ContainerPort(Model):
    container_port: Port
    name: PortName | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    host_port: Annotated[Int | None, NoEffect("no port of the host is taken")] = None
    host_ip: Annotated[str | None, Field(alias="hostIP"), NoEffect("no port of the host is taken")] = None


class VolumeMount(Model):
    name: DnsLabel
    mount_path: Annotated[str, Field(min_length=1)]
    sub_path: str = ""
    read_only: Bool = False
    mount_propagation: Annotated[str | None, _PROCESS] = None
    recursive_read_only: Annotated[str | None, _PROCESS] = None
    sub_path_expr: Annotated[str, NotHonoured("write subPath")] = ""


class HTTPHeader(Model):
    name: HeaderName
    value: str = ""


class HTTPGetAction(Model):
    port: Port | PortName
    path: str = "/"
    host: str = ""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPSocketAction(Model):
    port: Port | PortName
    host: str = ""


class GRPCAction(Model):
    port: Port
    service: str = ""


class ExecAction(Model):
    command: Annotated[tuple[str, ...], Field(min_length=1)]


class Probe(Model):
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    exec: ExecAction | None = None
    initial_delay_seconds: Count = 0
    period_seconds: Positive = 10
    timeout_seconds: Positive = 1
    success_threshold: Positive = 1
    failure_threshold: Positive = 3
    termination_grace_period_seconds: Annotated[
        Count | None, NoEffect("the grace period of the pod holds")
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Probe:
        exactly_one(self, "http_get", "tcp_socket", "grpc", "exec")
        return self


class Container(Model):
    name: DnsLabel
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    resources: Annotated[Any, _PROCESS] = None
    resize_policy: Annotated[Any, _PROCESS] = None
    security_context: Annotated[Any, _PROCESS] = None
    lifecycle: Annotated[Any, NoEffect("processes are started and stopped without hooks")] = None
    restart_policy: Annotated[
        Literal["Always", "Never", "OnFailure"] | None,
        NotHonoured("init containers run to their end: make it one of containers"),
    ] = None
    restart_policy_rules: Annotated[Any, NoEffect("the restart policy of the pod holds")] = None
    volume_devices: Annotated[Any, _VOLUME] = None
    image_pull_policy: Annotated[str | None, _IMAGE] = None
    termination_message_path: Annotated[str | None, _PROCESS] = None
    termination_message_policy: Annotated[str | None, _PROCESS] = None
    stdin: Annotated[Bool | None, _PROCESS] = None
    stdin_once: Annotated[Bool | None, _PROCESS] = None
    tty: Annotated[Bool | None, _PROCESS] = None


class KeyToPath(Model):
    key: str
    path: Annotated[str, Field(min_length=1)]
    mode: Annotated[Int | None, _PROCESS] = None

    @model_validator(mode="after")
    def _inside(self) -> KeyToPath:
        if self.path.startswith("/") or ".." in self.path.split("/"):
            raise problem(
                "invalid-path",
                f"“{self.path}” leads out of the volume",
                remedy="Write a relative path without “..”.",
                field="path",
            )
        return self


class ConfigMapVolumeSource(Model):
    name: DnsName
    items: tuple[KeyToPath, ...] = ()
    optional: Bool = False
    default_mode: Annotated[Int | None, _PROCESS] = None


class SecretVolumeSource(Model):
    secret_name: DnsName
    items: tuple[KeyToPath, ...] = ()
    optional: Bool = False
    default_mode: Annotated[Int | None, _PROCESS] = None


class EmptyDirVolumeSource(Model):
    medium: Annotated[str, _PROCESS] = ""
    size_limit: Annotated[Any, _PROCESS] = None


class Volume(Model):
    name: DnsLabel
    config_map: ConfigMapVolumeSource | None = None
    secret: SecretVolumeSource | None = None
    empty_dir: EmptyDirVolumeSource | None = None
    host_path: Annotated[Any, _VOLUME] = None
    persistent_volume_claim: Annotated[Any, _VOLUME] = None
    projected: Annotated[Any, _VOLUME] = None
    downward_api: Annotated[Any, Field(alias="downwardAPI"), _VOLUME] = None
    csi: Annotated[Any, _VOLUME] = None
    ephemeral: Annotated[Any, _VOLUME] = None
    image: Annotated[Any, _VOLUME] = None
    nfs: Annotated[Any, _VOLUME] = None
    iscsi: Annotated[Any, _VOLUME] = None

    @model_validator(mode="after")
    def _one(self) -> Volume:
        exactly_one(self, *(name for name in type(self).model_fields if name != "name"))
        return self


class PodSpec(Model):
    containers: Annotated[tuple[Container, ...], Field(min_length=1)]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    service_account_name: DnsName | None = None
    service_account: DnsName | None = None
    """The deprecated name of serviceAccountName."""
    hostname: DnsLabel | None = None
    subdomain: DnsLabel | None = None
    termination_grace_period_seconds: Count = 30
    ephemeral_containers: Annotated[Any, _PROCESS] = None
    active_deadline_seconds: Annotated[Int | None, _SCHEDULING] = None
    dns_policy: Annotated[str | None, NoEffect("names are always resolved through the mesh")] = None
    dns_config: Annotated[Any, NoEffect("names are always resolved through the mesh")] = None
    host_aliases: Annotated[Any, NotHonoured("names are answered by the mesh")] = None
    node_selector: Annotated[Any, _SCHEDULING] = None
    node_name: Annotated[str | None, _SCHEDULING] = None
    affinity: Annotated[Any, _SCHEDULING] = None
    tolerations: Annotated[Any, _SCHEDULING] = None
    scheduler_name: Annotated[str | None, _SCHEDULING] = None
    priority_class_name: Annotated[str | None, _SCHEDULING] = None
    priority: Annotated[Int | None, _SCHEDULING] = None
    preemption_policy: Annotated[str | None, _SCHEDULING] = None
    topology_spread_constraints: Annotated[Any, _SCHEDULING] = None
    scheduling_gates: Annotated[Any, _SCHEDULING] = None
    readiness_gates: Annotated[Any, _SCHEDULING] = None
    runtime_class_name: Annotated[str | None, _PROCESS] = None
    overhead: Annotated[Any, _PROCESS] = None
    resources: Annotated[Any, _PROCESS] = None
    resource_claims: Annotated[Any, _PROCESS] = None
    security_context: Annotated[Any, _PROCESS] = None
    image_pull_secrets: Annotated[Any, _IMAGE] = None
    automount_service_account_token: Annotated[
        Bool | None, NoEffect("there is no API server to have a token for")
    ] = None
    enable_service_links: Annotated[Bool | None, NoEffect("services are found by name")] = None
    host_network: Annotated[Bool | None, NoEffect("every workload has its own network")] = None
    host_pid: Annotated[Bool | None, Field(alias="hostPID"), _PROCESS] = None
    host_ipc: Annotated[Bool | None, Field(alias="hostIPC"), _PROCESS] = None
    host_users: Annotated[Bool | None, _PROCESS] = None
    share_process_namespace: Annotated[Bool | None, _PROCESS] = None
    set_hostname_as_fqdn: Annotated[Bool | None, Field(alias="setHostnameAsFQDN"), _PROCESS] = None
    hostname_override: Annotated[str | None, _PROCESS] = None
    os: Annotated[Any, _PROCESS] = None

    @model_validator(mode="after")
    def _names_fit(self) -> PodSpec:
        names: set[str] = set()
        volumes = {volume.name for volume in self.volumes}
        for field, containers in (("initContainers", self.init_containers), ("containers", self.containers)):
            for index, container in enumerate(containers):
                at = f"{field}[{index}]"
                if container.name in names:
                    raise problem(
                        "duplicate-name",
                        f"two containers are called “{container.name}”",
                        remedy="Give every container its own name.",
                        field=f"{at}.name",
                    )
                names.add(container.name)
                for number, mount in enumerate(container.volume_mounts):
                    if mount.name not in volumes:
                        raise problem(
                            "unknown-volume",
                            f"there is no volume “{mount.name}”",
                            remedy="Add it to volumes, or correct the name.",
                            field=f"{at}.volumeMounts[{number}].name",
                        )
        return self


class TemplateMetadata(Model):
    """The metadata of pods that are still to be made."""

    name: str | None = None
    namespace: DnsLabel | None = None
    labels: Labels = {}
    annotations: dict[str, str] = {}
    creation_timestamp: str | None = None
    finalizers: tuple[str, ...] = ()


class PodTemplateSpec(Model):
    metadata: TemplateMetadata = TemplateMetadata()
    spec: PodSpec
