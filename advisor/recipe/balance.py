"""nginx in front of the replicas: fewest outstanding requests first, as the simulation's router."""

from __future__ import annotations

from collections.abc import Callable

from advisor.recipe.plan import PORT, Server, ServingPlan

IMAGE = "nginx:1.29"
_BALANCE = {
    "round-robin": "",
    "least-outstanding": "    least_conn;\n",
    "adapter-affinity": "    hash $http_x_adapter consistent;  # clients name their adapter in X-Adapter\n",
}


def nginx_config(plan: ServingPlan, host: Callable[[Server, int], str]) -> str:
    """The configuration file.

    Args:
        plan: what runs.
        host: name of a server's replica in the network.
    """
    lines = ["events {}", "http {", "  proxy_buffering off;  # tokens must pass as they come"]
    lines += ["  proxy_read_timeout 3600s;", "  client_max_body_size 64m;"]
    balance = _BALANCE[plan.option.router]
    for server in plan.servers:
        members = "".join(f"    server {host(server, n)}:{PORT};\n" for n in range(server.replicas))
        lines.append(f"  upstream {server.name} {{\n{balance}{members}  }}")
    lines.append(f"  server {{\n    listen {PORT};")
    for server in plan.servers:
        path = "/" if len(plan.servers) == 1 else f"/{server.name}/"
        end = "" if path == "/" else "/"
        lines.append(
            f"    location {path} {{\n      proxy_http_version 1.1;\n"
            f'      proxy_set_header Connection "";\n      proxy_pass http://{server.name}{end};\n    }}'
        )
    return "\n".join([*lines, "  }", "}", ""])
