"""Makes a checkpoint of Phi-3-mini's real size with random weights, for measuring latency only.

Its answers mean nothing; its time and memory are those of the real one, in AWQ's 4-bit format or
in bfloat16. Nothing is downloaded. Run with the worker's Python, which has torch:

    .venv-vllm/bin/python scripts/make_random_checkpoint.py awq FOLDER
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from make_tiny_checkpoint import Size as TokenizerSize
from make_tiny_checkpoint import phi3_tokenizer
from safetensors.torch import save_file

GROUP = 128
SEED = 7
# Near the real one's 32,011: random weights never see the tokens, but a text's length counts.
# A small vocabulary cuts our texts into about as many tokens as the real one does.
TOKENS = 3000
STD = 0.02


@dataclass(frozen=True, slots=True)
class Size:
    """Phi-3-mini's sizes, unless told otherwise."""

    hidden: int = 3072
    intermediate: int = 8192
    layers: int = 32
    heads: int = 32
    vocabulary: int = 32_064

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a layer's matrices, by name."""
        return {
            "self_attn.qkv_proj": (self.hidden, 3 * self.hidden),
            "self_attn.o_proj": (self.hidden, self.hidden),
            "mlp.gate_up_proj": (self.hidden, 2 * self.intermediate),
            "mlp.down_proj": (self.intermediate, self.hidden),
        }


def awq_linear(name: str, inputs: int, outputs: int) -> dict[str, torch.Tensor]:
    """Return a matrix in AutoAWQ's format: eight 4-bit weights in an int32, zero point 8."""
    bits = torch.randint(-(2**31), 2**31, (inputs, outputs // 8), dtype=torch.int64)
    zeros = torch.full((inputs // GROUP, outputs // 8), -0x77777778, dtype=torch.int64)
    # Uniform 4-bit numbers deviate by 4.6 from the zero point.
    scales = torch.full((inputs // GROUP, outputs), STD / 4.6, dtype=torch.float16)
    return {
        f"{name}.qweight": bits.to(torch.int32),
        f"{name}.qzeros": zeros.to(torch.int32),
        f"{name}.scales": scales,
    }


def linear(name: str, inputs: int, outputs: int) -> dict[str, torch.Tensor]:
    """Return a matrix in bfloat16."""
    weights = torch.empty(outputs, inputs, dtype=torch.bfloat16)
    return {f"{name}.weight": weights.normal_(0.0, STD)}


def shards(size: Size, kind: str) -> Iterator[dict[str, torch.Tensor]]:
    """Return the tensors, a layer at a time, so that little memory is needed."""
    dtype = torch.float16 if kind == "awq" else torch.bfloat16
    make = awq_linear if kind == "awq" else linear
    whole = (size.vocabulary, size.hidden)
    yield {
        "model.embed_tokens.weight": torch.empty(whole, dtype=dtype).normal_(0.0, STD),
        "lm_head.weight": torch.empty(whole, dtype=dtype).normal_(0.0, STD),
        "model.norm.weight": torch.ones(size.hidden, dtype=dtype),
    }
    for layer in range(size.layers):
        root = f"model.layers.{layer}"
        tensors = {
            f"{root}.{name}.weight": torch.ones(size.hidden, dtype=dtype)
            for name in ("input_layernorm", "post_attention_layernorm")
        }
        for name, (inputs, outputs) in size.linears.items():
            tensors.update(make(f"{root}.{name}", inputs, outputs))
        yield tensors


def config(size: Size, kind: str) -> dict[str, object]:
    """Return config.json: Phi-3-mini-4k's, with AWQ's section where it is quantized."""
    plain = {
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "vocab_size": size.vocabulary,
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "initializer_range": STD,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "sliding_window": 2047,
        "tie_word_embeddings": False,
        "dtype": "float16" if kind == "awq" else "bfloat16",
        "torch_dtype": "float16" if kind == "awq" else "bfloat16",
        "use_cache": True,
    }
    if kind == "awq":
        plain["quantization_config"] = {
            "quant_method": "awq",
            "bits": 4,
            "group_size": GROUP,
            "zero_point": True,
            "version": "gemm",
            "modules_to_not_convert": None,
        }
    return plain


def make(size: Size, kind: str, folder: Path) -> None:
    """Write the checkpoint's files into a folder."""
    torch.manual_seed(SEED)
    folder.mkdir(parents=True, exist_ok=True)
    places, total = {}, 0
    for number, tensors in enumerate(shards(size, kind)):
        file = f"model-{number:05d}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, file))
        total += sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    tokenizer = phi3_tokenizer(TokenizerSize(0, 0, 0, TOKENS))
    tokenizer.save_pretrained(folder)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")}
    described = {**config(size, kind), **ids, "pad_token_id": tokenizer.pad_token_id}
    (folder / "config.json").write_text(json.dumps(described, indent=1))


def main() -> int:
    """Make the checkpoint that the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["awq", "bf16"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=Size().layers, help="fewer for a test")
    options = parser.parse_args()
    make(Size(layers=options.layers), options.kind, options.folder)
    print(options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
