"""What the engine's tests are about: a few turns, and the settings for a tiny model on a CPU."""

import importlib.util
import os
import sys
from pathlib import Path

from pika_emotion import taggers
from pika_emotion.dialogue import Turn
from pika_emotion.taggers import vllm, vllm_arguments

ROOT = Path(__file__).resolve().parents[3]
BLOCK = 32

# Before anything imports vLLM.
os.environ.update({**vllm_arguments.ENVIRONMENT, **vllm_arguments.DEFAULT_ENVIRONMENT})

TURNS = (
    Turn("What is the Vietnamese word for cat?", "con mèo", "Đúng rồi, con mèo! Say it again."),
    Turn("Con thích màu gì?", "con thích màu xanh", "Ooh, màu xanh đẹp ghê! Mình cũng thích."),
    Turn("Which one is the rocket?", "BUTTON_LEFT", "Yes, that's the rocket!", event=True),
    Turn("", "", "Xin chào, tớ là Pika."),
    Turn("", 'um "cat" 3, 4 (five)…', '5 điểm! "Wow": it\'s… 😀 ok?'),
    Turn("Ready?", "SILENCE", "Không sao, mình từ từ thôi nhé. " * 8, event=True),
)


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def settings(model, *more):
    """Return the tagger's settings for a tiny model on a CPU."""
    return taggers.settings_from_text(
        "vllm",
        [
            f"vllm.model={model}",
            "vllm.enforce_eager=true",
            "vllm.kv_cache_mb=64",
            "vllm.dtype=float32",
            f"vllm.block_size={BLOCK}",
            *more,
        ],
    )


def engine_settings(model, labels, *more):
    return vllm.engine_settings(labels, settings(model, *more))
