"""What VirtualServices do with requests, their delegates, and connections by TLS and TCP routes."""

from __future__ import annotations

from tests.unit.mesh.routed import ask, codes, shop, table, virtual_host
from tests.unit.mesh.test_route_istio import DETAILS, RATINGS, http, virtual_service
from tulle.mesh.resolve import Resolution
from tulle.mesh.view import (
    Cors,
    Forward,
    MatchKind,
    Mirror,
    OutboundListener,
    PathChange,
    PathRewrite,
    PortChoice,
    Redirect,
    Reject,
    Respond,
    Retry,
    Route,
    TcpChain,
)
from tulle.mesh.world import World

TO_RATINGS = "route: [{destination: {host: ratings}}]"


def only_route(rest: str) -> Route:
    _, resolution = shop(virtual_service(f"http: [{{{rest}}}]"))
    assert {code for code, _, _ in codes(resolution)} <= {"deprecated", "no-effect"}
    host = virtual_host(table(resolution.outbound("shop"), "9080"), "reviews")
    assert host is not None
    return host.routes[0]


def forwarded(rest: str) -> Forward:
    action = only_route(f"{TO_RATINGS}, {rest}").action
    assert isinstance(action, Forward)
    return action


def test_redirects_keep_what_they_do_not_say() -> None:
    assert only_route("redirect: {uri: /new}").action == Redirect(
        301, path=PathRewrite(PathChange.FULL, "/new")
    )
    assert only_route("redirect: {authority: a, port: 8443, redirectCode: 307}").action == Redirect(
        307, authority="a", port=8443
    )


def test_a_redirect_writes_no_port_that_its_scheme_has_anyway() -> None:
    def port(rest: str) -> int | PortChoice:
        action = only_route(f"redirect: {{authority: a, {rest}}}").action
        assert isinstance(action, Redirect)
        return action.port

    assert port("port: 80") is PortChoice.SCHEME
    assert port("port: 443") == 443
    assert port("port: 443, scheme: https") is PortChoice.SCHEME
    assert port("derivePort: FROM_REQUEST_PORT") == 9080
    assert port("derivePort: FROM_PROTOCOL_DEFAULT") is PortChoice.SCHEME
    assert port("scheme: https") is PortChoice.KEEP


def test_answers_in_place() -> None:
    assert only_route("directResponse: {status: 503, body: {string: ä}}").action == Respond(503, "ä".encode())
    assert only_route("directResponse: {status: 200, body: {bytes: AP8=}}").action == Respond(
        200, b"\x00\xff"
    )


def test_rewrites() -> None:
    assert forwarded("rewrite: {uri: /v1}").path == PathRewrite(PathChange.PREFIX, "/v1")
    regex = forwarded("rewrite: {uriRegexRewrite: {match: '/(.)', rewrite: '\\1'}}").path
    assert regex == PathRewrite(PathChange.REGEX, "\\1", "/(.)")
    assert forwarded("rewrite: {authority: a.example}").authority == "a.example"
    assert forwarded("headers: {request: {add: {Host: b.example}}}").authority == "b.example"


def test_retries() -> None:
    assert forwarded("timeout: 1500ms").retry is None
    never = forwarded("retries: {attempts: 0}")
    assert never.retry == Retry(0)
    made = forwarded("retries: {attempts: 2, perTryTimeout: 1s, retryOn: '5xx,409,reset', backoff: 1s}")
    assert made.retry == Retry(2, ("5xx", "reset"), (409,), 1.0)
    assert made.attempt_seconds == 1.0
    again = forwarded("retries: {attempts: 1, retryIgnorePreviousHosts: false, retryRemoteLocalities: true}")
    assert again.retry == Retry(1, other_localities=True, tried_hosts_again=True)


def test_copies() -> None:
    assert forwarded("mirror: {host: details}").mirrors == (Mirror(DETAILS),)
    assert forwarded("mirror: {host: details}, mirrorPercent: 10").mirrors == (Mirror(DETAILS, 100_000),)
    assert forwarded("mirror: {host: details}, mirrorPercentage: {value: 0.5}").mirrors == (
        Mirror(DETAILS, 5_000),
    )
    assert forwarded("mirror: {host: details}, mirrorPercentage: {value: 0}").mirrors == ()


def test_a_copy_for_nobody_is_not_made_and_says_so() -> None:
    _, resolution = shop(virtual_service(f"http: [{{{TO_RATINGS}, mirror: {{host: nobody}}}}]"))
    assert codes(resolution) == [("reference-not-found", "VirtualService/route", "spec.http[0].mirror.host")]
    assert ask(resolution.outbound("shop"), "9080", "reviews") == RATINGS


def test_an_abort_without_a_status_aborts_nothing() -> None:
    route = only_route(f"{TO_RATINGS}, fault: {{abort: {{}}}}")
    assert route.fault is None or route.fault.abort is None


def test_the_older_form_of_origins() -> None:
    route = only_route(f"{TO_RATINGS}, corsPolicy: {{allowOrigin: ['*']}}")
    assert isinstance(route.cors, Cors)
    assert [(each.kind, each.value) for each in route.cors.origins] == [(MatchKind.EXACT, "*")]
    assert route.cors.forward_unmatched_preflights


def test_statistics_are_kept_of_the_match_that_names_them() -> None:
    matches = "[{uri: {prefix: /a}, statPrefix: mine}, {uri: {prefix: /b}}]"
    _, resolution = shop(virtual_service(http(matches)))
    found = virtual_host(table(resolution.outbound("shop"), "9080"), "reviews")
    assert found is not None
    assert [route.stat_prefix for route in found.routes] == ["mine", ""]


