"""Every kind that is known: its group, versions, names, and the type of its content.

Read by `parse.py`, by the API and by the command line (`tulle get KIND`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tulle.model import gateway_api, istio, kubernetes
from tulle.model.app import GROUP as TULLE
from tulle.model.app import AppSpec
from tulle.model.meshconfig import MeshConfigSpec
from tulle.model.schema import Model


class Naming(Enum):
    """What `metadata.name` may be."""

    LABEL = "label"  # RFC 1123, 63 characters
    SUBDOMAIN = "subdomain"  # RFC 1123, dots allowed, 253 characters
    ANY = "any"  # one segment of a path


@dataclass(frozen=True, slots=True)
class Kind:
    group: str
    versions: tuple[str, ...]
    """The preferred one first."""
    kind: str
    plural: str
    short_names: tuple[str, ...]
    spec: type[Model]
    namespaced: bool = True
    has_spec: bool = True
    """False: the content stands at the top of the document (ConfigMap, Secret, ...)."""
    naming: Naming = Naming.SUBDOMAIN
    no_effect: str = ""
    """Why the kind is taken and means nothing here; '' if it does mean something."""
    other_specs: Mapping[str, type[Model]] = field(default_factory=dict[str, type[Model]], hash=False)
    """By version: the content where its schema differs from that of the preferred one."""
    replaced_annotations: tuple[tuple[str, str], ...] = ()
    """(annotation, field of the spec that has taken its place): only one of them may be written."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.versions[0]}" if self.group else self.versions[0]

    @property
    def api_versions(self) -> tuple[str, ...]:
        return tuple(f"{self.group}/{version}" if self.group else version for version in self.versions)


_NETWORKING = "networking.k8s.io"
_CLUSTER_RIGHTS = "there is no API server whose rights it could give"
_ISTIO_VERSIONS = ("v1", "v1beta1", "v1alpha3")
_GATEWAY_VERSIONS = ("v1", "v1beta1")
_LABEL = Naming.LABEL

_OURS = (
    Kind(TULLE, ("v1",), "App", "apps", (), AppSpec),
    Kind(TULLE, ("v1",), "MeshConfig", "meshconfigs", (), MeshConfigSpec, namespaced=False),
)

_KUBERNETES = (
    Kind("", ("v1",), "Namespace", "namespaces", ("ns",), kubernetes.NamespaceSpec, False, naming=_LABEL),
    Kind("", ("v1",), "Service", "services", ("svc",), kubernetes.ServiceSpec, naming=_LABEL),
    Kind(
        "",
        ("v1",),
        "ServiceAccount",
        "serviceaccounts",
        ("sa",),
        kubernetes.ServiceAccountSpec,
        has_spec=False,
    ),
    Kind("", ("v1",), "Pod", "pods", ("po",), kubernetes.PodSpec),
    Kind("", ("v1",), "ConfigMap", "configmaps", ("cm",), kubernetes.ConfigMapSpec, has_spec=False),
    Kind("", ("v1",), "Secret", "secrets", (), kubernetes.SecretSpec, has_spec=False),
    Kind("", ("v1",), "Endpoints", "endpoints", ("ep",), kubernetes.EndpointsSpec, has_spec=False),
    Kind("apps", ("v1",), "Deployment", "deployments", ("deploy",), kubernetes.DeploymentSpec),
    Kind("apps", ("v1",), "StatefulSet", "statefulsets", ("sts",), kubernetes.StatefulSetSpec),
    Kind("apps", ("v1",), "DaemonSet", "daemonsets", ("ds",), kubernetes.DaemonSetSpec),
    Kind("batch", ("v1",), "Job", "jobs", (), kubernetes.JobSpec),
    Kind(
        _NETWORKING,
        ("v1",),
        "Ingress",
        "ingresses",
        ("ing",),
        kubernetes.IngressSpec,
        replaced_annotations=((kubernetes.CLASS_ANNOTATION, "ingressClassName"),),
    ),
    Kind(
        _NETWORKING,
        ("v1",),
        "IngressClass",
        "ingressclasses",
        (),
        kubernetes.IngressClassSpec,
        namespaced=False,
    ),
    Kind(
        "discovery.k8s.io",
        ("v1",),
        "EndpointSlice",
        "endpointslices",
        (),
        kubernetes.EndpointSliceSpec,
        has_spec=False,
    ),
)

