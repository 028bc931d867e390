"""espeak-ng behind a pipe: a request as JSON on stdin, samples or phonemes on stdout.

espeak-ng keeps state from one utterance to the next, so the same sentence spoken twice in one process gives
other samples. `ask` therefore runs every request in a fresh process, `python -m salmonn_mini.toy.world.espeak`,
and equal requests get equal bytes. The child imports the standard library alone and starts in 0.1 s.
"""

from __future__ import annotations

import array
import ctypes
import json
import subprocess
import sys

ESPEAK_RATE = 22_050  # Hz, the rate at which espeak-ng speaks
SEPARATOR = "_"  # between the phonemes of a word
_SYNCHRONOUS, _UTF8, _IPA = 2, 1, 2  # espeak_AUDIO_OUTPUT, espeakCHARS_UTF8, phoneme mode
_PARAMETERS = {"rate": 1, "pitch": 3, "range": 4}  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def ask(action: str, items: list) -> bytes:
    """The answer of a fresh espeak-ng process to `items`, in order.

    `action` "speak": items {"text", "voice", "rate", "pitch", "range"}; the answer is, for each of them, the
    number of samples as int32 and then the samples as int16, at `ESPEAK_RATE`.
    `action` "phonemes": items are texts; the answer is a JSON list of IPA strings.

    Raises:
        RuntimeError: the process failed; the message holds the end of its stderr.
    """
    request = json.dumps({"action": action, "items": items}).encode()
    command = [sys.executable, "-m", "salmonn_mini.toy.world.espeak"]
    done = subprocess.run(command, input=request, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"espeak-ng failed ({action}): {done.stderr.decode(errors='replace')[-500:]}")
    return done.stdout


class Espeak:
    """The library, opened once in the child process."""

    def __init__(self) -> None:
        import espeakng_loader

        self.lib = ctypes.CDLL(espeakng_loader.get_library_path())
        rate = self.lib.espeak_Initialize(_SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
        if rate != ESPEAK_RATE:
            raise RuntimeError(f"espeak_Initialize returned {rate}, expected {ESPEAK_RATE} Hz")
        self.lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.lib.espeak_ng_SetRandSeed(ctypes.c_long(1))  # its breath noise is else seeded by the clock
        self.samples = array.array("h")
        self.callback = _CALLBACK(self._receive)  # kept: ctypes does not hold a reference
        self.lib.espeak_SetSynthCallback(self.callback)

    def _receive(self, samples, count: int, events) -> int:
        if samples and count > 0:
            self.samples.frombytes(ctypes.string_at(samples, 2 * count))
        return 0

    def set_voice(self, name: str) -> None:
        if self.lib.espeak_SetVoiceByName(name.encode()) != 0:
            raise RuntimeError(f"espeak-ng does not know the voice {name!r}")

    def speak(self, text: str, voice: str, **parameters: int) -> array.array:
        """`text` as int16 samples at `ESPEAK_RATE`; parameters: rate (words a minute), pitch, range."""
        self.set_voice(voice)
        for name, value in parameters.items():
            self.lib.espeak_SetParameter(_PARAMETERS[name], value, 0)
        self.samples = array.array("h")
        data = text.encode()
        if self.lib.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None) != 0:
            raise RuntimeError(f"espeak-ng could not speak {text!r}")
        return self.samples

    def phonemes(self, text: str) -> str:
        """IPA of `text`, words apart by spaces, phonemes by `SEPARATOR`."""
        pointer = ctypes.cast(ctypes.c_char_p(text.encode()), ctypes.c_void_p)
        clauses = []
        while pointer.value:  # each call reads one clause and moves the pointer on
            mode = _IPA | ord(SEPARATOR) << 8
            clauses.append(self.lib.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, mode).decode())
        return " ".join(clauses)


def main() -> None:
    request = json.load(sys.stdin)
    espeak, out = Espeak(), sys.stdout.buffer
    if request["action"] == "speak":
        for item in request["items"]:
            samples = espeak.speak(**item)
            out.write(array.array("i", [len(samples)]).tobytes() + samples.tobytes())
    else:
        espeak.set_voice("en-us")
        out.write(json.dumps([espeak.phonemes(text) for text in request["items"]]).encode())


if __name__ == "__main__":
    main()
