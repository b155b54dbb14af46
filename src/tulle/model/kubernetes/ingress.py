"""Ingress and IngressClass (networking.k8s.io/v1), as pkg/apis/networking/validation has them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tulle.model.schema import (
    DnsLabel,
    DnsName,
    Hostname,
    Model,
    NoEffect,
    NotHonoured,
    Port,
    PortName,
    exactly_one,
    problem,
)

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
"""How the class was written before `ingressClassName`, honoured still (`IngressSpec.ingressClassName`)."""
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
"""Of an IngressClass that is "true": Ingresses without a class have this one."""

_FORBIDDEN = ("//", "/./", "/../", "%2f", "%2F")
_FORBIDDEN_END = ("/..", "/.")
_CONTROLLER = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
)


def _check_host(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return value
    raise problem("invalid-hostname", f"“{value}” is an IP address", remedy="Write a DNS name.")


def _check_controller(value: str) -> str:
    if len(value) > 250 or not _CONTROLLER.fullmatch(value):
        raise problem(
            "invalid-name",
            f"“{value[:60]}” is not the name of a controller",
            remedy="Write DNS-NAME/NAME, such as tulle.dev/ingress-controller.",
        )
    return value


RuleHost = Annotated[Hostname, AfterValidator(_check_host)]


class ServiceBackendPort(Model):
    name: PortName | None = None
    number: Port | None = None

    @model_validator(mode="after")
    def _one(self) -> ServiceBackendPort:
        exactly_one(self, "name", "number")
        return self


class IngressServiceBackend(Model):
    name: DnsLabel
    """Of a Service in the Ingress's own namespace."""
    port: ServiceBackendPort


class IngressBackend(Model):
    service: IngressServiceBackend | None = None
    resource: Annotated[Any, NotHonoured("requests are sent to Services")] = None

    @model_validator(mode="after")
    def _one(self) -> IngressBackend:
        exactly_one(self, "service", "resource")
        return self


class HTTPIngressPath(Model):
    path: str = ""
    path_type: Literal["Exact", "Prefix", "ImplementationSpecific"]
    """ImplementationSpecific is treated as Prefix."""
    backend: IngressBackend

    @model_validator(mode="after")
    def _path_can_be_matched(self) -> HTTPIngressPath:
        specific = self.path_type == "ImplementationSpecific"
        if not self.path.startswith("/") and (self.path or not specific):
            raise problem(
                "invalid-path",
                f"“{self.path}” is not a path" if self.path else f"pathType {self.path_type} needs a path",
                remedy="Begin it with /.",
                field="path" if self.path else "pathType",
            )
        wrong = [each for each in _FORBIDDEN if each in self.path]
        wrong += [each for each in _FORBIDDEN_END if self.path.endswith(each)]
        if wrong and not specific:
            raise problem(
                "invalid-path", f"“{wrong[0]}” stands in the path", remedy="Leave it out.", field="path"
            )
        return self

    @property
    def elements(self) -> str:
        """The path as far as it counts: a slash at the end of a prefix does not (`PathTypePrefix`)."""
        return self.path if self.path_type == "Exact" else self.path.rstrip("/")


class HTTPIngressRuleValue(Model):
    paths: Annotated[tuple[HTTPIngressPath, ...], Field(min_length=1)]


class IngressRule(Model):
    host: RuleHost | Literal[""] = ""
    """A wildcard stands for one label. "": any host."""
    http: HTTPIngressRuleValue | None = None
    """None: what asks for this host goes to the default backend."""


class IngressTLS(Model):
    hosts: tuple[Hostname, ...] = ()
    """SNI; none: any."""
    secret_name: DnsName | Literal[""] = ""


class IngressSpec(Model):
    ingress_class_name: DnsName | None = None
    default_backend: IngressBackend | None = None
    tls: tuple[IngressTLS, ...] = ()
    rules: tuple[IngressRule, ...] = ()

    @model_validator(mode="after")
    def _leads_somewhere(self) -> IngressSpec:
        if self.default_backend is None and not self.rules:
            raise problem(
                "missing-field",
                "one of defaultBackend and rules is needed",
                remedy="Write rules, or a defaultBackend for everything.",
            )
        return self


class IngressClassSpec(Model):
    controller: Annotated[str, AfterValidator(_check_controller)]
    parameters: Annotated[Any, NoEffect("the controller of this mesh has no parameters")] = None
