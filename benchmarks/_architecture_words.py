"""What the picture of the architecture says of each module: bands of `advisor`, a few words a box."""

from __future__ import annotations

# Everything may import these: the floor of the picture, drawn without arrows.
FLOOR = {
    "advisor.spec": "what a user may say",
    "advisor.files": "atomic, refused clearly",
    "advisor.errors": "one sentence a fault",
    "advisor.datafiles": "where shipped data lies",
    "advisor.parquetfile": "Parquet of others",
    "advisor.commandpages": "help as Markdown",
    "advisor.sentences": "pydantic, in words",
    "advisor.rawdata": "YAML and JSON, read",
    "advisor.thrift": "what Parquet is told in",
    "advisor.rules": "bounds, in words",
    "advisor.fieldpath": "the place in a file",
    "advisor.problem": "one fault as data",
}

# Top first; a band holds whole layers of pyproject.toml.
BANDS = {
    "how a person asks": {
        "cli": "commands and options",
        "web": "pages of the app",
        "study": "a grid of questions",
        "api": "what every face calls",
        "chosen": "one deployment, asked",
    },
    "how an answer looks": {
        "report": "HTML, Markdown, sections",
        "recipe": "manifests to paste",
        "plots": "charts",
        "text": "tables for a terminal",
        "tables": "one source for every face",
    },
    "what more can be asked": {
        "breakeven": "from where a way pays",
        "whatif": "decided again at once",
        "inside": "a replica, step by step",
        "robustness": "does the choice stand?",
        "why": "reasons, what turns them",
    },
    "which way to serve": {
        "search": "candidates, trials, ranking",
        "cost": "USD an hour, a token",
        "speculate": "drafts to be tried",
        "startup": "seconds until it serves",
        "deployment": "one way on one device",
        "memory": "room for the KV cache",
        "outcome": "columns to figures",
    },
    "the answer itself": {
        "recommendation": "what --json prints",
        "certainty": "its part: how sure",
        "bytoken": "its part: by the token",
        "elastic": "its part: scaled fleets",
        "bought": "its part: serverless",
    },
    "what happens": {
        "sim": "queues, batches, slots, KV",
        "steptime": "one engine step, by cause",
    },
    "what is known": {
        "profile": "a device with an engine",
        "trace": "requests in time",
        "replayed": "what a live run measured",
        "fitted": "measured and fitted",
        "held": "predicted and measured",
        "catalog": "models, devices, prices",
    },
}

CALIBRATION = {
    "cli": "the command calibrate",
    "commands": "its options",
    "cli_reference": "its page in the docs",
    "reference": "the profile's page",
    "gpurun": "all a GPU can give",
    "validate": "predict, replay, compare",
    "claims": "the field's claims, tried",
    "endpoint": "a server from outside",
    "results": "files of load generators",
    "microbench": "times kernels and steps",
    "roofline": "steps against the limit",
    "importers": "others' measurements",
    "replay": "a trace against a server",
    "server": "the engine behind HTTP",
    "predict": "a live set-up simulated",
    "livesetup": "a live set-up, made",
    "engine": "the live engine (torch)",
    "acceptance": "drafts on real text",
    "mergecheck": "what merging loses",
    "closedloop": "C clients, simulated",
    "fit": "robust least squares",
    "steady": "closed loops by algebra",
    "modelfiles": "a name to its weights",
    "promptfiles": "prompts of a file",
    "randomweights": "weights of a shape",
    "smallmodel": "a made-up model",
    "tinymodels": "the shipped models",
}


def words() -> dict[str, str]:
    """A few words for each module that is there, by its full name."""
    named = {f"advisor.{name}": text for band in BANDS.values() for name, text in band.items()}
    return named | {f"calibration.{name}": text for name, text in CALIBRATION.items()} | FLOOR
