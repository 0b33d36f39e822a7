"""A fleet that scales, on Kubernetes: KEDA's ScaledObject with the simulated rule, and how pods drain."""

from __future__ import annotations

from typing import Any, Final

import yaml

from advisor.elastic import Elastic
from advisor.recipe.plan import PORT, ServingPlan

GRACE_S: Final = 1800
"""A pod that goes is killed after this time, whatever it still does."""
_DRAIN: Final = f"""\
import re, time, urllib.request
time.sleep(10)  # until no request is sent here any more
count = re.compile(r"^vllm:num_requests_(?:running|waiting)\\{{[^}}]*\\}} (\\S+)", re.M)
while True:
    text = urllib.request.urlopen("http://127.0.0.1:{PORT}/metrics").read().decode()
    if not sum(map(float, count.findall(text))):
        break
    time.sleep(2)
"""


def drains() -> dict[str, Any]:
    """A container's hook that waits, before the process is told to end, until its requests are done."""
    return {"preStop": {"exec": {"command": ["python3", "-c", _DRAIN]}}}


def scaled_objects(plan: ServingPlan, scaling: Elastic) -> str:
    """One ScaledObject for the pool; see https://keda.sh/docs/latest/reference/scaledobject-spec."""
    (server,) = plan.servers
    counts = f'{{__name__=~"vllm:num_requests_(running|waiting)", pod=~"{server.name}-[0-9]+"}}'
    rule = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": server.name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": server.name},
            "pollingInterval": round(scaling.check_s),
            "cooldownPeriod": round(scaling.window_s),
            "minReplicaCount": max(scaling.min_replicas, 1),
            "maxReplicaCount": scaling.max_replicas,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(scaling)}},
            "triggers": [
                {
                    "type": "prometheus",
                    "metricType": "AverageValue",
                    "metadata": {
                        "serverAddress": "http://prometheus.monitoring:9090",
                        "query": f"sum({counts})",
                        "threshold": f"{scaling.target:g}",
                    },
                }
            ],
        },
    }
    return _head(scaling) + str(yaml.safe_dump(rule, sort_keys=False, width=1000))


def _behavior(scaling: Elastic) -> dict[str, Any]:
    """Up at once by any number, down by the highest number wanted within the window."""
    by = {"type": "Pods", "value": scaling.max_replicas, "periodSeconds": 15}
    return {
        "scaleUp": {"stabilizationWindowSeconds": 0, "policies": [by]},
        "scaleDown": {"stabilizationWindowSeconds": round(scaling.window_s), "policies": [by]},
    }


def _head(scaling: Elastic) -> str:
    lines = [
        "The rule that was simulated, for KEDA. Put your Prometheus into serverAddress. A start-up was taken",
        f"to be {scaling.start_up_s:.0f} s ({scaling.start_up_origin.value}): time yours, give it as",
        "autoscaling.start_up, and ask again.",
    ]
    if not scaling.min_replicas:
        lines += [
            "The simulation scales to zero. This object does not: with no pod there is no metric, and the",
            "proxy holds no request for a pod to come. Put an activator in front that does (KEDA's HTTP",
            "add-on, Knative), then set minReplicaCount to 0.",
        ]
    return "".join(f"# {line}\n" for line in lines)
