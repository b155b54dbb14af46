"""ListenerSet (apis/v1/listenerset_types.go, v1.6): listeners that somebody else adds to a Gateway."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from tulle.model.gateway_api.gateway import Listener, check_listeners
from tulle.model.gateway_api.shared import Group, KindName, ObjectName
from tulle.model.schema import DnsLabel, Model


class ParentGatewayReference(Model):
    group: Group = "gateway.networking.k8s.io"
    kind: KindName = "Gateway"
    name: ObjectName
    namespace: DnsLabel | None = None


class ListenerSetSpec(Model):
    parent_ref: ParentGatewayReference
    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64)]

    @field_validator("listeners")
    @classmethod
    def _are_distinct(cls, listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
        check_listeners(listeners)
        return listeners
