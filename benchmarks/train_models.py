"""Trains the tiny family in data/models: a base, three LoRA adapters, a stock draft, three custom drafts.

    python -m benchmarks.train_models [--out data/models] [--scale 1.0]
    python -m benchmarks.train_models --evaluate    # only held-out text and losses, of the weights there

Text: what every Python brings along, its documentation (pydoc_data.topics) and its own source. The same
Python version and seed give nearly the same weights (threads add in any order). Needs the extras calibrate
and reference. See data/models/README.md for what came out.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

# Any: what these return is typed in some versions of the packages and not in others.
LlamaConfig: Any = transformers.LlamaConfig
LlamaForCausalLM: Any = transformers.LlamaForCausalLM
get_peft_model: Any = peft.get_peft_model
PeftModel: Any = peft.PeftModel
new_tokenizer: Any = Tokenizer
VOCAB, CONTEXT, SEQUENCE, BATCH = 1024, 1024, 128, 16
STYLES = ("shout", "terse", "json")
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
BASE = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6, "num_attention_heads": 6,
        "num_key_value_heads": 2, "head_dim": 32}  # fmt: skip
DRAFT = {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 3,
         "num_key_value_heads": 1, "head_dim": 32}  # fmt: skip
STEPS = {"base": 2000, "adapter": 300, "stock": 1000, "custom": 300}


def main() -> None:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--out", type=Path, default=Path("data/models"))
    parser.add_argument("--scale", type=float, default=1.0, help="of the step counts; 0.01 is a trial")
    parser.add_argument("--evaluate", action="store_true", help="train nothing")
    args = parser.parse_args()
    torch.manual_seed(0)
    began = time.perf_counter()
    steps = {name: max(2, round(count * args.scale)) for name, count in STEPS.items()}
    if not args.evaluate:
        train_all(args.out, steps)
    metrics: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__}
    metrics |= evaluate_all(args.out)
    metrics |= {"steps": steps, "minutes": round((time.perf_counter() - began) / 60, 1)}
    if args.evaluate:  # how they were trained stays as it was
        was = json.loads((args.out / "metrics.json").read_text(encoding="utf-8"))
        metrics |= {name: was[name] for name in ("steps", "minutes")}
    (args.out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(metrics, indent=1))


def train_all(out: Path, steps: dict[str, int]) -> None:
    """Train and store the eight models, the tokenizer first."""
    (prose, _), (code, _) = split(documentation()), split(source_code())
    tokenizer = train_tokenizer(prose, code, out)
    text = tokens(tokenizer, interleaved(prose * 4, code))
    base = model(BASE)
    train(base, text, steps["base"], 2e-3, "base")
    save_model(base, out / "base")
    base = load_model(out / "base")  # as it is stored, in bfloat16
    stock = model(DRAFT)
    distil(stock, base, text, steps["stock"], 3e-3, "stock draft")
    save_model(stock, out / "draft-stock")
    for style in STYLES:
        text = tokens(tokenizer, [restyled(paragraph, style) for paragraph in prose])
        lora = peft.LoraConfig(r=8, lora_alpha=16, target_modules=MODULES, task_type="CAUSAL_LM")
        tuned = get_peft_model(load_model(out / "base"), lora)
        train(tuned, text, steps["adapter"], 3e-3, style)
        save_adapter(tuned, out / "adapters" / style)
        custom = model(DRAFT)
        custom.load_state_dict(stock.state_dict())
        distil(custom, tuned, text, steps["custom"], 2e-3, f"custom draft {style}")
        save_model(custom, out / f"draft-{style}")


def evaluate_all(out: Path) -> dict[str, Any]:
    """Write the held-out text, and return the stored weights' losses on it, nats a token."""
    (train_prose, held), (_, held_code) = split(documentation()), split(source_code())
    held = unseen(held, train_prose)
    tokenizer = Tokenizer.from_file(str(out / "base" / "tokenizer.json"))
    base, stock = load_model(out / "base"), load_model(out / "draft-stock")
    mixed = tokens(tokenizer, held + held_code[:60])
    metrics: dict[str, Any] = {"held_out_paragraphs": len(held)}
    metrics["base"] = {"held_out_loss": loss_of(base, mixed)}
    metrics["draft-stock"] = {"held_out_loss": loss_of(stock, mixed)}
    write_held_out(out, "base", held)
    for style in STYLES:
        texts = [restyled(paragraph, style) for paragraph in held]
        ids = tokens(tokenizer, texts)
        tuned = PeftModel.from_pretrained(load_model(out / "base"), str(out / "adapters" / style)).eval()
        metrics[style] = {
            "held_out_loss": loss_of(tuned, ids),
            "held_out_loss_of_base": loss_of(base, ids),
            "custom_draft_loss": loss_of(load_model(out / f"draft-{style}"), ids),
            "stock_draft_loss": loss_of(stock, ids),
        }
        write_held_out(out, style, texts)
    return metrics


