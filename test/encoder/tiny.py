"""Makes a base to fine-tune: a real architecture with random weights, and a tiny tokenizer.

Run with the worker's Python: ``.venv-encoder/bin/python test/encoder/tiny.py xlmr FOLDER``.
"""

import sys
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = Path(__file__).resolve().parents[2]
TOKENS = 1500
SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
}


def texts():
    for file in sorted((ROOT / "data/dialogues/train").glob("*.tsv")):
        for row in file.read_text(encoding="utf-8").splitlines()[1:60]:
            yield from row.split("\t")[:3]


def xlmr():
    """Return SentencePiece's unigrams with XLM-R's special tokens, and its architecture."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=TOKENS, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip
    config = transformers.XLMRobertaConfig(
        vocab_size=len(fast), max_position_embeddings=258, type_vocab_size=1,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, **SIZES,
    )  # fmt: skip
    return fast, transformers.XLMRobertaModel(config)


def bert():
    """Return word pieces with BERT's special tokens, and its architecture."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=TOKENS, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]",
        pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]",
    )  # fmt: skip
    config = transformers.BertConfig(
        vocab_size=len(fast), max_position_embeddings=256, pad_token_id=0, **SIZES
    )
    return fast, transformers.BertModel(config)


FAMILIES = {"xlmr": xlmr, "bert": bert}


def make(family, folder):
    torch.manual_seed(7)
    tokenizer, model = FAMILIES[family]()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
