"""`advisor app`: the web app on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from advisor.cli import options


@click.command(
    epilog=options.example(
        "advisor app\nadvisor app --port 8600 --workspace ./scenarios",
        "Exit codes: 0 closed; 2 input to mend (streamlit is missing, no such folder); 130 interrupted.",
    )
)
@click.option(
    "--port", default=8501, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on."
)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; this machine alone by default.",
)
@click.option(
    "--workspace",
    metavar="DIR",
    help="Folder whose files (traces, models, adapters) a scenario in the browser may name.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, options.MOST_JOBS),
    metavar="N",
    help="Processes for an answer; one a core if left out, 8 at most. One answer is computed at a time.",
)
@click.option(
    "--max-upload",
    default=64,
    show_default=True,
    type=click.IntRange(1, 2048),
    metavar="MIB",
    help="Largest file that a visitor may upload.",
)
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def app(
    port: int, address: str, workspace: str | None, jobs: int | None, max_upload: int, browser: bool
) -> int:
    """Open the web app: ask by a form, see the ranking and the reasons, vary what may be different."""
    from advisor.errors import InputError

    if find_spec("streamlit") is None:
        raise InputError(
            "streamlit is not installed; the web app needs it. Install it: pip install 'lora-advisor[app]'."
        )
    environment = dict(os.environ)
    if workspace is not None:
        if not Path(workspace).is_dir():
            raise InputError(f"{workspace}: no such folder; allowed: a folder. Check --workspace.")
        environment["LORA_ADVISOR_WORKSPACE"] = str(Path(workspace).resolve())
    if jobs is not None:
        environment["LORA_ADVISOR_JOBS"] = str(jobs)
    environment["LORA_ADVISOR_MAX_UPLOAD_MIB"] = str(max_upload)
    script = Path(__file__).parent.parent / "web" / "start" / "script.py"
    command = [
        sys.executable, "-m", "streamlit", "run", str(script),
        "--server.address", address, "--server.port", str(port),
        "--server.headless", "false" if browser else "true", "--server.maxUploadSize", str(max_upload),
        "--browser.gatherUsageStats", "false",
    ]  # fmt: skip
    return _watched(command, environment)


def _watched(command: list[str], environment: dict[str, str]) -> int:
    """Run the server until it ends; who ends this program (SIGTERM) ends the server too."""
    with subprocess.Popen(command, env=environment) as server:  # noqa: S603 - our own program, no shell
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()
