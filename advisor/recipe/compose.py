"""docker compose: all replicas on the devices of one machine."""

from __future__ import annotations

import re
from typing import Any

import yaml

from advisor.recipe.balance import IMAGE, nginx_config
from advisor.recipe.plan import PORT, Server, ServingPlan
from advisor.recipe.vllm import IMAGE as VLLM
from advisor.recipe.vllm import vllm_arguments


def compose_file(plan: ServingPlan) -> str:
    """compose.yaml. Folders are mounted at their own paths; devices are numbered from 0."""
    services: dict[str, Any] = {}
    device = 0
    for server in plan.servers:
        for number in range(server.replicas):
            ids = [str(device + i) for i in range(plan.devices)]
            services[_host(server, number)] = _replica(plan, server, ids)
            device += plan.devices
    services["balance"] = {
        "image": IMAGE,
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "volumes": ["./nginx.conf:/etc/nginx/nginx.conf:ro"],
        "depends_on": {name: {"condition": "service_healthy"} for name in services},
    }
    head = (
        f"# {plan.option.replicas} replicas on {plan.option.devices} x {plan.option.device} of one machine.\n"
        "# Set in .env: " + ", ".join(f"{name[1:]}=" for name in variables(plan)) + "\n"
    )
    return head + str(yaml.safe_dump({"services": services}, sort_keys=False, width=1000))


def compose_nginx(plan: ServingPlan) -> str:
    """nginx.conf beside compose.yaml."""
    return nginx_config(plan, _host)


def variables(plan: ServingPlan) -> list[str]:
    """Shell variables that the plan's places name."""
    words = [server.model for server in plan.servers]
    words += [path for server in plan.servers for _, path in server.adapters]
    drafts = plan.drafts
    words += [plan.places.draft_model] if drafts is not None and drafts.method != "ngram" else []
    return sorted({word.split("/")[0] for word in words if word.startswith("$")})


def _host(server: Server, number: int) -> str:
    return f"{server.name}-{number}"


def _replica(plan: ServingPlan, server: Server, device_ids: list[str]) -> dict[str, Any]:
    paths = {server.model, *(path for _, path in server.adapters)}
    if plan.drafts is not None and plan.drafts.method != "ngram":
        paths.add(plan.places.draft_model)
    mounts = sorted({root for root in map(_mounted, paths) if root is not None})
    return {
        "image": f"{VLLM}:v{plan.option.engine_version}",
        "command": [_braced(word) for word in vllm_arguments(plan, server)],
        "volumes": [f"{root}:{root}:ro" for root in mounts],
        "ipc": "host",
        "deploy": {
            "resources": {
                "reservations": {
                    "devices": [{"driver": "nvidia", "device_ids": device_ids, "capabilities": ["gpu"]}]
                }
            }
        },
        "healthcheck": {
            "test": ["CMD", "curl", "-sf", f"http://localhost:{PORT}/health"],
            "interval": "10s",
            "retries": 90,
        },
        "restart": "unless-stopped",
    }


def _mounted(path: str) -> str | None:
    """What must be mounted for a path; None for the name of a model on a hub."""
    if path.startswith("$"):
        return _braced(path.split("/")[0])
    return path if path.startswith(("/", "./", "../")) else None


def _braced(word: str) -> str:
    """Compose expands ${NAME}; every other $ is doubled."""
    return _VARIABLE.sub(lambda found: f"${{{found[1]}}}" if found[1] else "$$", word)


_VARIABLE = re.compile(r"\$(?:([A-Z_]+)(?=/|$|\"))?")
