"""A button that records the microphone, in JupyterLab and wherever else notebooks have widgets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets


class Recorder(anywidget.AnyWidget):
    """Record, stop, and `value` is a WAV: mono, 16-bit, at the device's own rate.

    The browser sends it in a message of its own, not as widget state, which a notebook may save.

    Attributes:
        seconds: the longest recording; it stops by itself.
        microphone: the constraints of the audio track, as `getUserMedia` takes them.
        value: the last recording, b"" before the first.
    """

    _esm = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    seconds = traitlets.Float(30.0).tag(sync=True)
    microphone = traitlets.Dict().tag(sync=True)
    value = traitlets.Bytes()

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: Any, buffers: list[memoryview]) -> None:
        if content == "recording" and buffers:
            self.value = bytes(buffers[0])
