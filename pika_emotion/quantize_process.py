"""The job behind ``pika-emotion quantize``: makes a 4-bit AWQ checkpoint of a chat model.

Started by ``foreign`` under an interpreter that has llm-compressor.

AWQ (Lin et al. 2024) scales channels by how strongly they are used before it rounds them, so what
it is shown matters: prompts of our own turns, as the tagger asks them. The output head stays as it
is: the labels' probabilities are read off it.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pika_emotion.chat import Chat
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ModelError
from pika_emotion.prompt import Prompt
from pika_emotion.prompt_file import PromptText

SCHEME = "W4A16_ASYM"  # 4-bit weights with zero points, activations as they are
GROUP = 128  # weights that share a scale


def make_prompt(tokenizer: Any, order: Mapping[str, Any]) -> Prompt:
    """Return the tagger's prompt with this model's tokenizer."""
    text = PromptText.from_plain(order["prompt"])
    return Prompt(Chat(tokenizer, text.template), text, [tuple(label) for label in order["labels"]])


def requests(prompt: Prompt, turns: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return the token ids of one question about each turn, the heads taking turns."""
    asked = [prompt.requests(Turn(**turn)) for turn in turns]
    return [heads[number % len(heads)].ids for number, heads in enumerate(asked)]


def check_sizes(config: Any, group: int = GROUP) -> None:
    """Raise ModelError where a layer's width is no multiple of a group."""
    for name in ("hidden_size", "intermediate_size"):
        size = int(getattr(config, name, 0))
        if size % group:
            raise ModelError(
                f"{name} {size} of the model is no multiple of AWQ's group of {group} weights; "
                "take a model whose sizes are"
            )


def last_logits(model: Any, ids: Sequence[Sequence[int]]) -> Any:
    """Return the log-probabilities of the token after each prompt."""
    import torch

    rows = []
    with torch.no_grad():
        for row in ids:
            given = torch.tensor([list(row)], device=model.device)
            rows.append(model(given, logits_to_keep=1).logits[0, -1].float().log_softmax(-1).cpu())
    return torch.stack(rows)


def allow_cpu() -> None:
    """Let llm-compressor work without a GPU.

    Its version 0.14 pins memory for the way to the GPU whether there is one or not, and torch
    refuses to where there is none. Without a GPU there is nothing to gain from it.
    """
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if not torch.accelerator.is_available() and hasattr(IntermediatesCache, "pin_memory"):
        IntermediatesCache.pin_memory = lambda *_, **__: None


def quantize(order: Mapping[str, Any]) -> dict[str, Any]:
    """Make the checkpoint; return what was made and how far its answers moved."""
    import llmcompressor
    import torch
    import transformers
    from datasets import Dataset
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    started = time.monotonic()
    place = {"revision": order["revision"] or None}
    check_sizes(transformers.AutoConfig.from_pretrained(order["model"], **place))
    tokenizer = transformers.AutoTokenizer.from_pretrained(order["model"], **place)
    prompt = make_prompt(tokenizer, order)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        order["model"],
        dtype="auto",
        device_map="cuda" if torch.cuda.is_available() else "cpu",
        **place,
    )
    allow_cpu()
    shown, held_out = requests(prompt, order["turns"]), requests(prompt, order["check"])
    before = last_logits(model, held_out)
    print(f"showing it {len(shown)} prompts, {sum(map(len, shown))} tokens", file=sys.stderr)
    llmcompressor.oneshot(
        model=model,
        tokenizer=tokenizer,
        recipe=[
            AWQModifier(),
            QuantizationModifier(targets=["Linear"], scheme=SCHEME, ignore=["lm_head"]),
        ],
        dataset=Dataset.from_dict(
            {"input_ids": shown, "attention_mask": [[1] * len(row) for row in shown]}
        ),
        num_calibration_samples=len(shown),
        max_seq_length=max(map(len, shown)),
    )
    after = last_logits(model, held_out)
    out = Path(order["out"])
    model.save_pretrained(out, save_compressed=True)
    tokenizer.save_pretrained(out)
    moved = (before.exp() * (before - after)).sum(-1)
    answers = torch.tensor(sorted({i for a in prompt.answers.values() for i in a.tokens}))
    same = before[:, answers].argmax(-1) == after[:, answers].argmax(-1)
    return {
        "out": str(out),
        "scheme": SCHEME,
        "group": GROUP,
        "prompts": len(shown),
        "checked": len(held_out),
        "kl_mean": round(float(moved.mean()), 6),
        "kl_max": round(float(moved.max()), 6),
        "same_answer": round(float(same.float().mean()), 4),
        "bytes": sum(file.stat().st_size for file in out.glob("*.safetensors")),
        "llmcompressor": str(llmcompressor.__version__),
        "seconds": round(time.monotonic() - started, 1),
    }


def obey(order: Mapping[str, Any]) -> dict[str, Any]:
    """Quantize as the order says; see ``quantize``.

    Raises:
        ModelError: the model is not there, or cannot be quantized.
    """
    try:
        return quantize(order)
    except OSError as error:  # what transformers raises for a model that it cannot find
        problem = str(error).splitlines()[0]
        raise ModelError(f"model '{order['model']}' cannot be loaded: {problem}") from error
