"""The environment of a container (Kubernetes core/v1): what is written, and where to find the rest."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import model_validator

from tulle.model.schema import Bool, DnsName, EnvironmentName, Model, NotHonoured, exactly_one


class KeySelector(Model):
    """A key of a ConfigMap or Secret."""

    name: DnsName
    key: str
    optional: Bool = False


class ObjectFieldSelector(Model):
    api_version: str = "v1"
    field_path: str


class EnvVarSource(Model):
    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: Annotated[Any, NotHonoured("a process has no resource limits to tell")] = None
    file_key_ref: Annotated[Any, NotHonoured("environment from files of a volume is not read")] = None

    @model_validator(mode="after")
    def _one(self) -> EnvVarSource:
        exactly_one(
            self, "config_map_key_ref", "secret_key_ref", "field_ref", "resource_field_ref", "file_key_ref"
        )
        return self


class EnvVar(Model):
    name: EnvironmentName
    value: str = ""
    value_from: EnvVarSource | None = None

    @model_validator(mode="after")
    def _one(self) -> EnvVar:
        if self.value and self.value_from is not None:
            exactly_one(self, "value", "value_from")
        return self


class ObjectSelector(Model):
    """A whole ConfigMap or Secret."""

    name: DnsName
    optional: Bool = False


class EnvFromSource(Model):
    prefix: str = ""
    config_map_ref: ObjectSelector | None = None
    secret_ref: ObjectSelector | None = None

    @model_validator(mode="after")
    def _one(self) -> EnvFromSource:
        exactly_one(self, "config_map_ref", "secret_ref")
        return self
