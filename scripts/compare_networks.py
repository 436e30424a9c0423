"""Small networks trained from scratch, for ``compare_models.py``. Needs torch."""

import re

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pika_emotion import features
from pika_emotion.examples import examples

BUCKETS, WIDTH, WORDS = 1 << 15, 64, 96
EPOCHS, BATCH, RATE = 12, 64, 2e-3
_TOKEN = re.compile(r"[^\W_]+|[!?]|\.{2,}|…")
_FIELDS = ("question", "child", "reply")


class Bags(nn.Module):
    """Averages the embeddings of a text's hashed n-grams, a text at a time (fastText)."""

    def __init__(self, dense, labels):
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, WIDTH, mode="sum")
        self.hidden = nn.Linear(len(features.BLOCKS) * WIDTH + dense, 256)
        self.out = nn.Linear(256, labels + 1)

    def forward(self, grams, weights, offsets, dense):
        sums = self.bag(grams, offsets, per_sample_weights=weights)
        inputs = torch.cat([sums.view(len(dense), -1), dense], 1)
        return self.out(
            functional.dropout(functional.relu(self.hidden(inputs)), 0.3, self.training)
        )


class Words(nn.Module):
    """Embeds each word by its hashed letters and its place among the texts."""

    def __init__(self):
        super().__init__()
        self.letters = nn.EmbeddingBag(BUCKETS, WIDTH, mode="mean")
        self.field = nn.Embedding(len(_FIELDS), WIDTH)

    def forward(self, letters, offsets, fields):
        words = self.letters(letters, offsets).view(*fields.shape, WIDTH)
        return functional.dropout(words + self.field(fields), 0.2, self.training)


class Convolution(nn.Module):
    """Filters of two to four words, the best place of each in each text (Kim 2014)."""

    def __init__(self, dense, labels):
        super().__init__()
        self.words = Words()
        self.filters = nn.ModuleList(nn.Conv1d(WIDTH, 96, n, padding="same") for n in (1, 2, 3, 4))
        self.hidden = nn.Linear(4 * 96 * len(_FIELDS) + dense, 256)
        self.out = nn.Linear(256, labels + 1)

    def forward(self, letters, offsets, fields, real, dense):
        seen = self.words(letters, offsets, fields).transpose(1, 2)
        found = torch.cat([functional.relu(f(seen)) for f in self.filters], 1)
        parts = []
        for field in range(len(_FIELDS)):
            here = real & (fields == field)
            parts.append((found * here[:, None]).amax(2))
        inputs = functional.dropout(torch.cat([*parts, dense], 1), 0.3, self.training)
        return self.out(functional.relu(self.hidden(inputs)))


