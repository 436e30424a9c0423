"""Tries what must give a result or an error of ours, and nothing else."""


def attempt(error, make, *arguments):
    """Return what was made and an empty text, or None and what our error says."""
    try:
        return make(*arguments), ""
    except error as told:
        return None, str(told)
