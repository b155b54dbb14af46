"""Kubernetes' own kinds, as far as processes can be made from them."""

from tulle.model.kubernetes.config import (
    AnySpec,
    ConfigMapSpec,
    NamespaceSpec,
    SecretSpec,
    ServiceAccountSpec,
)
from tulle.model.kubernetes.environment import EnvFromSource, EnvVar, EnvVarSource
from tulle.model.kubernetes.ingress import (
    CLASS_ANNOTATION,
    DEFAULT_ANNOTATION,
    HTTPIngressPath,
    IngressBackend,
    IngressClassSpec,
    IngressSpec,
)
from tulle.model.kubernetes.pod import (
    Container,
    ContainerPort,
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
    "CLASS_ANNOTATION",
    "DEFAULT_ANNOTATION",
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
    "HTTPIngressPath",
    "IngressBackend",
    "IngressClassSpec",
    "IngressSpec",
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
