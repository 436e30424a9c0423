"""Makes a checkpoint with random weights that the real engine runs: for tests and benches.

The architecture is a real one (Phi-3 or Qwen2), the tokenizer a small one of the family's kind,
trained on this project's own turns, with the family's special tokens and chat template. Run with
the worker's Python, which has torch and transformers:

    .venv-vllm/bin/python scripts/make_tiny_checkpoint.py phi3 tiny FOLDER
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).resolve().parent.parent
SEED = 7
# Of each file, so that what the labels' names are made of hardly depends on the corpus.
ROWS = 120

PHI3_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
QWEN2_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PHI3_ROLES = (
    "<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|placeholder2|>", "<|placeholder3|>",
    "<|placeholder4|>", "<|system|>", "<|end|>", "<|placeholder5|>", "<|placeholder6|>", "<|user|>",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """A model's size; the vocabulary may be larger than the tokenizer's."""

    hidden: int
    layers: int
    heads: int
    tokens: int
    vocabulary: int | None = None


SIZES = {
    "tiny": Size(hidden=64, layers=2, heads=2, tokens=3000),
    # Big enough that computing takes most of the time; Phi-3-mini's head size and vocabulary.
    "bench": Size(hidden=576, layers=8, heads=6, tokens=12_000, vocabulary=32_064),
}


def training_text() -> list[str]:
    """Return the text that a tokenizer is trained on: the project's turns and prompt."""
    lines = [(ROOT / name).read_text(encoding="utf-8") for name in
             ("config/prompt.yaml", "config/labels.yaml")] * 20  # fmt: skip
    lines += ["assistant", "user", "system", "Emotion:", "Celebrate:", "Code:"] * 500
    for file in sorted((ROOT / "data" / "dialogues").rglob("*.tsv")):
        rows = file.read_text(encoding="utf-8").splitlines()[1 : 1 + ROWS]
        lines += [text for row in rows for text in row.split("\t")[:3]]
    return lines


def phi3_tokenizer(size: Size) -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer like Llama's: words with their space, bytes for the unknown."""
    base = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "removed"), pre_tokenizers.Metaspace()]
    )
    trained.train_from_iterator(
        training_text(),
        trainers.BpeTrainer(vocab_size=size.tokens, special_tokens=base, show_progress=False),
    )
    # The bytes were special for the trainer only; such a tokenizer has no pre-tokenizer in use.
    description = json.loads(trained.to_str())
    description.update(added_tokens=[], pre_tokenizer=None)
    trained = tokenizers.Tokenizer.from_str(json.dumps(description))
    trained.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trained.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    # As in the real one: these three are special, the roles swallow the space after them.
    trained.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in base[:2]]
    )
    trained.add_tokens([AddedToken("</s>", rstrip=True, normalized=False, special=False)])
    trained.add_special_tokens(
        [AddedToken(role, rstrip=role != "<|endoftext|>", normalized=False, special=True)
         for role in PHI3_ROLES]
    )  # fmt: skip
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained,
        bos_token="<s>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        chat_template=PHI3_TEMPLATE,
    )


def qwen2_tokenizer(size: Size) -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer like GPT's: bytes, split into words by a pattern first."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.normalizer = normalizers.NFC()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(QWEN2_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        training_text(),
        trainers.BpeTrainer(vocab_size=size.tokens, initial_alphabet=alphabet, show_progress=False),
    )
    trained.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    trained.add_tokens([AddedToken("<tool_call>", normalized=False, special=False)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=trained,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=QWEN2_TEMPLATE,
    )


def make(family: str, size: Size, folder: Path) -> None:
    """Write the checkpoint's files into a folder."""
    torch.manual_seed(SEED)
    tokenizer = {"phi3": phi3_tokenizer, "qwen2": qwen2_tokenizer}[family](size)
    common = {
        "vocab_size": size.vocabulary or -(-len(tokenizer) // 64) * 64,
        "hidden_size": size.hidden,
        "intermediate_size": size.hidden * 8 // 3,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "max_position_embeddings": 4096,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        # Larger than trained models begin with: else every answer would be as likely.
        "initializer_range": 0.1,
    }
    if family == "phi3":
        config = transformers.Phi3Config(
            **common, num_key_value_heads=size.heads, sliding_window=2047
        )
        model = transformers.Phi3ForCausalLM(config)
    else:
        config = transformers.Qwen2Config(**common, num_key_value_heads=max(1, size.heads // 2))
        model = transformers.Qwen2ForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> int:
    """Make the checkpoint that the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=["phi3", "qwen2"])
    parser.add_argument("size", choices=sorted(SIZES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    make(options.family, SIZES[options.size], options.folder)
    print(options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
