"""One option in plain words: how it serves, on what, for how much."""

from __future__ import annotations

from advisor.recommendation import Option, draft_length_words

WAY_WORDS = {
    "base": "the plain base model",
    "multi-lora": "all adapters unmerged on one multi-LoRA pool",
    "merged": "each adapter merged into its own deployment",
    "hybrid": "the hottest adapters merged, the rest unmerged on one multi-LoRA pool",
}
_DRAFT = {"ngram": "n-gram", "draft_model": "draft-model", "eagle3": "EAGLE-3"}


def described(option: Option) -> str:
    """How it serves: all adapters unmerged on one multi-LoRA pool, with ..."""
    text = WAY_WORDS[option.way]
    if option.way == "hybrid":
        hot = [pool.adapters[0] for pool in option.pools if pool.merged]
        text = (
            f"the hottest {'adapter' if len(hot) == 1 else f'{len(hot)} adapters'} ({_listed(hot)}) merged, "
            "the rest unmerged on one multi-LoRA pool"
        )
    if option.quantised:
        text += ", on weights quantised to fp8"
    if option.speculation is not None:
        spec = option.speculation
        kind = f"{'custom ' * spec.name.startswith(f'{spec.method}-custom')}{_DRAFT[spec.method]}"
        tokens = draft_length_words(spec)
        text += f", with {kind} speculative decoding ({tokens})"
    return text


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def machines(option: Option) -> str:
    """What it runs on: 5 x H100-80-SXM with vllm 0.24.0."""
    replicas = "1 replica" if option.replicas == 1 else f"{option.replicas} replicas"
    tp = f" as {replicas} of {option.tensor_parallel}" if option.tensor_parallel > 1 else ""
    return f"{option.devices} x {option.device}{tp} with {option.engine} {option.engine_version}"


def price_words(option: Option) -> str:
    """What it costs an hour and a million tokens."""
    if option.usd_per_hour is None:
        return "price unknown"
    mtok = f", {option.usd_per_mtok:.3g} USD per million tokens" if option.usd_per_mtok is not None else ""
    spec = option.speculation
    training = 0.0 if spec is None else spec.training_usd_per_hour
    of_it = f" ({training:.2f} of it for the draft's training)" if training else ""
    return f"{option.usd_per_hour:.2f} USD/h{of_it}{mtok}"


def simulate_command(option: Option) -> str:
    """The command that simulates this option on the whole traffic.

    Of several draft lengths by batch size it has the longest, or none: the command takes one.
    """
    flags = [("way", option.way), ("device", option.device)]
    if option.tensor_parallel > 1:
        flags.append(("tensor-parallel", str(option.tensor_parallel)))
    merged = sum(pool.merged for pool in option.pools)
    if option.way == "hybrid":
        flags.append(("hottest", str(merged)))
    if len(option.pools) == 1:
        flags.append(("replicas", str(option.replicas)))
    if option.limits is not None and option.limits.max_loras:
        flags.append(("max-loras", str(option.limits.max_loras)))
    if option.speculation is not None:
        flags += [
            ("draft", option.speculation.method),
            ("draft-length", str(option.speculation.draft_length)),
        ]
    if option.router != "least-outstanding":
        flags.append(("router", option.router))
    words = [f"--{name} {value}" for name, value in flags]
    words += ["--fp8"] * option.quantised
    if option.speculation is not None and option.speculation.by_batch:
        words.append("--by-batch")
    return " ".join(("advisor simulate SCENARIO", *words))
