"""The recipe of a fleet that scales: KEDA's object holds the simulated rule, pods come, go and drain."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from advisor.elastic import Elastic
from advisor.recipe import Recipe, recipe_of
from advisor.recommendation import Option
from advisor.spec.autoscaling import Autoscaling
from advisor.spec.spec import Origin
from tests.recipe.answers import answer, question


def recipe(least: int) -> Recipe:
    elastic = Elastic(
        min_replicas=least,
        max_replicas=6,
        target=12.5,
        check_s=20.0,
        window_s=400.0,
        start_up_s=71.2,
        start_up_origin=Origin.ESTIMATED,
        start_up_source="made up",
        mean_replicas=2.0,
        starts=4,
        waited_share=0.0,
        waited_mean_s=0.0,
        fixed_replicas=4,
        fixed_usd_per_hour=8.0,
    )
    fixed = next(o for o in answer().options if o.way == "multi-lora" and o.pools)
    pools = (fixed.pools[0].model_copy(update={"replicas": 6}),)
    scaled: Option = fixed.model_copy(
        update={"key": "scaled", "scaling": elastic, "pools": pools, "replicas": 6, "devices": 6}
    )
    return recipe_of(answer().model_copy(update={"options": (scaled,)}), question(), key="scaled")


def objects(made: Recipe) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(made.files["kubernetes.yaml"]) if one]


def test_the_rule_is_the_simulated_one() -> None:
    made = recipe(2)
    rule = yaml.safe_load(made.files["keda.yaml"])["spec"]
    (target,) = [o["metadata"]["name"] for o in objects(made) if o["kind"] == "StatefulSet"]
    assert rule["scaleTargetRef"]["name"] == target
    assert (rule["minReplicaCount"], rule["maxReplicaCount"], rule["pollingInterval"]) == (2, 6, 20)
    (trigger,) = rule["triggers"]
    assert trigger["metricType"] == "AverageValue"  # a sum over the pods, divided by their number
    assert trigger["metadata"]["threshold"] == "12.5"
    assert f'pod=~"{target}-[0-9]+"' in trigger["metadata"]["query"]
    behavior = rule["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 400
    assert behavior["scaleUp"]["policies"][0]["value"] == 6  # all at once, as simulated


def test_its_behaviour_and_its_objects_match_the_schemas() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    made = recipe(1)
    rule = yaml.safe_load(made.files["keda.yaml"])["spec"]
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "pool"},
        "spec": {
            "scaleTargetRef": rule["scaleTargetRef"],
            "minReplicas": rule["minReplicaCount"],
            "maxReplicas": rule["maxReplicaCount"],
            "behavior": rule["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }
    for one in (autoscaler, *objects(made)):
        validate.validate(one, "1.30", strict=True)


def test_zero_is_not_promised_without_an_activator() -> None:
    text = recipe(0).files["keda.yaml"]
    assert yaml.safe_load(text)["spec"]["minReplicaCount"] == 1
    assert "Put an activator" in text
    assert "activator" not in recipe(1).files["keda.yaml"]


def test_pods_drain_and_the_proxy_names_none_that_may_be_gone() -> None:
    made = recipe(1)
    (pods,) = [o["spec"] for o in objects(made) if o["kind"] == "StatefulSet"]
    (container,) = pods["template"]["spec"]["containers"]
    python, _, program = container["lifecycle"]["preStop"]["exec"]["command"]
    assert python == "python3"
    ast.parse(program)
    assert pods["replicas"] == 1
    services = {o["metadata"]["name"]: o["spec"] for o in objects(made) if o["kind"] == "Service"}
    (config,) = [o["data"]["nginx.conf"] for o in objects(made) if o["kind"] == "ConfigMap"]
    members = [
        line.split()[1].split(":")[0] for line in config.splitlines() if "server " in line and ":8000" in line
    ]
    assert len(members) == 1
    assert members[0] in services
    assert "clusterIP" not in services[members[0]]


def test_a_fixed_fleet_has_no_rule() -> None:
    fixed = next(o for o in answer().options if o.way == "multi-lora" and o.pools)
    assert "keda.yaml" not in recipe_of(answer(), question(), key=fixed.key).files


@pytest.mark.parametrize(("field", "value"), [("check_every", "400ms"), ("window", "61min")])
def test_what_kubernetes_would_not_take_is_refused_in_the_scenario(field: str, value: str) -> None:
    """HPA keeps what was wanted for an hour at most, and KEDA polls in whole seconds."""
    with pytest.raises(ValidationError, match=field):
        Autoscaling.model_validate({field: value})
    Autoscaling.model_validate({"check_every": "1s", "window": "1h"})
