"""SIGTERM and SIGINT in every lifecycle state and transition.

What was received before must be answered, the program end with 0 and leave no worker.
"""

import signal
import time

from catalogue import SIGNALS, STATES
from primaries import Play, scripted
from ros import Robot, command_of, until, workers_of
from scene import PATIENCE_S, Scene, Stage

END_S = 5.0
# Replies that wait for the primary while the signal comes, and how long they have been there.
PENDING, RECEIVED_S = 3, 0.3
# After the interpreter's own start, and long before it has imported everything.
IMPORTING_S = 0.15
# The steps to a state; the last one of a transition is only asked for.
PATHS = {
    "unconfigured": (),
    "configuring": ("configure",),
    "inactive": ("configure",),
    "activating": ("configure", "activate"),
    "active": ("configure", "activate"),
    "deactivating": ("configure", "activate", "deactivate"),
    "cleaning up": ("configure", "cleanup"),
    "shutting down": ("configure", "shutdown"),
    "finalized": ("configure", "shutdown"),
    "in an error": ("configure",),
}
ASKED = ("configuring", "activating", "deactivating", "cleaning up", "shutting down",
         "in an error")  # fmt: skip


def signalled(number: signal.Signals, state: str) -> Play:
    """Return a play in which a node gets a signal in a state."""

    def play(stage: Stage) -> None:
        node = stage.start({**_params(state), "autostart": "false"})
        robot = Robot(node, utterances=True, unique_ids=True)
        try:
            scene = Scene(stage, node, robot)
            _bring(scene, state)
            stage.end(node, number, END_S)
            robot.wait_for_tags(1.0)
            stage.keep(robot)
        finally:
            node.close()
            robot.__exit__(None, None, None)

    return play


def importing(number: signal.Signals) -> Play:
    """Return a play in which a node gets a signal before there is a node."""

    def play(stage: Stage) -> None:
        node = stage.start({"tagger": "reflex"})
        # The interpreter runs, and has not come to the lines that make a node.
        until(lambda: "python" in command_of(node.process.pid), PATIENCE_S)
        time.sleep(IMPORTING_S)
        stage.end(node, number, END_S, (0, -number))

    return play


def starting_up(number: signal.Signals) -> Play:
    """Return a play in which a node that configures itself waits for its primary."""

    def play(stage: Stage) -> None:
        node = stage.start(_params("configuring"))
        until(lambda: workers_of(node.process.pid), PATIENCE_S)
        stage.end(node, number, END_S)

    return play


def _params(state: str) -> dict[str, str]:
    if state == "configuring":
        # The transition lasts as long as the load does.
        return scripted("never_loads", worker=True, require_primary="true")
    if state == "in an error":
        return scripted("cannot_be_made")
    # A worker that is in a step of 10 s when it is to end; what waits for it has time to spare.
    return scripted(
        "sleeps", worker=True, **{"scripted.stall_s": "30.0", "publish_margin_ms": "200.0"}
    )


def _bring(scene: Scene, state: str) -> None:
    """Bring a node into a state; what comes last is only begun where it is a transition."""
    stage, robot = scene.stage, scene.robot
    for label in PATHS[state]:
        if state in ASKED and label == PATHS[state][-1]:
            robot.begin_transition(label)
            break
        stage.check(robot.transition(label), f"{label} succeeds")
        if label == "configure":
            _wait_for_worker(scene)
        if label == "activate":
            robot.wait_for_node(PATIENCE_S)
            for _ in range(PENDING):
                scene.say("Hello!")
            time.sleep(RECEIVED_S)
    if state == "unconfigured":
        until(lambda: robot._node.count_publishers(f"{scene.node.namespace}/diagnostics"))
    elif state == "configuring":
        scene.worker()
    elif state == "deactivating":
        until(lambda: robot._replies.get_subscription_count() == 0, PATIENCE_S)
    elif state in ("cleaning up", "shutting down"):
        # It takes the second that the worker has for its own end.
        time.sleep(0.3)
    elif state == "in an error":
        until(lambda: "configure" in scene.node.output, PATIENCE_S)


def _wait_for_worker(scene: Scene) -> None:
    """Wait for the primary's load: what is pending then has been given to it."""
    scene.robot.status(lambda values, _: values.get("scripted: worker") == "ready")


PLAYS: dict[str, Play] = {
    **{
        f"signal: {name} while {state}": signalled(signal.Signals[name], state)
        for state in STATES
        for name in SIGNALS
        if state in PATHS
    },
    **{f"signal: {name} while importing": importing(signal.Signals[name]) for name in SIGNALS},
    **{f"signal: {name} while starting up": starting_up(signal.Signals[name]) for name in SIGNALS},
}
