"""IngressClass (networking.k8s.io/v1): which Ingresses are this mesh's.

Read by `workload/workload.py` (the proxy that serves them), `route/ingress.py`, `status/status.py` and
`review/ingress.py`.
"""

from __future__ import annotations

from tulle.mesh.declaration import Declaration
from tulle.model.kubernetes import CLASS_ANNOTATION, DEFAULT_ANNOTATION, IngressClassSpec, IngressSpec
from tulle.model.resource import Key, Resource

Ingress = Resource[IngressSpec]

INGRESS = ("networking.k8s.io", "Ingress")
INGRESS_CLASS = ("networking.k8s.io", "IngressClass")

CLASSES = ("tulle", "istio")
"""The IngressClasses that exist without being written: ours, and that of Istio's documentation."""
_CONTROLLERS = ("tulle.dev/", "istio.io/ingress-controller")
"""Every controller of our domain is this mesh; Istio's is the one that its documentation declares."""


def default_classes(declaration: Declaration) -> tuple[str, ...]:
    """The names of the IngressClasses that are marked as the default."""
    classes: tuple[Resource[IngressClassSpec], ...] = declaration.of_kind(*INGRESS_CLASS)
    return tuple(each.name for each in classes if each.metadata.annotations.get(DEFAULT_ANNOTATION) == "true")


def class_of(declaration: Declaration, ingress: Ingress) -> str:
    """The name of an Ingress's class, as it is written or by default; "" if it has none.

    Of several default classes none counts (`IngressClass`: "When a single IngressClass resource has this
    annotation").
    """
    written = ingress.spec.ingress_class_name or ingress.metadata.annotations.get(CLASS_ANNOTATION)
    if written is not None:
        return written
    marked = default_classes(declaration)
    return marked[0] if len(marked) == 1 else ""


def is_ours(declaration: Declaration, ingress: Ingress) -> bool:
    """Whether this mesh serves an Ingress."""
    name = class_of(declaration, ingress)
    written: Resource[IngressClassSpec] | None = (
        declaration.resources.get(Key(*INGRESS_CLASS, "", name)) if name else None
    )
    return name in CLASSES if written is None else written.spec.controller.startswith(_CONTROLLERS)


def ingresses(declaration: Declaration) -> tuple[Ingress, ...]:
    """The Ingresses that this mesh serves, the oldest first, then by namespace and name."""
    found: tuple[Ingress, ...] = declaration.of_kind(*INGRESS)
    return tuple(sorted((each for each in found if is_ours(declaration, each)), key=_age))


def _age(ingress: Ingress) -> tuple[str, str, str]:
    return (ingress.metadata.creation_timestamp or "", ingress.namespace, ingress.name)
