"""Header values name commands of Envoy; for one that it does not know it refuses the whole route table."""

from __future__ import annotations

from tests.envoy import refusal
from tests.unit.xds import views
from tests.wire.test_proxy_gateway import gateway
from tulle.mesh.view import HeaderChanges, RequestMatch, Respond, Route
from tulle.model.istio.header import COMMANDS, COMMANDS_WITH_ARGUMENT
from tulle.xds.translate import translate_gateway

ARGUMENTS = {"UPSTREAM_METADATA": '["a", "b"]', "METADATA": "ROUTE:a"}


def written(command: str) -> str:
    if command in COMMANDS_WITH_ARGUMENT:
        return f"%{command}({ARGUMENTS.get(command, 'a')})%"
    return f"%{command}%"


def refused(*values: str) -> str:
    changes = HeaderChanges(set=tuple((f"x-{number}", value) for number, value in enumerate(values)))
    route = Route("all", RequestMatch(), Respond(200), views.HERE, response=changes)
    return refusal(translate_gateway(gateway(80, {}, (route,))))


def test_envoy_knows_every_command_that_may_be_written() -> None:
    assert refused(*map(written, sorted(COMMANDS))) == ""


def test_envoy_refuses_what_is_refused_here() -> None:
    for value in ("%NO_SUCH%", "%REQ%", "100%"):
        assert refused(value), value
