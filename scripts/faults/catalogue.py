"""The faults of the campaign: how each is made, what must come back, and what cannot be promised.

The one place that says what is excepted; ``docs/faults.md`` explains each reason. Knows no ROS.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SIGNALS = ("SIGTERM", "SIGINT")
STATES = (
    "importing", "unconfigured", "configuring", "starting up", "inactive", "activating", "active",
    "deactivating", "cleaning up", "shutting down", "finalized", "in an error",
)  # fmt: skip
SERVER_FAULTS = ("slow", "drip", "cut", "reset", "500", "400", "401", "busy", "no_json",
                 "wrong_json", "nan", "huge")  # fmt: skip

PAUSED = "nothing answers while it does not run: what came meanwhile is answered after it"
STARVED = "where every core is wanted by others, the kernel decides when a program runs"
CUT = "what was sent while the network was cut arrives after it"
HEARTBEAT = "Fast DDS asks for what it missed at the next heartbeat, every 3 s"
ANNOUNCED = "Fast DDS finds peers that it has forgotten at their next announcement, every 3 s"
LEASE = "a peer unheard for the middleware's lease (Fast DDS: 20 s) is forgotten with its messages"
BURST = "one reply after the other takes its time: so many at once are more than 50 ms of work"
DEPTH = "more replies at once than qos.depth: the middleware keeps the newest"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: the fault's, and its files'.
        made: how it is made, one line.
        recovers: what must be back within 1 s of its end: ``tag``, a tag in time; ``primary``,
            also the primary's answer; ``restart``, a tag in time, and the primary some time after
            its worker's restart, or when its server is tried again; empty where the fault has
            no end.
        excepted: what cannot be promised while it lasts and until it is recovered from (1 s), and
            the reason: ``late``, ``lost``, or ``recovery`` where that may take longer.
        deadline_ms: the node's.
        option: the campaign's option that it needs; empty where it is always run.
    """

    name: str
    made: str
    recovers: str = ""
    excepted: Mapping[str, str] = field(default_factory=dict)
    deadline_ms: float = 50.0
    option: str = ""


_PRIMARY = (
    Fault("primary: none, the reflex alone", "tagger: reflex, nothing befalls it"),
    Fault("primary: sound", "answers at once, nothing befalls it"),
    Fault("primary: slow", "0.2 s an answer", "primary"),
    Fault("primary: just late", "answers 20 ms after its cut-off", "primary"),
    Fault("primary: hangs", "10 s an answer, from the first to the last"),
    Fault("primary: raises", "an exception that quotes the child", "primary"),
    Fault("primary: NaN", "every score is NaN", "primary"),
    Fault("primary: wrong size", "a tag over one label too few", "primary"),
    Fault("primary: wrong type", "a dict instead of a tag", "primary"),
    Fault("primary: exits", "calls sys.exit in the node's thread", "primary"),
    Fault("primary: never loads", "its load does not return"),
)
_WORKER = (
    Fault("worker: sound", "an engine in a worker, nothing befalls it"),
    Fault("worker: raises", "its engine raises in each step", "primary"),
    Fault("worker: NaN", "its engine gives a NaN", "primary"),
    Fault("worker: wrong size", "its engine gives one score too few", "primary"),
    Fault("worker: holds the lock", "Python's global lock, 1 s of every ten steps", "tag"),
    Fault("worker: killed", "SIGKILL, which is also what the kernel does out of memory", "restart"),
    Fault("worker: exits when asked", "ends itself at each question", "restart"),
    Fault("worker: paused", "SIGSTOP, SIGCONT before it counts as stalled", "primary"),
    Fault("worker: stopped", "SIGSTOP, for good", "restart"),
    Fault("worker: out of memory", "its address space limited while it works (prlimit)", "primary"),
    Fault("worker: out of memory loading", "its address space limited before it loads"),
)
_FILES = (
    Fault("file: model truncated", "configured with half of the reflex's file"),
    Fault("file: model bit-flipped", "configured with one bit of it turned; 200 flips are read"),
    Fault("file: model replaced while running", "cut to half and turned over in place", "tag"),
    Fault("file: parameters replaced while running",
          "parameter file and label file made unreadable YAML, then removed", "tag"),
    Fault("file: disk full", "logs, temporary files, home and caches on a full tmpfs; its worker "
          "is killed meanwhile", "restart"),
)  # fmt: skip
_PROCESS = (
    Fault("process: paused", "SIGSTOP and SIGCONT of the node", "tag", {"late": PAUSED}),
    Fault("process: starved", "two busy loops on every core", "tag", {"late": STARVED}),
    Fault("process: storm within the depth", "90 replies as fast as they can be sent", "tag",
          {"late": BURST}),
    Fault("process: storm", "1,000 replies as fast as they can be sent", "tag",
          {"late": BURST, "lost": DEPTH}),
    Fault("process: storm in a deeper queue", "the same with qos.depth 1000", "tag",
          {"late": BURST}),
)  # fmt: skip
_MIDDLEWARE = (
    Fault("peer: leaves and rejoins", "another subscriber is killed, another one starts", "tag"),
    Fault("peer: stops reading", "another subscriber gets SIGSTOP, then SIGCONT", "tag"),
    Fault("peer: incompatible QoS", "another subscriber asks for transient local", "tag"),
    Fault("network: cut", "the link between two network namespaces goes down and up", "tag",
          {"late": CUT, "recovery": HEARTBEAT}),
    Fault("network: cut, config/fastdds.xml", "the same, with its quicker Fast DDS", "tag",
          {"late": CUT}),
    Fault("network: cut for long", "the same for 25 s", "tag",
          {"late": CUT, "lost": LEASE, "recovery": ANNOUNCED}),
    Fault("network: cut for long, config/fastdds.xml", "the same for 25 s, with that", "tag",
          {"late": CUT, "lost": LEASE}),
)  # fmt: skip
_SIGNALS = tuple(
    Fault(f"signal: {signal} while {state}", "see below", deadline_ms=1000.0)
    for state in STATES
    for signal in SIGNALS
)
_SERVER = (
    Fault("http: sound", "a model server that answers", option="--http"),
    *(Fault(f"http: {name}", "a model server fails in this way for a while", "restart",
            option="--http") for name in SERVER_FAULTS),
)  # fmt: skip
_VLLM = (
    Fault("vllm: sound", "the real engine, a small model", option="--vllm-model"),
    Fault("vllm: slow", "each step takes 1 s more", "tag", option="--vllm-model"),
    Fault("vllm: killed", "SIGKILL of its worker", "restart", option="--vllm-model"),
    Fault("vllm: stopped", "SIGSTOP of its worker", "restart", option="--vllm-model"),
    Fault("vllm: never loads", "its load does not return", option="--vllm-model"),
)
FAULTS = {
    fault.name: fault
    for fault in (
        *_PRIMARY, *_WORKER, *_FILES, *_PROCESS, *_MIDDLEWARE, *_SIGNALS, *_SERVER, *_VLLM
    )
}  # fmt: skip
