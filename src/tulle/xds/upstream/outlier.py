"""OutlierDetection -> which endpoints are left out for a while, and for how long."""

from __future__ import annotations

from tulle.mesh.view import OutlierDetection
from tulle.xds import message
from tulle.xds.message import Tree


def outlier_detection(detection: OutlierDetection) -> Tree:
    """config.cluster.v3.OutlierDetection. Only what is counted in a row ejects; rates of success never do, as
    in Istio: they need many endpoints and much traffic to mean anything."""
    built: Tree = {"enforcing_success_rate": message.number(0)}
    for name, errors in (
        ("consecutive_5xx", detection.server_errors),
        ("consecutive_gateway_failure", detection.gateway_errors),
    ):
        if errors is not None:
            built[name] = message.number(errors)
            built[f"enforcing_{name}"] = message.number(100 if errors else 0)
    if detection.split_local:
        built["split_external_local_origin_errors"] = True
        built["enforcing_local_origin_success_rate"] = message.number(0)
        if detection.local_failures is not None:
            built["consecutive_local_origin_failure"] = message.number(detection.local_failures)
            built["enforcing_consecutive_local_origin_failure"] = message.number(100)
    if detection.interval_seconds is not None:
        built["interval"] = message.seconds(detection.interval_seconds)
    if detection.ejection_seconds is not None:
        built["base_ejection_time"] = message.seconds(detection.ejection_seconds)
    if detection.ejection_percent is not None:
        built["max_ejection_percent"] = message.number(detection.ejection_percent)
    if detection.always_one:
        built["always_eject_one_host"] = message.YES
    return built


def error_statuses(detection: OutlierDetection) -> Tree:
    """HttpProtocolOptions.OutlierDetection: which answers are errors, in place of 5xx; {} for 5xx."""
    if not detection.error_statuses:
        return {}
    pattern = "|".join(map(str, detection.error_statuses))
    status: Tree = {"name": ":status", "string_match": {"safe_regex": {"regex": pattern}}}
    return {"error_matcher": {"http_response_headers_match": {"headers": [status]}}}
