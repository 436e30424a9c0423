"""Shows what ``bag compare`` and ``bag stats`` found, for people to read; never a text."""

from typing import Any

_CONFUSIONS = 20


def summed_up(shown: dict[str, Any]) -> str:
    """Return the text of ``bag stats``, made of what its ``--json`` prints."""
    lines = [f"{shown['bag']}: {shown['duration_s']:.1f} s", "", "messages"]
    lines += [f"  {n:>9}  {topic}" for topic, n in shown["messages"].items()]
    lines += [
        "",
        f"turns {shown['turns']}, without a tag {shown['untagged']}",
        f"tags {shown['tags']}, lost by the gaps in seq {shown['lost']}, node started anew "
        f"{shown['restarts']}, without their reply {shown['orphans']}",
    ]
    if not shown["labels"]:
        return "\n".join(lines)
    tagged = shown["turns"] - shown["untagged"]
    lines += ["", f"{'label':<16}{'tags':>8}{'share':>8}"]
    lines += [f"{name:<16}{n:>8}{n / tagged:>8.1%}" for name, n in shown["labels"].items()]
    celebrations = shown["celebrations"]
    lines.append(f"{'(celebrate)':<16}{celebrations:>8}{celebrations / tagged:>8.1%}")
    lines += ["", "answered by " + ", ".join(f"{k} {n}" for k, n in shown["taggers"].items()), ""]
    return "\n".join([*lines, *_latencies(shown["latency_ms"])])


def compared(shown: dict[str, Any]) -> str:
    """Return the text of ``bag compare``, made of what its ``--json`` prints."""
    turns, celebrate = shown["turns"], shown["celebrate"]
    share = shown["differing"] / turns if turns else 0.0
    lines = [
        f"A  {shown['a']}",
        f"B  {shown['b']}",
        "",
        f"tagged by both {turns}, only by A {shown['only_a']}, only by B {shown['only_b']}",
        f"differing {shown['differing']} ({share:.1%}): emotion {shown['emotion_differing']}, "
        f"celebrate {celebrate['only_a'] + celebrate['only_b']}",
        f"celebrate: both {celebrate['both']}, only A {celebrate['only_a']}, "
        f"only B {celebrate['only_b']}, neither {celebrate['neither']}",
    ]
    confusion = shown["confusion"]
    if confusion:
        lines += ["", f"{'A':<16}{'B':<16}{'turns':>6}"]
        lines += [f"{c['a']:<16}{c['b']:<16}{c['n']:>6}" for c in confusion[:_CONFUSIONS]]
        if len(confusion) > _CONFUSIONS:
            lines.append(f"and {len(confusion) - _CONFUSIONS} rarer pairs; --json has them all")
    for side in ("a", "b"):
        lines += ["", side.upper(), *_latencies(shown["latency_ms"][side])]
    return "\n".join(lines)


def _latencies(by_source: dict[str, dict[str, Any]]) -> list[str]:
    lines = [f"{'source':<16}{'tags':>8}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}"]
    return lines + [
        f"{name:<16}{one['n']:>8}{one['p50']:>10.3f}{one['p99']:>10.3f}{one['max']:>10.3f}"
        for name, one in by_source.items()
    ]
