"""A running server: engine, thread, sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from advisor.errors import InputError
from calibration.livesetup import LiveSetup
from calibration.server.app import Serving, application
from calibration.server.loop import EngineLoop
from calibration.server.metrics import Metrics
from calibration.server.wording import Wording

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")  # of oneDNN; of torch before it
_KERNELS = "128"
KEPT_STEPS = 1000
"""Records of steps that a server keeps; 0.7 kB each."""


def bound_kernel_caches() -> None:
    """Bound what torch keeps on a CPU for every shape of a product. Call it before torch computes anything.

    Both caches hold 1,024 kernels by default, about 0.5 MiB a pair with the shipped model, and a server meets
    new shapes for ever (docs/explanation/server.md). Variables that are set already stay.
    """
    for name in _KERNEL_CACHES:
        os.environ.setdefault(name, _KERNELS)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where and to whom."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one
    served_name: str = ""
    adapter_root: Path | None = None
    api_key_env: str = ""
    max_outstanding: int = 1000


def build(setup: LiveSetup, options: ServeOptions) -> Serving:
    """Everything but the sockets; the engine's thread is not started yet.

    Raises:
        InputError: a host that is open to others without a key, an empty key, or what the engine refuses.
    """
    key = os.environ.get(options.api_key_env) if options.api_key_env else None
    if options.api_key_env and not key:
        raise InputError(
            f"--api-key-env is {options.api_key_env}, which is empty; allowed: a variable with the key."
        )
    if options.host not in _LOOPBACK and key is None:
        raise InputError(
            f"--host is {options.host}, which others can reach; allowed without --api-key-env: 127.0.0.1."
        )
    engine = setup.engine()
    name = options.served_name or setup.model_dir.name
    loop = EngineLoop(engine, Metrics(name, engine), options.max_outstanding)
    wording = Wording(setup.model_dir, engine.architecture.shape.vocab_size)
    longest = setup.options.longest(setup.limits, engine.architecture.max_positions)
    return Serving(loop, wording, name, longest, options.adapter_root, key)


def run(serving: Serving, options: ServeOptions, tell: Callable[[str], None]) -> None:
    """Serve until a signal comes; the first line told is the address, which is open by then.

    Unfinished requests get an error then. SIGINT is a KeyboardInterrupt, SIGTERM a SystemExit(0).

    Raises:
        InputError: the address is taken.
    """
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            serving.loop.stop_soon()
            super().handle_exit(sig, frame)

    bound = _bound(options)
    tell(f"serving {serving.name} on {_address(options, bound)}")
    signal.signal(signal.SIGTERM, _leave)
    serving.loop.start()
    try:
        Server(_config(serving)).run(sockets=[bound])
    finally:
        serving.loop.stop()


@contextlib.contextmanager
def running(serving: Serving, options: ServeOptions) -> Iterator[str]:
    """Serve in a thread, for tests and for measurements of the server itself; yields the address."""
    import uvicorn

    bound = _bound(options)
    serving.loop.start()
    server = uvicorn.Server(_config(serving))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield _address(options, bound)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        serving.loop.stop()


def _config(serving: Serving) -> Any:
    import uvicorn

    return uvicorn.Config(application(serving), log_level="warning", access_log=False, lifespan="off")


def _address(options: ServeOptions, bound: socket.socket) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{bound.getsockname()[1]}"


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def _bound(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((options.host, options.port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise InputError(
            f"--host and --port are {options.host}:{options.port}; allowed: an address of this machine that "
            f"is free ({error.strerror})."
        ) from None
    return bound
