"""The network that an encoder is fine-tuned as: a pooled encoder with two linear heads.

Needs torch and transformers; runs under an interpreter that has them, never in the node.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pika_emotion.encoder.turns import batch
from pika_emotion.errors import ModelError
from pika_emotion.examples import Floats

POOLINGS = ("mean", "cls")
_DROPOUT = 0.1
_WARM_SHARE = 0.1
_WEIGHT_DECAY = 0.01
_LONGEST_GRADIENT = 1.0


class Network(torch.nn.Module):
    """An encoder, its pooling and the heads.

    Args:
        encoder: any of transformers' encoders.
        width: of its hidden states.
        labels: how many.
        pooling: ``mean`` over a turn's tokens, or ``cls``, its first token.
    """

    def __init__(self, encoder: Any, width: int, labels: int, pooling: str) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = torch.nn.Dropout(_DROPOUT)
        self.emotion = torch.nn.Linear(width, labels)
        self.celebrate = torch.nn.Linear(width, 1)

    def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any, Any]:
        """Return the labels' logits, a row a turn, and celebrate's, one a turn; float32."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            own = attention_mask.unsqueeze(-1).to(states.dtype)
            pooled = (states * own).sum(1) / own.sum(1)
        pooled = self.dropout(pooled)
        return self.emotion(pooled).float(), self.celebrate(pooled).squeeze(-1).float()


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is learned from, a row a turn.

    Attributes:
        ids: token ids.
        emotions: target distributions over the labels.
        celebrate: 1 for yes, 0 for no.
        judged: 1 where celebrate is known.
    """

    ids: list[list[int]]
    emotions: Floats
    celebrate: Floats
    judged: Floats


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is fitted; ``rate`` is the highest learning rate."""

    epochs: int
    batch: int
    rate: float
    seed: int
    pad_id: int
    max_tokens: int


def build(base: str, labels: int, pooling: str, seed: int, *, download: bool) -> Network:
    """Return a network whose encoder is a pretrained one and whose heads know nothing.

    Raises:
        ModelError: the base is not here, or is no encoder.
    """
    import transformers

    torch.manual_seed(seed)
    try:
        encoder = transformers.AutoModel.from_pretrained(
            base, local_files_only=not download, attn_implementation="eager", dtype=torch.float32
        )
    except (OSError, ValueError, KeyError) as error:
        raise missing(base, error) from error
    if encoder.config.is_encoder_decoder or getattr(encoder.config, "is_decoder", False):
        raise ModelError(
            f"base '{base}' is a {encoder.config.model_type}, no encoder; take one such as "
            "FacebookAI/xlm-roberta-base"
        )
    return Network(encoder, int(encoder.config.hidden_size), labels, pooling)


def missing(base: str, error: Exception) -> ModelError:
    """Return the error of a base that cannot be loaded."""
    return ModelError(
        f"base '{base}' cannot be loaded ({type(error).__name__}); name a folder with config.json, "
        "weights and tokenizer.json, or a hub name that is on this machine: download it once with "
        f"'hf download {base}', or give --download"
    )


def check_length(network: Network, plan: Plan) -> None:
    """Raise ModelError where the encoder has no room for so many tokens."""
    ids = torch.full((1, plan.max_tokens), plan.pad_id + 1)
    try:
        with torch.no_grad():
            network.eval()(ids, torch.ones_like(ids))
    except (IndexError, RuntimeError) as error:
        raise ModelError(
            f"--max-tokens {plan.max_tokens} is more than base "
            f"'{network.encoder.config.name_or_path}' has places for; lower it"
        ) from error


def fit(network: Network, examples: Encoded, plan: Plan, say: Callable[[str], None]) -> None:
    """Fine-tune in place, on the GPU where there is one; the same seed gives the same batches."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    draw = np.random.default_rng(plan.seed)
    torch.manual_seed(plan.seed)
    network.to(device).train()
    steps = plan.epochs * -(-len(examples.ids) // plan.batch)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=plan.rate, weight_decay=_WEIGHT_DECAY, foreach=False
    )
    warm = max(1.0, _WARM_SHARE * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1.0, steps - warm))
    )
    for epoch in range(plan.epochs):
        total = 0.0
        order = draw.permutation(len(examples.ids))
        for start in range(0, len(order), plan.batch):
            rows = order[start : start + plan.batch]
            loss = _loss(network, examples, rows, plan, device)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        say(f"epoch {epoch + 1} of {plan.epochs}: loss {total / len(order):.4f}")
    network.to("cpu").eval()


def _loss(network: Network, examples: Encoded, rows: Any, plan: Plan, device: str) -> Any:
    """Return the two cross entropies' sum; of celebrate only where it is known."""
    ids, mask = batch([examples.ids[row] for row in rows], plan.pad_id, plan.max_tokens)
    emotion, celebrate = network(
        torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)
    )
    wanted, yes, judged = (
        torch.from_numpy(values[rows]).to(device)
        for values in (examples.emotions, examples.celebrate, examples.judged)
    )
    loss = torch.nn.functional.cross_entropy(emotion, wanted)
    each = torch.nn.functional.binary_cross_entropy_with_logits(celebrate, yes, reduction="none")
    return loss + (each * judged).sum() / judged.sum().clamp(min=1.0)


def logits(network: Network, ids: Sequence[list[int]], plan: Plan) -> tuple[Any, Any]:
    """Return the logits of each turn, as numpy arrays of N rows of L, and of N."""
    found = []
    with torch.no_grad():
        for start in range(0, len(ids), plan.batch):
            given = batch(ids[start : start + plan.batch], plan.pad_id, plan.max_tokens)
            found.append(network(*map(torch.from_numpy, given)))
    emotion, celebrate = (torch.cat(part).double().numpy() for part in zip(*found, strict=True))
    return emotion, celebrate
