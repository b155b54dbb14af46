"""What the log says while the control plane is away."""

from structlog.testing import capture_logs

from tulle.ads.outage import ANEW, ENDED, Outage


def test_many_streams_that_end_and_return_together_are_two_lines() -> None:
    outage = Outage()
    with capture_logs() as logs:
        for _ in range(2):
            for node in map(str, range(100)):
                outage.tell(node, False, ENDED)
                outage.tell(node, False, "UNAVAILABLE: Connection refused")
            for node in map(str, range(100)):
                outage.tell(node, True, "")
    assert [line["log_level"] for line in logs] == ["warning", "info"] * 2


def test_what_concerns_one_node_names_it() -> None:
    outage = Outage()
    with capture_logs() as logs:
        outage.tell("shop/web", False, "PERMISSION_DENIED: it is not placed there")
        outage.tell("shop/web", False, ANEW)
        outage.tell("shop/web", True, "")
    assert [line["node"] for line in logs] == ["shop/web"]