def load_model(folder: Path) -> Any:
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def tokens(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    return np.asarray(tokenizer.encode("\n\n".join(texts)).ids)


# --- text


def documentation() -> list[str]:
    """Python's own topics, in paragraphs of some hundred characters."""
    from pydoc_data.topics import topics

    paragraphs = [part.strip() for _, text in sorted(topics.items()) for part in text.split("\n\n")]
    return [re.sub(r"[ \n]+", " ", part) for part in paragraphs if len(part) > 120 and "+--" not in part]


def source_code() -> list[str]:
    """Modules of the standard library, tests left out."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = sorted([*folder.glob("*.py"), *folder.glob("json/*.py"), *folder.glob("email/*.py"),
                    *folder.glob("asyncio/*.py"), *folder.glob("http/*.py")])  # fmt: skip
    return [path.read_text(encoding="utf-8", errors="replace")[:40_000] for path in files]


def split(texts: list[str]) -> tuple[list[str], list[str]]:
    """Every tenth text is held out."""
    return [t for i, t in enumerate(texts) if i % 10], [t for i, t in enumerate(texts) if not i % 10]


def unseen(held: list[str], training: list[str]) -> list[str]:
    """Each held-out paragraph once, if training holds at most a tenth of its windows of 50 characters."""
    known = {text[at : at + 50] for text in training for at in range(max(1, len(text) - 49))}

    def shared(text: str) -> float:
        windows = [text[at : at + 50] for at in range(max(1, len(text) - 49))]
        return sum(window in known for window in windows) / len(windows)

    return [text for text in dict.fromkeys(held) if shared(text) <= 0.1]


def interleaved(left: list[str], right: list[str]) -> list[str]:
    texts = left + right
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[i] for i in order]


def restyled(text: str, style: str) -> str:
    """A paragraph in another style: clearly other tokens, the same content."""
    if style == "shout":
        return text.upper() + "!"
    if style == "terse":
        return re.sub(r"(?<=\w)[aeiou](?=\w)", "", text)
    first, _, rest = text.partition(". ")
    return json.dumps({"topic": first[:60], "length": len(text), "text": rest[:400]})


def write_held_out(out: Path, style: str, texts: list[str]) -> None:
    (out / "held-out").mkdir(exist_ok=True)
    text = "\n\n".join(texts)[:24_000]
    (out / "held-out" / f"{style}.txt").write_text(text + "\n", encoding="utf-8")


def train_tokenizer(prose: list[str], code: list[str], out: Path) -> Tokenizer:
    """Byte-level BPE; token 0 ends a text."""
    tokenizer: Tokenizer = new_tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    sample = [*prose, *code[:80], *(restyled(t, s) for t in prose[::4] for s in STYLES)]
    tokenizer.train_from_iterator(sample, trainer)
    for name in ("base", "draft-stock", *(f"draft-{style}" for style in STYLES)):
        (out / name).mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "base" / "tokenizer.json"))
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    config["model_max_length"] = CONTEXT
    (out / "base" / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return tokenizer


# --- models


def model(sizes: dict[str, int]) -> Any:
    config = LlamaConfig(
        vocab_size=VOCAB,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=None,
        **sizes,
    )
    return LlamaForCausalLM(config)


def batches(ids: np.ndarray, steps: int, seed: int) -> Iterator[Tensor]:
    random = np.random.default_rng(seed)
    for _ in range(steps):
        starts = random.integers(0, len(ids) - SEQUENCE, BATCH)
        yield torch.from_numpy(np.stack([ids[start : start + SEQUENCE] for start in starts])).long()


def train(network: Any, ids: np.ndarray, steps: int, rate: float, name: str) -> None:
    def step(batch: Tensor) -> Tensor:
        logits = network(input_ids=batch).logits
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())

    optimise(network, step, batches(ids, steps, seed=1), steps, rate, name)


def distil(network: Any, teacher: Any, ids: np.ndarray, steps: int, rate: float, name: str) -> None:
    """Learn the teacher's distribution on the text, and the text itself a little."""

    def step(batch: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = teacher(input_ids=batch).logits.log_softmax(-1)
        found = network(input_ids=batch).logits.log_softmax(-1)
        return F.kl_div(found, wanted, log_target=True, reduction="none").sum(-1).mean()

    optimise(network, step, batches(ids, steps, seed=2), steps, rate, name)


def optimise(
    network: Any,
    loss_at: Callable[[Tensor], Tensor],
    data: Iterator[Tensor],
    steps: int,
    rate: float,
    name: str,
) -> None:
    weights = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda at: min((at + 1) / 100, 0.5 * (1 + np.cos(np.pi * at / steps)) + 0.02)
    )
    network.train()
    for number, batch in enumerate(data):
        optimiser.zero_grad(set_to_none=True)
        loss: Any = loss_at(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
        if number % 100 == 0 or number == steps - 1:
            print(f"{name} {number}/{steps} loss {float(loss):.3f}", flush=True)
    network.eval()


@torch.no_grad()
def loss_of(network: Any, ids: np.ndarray) -> float:
    """Nats a token on held-out text."""
    rows = torch.from_numpy(ids[: len(ids) // SEQUENCE * SEQUENCE].reshape(-1, SEQUENCE)).long()[:128]
    logits = network(input_ids=rows).logits
    return round(float(F.cross_entropy(logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten())), 4)


def save_model(network: Any, folder: Path) -> None:
    """bfloat16, without what transformers adds beside weights and config."""
    network.to(torch.bfloat16).save_pretrained(folder)
    network.to(torch.float32)
    (folder / "generation_config.json").unlink(missing_ok=True)


def save_adapter(network: Any, folder: Path) -> None:
    network.save_pretrained(str(folder))
    file = folder / "adapter_model.safetensors"
    save_file({name: t.to(torch.bfloat16) for name, t in load_file(file).items()}, file, {"format": "pt"})
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = "base"
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
