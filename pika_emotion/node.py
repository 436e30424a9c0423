"""The lifecycle node: ROS in, ROS out, nothing else."""

import contextlib
import ctypes
import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.signals import SignalHandlerOptions

from pika_emotion import taggers
from pika_emotion.deadline import SWITCH_S
from pika_emotion.errors import ConfigError, PikaEmotionError, where
from pika_emotion.health import Health
from pika_emotion.parameters import CORE, Parameter, check_together, refuse_unknown
from pika_emotion.serving import Serving
from pika_emotion.topics import TagPublisher

# What ROS itself may set for any node.
_ROS_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides")
_DIAGNOSTICS_PERIOD_S = 1.0
_SPIN_S = 0.1
_M_ARENA_MAX = -8  # malloc.h
# What changes in a problem that stays the same: "tried again in 0.3 s", then "in 0.2 s".
_FIGURE = re.compile(r"\d+(\.\d+)?")


class EmotionNode(LifecycleNode):
    """Subscribes to the conversation, publishes one ``EmotionTag`` for each reply.

    Args:
        ending: set when the program is to end; a transition that waits then waits no longer.
        options: those of ``LifecycleNode``.

    Raises:
        ConfigError: a parameter is unknown, of another type, or out of range.
    """

    def __init__(self, ending: threading.Event | None = None, **options: Any) -> None:
        super().__init__("emotion_node", **options)
        self._ending = ending or threading.Event()
        tagger = self._parameter_overrides.get("tagger")
        chosen = str(tagger.value) if tagger is not None else "reflex"
        self._known = {p.name: p for p in (*CORE, *taggers.all_parameters(chosen))}
        for parameter in self._known.values():
            self._declare(parameter)
        given = [n for n in self._parameter_overrides if n.split(".")[0] not in _ROS_PARAMETERS]
        refuse_unknown(given, self._known)
        check_together(self._values())
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._state = "unconfigured"
        self._serving: Serving | None = None
        self._health = Health()
        self._publisher = TagPublisher(self, self.get_parameter("qos.depth").value, self._health)
        self._told: set[str] = set()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._diagnostics_timer = self.create_timer(
            _DIAGNOSTICS_PERIOD_S, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    # Transitions. Older rclpy swallows exceptions inside them, so each is told here.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Validate everything, load the reflex, begin to load the primary."""
        return self._transition("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe."""
        super().on_activate(state)
        return self._transition("activate", self._configured.activate, "active")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, after answering what is pending."""
        result = self._transition("deactivate", self._configured.deactivate, "inactive")
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the taggers and their processes."""
        return self._transition("cleanup", self._release, "unconfigured")

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, from any state."""
        return self._transition("shutdown", self._release, "finalized")

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to the unconfigured state."""
        return self._transition("error processing", self._release, "unconfigured")

    def stop(self) -> None:
        """Answer what is pending and go down in order, from any state."""
        if self._state == "active":
            self.trigger_deactivate()
        if self._state != "finalized":
            self.trigger_shutdown()

    @property
    def state(self) -> str:
        """The lifecycle state's name."""
        return self._state

    @property
    def _configured(self) -> "Serving":
        assert self._serving is not None
        return self._serving

    def _transition(
        self, name: str, act: Callable[[], None], state: str = "inactive"
    ) -> TransitionCallbackReturn:
        try:
            act()
        except PikaEmotionError as error:
            self.get_logger().error(f"{name} failed: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(f"{name} failed: {where(error)}")
            return TransitionCallbackReturn.ERROR
        self._state = state
        self.get_logger().info(f"{name}: now {state}")
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._told.clear()
        values = self._values()
        serving = Serving(self, values, self._publisher, self._health)
        wait_s = values["primary_load_timeout_s"] if values["require_primary"] else None
        try:
            serving.start(wait_s, self._ending.is_set)
        except PikaEmotionError:
            serving.close()
            raise
        self._serving = serving
        # What lives from here on is looked at by the garbage collector no more: shorter pauses.
        # But what an earlier configure froze may have died since.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _release(self) -> None:
        serving, self._serving = self._serving, None
        if serving is not None:
            try:
                serving.deactivate()
            finally:
                serving.close()

    # Parameters.

    def _declare(self, parameter: Parameter) -> None:
        override = self._parameter_overrides.get(parameter.name)
        value = parameter.default
        if override is not None:
            value = parameter.accept(override.value)
        self.declare_parameter(parameter.name, value, _descriptor(parameter), ignore_override=True)

    def _values(self) -> dict[str, Any]:
        return {name: self.get_parameter(name).value for name in self._known}

    def _on_set_parameters(self, changes: list[RosParameter]) -> SetParametersResult:
        values = {**self._values(), **{change.name: change.value for change in changes}}
        try:
            for change in changes:
                if change.name in self._known:
                    self._known[change.name].check(change.value)
            check_together(values)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._serving is not None:
            self._serving.follow(values)
        return SetParametersResult(successful=True)

    # Diagnostics.

    def _report(self) -> None:
        # With the namespace: the nodes of several robots share the topic.
        name = self.get_fully_qualified_name().lstrip("/")
        status = DiagnosticStatus(name=f"{name}: tags", hardware_id="pika_emotion")
        if self._serving is None:
            status.message = self._state
            status.values = [KeyValue(key="state", value=self._state)]
        else:
            report = self._serving.report(self._state)
            status.level = bytes([report.level])
            status.message = report.summary
            status.values = [KeyValue(key=k, value=v) for k, v in report.values.items()]
            self._warn_once(self._serving.tagger.load_error)
            self._warn_once(self._serving.tagger.last_error)
            self._warn_once(self._serving.warning, "")
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    def _warn_once(
        self, problem: str | None, what: str = "the reflex answers instead of the primary: "
    ) -> None:
        kind = _FIGURE.sub("#", problem or "")
        if problem is not None and kind not in self._told:
            self._told.add(kind)
            self.get_logger().warning(f"{what}{problem}")


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=parameter.description,
        read_only=not parameter.live,
    )
    if parameter.low is not None and parameter.high is not None:
        if isinstance(parameter.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(parameter.low), to_value=int(parameter.high))
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=parameter.low, to_value=parameter.high)
            ]
    return descriptor


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    sys.setswitchinterval(SWITCH_S)
    _share_one_heap()
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # rclpy's own handlers would end the context before the pending replies are answered.
        signal.signal(number, lambda *_: ending.set())
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = EmotionNode(ending)
    except Exception as error:
        # rclpy's message about a broken parameter file is a C++ one, but it names the file.
        print(f"emotion_node cannot start: {error}", file=sys.stderr)
        return 1
    try:
        return _run(node, ending)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _share_one_heap() -> None:
    """Keep glibc from giving threads heaps of their own, in which each activation leaves holes."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _run(node: EmotionNode, ending: threading.Event) -> int:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    if node.get_parameter("autostart").value:
        done = TransitionCallbackReturn.SUCCESS
        started = node.trigger_configure() == done and node.trigger_activate() == done
        if not started and not ending.is_set():
            return 1
    while not ending.is_set():
        try:
            executor.spin_once(timeout_sec=_SPIN_S)
        except Exception as error:
            node.get_logger().error(f"a callback failed: {where(error)}")
    node.stop()
    return 0
