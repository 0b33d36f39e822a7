"""A Llama in Hugging Face's layout, or a PEFT adapter of it, as GGUF: run by the Python of `_llama.install`.

`python _gguf.py model FOLDER OUT` or `python _gguf.py adapter FOLDER OUT --base FOLDER`. Of this project
nothing is imported: that environment has numpy and gguf alone. The vocabulary is words, as the
prompts are sent as token ids; every word is plain ASCII, so that no part of an answer waits for a byte.
"""

from __future__ import annotations

import argparse
import json
import string
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np

_LAYER: Final = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
_TOP: Final = {
    "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}  # fmt: skip
_BPE_NEWLINE: Final = "Ċ"  # GPT-2's letters for the bytes of a line's end and a blank
_BPE_BLANK: Final = "Ġ"


def main() -> None:
    """Read the options and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["model", "adapter"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path)
    given = parser.parse_args()
    if given.kind == "model":
        write_model(given.folder, given.out)
    else:
        write_adapter(given.folder, given.base, given.out)


def write_model(folder: Path, out: Path) -> None:
    """Weights of two dimensions in 16 bit, norms in 32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config["vocab_size"])
    _add_words(writer, config["vocab_size"])
    for name, tensor in _tensors(folder / "model.safetensors").items():
        wide = np.float32 if tensor.ndim == 1 else np.float16
        writer.add_tensor(_place(name), _turned(name, tensor, config).astype(wide))
    _close(writer)


def write_adapter(folder: Path, base: Path, out: Path) -> None:
    """Both halves of every module, in 16 bit."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    own = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(own["lora_alpha"]))
    for name, tensor in _tensors(folder / "adapter_model.safetensors").items():
        plain = name.removeprefix("base_model.model.")
        module, _, half = plain.removesuffix(".weight").rpartition(".lora_")
        rows = _turned(f"{module}.weight", tensor, config) if half == "B" else tensor
        writer.add_tensor(f"{_place(f'{module}.weight')}.lora_{half.lower()}", rows.astype(np.float16))
    _close(writer)


def _tensors(file: Path) -> dict[str, Any]:
    """A safetensors file, bfloat16 (which numpy lacks) as 32 bit."""
    data = file.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, facts in json.loads(data[8:end]).items():
        if name == "__metadata__":
            continue
        low, high = facts["data_offsets"]
        kind = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[facts["dtype"]]
        values = np.frombuffer(data[end + low : end + high], dtype=kind).reshape(facts["shape"])
        if facts["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        found[name] = values
    return found


def _place(name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    _, _, layer, *module, _ = name.split(".")
    return f"blk.{layer}.{_LAYER['.'.join(module)]}.weight"


def _turned(name: str, tensor: Any, config: dict[str, Any]) -> Any:
    """Rows of q and k in pairs of neighbours: llama.cpp turns neighbours, Hugging Face halves."""
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    count = heads.get(name.split(".")[-2])
    if count is None:
        return tensor
    split = tensor.reshape(count, 2, tensor.shape[0] // count // 2, *tensor.shape[1:])
    return split.swapaxes(1, 2).reshape(tensor.shape)


def _add_words(writer: Any, count: int) -> None:
    """GPT-2's kind of vocabulary: an end, the printable letters, and words up to the wanted number."""
    letters = [letter for letter in string.printable if letter.isprintable() and letter != " "]
    first = ["<end>", _BPE_NEWLINE, _BPE_BLANK, *letters]
    tokens = first + [f"word{number}" for number in range(count - len(first))]
    kinds = [gguf.TokenType.CONTROL, *([gguf.TokenType.NORMAL] * (count - 1))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["w o"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def _close(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
