"""The installed monitor in a process of its own, beside a node."""

import json
import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request

from ros import until

from pika_emotion.node_process import program

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class MonitorProcess:
    """Starts ``monitor`` in a namespace, on any port; calls it as a browser would."""

    def __init__(self, tmp_path, namespace, port=0, remap=(), **params):
        command = [
            # A background job of a shell script inherits that interrupts are ignored.
            *("env", "--default-signal=INT", str(program().parent / "monitor"), "--ros-args"),
            *("-r", f"__ns:={namespace}", "-r", f"/diagnostics:={namespace}/diagnostics"),
            *("-p", f"monitor.port:={port}"),
        ]
        for rule in remap:
            command += ["-r", rule]
        for name, value in params.items():
            command += ["-p", f"{name.replace('__', '.')}:={value}"]
        self.log = tmp_path / f"monitor{namespace[1:]}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_LOG_DIR": str(tmp_path)},
            )
        until(lambda: "http://" in self.output or self.process.poll() is not None, 60.0)
        found = re.search(r"http://\S+:(\d+)/", self.output)
        self.port = int(found[1]) if found else None

    @property
    def output(self):
        return self.log.read_text(encoding="utf-8")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def open(self, path, body=None, **headers):
        """Return the response, whatever its status; header names have _ for -."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            return _DIRECT.open(request, timeout=60)
        except urllib.error.HTTPError as response:
            return response

    def status(self, path, body=None, **headers):
        with self.open(path, body, **headers) as response:
            return response.status

    def attempt(self, origin=None, **turn):
        """Use the try-it box; return the status and what was answered."""
        with self.open("/try", turn, Origin=origin or self.url) as response:
            return response.status, json.load(response)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Listener:
    """Follows the events of a monitor, as an open page does."""

    def __init__(self, monitor, **headers):
        self.events = []
        self.text = ""
        self._response = monitor.open("/events", **headers)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until(lambda: self.of("hello"))

    def _read(self):
        kind = ""
        try:
            for line in self._response:
                self.text += line.decode()
                name, _, value = line.decode().strip().partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    self.events.append((kind, json.loads(value)))
        except (OSError, ValueError, AttributeError):  # closed, here or there
            return

    def of(self, kind):
        return [data for name, data in self.events if name == kind]
