"""Scripted model servers in processes of their own, and a small tokenizer folder for them."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from pika_emotion import taggers
from pika_emotion.chat import Chat
from pika_emotion.dialogue import Turn
from pika_emotion.prompt import Prompt
from pika_emotion.prompt_file import load_prompt
from pika_emotion.tokenizer import Tokenizer

PROGRAM = Path(__file__).parent / "scripted/model_server.py"
ROOT = Path(__file__).parent.parent
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURN = Turn("What is it?", "a cat", "Right, a cat!")


def make_tokenizer(folder):
    """Write a byte-level tokenizer, trained on the prompt, with a chat template."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    texts = [(ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")
             for name in ("prompt", "labels")]  # fmt: skip
    trained.train_from_iterator(
        texts * 20,
        trainers.BpeTrainer(
            vocab_size=2000, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        ),
    )  # fmt: skip
    trained.save(str(folder / "tokenizer.json"))
    config = {"chat_template": TEMPLATE, "eos_token": "<|im_end|>", "bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def make_prompt(folder, labels, block=16):
    """Return the prompt that the tagger makes with the folder's tokenizer, and its decoder."""
    tokenizer, text = Tokenizer(folder), load_prompt()
    named = [(label.name, label.description) for label in labels]
    return Prompt(Chat(tokenizer, text.template), text, named, block=block), tokenizer.decode


class ModelServer:
    """A running server; ``fault`` switches one on, ``record`` tells what it was asked."""

    def __init__(self, profile, texts, certificate="", port=0):
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), profile, str(port), str(certificate)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        self.port = int(self._process.stdout.readline())
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}/v1"

    def fault(self, name):
        url = f"http://127.0.0.1:{self.port}/fault"
        urllib.request.urlopen(urllib.request.Request(url, name.encode(), method="POST")).read()

    def record(self):
        with urllib.request.urlopen(f"{self.url}/record") as answer:
            return json.load(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)


def settings(server, *more):
    """Return the tagger's settings for a server."""
    return taggers.settings_from_text("http", [f"http.url={server.url}", *more])