_GATEWAY_API = (
    Kind(
        gateway_api.GROUP,
        _GATEWAY_VERSIONS,
        "GatewayClass",
        "gatewayclasses",
        ("gc",),
        gateway_api.GatewayClassSpec,
        namespaced=False,
    ),
    Kind(
        gateway_api.GROUP,
        _GATEWAY_VERSIONS,
        "Gateway",
        "gateways",
        ("gtw",),
        gateway_api.GatewaySpec,
        naming=_LABEL,
    ),
    Kind(gateway_api.GROUP, _GATEWAY_VERSIONS, "HTTPRoute", "httproutes", (), gateway_api.HTTPRouteSpec),
    Kind(
        gateway_api.GROUP,
        ("v1", "v1alpha2"),
        "GRPCRoute",
        "grpcroutes",
        (),
        gateway_api.GRPCRouteSpec,
    ),
    Kind(
        gateway_api.GROUP,
        ("v1", "v1alpha2"),
        "TCPRoute",
        "tcproutes",
        (),
        gateway_api.TCPRouteSpec,
    ),
    Kind(
        gateway_api.GROUP,
        ("v1", "v1alpha3", "v1alpha2"),
        "TLSRoute",
        "tlsroutes",
        (),
        gateway_api.TLSRouteSpec,
        other_specs={"v1alpha2": gateway_api.TLSRouteV1Alpha2Spec},
    ),
    Kind(
        gateway_api.GROUP,
        ("v1", "v1alpha2"),
        "UDPRoute",
        "udproutes",
        (),
        gateway_api.UDPRouteSpec,
    ),
    Kind(
        gateway_api.GROUP,
        ("v1",),
        "ListenerSet",
        "listenersets",
        ("lset",),
        gateway_api.ListenerSetSpec,
    ),
    Kind(
        gateway_api.GROUP,
        ("v1", "v1alpha3"),
        "BackendTLSPolicy",
        "backendtlspolicies",
        ("btlspolicy",),
        gateway_api.BackendTLSPolicySpec,
    ),
    Kind(
        gateway_api.EXPERIMENTAL_GROUP,
        ("v1alpha1",),
        "XBackendTrafficPolicy",
        "xbackendtrafficpolicies",
        ("xbtrafficpolicy",),
        gateway_api.BackendTrafficPolicySpec,
    ),
    Kind(
        gateway_api.GROUP,
        _GATEWAY_VERSIONS,
        "ReferenceGrant",
        "referencegrants",
        ("refgrant",),
        gateway_api.ReferenceGrantSpec,
    ),
)

_ISTIO = (
    Kind(
        istio.GROUP, _ISTIO_VERSIONS, "VirtualService", "virtualservices", ("vs",), istio.VirtualServiceSpec
    ),
    Kind(
        istio.GROUP,
        _ISTIO_VERSIONS,
        "DestinationRule",
        "destinationrules",
        ("dr",),
        istio.DestinationRuleSpec,
    ),
    Kind(istio.GROUP, _ISTIO_VERSIONS, "Gateway", "gateways", ("gw",), istio.GatewaySpec),
    Kind(istio.GROUP, _ISTIO_VERSIONS, "Sidecar", "sidecars", (), istio.SidecarSpec),
    Kind(
        istio.GROUP,
        _ISTIO_VERSIONS,
        "ServiceEntry",
        "serviceentries",
        ("se",),
        istio.ServiceEntrySpec,
    ),
    Kind(istio.GROUP, ("v1beta1",), "ProxyConfig", "proxyconfigs", (), istio.ProxyConfigSpec),
    Kind(
        istio.GROUP,
        ("v1alpha3",),
        "EnvoyFilter",
        "envoyfilters",
        (),
        istio.EnvoyFilterSpec,
    ),
    Kind(istio.GROUP, _ISTIO_VERSIONS, "WorkloadEntry", "workloadentries", ("we",), istio.WorkloadEntrySpec),
    Kind(
        istio.GROUP,
        _ISTIO_VERSIONS,
        "WorkloadGroup",
        "workloadgroups",
        ("wg",),
        istio.WorkloadGroupSpec,
        no_effect="workloads do not register themselves: each stands where it is declared",
    ),
)