# -- delegates --------------------------------------------------------------------------------------


ROOT = (
    "http: [{match: [{uri: {prefix: /team}, headers: {a: {exact: b}}}],"
    " delegate: {name: team, namespace: front}}, {route: [{destination: {host: details}}]}]"
)


def delegate(rest: str, export: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: team, namespace: front}}
spec:
  {export}
  http: [{{{rest}, route: [{{destination: {{host: ratings.shop}}}}]}}]
"""


def delegating(*texts: str) -> Resolution:
    return shop(virtual_service(ROOT), *texts)[1]


def test_a_delegate_takes_a_part_of_what_its_root_takes() -> None:
    view = delegating(delegate("match: [{uri: {prefix: /team/a}}]")).outbound("shop")
    assert ask(view, "9080", "reviews", "/team/a", headers={"a": "b"}) == RATINGS
    assert ask(view, "9080", "reviews", "/team/a") == DETAILS  # the root's header holds below too
    assert ask(view, "9080", "reviews", "/team/b", headers={"a": "b"}) == DETAILS


def test_a_delegate_without_matches_takes_all_of_its_root() -> None:
    view = delegating(delegate("timeout: 1s")).outbound("shop")
    assert ask(view, "9080", "reviews", "/team", headers={"a": "b"}) == RATINGS


def test_what_a_delegate_would_take_beyond_its_root_is_left_out_and_said() -> None:
    for match in (
        "{uri: {prefix: /te}}",
        "{uri: {regex: '/team/.*'}}",
        "{headers: {a: {exact: c}}}",
        "{ignoreUriCase: true}",
    ):
        resolution = delegating(delegate(f"match: [{match}]"))
        assert codes(resolution) == [("not-attached", "VirtualService/route", "spec.http[0].delegate")], match
        assert ask(resolution.outbound("shop"), "9080", "reviews", "/team", headers={"a": "b"}) == DETAILS


def test_a_delegate_that_is_not_there_or_not_for_its_root() -> None:
    resolution = delegating()
    assert codes(resolution) == [("reference-not-found", "VirtualService/route", "spec.http[0].delegate")]
    assert ask(resolution.outbound("shop"), "9080", "reviews", "/team", headers={"a": "b"}) == DETAILS

    hidden = delegating(delegate("timeout: 1s", "exportTo: ['.']"))
    assert codes(hidden) == [("not-attached", "VirtualService/route", "spec.http[0].delegate")]
    assert codes(delegating(delegate("timeout: 1s", "exportTo: [shop]"))) == []


def test_a_delegate_that_nobody_names_says_so() -> None:
    _, resolution = shop(delegate("timeout: 1s"))
    assert codes(resolution) == [("not-attached", "VirtualService/team", "")]


def test_callers_that_a_delegate_tells_apart() -> None:
    resolution = delegating(delegate("match: [{sourceLabels: {app: orders}}, {sourceNamespace: front}]"))
    asked = {"path": "/team", "headers": {"a": "b"}}
    assert ask(resolution.outbound("shop"), "9080", "reviews", **asked) == DETAILS  # type: ignore[arg-type]
    assert ask(resolution.outbound("shop", app="orders"), "9080", "reviews", **asked) == RATINGS  # type: ignore[arg-type]
    assert ask(resolution.outbound("front"), "9080", "reviews.shop", **asked) == RATINGS  # type: ignore[arg-type]


# -- connections ------------------------------------------------------------------------------------


def listener_of(world: World, resolution: Resolution, host: str) -> OutboundListener:
    service = world.find_service(host, "shop")
    assert service is not None
    found = resolution.outbound("shop").listeners
    return next(each for each in found if each.address == service.addresses[0])


def test_a_tcp_route_by_the_dialled_address() -> None:
    for subnet, taken in (("240.240.0.0/16", True), ("10.9.0.0/16", False)):
        world, resolution = shop(
            virtual_service(
                f"tcp: [{{match: [{{destinationSubnets: [{subnet}]}}],"
                " route: [{destination: {host: vault}}]}]",
                hosts="[orders]",
            )
        )
        address = listener_of(world, resolution, "orders").address
        then = listener_of(world, resolution, "orders").otherwise.then
        assert isinstance(then, TcpChain)
        assert then.clusters[0].cluster.startswith("outbound|8443|" if taken else "outbound|7000|"), address


def test_the_share_of_a_destination_that_is_not_there_is_closed() -> None:
    route = "{destination: {host: vault}, weight: 1}, {destination: {host: nobody}, weight: 3}"
    world, resolution = shop(virtual_service(f"tcp: [{{route: [{route}]}}]", hosts="[orders]"))
    then = listener_of(world, resolution, "orders").otherwise.then
    assert isinstance(then, TcpChain)
    assert [(each.cluster.split("|")[-1], each.weight) for each in then.clusters] == [
        ("vault.shop.svc.cluster.local", 1),
        ("MissingBackend", 3),
    ]
    [found] = [each.message for each in resolution.findings()]
    assert found == "there is no service nobody.shop.svc.cluster.local; its connections are closed"


def test_a_name_that_two_tls_matches_have_is_the_first_ones() -> None:
    world, resolution = shop(
        virtual_service(
            "tls: [{match: [{sniHosts: [a.example.com]}], route: [{destination: {host: orders}}]},"
            "{match: [{sniHosts: [a.example.com, '*.example.com']}],"
            " route: [{destination: {host: nobody}}]}]",
            hosts="[vault, '*.example.com']",
        )
    )
    one, other = listener_of(world, resolution, "vault").chains
    assert (one.server_names, other.server_names) == (("a.example.com",), ("*.example.com",))
    assert isinstance(other.then, Reject)
