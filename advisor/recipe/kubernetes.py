"""Kubernetes: a StatefulSet a server, so that every replica has a name, and nginx that knows the names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from advisor.recipe.balance import IMAGE, nginx_config
from advisor.recipe.plan import PORT, Server, ServingPlan
from advisor.recipe.scaling import GRACE_S, drains
from advisor.recipe.vllm import IMAGE as VLLM
from advisor.recipe.vllm import vllm_arguments

_VOLUME = "weights"
_MOUNT = "/weights"


def manifests(plan: ServingPlan) -> str:
    """All objects, one YAML document each. Weights and adapters lie on the claim `weights`."""
    objects = [_config(plan)]
    for server in plan.servers:
        objects += [_headless(server), _stateful_set(plan, server)]
        if plan.option.scaling is not None:
            objects.append(_service(_ready(server), {"app": server.name}))
    objects += [_balance(), _service("lora-serving", {"app": "balance"})]
    head = (
        "# The claim `weights` holds base/, adapters/NAME/, merged/NAME/ and draft/, as the recipe's README "
        "says.\n"
    )
    return head + str(yaml.safe_dump_all(objects, sort_keys=False, width=1000))


def _config(plan: ServingPlan) -> dict[str, Any]:
    if plan.option.scaling is None:
        config = nginx_config(plan, lambda server, number: f"{server.name}-{number}.{server.name}")
    else:  # pods come and go: nginx knows only the service of those that are ready
        one = replace(plan, servers=tuple(replace(server, replicas=1) for server in plan.servers))
        config = nginx_config(one, lambda server, _: _ready(server))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "balance"},
        "data": {"nginx.conf": config},
    }


def _ready(server: Server) -> str:
    return f"{server.name}-ready"


def _headless(server: Server) -> dict[str, Any]:
    spec = _service(server.name, {"app": server.name})
    spec["spec"] |= {"clusterIP": "None", "publishNotReadyAddresses": True}
    return spec


def _service(name: str, selector: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]},
    }


def _stateful_set(plan: ServingPlan, server: Server) -> dict[str, Any]:
    health = {"httpGet": {"path": "/health", "port": PORT}}
    container = {
        "name": "vllm",
        "image": f"{VLLM}:v{plan.option.engine_version}",
        "args": [_inside(plan, word) for word in vllm_arguments(plan, server)],
        "ports": [{"containerPort": PORT}],
        "resources": {"limits": {"nvidia.com/gpu": plan.devices}},
        "startupProbe": {**health, "periodSeconds": 10, "failureThreshold": 120},
        "readinessProbe": {**health, "periodSeconds": 5},
        "livenessProbe": {**health, "periodSeconds": 10, "failureThreshold": 6},
        "volumeMounts": [
            {"name": _VOLUME, "mountPath": _MOUNT, "readOnly": True},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a path inside the container
        ],
    }
    pod: dict[str, Any] = {
        "containers": [container],
        "volumes": [
            {"name": _VOLUME, "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
        ],
    }
    replicas = server.replicas
    if plan.option.scaling is not None:
        replicas = max(plan.option.scaling.min_replicas, 1)
        container["lifecycle"] = drains()
        pod["terminationGracePeriodSeconds"] = GRACE_S
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": server.name},
        "spec": {
            "serviceName": server.name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": server.name}},
            "template": {"metadata": {"labels": {"app": server.name, "part": "engine"}}, "spec": pod},
        },
    }


def _inside(plan: ServingPlan, word: str) -> str:
    """A word of the command line with the places of the claim; a name and `=` before it stay."""
    name, equals, path = word.rpartition("=") if word.count("=") == 1 else ("", "", word)
    places = {
        plan.places.base_model: "base",
        plan.places.adapters: "adapters",
        plan.places.merged: "merged",
        plan.places.draft_model: "draft",
    }
    for place, folder in places.items():
        if path == place or path.startswith(f"{place}/"):
            path = f"{_MOUNT}/{folder}{path[len(place) :]}"
            break
        if f'"{place}"' in path:
            path = path.replace(f'"{place}"', f'"{_MOUNT}/{folder}"')
    return f"{name}{equals}{path}"


def _balance() -> dict[str, Any]:
    container = {
        "name": "nginx",
        "image": IMAGE,
        "ports": [{"containerPort": PORT}],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/nginx/nginx.conf", "subPath": "nginx.conf"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "balance"}}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "balance"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "balance"}},
            "template": {"metadata": {"labels": {"app": "balance"}}, "spec": pod},
        },
    }
