"""ProxyConfig (networking.istio.io), field by field as in v1beta1/proxy_config.proto."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from tulle.model.schema import EnvironmentName, Int, Model, NoEffect, problem

_LOADER = ("LD_", "GLIBC_TUNABLES")


def check_environment(value: dict[str, str]) -> dict[str, str]:
    """Refuse what would make of the proxy another program, with the proxy's keys and rights."""
    for name in value:
        if name.startswith(_LOADER):
            raise problem(
                "not-honoured",
                f"{name} changes what the program is: no library is put into a proxy",
                remedy="Remove it.",
                field=f"[{name}]",
            )
    return value


class PolicySelector(Model):
    """type/v1beta1/selector.proto, `WorkloadSelector`."""

    match_labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=4096)] = {}

    @model_validator(mode="after")
    def _no_wildcard(self) -> PolicySelector:
        for name, value in self.match_labels.items():
            if not name or "*" in name + value:
                raise problem(
                    "invalid-label",
                    f"“{name}: {value}” is not a label: there are no wildcards",
                    remedy="Write whole labels.",
                    field=f"matchLabels[{name}]",
                )
        return self


class ProxyImage(Model):
    image_type: str = ""


class ProxyConfigSpec(Model):
    selector: PolicySelector | None = None
    concurrency: Annotated[Int, Field(ge=0, le=2**31 - 1)] | None = None
    environment_variables: Annotated[
        dict[EnvironmentName, Annotated[str, Field(max_length=2048)]], AfterValidator(check_environment)
    ] = {}
    image: Annotated[
        ProxyImage | None, NoEffect("a proxy is no image here, but the Envoy that Tulle comes with")
    ] = None
