"""Headless Chromium, driven over its pipe of JSON messages: a page, its console, what it asks for, keys and clicks."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

CHROMIUM = shutil.which("chromium")
WAIT_S = 60
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")

# Chromium reads from file 3 and writes to file 4; the parent's may be in use for something else.
STARTED = "import os, sys; os.dup2({0}, 3); os.dup2({1}, 4); os.execv(sys.argv[1], sys.argv[1:])"


class Browser:
    """A context manager; `folder` is for Chromium's own files."""

    def __init__(self, folder):
        self.errors, self.requests, self.events = [], [], []
        self.answers, self.rest, self.last, self.session = {}, b"", 0, None
        self.end = time.monotonic() + WAIT_S
        ours, theirs = os.pipe(), os.pipe()
        there = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1])]
        self.writer, self.reader = ours[1], theirs[0]
        command = [sys.executable, "-c", STARTED.format(*there), CHROMIUM, *OPTIONS]
        self.process = subprocess.Popen(
            [*command, "--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"],
            pass_fds=there,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (ours[0], theirs[1], *there):
            os.close(end)

    def __enter__(self):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, *failure):
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.writer)
        os.close(self.reader)

    def ask(self, method, **parameters):
        """Send a message, and wait for its answer."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        message |= {} if self.session is None else {"sessionId": self.session}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.writer, data) :]
        number = self.last
        self._until(lambda: number in self.answers)
        answer = self.answers.pop(number)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, path):
        """Load a file, to the end."""
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        self._until(lambda: "Page.loadEventFired" in self.events)

    def value(self, script):
        """What a script gives on the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, code, text=""):
        """Press a key and let go of it."""
        for kind in ("keyDown", "keyUp"):
            given = {"text": text} if text and kind == "keyDown" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **given)

    def _until(self, done):
        while not done():
            left = self.end - time.monotonic()
            assert left > 0, "Chromium did not answer in time"
            if select.select([self.reader], [], [], left)[0]:
                data = os.read(self.reader, 2**16)
                assert data, "Chromium ended"
                *whole, self.rest = (self.rest + data).split(b"\0")
                for message in whole:
                    self._heard(json.loads(message))

    def _heard(self, message):
        if "id" in message:
            self.answers[message["id"]] = message
            return
        method, said = message["method"], message["params"]
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(said["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.errors.append(str(said["args"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.errors.append(said["entry"]["text"])
