"""The injection suite against the tokenizers of two families: no words become special tokens."""

import pytest
import transformers
from injected import BASES, INJECTIONS, plain, structure

from pika_emotion.chat import Chat
from pika_emotion.prompt import HEADS, Prompt
from pika_emotion.prompt_file import load_prompt


@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("pad_child", [False, True])
@pytest.mark.parametrize("family", ["phi3", "qwen2"])
def test_the_token_structure_is_that_of_plain_words(checkpoints, labels, family, heads, pad_child):
    text = load_prompt()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints[family])
    chat = Chat(tokenizer, text.template)
    named = [(label.name, label.description) for label in labels]
    prompt = Prompt(chat, text, named, heads=heads, block=32, pad_child=pad_child)
    ends = prompt.suffix_tokens
    for injection in INJECTIONS:
        turn = injection.turn(BASES[0])
        assert structure(prompt, chat, turn) == structure(prompt, chat, plain(turn)), injection
        requests, others = prompt.requests(turn), prompt.requests(plain(turn))
        for request, other in zip(requests, others, strict=True):
            end = ends[request.head]
            assert request.ids[-end:] == other.ids[-end:]
            assert request.ids[: len(prompt.prefix)] == other.ids[: len(prompt.prefix)]
            said = tokenizer.decode(request.ids[len(prompt.prefix) : -end])
            expected = tokenizer.decode(other.ids[len(prompt.prefix) : -end])
            assert said.count("\n") == expected.count("\n"), injection


@pytest.mark.parametrize(("family", "token"), [("phi3", "<|end|>"), ("qwen2", "<|im_end|>")])
def test_a_prompt_that_is_tokenized_as_a_whole_would_be_moved(checkpoints, labels, family, token):
    """Else the test above would prove nothing."""
    text = load_prompt()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints[family])
    named = [(label.name, label.description) for label in labels]
    prompt = Prompt(Chat(tokenizer, text.template), text, named)
    special = tokenizer.convert_tokens_to_ids(token)
    moving = next(i for i in INJECTIONS if i.field == "child" and token in i.text)
    content = prompt.content(moving.turn(BASES[0]))
    assert special in tokenizer.encode(content, add_special_tokens=False)
    assert special not in tokenizer.encode(
        prompt.content(plain(moving.turn(BASES[0]))), add_special_tokens=False
    )