def _unneeded(
    group: str,
    kind: str,
    plural: str,
    reason: str,
    *,
    versions: tuple[str, ...] = ("v1",),
    cluster: bool = False,
) -> Kind:
    return Kind(
        group,
        versions,
        kind,
        plural,
        (),
        kubernetes.AnySpec,
        namespaced=not cluster,
        has_spec=False,
        naming=Naming.ANY,
        no_effect=reason,
    )


_RBAC = "rbac.authorization.k8s.io"
_LIMITS = "processes have no resource limits here"
_STORAGE = "processes keep their files where they write them"
_UNNEEDED = (
    _unneeded(_RBAC, "ClusterRole", "clusterroles", _CLUSTER_RIGHTS, cluster=True),
    _unneeded(_RBAC, "ClusterRoleBinding", "clusterrolebindings", _CLUSTER_RIGHTS, cluster=True),
    _unneeded(_RBAC, "Role", "roles", _CLUSTER_RIGHTS),
    _unneeded(_RBAC, "RoleBinding", "rolebindings", _CLUSTER_RIGHTS),
    _unneeded(
        _NETWORKING,
        "NetworkPolicy",
        "networkpolicies",
        "packets are not filtered here; the mesh's own policies come later",
    ),
    _unneeded(
        "autoscaling",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "replicas stay as written",
        versions=("v2", "v1"),
    ),
    _unneeded("policy", "PodDisruptionBudget", "poddisruptionbudgets", "there are no nodes to drain"),
    _unneeded("", "PersistentVolumeClaim", "persistentvolumeclaims", _STORAGE),
    _unneeded("", "PersistentVolume", "persistentvolumes", _STORAGE, cluster=True),
    _unneeded("storage.k8s.io", "StorageClass", "storageclasses", _STORAGE, cluster=True),
    _unneeded("", "ResourceQuota", "resourcequotas", _LIMITS),
    _unneeded("", "LimitRange", "limitranges", _LIMITS),
    _unneeded("scheduling.k8s.io", "PriorityClass", "priorityclasses", "there is no scheduler", cluster=True),
    _unneeded(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        "kinds are built in",
        cluster=True,
    ),
    _unneeded(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "no webhook is called",
        cluster=True,
    ),
    _unneeded(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "no webhook is called",
        cluster=True,
    ),
    _unneeded(
        "monitoring.coreos.com", "ServiceMonitor", "servicemonitors", "metrics are not collected for it"
    ),
    _unneeded("monitoring.coreos.com", "PodMonitor", "podmonitors", "metrics are not collected for it"),
    _unneeded("", "Event", "events", "it is a report"),
    _unneeded("", "Node", "nodes", "there is one machine", cluster=True),
)

KINDS: tuple[Kind, ...] = (*_OURS, *_KUBERNETES, *_GATEWAY_API, *_ISTIO, *_UNNEEDED)

_BY_GROUP_AND_KIND = {(kind.group, kind.kind): kind for kind in KINDS}


def split_api_version(api_version: str) -> tuple[str, str]:
    """'apps/v1' -> ('apps', 'v1'); 'v1' -> ('', 'v1')."""
    group, _, version = api_version.rpartition("/")
    return group, version


def find(group: str, kind: str) -> Kind | None:
    """The kind of that group, if it is known."""
    return _BY_GROUP_AND_KIND.get((group, kind))


def named(text: str) -> tuple[Kind, ...]:
    """What a person may mean by `virtualservice`, `vs`, `httproutes` or `gateways.networking.istio.io`."""
    name, _, group = text.lower().partition(".")
    return tuple(
        kind
        for kind in KINDS
        if name in (kind.kind.lower(), kind.plural, *kind.short_names) and (not group or kind.group == group)
    )


def similar(text: str) -> tuple[str, ...]:
    """The names of known kinds that look like this one, nearest first."""
    names = {kind.kind.lower(): kind.kind for kind in KINDS}
    return tuple(names[near] for near in difflib.get_close_matches(text.lower(), names, n=3, cutoff=0.7))
