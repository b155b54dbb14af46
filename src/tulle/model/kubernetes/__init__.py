"""Kubernetes' own kinds, as far as processes can be made from them."""

from tulle.model.kubernetes.config import (
    AnySpec,
    ConfigMapSpec,
    NamespaceSpec,
    SecretSpec,
    ServiceAccountSpec,
)
from tulle.model.kubernetes.pod import (
    Container,
    ContainerPort,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    PodSpec,
    PodTemplateSpec,
    Probe,
    TemplateMetadata,
    Volume,
    VolumeMount,
)
from tulle.model.kubernetes.service import (
    EndpointPort,
    EndpointSliceSpec,
    EndpointsSpec,
    EndpointSubset,
    ServicePort,
    ServiceSpec,
    SliceEndpoint,
)
from tulle.model.kubernetes.workload import DaemonSetSpec, DeploymentSpec, JobSpec, StatefulSetSpec

__all__ = [
    "AnySpec",
    "ConfigMapSpec",
    "Container",
    "ContainerPort",
    "DaemonSetSpec",
    "DeploymentSpec",
    "EndpointPort",
    "EndpointSliceSpec",
    "EndpointSubset",
    "EndpointsSpec",
    "EnvFromSource",
    "EnvVar",
    "EnvVarSource",
    "JobSpec",
    "NamespaceSpec",
    "PodSpec",
    "PodTemplateSpec",
    "Probe",
    "SecretSpec",
    "ServiceAccountSpec",
    "ServicePort",
    "ServiceSpec",
    "SliceEndpoint",
    "StatefulSetSpec",
    "TemplateMetadata",
    "Volume",
    "VolumeMount",
]
