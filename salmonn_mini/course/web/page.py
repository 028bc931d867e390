"""The page itself, in Gradio: on one side what is asked, on the other what was heard and answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio

from salmonn_mini.course.figures.tour import LONGEST, MICROPHONE, NO_CLIP, Clip
from salmonn_mini.course.web.answering import TRANSCRIBE, read_upload, reply
from salmonn_mini.data.tasks import TASKS
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.lora import get_lora_scale
from salmonn_mini.pretrained import Salmonn

MEGABYTES = 25  # of an upload
SUGGESTED = [TASKS[task].prompts[0] for task in ("asr", "audio_caption", "spoken_query_qa", "story")]
ABOUT = f"""# Speak, see, ask
SALMONN in miniature listens to a clip and answers. Everything stays on this machine; a recording is deleted once read.

**Limits**: {MEGABYTES} MB a file; of a longer clip the first {LONGEST:g} s are heard. It reads WAV, FLAC, MP3, OGG and
Opus, and where ffmpeg is installed M4A and WebM.
"""
# Gradio's recorder asks for the usual processing of voices.
HEAD = f"""<script>
const devices = navigator.mediaDevices, open = devices?.getUserMedia.bind(devices);
const raw = {json.dumps(MICROPHONE)};
if (open) devices.getUserMedia = wanted => open({{ ...wanted, audio: wanted.audio && {{ ...wanted.audio, ...raw }} }});
</script>"""
CSS = """
.gradio-container { max-width: 1400px !important; margin: 0 auto; padding: 0 1rem !important; }
#trouble { position: sticky; top: 0; z-index: 10; background: var(--body-background-fill); }
#trouble div { color: #b3261e; font-weight: 600; overflow-wrap: anywhere; }
.dark #trouble div { color: #ffb4ab; }
#suggested { gap: 0.4rem; flex-wrap: wrap; }
#suggested button { flex: 0 1 auto; width: auto; min-width: 0; }
.reply { border: 1px solid var(--border-color-primary); border-radius: 6px; min-height: 8rem; padding: 0.75rem; }
.reply h2 { font-size: 1rem; margin: 0 0 0.5rem; }
.reply p { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
@media (max-width: 600px) { #replies { flex-direction: column; } }
"""
REPLY = '<div class="reply" id="{0}"><h2>What it {0}</h2><p role="status">${{value}}</p></div>'
Updates = dict[Any, Any]
Work = Callable[..., Iterator[Updates]]
Models = Mapping[str, Callable[[], Salmonn]]


def build(models: Models, samples: Mapping[str, Path]) -> gradio.Blocks:
    """The page for what `find_models` and `find_samples` give; the first model is loaded."""
    page = _Page(models, samples)
    with gradio.Blocks(title="salmonn-mini", analytics_enabled=False, fill_width=True) as blocks:
        page.lay_out()
        page.connect()
    return blocks


class _Page:
    """The components that events read and write, and what the events do."""

    def __init__(self, models: Models, samples: Mapping[str, Path]) -> None:
        self.models, self.samples = models, samples

    def lay_out(self) -> None:
        self.clip = gradio.State(None)
        gradio.Markdown(ABOUT)
        self.trouble = gradio.HTML(elem_id="trouble", html_template='<div role="alert">${value}</div>')
        with gradio.Row():
            with gradio.Column(scale=2, min_width=320):
                self._lay_out_clips()
                self._lay_out_questions()
            with gradio.Column(scale=3, min_width=320):
                with gradio.Row(elem_id="replies"):
                    self.answered = gradio.HTML(html_template=REPLY.format("answered"))
                    self.transcript = gradio.HTML(html_template=REPLY.format("heard"))
                self.card = gradio.HTML(f"<p>{NO_CLIP.capitalize()}.</p>")

    def _lay_out_clips(self) -> None:
        settings = {"sources": ["microphone"], "type": "filepath", "editable": False, "buttons": []}
        self.recorder = gradio.Audio(label="1. Speak", **settings)
        self.file = gradio.UploadButton(f"or choose a file ({MEGABYTES} MB at most)")
        self.file.preprocess = lambda payload: payload and payload.path  # its own leaves an empty file behind
        names = [*self.samples]
        self.sample = gradio.Dropdown(names, value=None, label="or take a sample", visible=bool(names))

    def _lay_out_questions(self) -> None:
        self.instruction = gradio.Textbox(TRANSCRIBE, label="2. Ask", max_length=1_000)
        with gradio.Row(elem_id="suggested"):
            self.suggestions = [gradio.Button(text, size="sm") for text in SUGGESTED]
        first, *_ = names = [*self.models]
        self.model = gradio.Dropdown(names, value=first, label="Model")
        scale = get_lora_scale(self.models[first]().llm)
        about = f"s in W + s·BA: {scale:g} as trained, 0 the language model alone"
        self.scale = gradio.Slider(0, scale, scale, step=scale / 8, label="LoRA scale", info=about)
        self.ask = gradio.Button("Ask", variant="primary")

    def connect(self) -> None:
        """Let each control do its work; one event at a time, those of all visitors together."""
        self._on([self.recorder.stop_recording], self._upload, [self.recorder], self.card)
        self._on([self.file.upload], self._upload, [self.file], self.card)
        self._on([self.sample.input], self._take, [self.sample], self.card)
        asked = [self.clip, self.instruction, self.model, self.scale]
        self._on([self.ask.click, self.instruction.submit], self._answer, asked, self.answered)
        for button, text in zip(self.suggestions, SUGGESTED, strict=True):
            button.click(None, None, self.instruction, js=f"() => {json.dumps(text)}")

    def _on(self, triggers: list[Callable[..., Any]], work: Work, inputs: list[Any], shown: Any) -> None:
        settings = {"concurrency_id": "model", "concurrency_limit": 1, "api_visibility": "private"}
        outputs = [self.trouble, self.clip, self.card, self.answered, self.transcript]
        outputs += [self.recorder, self.sample]
        settings |= {"inputs": inputs, "outputs": outputs, "show_progress_on": shown}
        gradio.on(triggers, on_one_line(work, self.trouble), **settings)

    def _upload(self, path: str | None) -> Iterator[Updates]:
        if path:
            yield {self.recorder: None, self.sample: None}
            yield self._chosen(read_upload(Path(path)))

    def _take(self, name: str | None) -> Iterator[Updates]:
        if name:
            yield self._chosen(Clip.read(self.samples[name], name))

    def _chosen(self, clip: Clip) -> Updates:
        return {self.clip: clip, self.card: clip.sound().html(), self.answered: "", self.transcript: ""}

    def _answer(self, clip: Clip | None, instruction: str, name: str, scale: float) -> Iterator[Updates]:
        if clip is None:
            raise SalmonnError(NO_CLIP)
        for card, answered, transcript in reply(self.models[name](), clip, instruction, scale):
            yield {self.card: card, self.answered: escape(answered), self.transcript: escape(transcript)}


def on_one_line(work: Work, line: Any) -> Work:
    """`work`, but what goes wrong is told in `line`, in one line, which is emptied first."""

    def worked(*values: Any) -> Iterator[Updates]:
        yield {line: ""}
        try:
            yield from work(*values)
        except Exception as problem:
            known = isinstance(problem, SalmonnError)
            said = str(problem) if known else f"unexpected {type(problem).__name__}: {problem}"
            yield {line: escape(" ".join(said.split()))}

    return worked
