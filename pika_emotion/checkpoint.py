"""Where a language model's files are, and which model they are."""

import hashlib
from pathlib import Path

from pika_emotion.errors import TaggerError
from pika_emotion.files import user_path

_CHUNK = 1 << 20
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
_READ = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def find(model: str, revision: str = "", *, download: bool = False) -> Path:
    """Return a model's folder: a local one, else the hub's as it lies in this machine's cache.

    Args:
        model: a folder, or the hub's name of a model.
        revision: the hub's branch, tag or commit; empty for the default.
        download: whether the hub may be asked for what is not here.

    Raises:
        TaggerError: it is not here; the message says how to get it.
    """
    folder = user_path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise TaggerError(
                f"vllm.model '{model}' is a folder without config.json; "
                "set it to a checkpoint's folder"
            )
        return folder
    if folder.is_absolute() or model.startswith((".", "~")):
        raise TaggerError(
            f"vllm.model '{model}' is not a folder; set it to a checkpoint's folder, "
            "or to a model's name on the hub"
        )
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                model, revision=revision or None, local_files_only=not download
            )
        )
    except Exception as error:
        what = f"vllm.model '{model}'" + (f" at revision '{revision}'" if revision else "")
        raise TaggerError(
            f"{what} is not on this machine ({type(error).__name__}); download it once with "
            f"'hf download {model}', set vllm.download to true where there is a network, or set "
            "vllm.model to a checkpoint's folder"
        ) from error


def digest(folder: Path) -> str:
    """Return a SHA-256 that tells models apart: descriptions whole, weights by samples.

    Of each weight file its name, size and three pieces of 1 MiB count: gigabytes are not read at
    every start.
    """
    total = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.name in _READ:
            total.update(file.name.encode() + file.read_bytes())
        elif file.suffix in _WEIGHTS:
            size = file.stat().st_size
            total.update(f"{file.name} {size}".encode())
            with file.open("rb") as weights:
                for at in (0, size // 2, max(0, size - _CHUNK)):
                    weights.seek(at)
                    total.update(weights.read(_CHUNK))
    return total.hexdigest()
