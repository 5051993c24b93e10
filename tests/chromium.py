"""A headless Chromium driven over the pipe of its DevTools protocol: pages, keys, screens of a size."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "Space": 32}
SECONDS = 60
# What DevTools answers where the page of an expression is left for another while it is evaluated.
LEFT = ("Inspected target navigated", "Execution context was destroyed", "Cannot find context")
# Chromium reads commands from descriptor 3 and answers on 4.
PLACE_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for number, end in enumerate(ends, 3):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class RefusedError(Exception):
    """Chromium answered a command with an error."""


class Page:
    """A tab. `problems` has the messages of scripts' errors and of refused resources."""

    def __init__(self, commands, answers):
        self.commands, self.answers, self.buffer, self.count = commands, answers, b"", 0
        self.problems, self.session = [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        self.count += 1
        request = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.commands, json.dumps(request).encode() + b"\0")
        while (message := self.receive()).get("id") != self.count:
            self.note(message)
        if "error" in message:
            raise RefusedError(method, message["error"])
        return message["result"]

    def receive(self):
        while b"\0" not in self.buffer:
            assert select.select([self.answers], [], [], SECONDS)[0], "Chromium does not answer"
            chunk = os.read(self.answers, 1 << 20)
            assert chunk, "Chromium has ended"
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def note(self, message):
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(parameters["entry"]["text"])

    def screen(self, width, height):
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def open(self, address):
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=address)

    def value(self, script):
        """What a JavaScript expression gives; a promise is awaited."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, script):
        """Waits for an expression to become true."""
        end = time.monotonic() + SECONDS
        while not self.is_true(script):
            assert time.monotonic() < end, (script, self.problems, self.value("document.body.innerText"))
            time.sleep(0.02)

    def is_true(self, script):
        """Whether an expression is true; it is not while the page that evaluates it is being left for another."""
        try:
            return self.value(f"Boolean({script})")
        except RefusedError as error:
            if not any(words in str(error) for words in LEFT):
                raise
            return False

    def press(self, key, count=1):
        for _ in range(count):
            common = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
            text = {"Enter": {"text": "\r"}, "Space": {"text": " "}}.get(key, {})
            self.send("Input.dispatchKeyEvent", type="keyDown", **common, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def choose_file(self, selector, *paths):
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def drag_file(self, selector, path, *events):
        """Drags a file over the middle of an element; events: dragEnter, dragOver, drop, dragCancel."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = (self.value(f"{box}.{start} + {box}.{size} / 2") for start, size in (("x", "width"), ("y", "height")))
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for event in events:
            self.send("Input.dispatchDragEvent", type=event, x=x, y=y, data=data)

    def photograph(self, path):
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browsing():
    """A Page of a new browser, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        to_browser, commands = os.pipe()
        answers, from_browser = os.pipe()
        options = (
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            f"--user-data-dir={profile}",
        )
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PLACE_PIPES, str(to_browser), str(from_browser), BROWSER, *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(to_browser, from_browser),
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        try:
            page = Page(commands, answers)
            yield page
            page.session = None
            page.send("Browser.close")
        finally:
            os.close(commands)
            os.close(answers)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
