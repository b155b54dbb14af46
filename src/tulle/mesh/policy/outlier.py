"""outlierDetection of a DestinationRule (Istio's `applyOutlierDetection`). Read by `outbound/cluster.py`."""

from __future__ import annotations

from tulle.mesh.view import OutlierDetection
from tulle.model import istio
from tulle.model.schema import seconds


def outlier_detection(written: istio.OutlierDetection) -> OutlierDetection:
    """The same in the words of the View."""
    return OutlierDetection(
        server_errors=written.consecutive_5xx_errors,
        gateway_errors=written.consecutive_gateway_errors,
        split_local=written.split_external_local_origin_errors,
        local_failures=written.consecutive_local_origin_failures or None,
        interval_seconds=seconds(written.interval) if written.interval else None,
        ejection_seconds=seconds(written.base_ejection_time) if written.base_ejection_time else None,
        ejection_percent=written.max_ejection_percent or None,
        error_statuses=tuple(sorted(set(written.outlier_detection_http_error_codes))),
    )
