"""Targets under libFuzzer, each in a process of its own: `python -m tests.fuzz.fuzzer MODULE JOBS.json`.

Faults do not end it: each kind is written down once, with the content that shows it, and the search goes on.
`guided.py` starts this and reads what it leaves.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn

import atheris

from tests.fuzz.job import Job, Report
from tests.fuzz.mutate import Mutator

if TYPE_CHECKING:
    from tests.fuzz.target import Target

SLOW_S: Final = 1.0
"""Of processor time, code that counts its branches."""
GROWTH_BYTES: Final = 256 * 2**20
_LONGEST_BYTES: Final = 8 * 2**10  # or twice the longest good content
_MOST_RESIDENT_MIB: Final = 3072
_HANGS_S: Final = 300
_EVERY: Final = 100
_KIB: Final = 1024


class Run:
    """Feeds contents to one target and keeps the report."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder
        self.report = Report()
        self._scratch = folder / "scratch"
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._seen: set[str] = set()
        self._sentences: Counter[str] = Counter()
        self._resident = _resident_bytes()

    def __call__(self, content: bytes) -> None:
        """One input."""
        began_s = time.process_time()
        try:
            message = self.target.outcome(content, self._scratch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            self._fault(_kind(error), content, "".join(traceback.format_exception(error)))
        else:
            self.report.returned += not message
            self._sentences[_words(message)] += 1
        self._costs(content, time.process_time() - began_s)
        self.report.inputs += 1
        if self.report.inputs % _EVERY == 0:
            self.write()

    def _costs(self, content: bytes, took_s: float) -> None:
        self.report.slowest_s = max(self.report.slowest_s, took_s)
        if took_s > SLOW_S:
            self._fault("slow", content, f"{took_s:.2f} s of processor time")
        resident = _resident_bytes()
        if resident - self._resident > GROWTH_BYTES:
            self._fault("memory", content, f"{(resident - self._resident) / 2**20:.0f} MiB more than before")
        self._resident = max(self._resident, resident)

    def _fault(self, kind: str, content: bytes, told: str) -> None:
        if kind in self._seen:
            return
        self._seen.add(kind)
        name = f"fault-{hashlib.sha256(content).hexdigest()[:12]}"
        (self.folder / name).write_bytes(content)
        self.report.faults.append({"kind": kind, "content": name, "told": told})
        self.write()

    def write(self) -> None:
        """Leave the report; libFuzzer ends the process without a word to Python."""
        self.report.sentences = len(self._sentences)
        (self.folder / "report.json").write_text(json.dumps(asdict(self.report)), encoding="utf-8")


def _kind(error: BaseException) -> str:
    """What makes two faults one: the error, and where in our code it came up."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place = _place(trace) or place
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"


def _place(trace: TracebackType) -> str:
    code = trace.tb_frame.f_code
    parts = Path(code.co_filename).parts
    ours = [at for at, part in enumerate(parts) if part in ("advisor", "calibration", "tests")]
    return f"{'/'.join(parts[ours[-1] :])}:{trace.tb_lineno}" if ours else ""


def _words(message: str) -> str:
    """A sentence without its values."""
    return "".join(one for one in message if one.isalpha() or one == " ")[:200]


def _raw(content: bytes, most_bytes: int) -> bytes:
    """libFuzzer's own change; atheris puts it in place when it begins."""
    changed: bytes = atheris.Mutate(content, most_bytes)
    return changed


def _resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def loaded(module: str, names: Sequence[str], scratch: Path) -> dict[str, Target]:
    """The targets, with counters at each branch of their code."""
    with atheris.instrument_imports(include=["advisor", "calibration", "tests.fuzz.broken"]):
        targets: dict[str, Target] = importlib.import_module(module).TARGETS
        for name in names:  # what readers import when they run gets its counters too
            for content in targets[name].good():
                assert targets[name].outcome(content, scratch) == "", name
    return targets


def fuzz(target: Target, job: Job) -> NoReturn:
    """Run a job in this process, which ends with it."""
    folder = Path(job.folder)
    run = Run(target, folder)
    run.write()
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    good = target.good()
    for number, content in enumerate(good):
        (corpus / f"good-{number}").write_bytes(content)
    most_bytes = max(_LONGEST_BYTES, 2 * max(map(len, good)))
    options = [
        f"-runs={job.inputs}", f"-seed={job.seed + 1}", f"-max_total_time={job.seconds}",
        f"-max_len={most_bytes}",
        "-len_control=0", "-reduce_inputs=0", f"-rss_limit_mb={_MOST_RESIDENT_MIB}",
        f"-timeout={_HANGS_S}", f"-artifact_prefix={folder}/", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], run, custom_mutator=Mutator(target.form, good, _raw))
    atheris.Fuzz()
    raise AssertionError("libFuzzer came back")


def main() -> None:
    """Load the code once; each job has a copy of this process, and what it prints in `log.txt`."""
    module, file = sys.argv[1:]
    jobs = [Job(**one) for one in json.loads(Path(file).read_text(encoding="utf-8"))]
    with tempfile.TemporaryDirectory() as scratch:
        targets = loaded(module, [job.target for job in jobs], Path(scratch))
    for job in jobs:
        child = os.fork()
        if not child:
            log = os.open(f"{job.folder}/log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            fuzz(targets[job.target], job)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"target": job.target, "code": code}), flush=True)


if __name__ == "__main__":
    main()