class Attention(nn.Module):
    """Two layers of self-attention over the words of all three texts."""

    def __init__(self, dense, labels):
        super().__init__()
        self.words = Words()
        self.place = nn.Parameter(torch.randn(1, WORDS, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 128, 0.2, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.hidden = nn.Linear(WIDTH * len(_FIELDS) + dense, 256)
        self.out = nn.Linear(256, labels + 1)

    def forward(self, letters, offsets, fields, real, dense):
        seen = self.words(letters, offsets, fields) + self.place[:, : fields.shape[1]]
        seen = self.layers(seen, src_key_padding_mask=~real)
        parts = []
        for field in range(len(_FIELDS)):
            here = (real & (fields == field))[:, :, None]
            parts.append((seen * here).sum(1) / here.sum(1).clamp(min=1))
        inputs = functional.dropout(torch.cat([*parts, dense], 1), 0.2, self.training)
        return self.out(functional.relu(self.hidden(inputs)))


def letters_of(word):
    """Return the buckets of a word: its own and those of its runs of three and four letters."""
    marked = f"<{word}>"
    runs = {marked, *(marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1))}
    return [features.zlib.crc32(run.encode()) % BUCKETS for run in sorted(runs)]


def grams_batch(data, rows):
    """Return the n-grams of some rows as one bag for each block of each row."""
    grams, weights, offsets, at = [], [], [], 0
    for row in rows:
        one = data.seen[row]
        for block in range(len(features.BLOCKS)):
            here = one.buckets[one.blocks == block] % BUCKETS
            offsets.append(at)
            at += len(here)
            grams.append(here)
            weights.append(np.full(len(here), 1 / np.sqrt(max(1, len(here)))))
    return (
        torch.as_tensor(np.concatenate(grams)),
        torch.as_tensor(np.concatenate(weights), dtype=torch.float32),
        torch.as_tensor(offsets),
        torch.as_tensor(data.dense[rows]),
    )


class WordsOf:
    """Rows as words; the end of a long text gives way."""

    def __init__(self, rows):
        self.texts = []
        for row in rows:
            words = []
            for field, name in enumerate(_FIELDS):
                found = _TOKEN.findall(features.fold(getattr(row.turn, name)))[: WORDS // 3]
                words += [(field, letters_of(word)) for word in found]
            self.texts.append(words or [(2, [0])])

    def batch(self, data, rows):
        """Return the words of some rows, filled up to the longest."""
        longest = max(len(self.texts[row]) for row in rows)
        letters, offsets = [], []
        fields = torch.zeros(len(rows), longest, dtype=torch.long)
        real = torch.zeros(len(rows), longest, dtype=torch.bool)
        for place, row in enumerate(rows):
            for i in range(longest):
                offsets.append(len(letters))
                if i < len(self.texts[row]):
                    fields[place, i], word = self.texts[row][i]
                    real[place, i] = True
                    letters += word
                else:
                    letters.append(0)
        return (torch.as_tensor(letters), torch.as_tensor(offsets), fields, real,
                torch.as_tensor(data.dense[rows]))  # fmt: skip


def fit(network, batch, other, data, count, seed):
    """Train the network by Adam; return its answers to ``count`` rows of ``other``: two arrays."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    adam = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    steps = EPOCHS * -(-len(data.dense) // BATCH)
    falling = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, steps)
    emotions, yes = torch.as_tensor(data.emotions), torch.as_tensor(data.celebrate)
    judged = torch.as_tensor(data.judged.astype(np.float32))
    for _ in range(EPOCHS):
        order = draw.permutation(len(data.dense))
        network.train()
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            out = network(*batch(rows))
            loss = functional.cross_entropy(out[:, :-1], emotions[rows])
            sure = functional.binary_cross_entropy_with_logits(
                out[:, -1], yes[rows], reduction="none"
            )
            loss = loss + (sure * judged[rows]).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            falling.step()
    network.eval()
    with torch.no_grad():
        parts = [
            network(*other(np.arange(start, min(count, start + BATCH))))
            for start in range(0, count, BATCH)
        ]
    out = torch.cat(parts)
    return out[:, :-1].softmax(1).double().numpy(), out[:, -1].sigmoid().double().numpy()


def _bags(rows, asked, seed, names):
    torch.manual_seed(seed)
    data, other = examples(rows, names), examples(asked, names)
    network = Bags(data.dense.shape[1], len(names))
    return fit(
        network,
        lambda part: grams_batch(data, part),
        lambda part: grams_batch(other, part),
        data,
        len(asked),
        seed,
    )


def _words(kind):
    def run(rows, asked, seed, names):
        torch.manual_seed(seed)
        data, other = examples(rows, names), examples(asked, names)
        here, there = WordsOf(rows), WordsOf(asked)
        network = kind(data.dense.shape[1], len(names))
        return fit(
            network,
            lambda part: here.batch(data, part),
            lambda part: there.batch(other, part),
            data,
            len(asked),
            seed,
        )

    return run


NETWORKS = {
    "averaged embeddings and a hidden layer": _bags,
    "convolution over words": _words(Convolution),
    "attention over words": _words(Attention),
}
