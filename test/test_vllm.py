"""The vLLM tagger's settings, without vLLM: what is refused, and how versions are adapted to."""

import json

import pytest

from pika_emotion import checkpoint, taggers
from pika_emotion.errors import ConfigError, TaggerError
from pika_emotion.taggers import vllm, vllm_arguments

ARGUMENTS = {
    "model", "tokenizer", "dtype", "quantization", "gpu_memory_utilization", "kv_cache_dtype",
    "max_model_len", "max_num_batched_tokens", "max_num_seqs", "enforce_eager",
    "enable_prefix_caching", "enable_chunked_prefill", "async_scheduling", "disable_log_stats",
    "generation_config", "seed", "block_size", "kv_cache_memory_bytes", "cudagraph_capture_sizes",
    "compilation_config", "logprobs_mode", "max_logprobs", "swap_space",
}  # fmt: skip
SAMPLING = {"logprob_token_ids", "allowed_token_ids"}


def settings(*assignments):
    return taggers.settings_from_text("vllm", ["vllm.model=/some/model", *assignments])


def engine_settings(labels, *assignments):
    return vllm.engine_settings(labels, settings(*assignments))


def adapt(labels, *assignments, known=ARGUMENTS, sampling=SAMPLING):
    return vllm_arguments.adapt(
        engine_settings(labels, *assignments), "/some/model", 600, known, sampling
    )


@pytest.mark.parametrize(
    ("assignments", "match"),
    [
        (["vllm.isolation=jail"], "vllm.isolation 'jail' is not known; set process or thread"),
        (["vllm.heads=three"], "vllm.heads 'three' is not known; set two or joint"),
        (["vllm.scoring=best"], "set auto, ids, allowed or all"),
        (["vllm.isolation=thread", "vllm.python=/x"], "has no use in isolation 'thread'"),
        (["vllm.engine_args=[1]"], "is not a JSON object"),
        (["vllm.engine_args={a: 1}"], "is not a JSON object"),
        (["vllm.max_replies=0"], "out of range; set it from 1 to 64"),
    ],
)
def test_settings_that_cannot_work_are_refused(labels, assignments, match):
    with pytest.raises(ConfigError, match=match):
        vllm.create(labels, settings(*assignments))


def test_without_a_model_the_load_says_what_to_set(labels):
    tagger = taggers.create("vllm", labels, settings("vllm.model="))
    with pytest.raises(TaggerError, match=r"vllm.model is empty; set it to the folder"):
        tagger.load()


def test_every_parameter_has_a_default_that_its_own_check_takes():
    for parameter in vllm.PARAMETERS:
        parameter.check(parameter.default)


def test_the_engine_is_told_in_json(labels):
    told = engine_settings(labels)
    assert json.loads(json.dumps(told))["labels"][0][0] == labels.names[0]


def test_the_engines_arguments_suit_a_shared_gpu(labels):
    values = adapt(labels).values
    assert values["kv_cache_memory_bytes"] == 1536 << 20
    assert values["enable_prefix_caching"] is True
    assert values["async_scheduling"] is False
    assert values["quantization"] is None
    assert values["max_num_seqs"] == 9
    assert "block_size" not in values
    sizes = values["cudagraph_capture_sizes"]
    assert sizes == sorted(set(sizes))
    assert sizes[-2] < 600 <= sizes[-1]


def test_eager_captures_nothing(labels):
    assert "cudagraph_capture_sizes" not in adapt(labels, "vllm.enforce_eager=true").values


def test_arguments_of_the_users_go_through_and_unknown_ones_are_refused(labels):
    values = adapt(labels, 'vllm.engine_args=\'{"swap_space": 0, "seed": 3}\'').values
    assert (values["swap_space"], values["seed"]) == (0, 3)
    with pytest.raises(TaggerError, match="'swap' is no argument of this vLLM's engine"):
        adapt(labels, "vllm.engine_args='{\"swap\": 0}'")


def test_an_older_version_is_adapted_to_and_told(labels):
    known = ARGUMENTS - {"cudagraph_capture_sizes", "async_scheduling"}
    arguments = adapt(labels, known=known, sampling={"allowed_token_ids"})
    assert arguments.values["compilation_config"]["cudagraph_capture_sizes"][0] == 1
    assert "async_scheduling" not in arguments.values
    assert arguments.scoring == "allowed"
    assert arguments.values["logprobs_mode"] == "processed_logprobs"
    assert arguments.notes == [
        "this vLLM has no engine argument 'async_scheduling'; left out",
        "label scores are read by way of 'allowed', not by token ids",
    ]


def test_the_oldest_way_of_scoring_is_the_last(labels):
    arguments = adapt(labels, known=ARGUMENTS - {"logprobs_mode"}, sampling=set())
    assert arguments.scoring == "all"
    with pytest.raises(TaggerError, match=r"vllm.scoring 'ids' is not possible with this vLLM"):
        adapt(labels, "vllm.scoring=ids", sampling=set())


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (ValueError("Cannot find the config file for awq"), "leave vllm.quantization empty"),
        (ValueError("Free memory on device is less than desired"), "lower vllm.gpu_memory"),
        (RuntimeError("Failed to infer device type"), "check 'nvidia-smi'"),
        (RuntimeError(""), "RuntimeError: RuntimeError"),
    ],
)
def test_an_engine_that_cannot_be_built_comes_with_a_remedy(error, remedy):
    assert remedy in vllm_arguments.explain("m", error)


def test_a_download_is_asked_for_or_there_is_none(labels):
    offline = vllm_arguments.environment(engine_settings(labels))
    online = vllm_arguments.environment(engine_settings(labels, "vllm.download=true"))
    assert offline["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in online


def test_a_checkpoint_is_known_by_its_files(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * 20_000)
    (tmp_path / "README.md").write_text("x")
    assert checkpoint.find(str(tmp_path)) == tmp_path
    before = checkpoint.digest(tmp_path)
    (tmp_path / "README.md").write_text("y")
    assert checkpoint.digest(tmp_path) == before
    with (tmp_path / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"!")
    changed = checkpoint.digest(tmp_path)
    assert changed != before
    (tmp_path / "config.json").write_text("{ }")
    assert checkpoint.digest(tmp_path) not in (before, changed)


@pytest.mark.parametrize(
    ("model", "match"),
    [("/no/such", "is not a folder"), ("./no/such", "is not a folder")],
)
def test_a_folder_that_is_not_there_is_named(model, match):
    with pytest.raises(TaggerError, match=match):
        checkpoint.find(model)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(TaggerError, match=r"is a folder without config.json"):
        checkpoint.find(str(tmp_path))
