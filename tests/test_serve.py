"""`salmonn-mini serve`: on this machine alone, behind a token, and nothing of an upload stays."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from http.client import HTTPConnection
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import soundfile
import torch
from tiny import tiny_config, tiny_salmonn, tiny_toy

from salmonn_mini import pretrained
from salmonn_mini.cli import main
from salmonn_mini.course.figures import tour
from salmonn_mini.course.web import answering
from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import SAMPLE_RATE

pytest.importorskip("gradio", reason="the page needs gradio, which is not installed")
from salmonn_mini.course.web import page as pages
from salmonn_mini.course.web import server as servers

TOKEN = "a-token"
EVENTS = {"record": 0, "choose": 1, "take": 2, "answer": 3}  # in the order of `_Page.connect`
OUTPUTS = ("trouble", "clip", "card", "answered", "heard", "recorder", "sample")


def tone(seconds: float = 1.0, hertz: float = 300.0) -> np.ndarray:
    return np.sin(np.arange(int(seconds * SAMPLE_RATE)) * hertz * 2 * np.pi / SAMPLE_RATE) / 2


def wav(samples: np.ndarray, folder: Path, name: str = "tone.wav") -> bytes:
    soundfile.write(folder / name, samples, SAMPLE_RATE)
    return (folder / name).read_bytes()


@pytest.fixture(scope="module")
def model() -> pretrained.Salmonn:
    made = tiny_salmonn(kind=pretrained.Salmonn)
    for name, weight in made.named_parameters():
        if "lora_B" in name:  # before training it is 0, and no scale changes an answer
            torch.nn.init.normal_(weight)
    return made.eval()


@pytest.fixture(scope="module")
def room(model: pretrained.Salmonn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A page of the tiny model, served in a thread: its address without the token, and its private folder."""
    toy, samples = (tmp_path_factory.mktemp(name) for name in ("toy", "samples"))
    for stage in (1, 3):
        (toy / f"stage{stage}").mkdir()
    wav(tone(0.5), samples, "sample.wav")
    with pytest.MonkeyPatch.context() as patch, answering.private_folder() as folder:
        patch.setenv("SALMONN_MINI_TOY", str(toy))
        patch.setattr(pretrained, "load", lambda *_, **__: model)
        page = pages.build(answering.find_models(), answering.find_samples(samples))
        server, own = servers.make_server(page, TOKEN), servers.open_socket(0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{own.getsockname()[1]}", folder
        server.should_exit = True
        thread.join(60)


class Visitor:
    """Speaks with the page as its own script does."""

    def __init__(self, address: str, session: str = "one") -> None:
        self.http = httpx.Client(base_url=f"{address}/{TOKEN}/", timeout=600)
        self.session = session

    def upload(self, content: bytes, name: str = "mine.wav") -> str:
        answer = self.http.post("gradio_api/upload", files={"files": (name, content)})
        assert answer.status_code == 200, answer.text
        return answer.json()[0]

    def do(self, event: str, *values: object) -> dict[str, str]:
        """What an event has written into each of OUTPUTS at its end."""
        asked = {"fn_index": EVENTS[event], "session_hash": self.session, "data": list(values)}
        joined = self.http.post("gradio_api/queue/join", json=asked)
        assert joined.status_code == 200, joined.text
        event_id, shown = joined.json()["event_id"], {}
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.session}) as lines:
            for line in filter(None, lines.iter_lines()):
                message = json.loads(line.removeprefix("data: "))
                if message.get("event_id") == event_id and message["msg"] == "process_completed":
                    assert message["success"], message
                    return shown
                if message.get("event_id") == event_id and message["msg"] == "process_generating":
                    for name, written in zip(OUTPUTS, message["output"]["data"], strict=True):
                        _write(shown, name, written)
        raise AssertionError("the answer broke off")

    def load(self, path: str, event: str = "choose") -> dict[str, str]:
        return self.do(event, {"path": path, "meta": {"_type": "gradio.FileData"}})

    def ask(self, instruction: str = "Describe the audio.", scale: float = 4.0, model: str = "toy, stage 3"):
        return self.do("answer", None, instruction, model, scale)


def _write(shown: dict[str, str], name: str, written: object) -> None:
    """The first message has values, each later one what changes in them."""
    if isinstance(written, str):
        shown[name] = written
    elif isinstance(written, list):
        for how, where, value in written:
            assert where == []
            if isinstance(value, str):
                shown[name] = shown.get(name, "") * (how == "append") + value


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# --- who may come in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 403),
        ("/wrong/", {}, 403),
        (f"/{TOKEN}x/", {}, 403),
        ("/config", {}, 403),
        ("/gradio_api/upload", {}, 403),
        ("/?token=a-token", {}, 403),
        ("/manifest.json", {"Cookie": "token=a-token"}, 403),
        (f"/{TOKEN}/", {"Host": "evil.example"}, 403),
        (f"/{TOKEN}/", {"Host": "localhost.evil.example:80"}, 403),
        (f"/{TOKEN}/", {"Host": ""}, 403),
        (f"/{TOKEN}/", {"Origin": "https://evil.example"}, 403),
        (f"/{TOKEN}/", {"Origin": "http://127.0.0.1:8888"}, 403),
        (f"/{TOKEN}/", {"Origin": "null"}, 403),
        (f"/{TOKEN}/gradio_api/file=/etc/passwd", {}, 404),
        (f"/{TOKEN}/gradio_api/file=http://127.0.0.1:1/", {}, 404),
        (f"/{TOKEN}/gradio_api/proxy=https://a.hf.space/", {}, 404),
        (f"/{TOKEN}/gradio_api/info", {}, 404),
        (f"/{TOKEN}/gradio_api/vibe-code/", {}, 404),
        (f"/{TOKEN}/monitoring", {}, 404),
        (f"/{TOKEN}/assets/%2e%2e/%2e%2e/%2e%2e/__init__.py", {}, 404),
        (f"/{TOKEN}/static/..%2f..%2findex.html", {}, 404),
    ],
)
def test_whoever_has_no_token_or_comes_from_elsewhere_is_refused(room, path, headers, status):
    with httpx.Client(base_url=room[0]) as http:
        request = http.build_request("GET", "/", headers=headers)
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = http.send(request)
    assert answer.status_code == status, answer.text
    assert TOKEN not in answer.text and "Traceback" not in answer.text
    assert status != 403 or answer.text.count("\n") == 1


def test_another_site_can_post_nothing(room):
    for origin in ("https://evil.example", "http://localhost:8888", "null"):
        for path in ("gradio_api/upload", "gradio_api/queue/join"):
            address = f"{room[0]}/{TOKEN}/{path}"
            refused = httpx.post(address, headers={"Origin": origin}, files={"files": ("a.wav", b"x")})
            assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers
    assert files(room[1]) == []


def test_the_page_itself_may_and_tells_nobody_where_it_is(room):
    own = room[0].replace("127.0.0.1", "localhost")
    for address in (room[0], own):
        page = httpx.get(f"{address}/{TOKEN}/", headers={"Origin": address})
        assert page.status_code == 200 and "Speak, see, ask" in page.text
        assert page.headers["referrer-policy"] == "no-referrer" and "set-cookie" not in page.headers
        assert "default-src 'self' data: blob:;" in page.headers["content-security-policy"]
        assert "http" not in page.headers["content-security-policy"]
    theme = httpx.get(f"{room[0]}/{TOKEN}/theme.css").text.replace("http://www.w3.org/2000/svg", "")
    assert "http" not in theme and "@import" not in theme and "system-ui" in theme


def test_nothing_listens_beyond_this_machine(room):
    port = int(room[0].rpartition(":")[2])
    listening = [one for one in psutil.Process().net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert port in {one.laddr.port for one in listening}
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


def test_a_port_that_is_taken_is_told_in_one_line():
    with (
        servers.open_socket(0) as own,
        pytest.raises(SalmonnError, match=r"port \d+: .*; choose another --port"),
    ):
        servers.open_socket(own.getsockname()[1])


# --- asking ----------------------------------------------------------------------------------------------------------


def test_a_recording_is_answered_as_in_the_tour_and_deleted(room, model, tmp_path):
    def ask(X, instruction, _scale):
        features = model.encode([X])
        H, _ = model.get_audio_features(features)
        return model.generate(features, [instruction], max_new_tokens=80)[0].text, H[0].detach()

    content, visitor = wav(tone(), tmp_path), Visitor(room[0])
    path = visitor.upload(content)
    assert Path(path).is_relative_to(room[1])
    card = visitor.load(path, "record")
    assert files(room[1]) == [] and card["trouble"] == "" and "mine.wav" in card["card"]
    shown = visitor.ask("Describe the audio.")
    for where, instruction in (("answered", "Describe the audio."), ("heard", answering.TRANSCRIBE)):
        sound = tour.respond(tour.Upload("mine.wav", content), instruction, 4.0, ask)
        assert escape(sound.text) == f"{escape(instruction)} (LoRA scale 4)\n→ {shown[where]}"
    assert "below it its 5 audio tokens of 64 numbers each" in shown["card"]
    again = visitor.ask("Describe the audio.", scale=0.0)
    assert again["heard"] == shown["heard"] and again["answered"] != shown["answered"]


def test_two_visitors_are_both_answered_even_with_equal_files(room, tmp_path):
    content = wav(tone(hertz=500), tmp_path)
    visitors = [Visitor(room[0], name) for name in ("two", "three")]
    paths = [visitor.upload(content) for visitor in visitors]

    def visit(number: int) -> dict[str, str]:
        assert visitors[number].load(paths[number])["trouble"] == ""
        return visitors[number].ask()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(visit, range(2))
    assert first == second and first["answered"] and first["heard"]
    assert files(room[1]) == []


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"dear diary", "diary.txt", "diary.txt: a text file, not audio"),
        (b"<html>" * 99, "clip.mp3", "clip.mp3: an HTML page, not audio"),
        (
            b"\0\0\0\x20ftypM4A " + bytes(99),
            "memo.m4a",
            "memo.m4a: MPEG-4 (M4A), which only ffmpeg can read here:",
        ),
        (b"RIFF\0\1\2" + bytes(99), "clip.wav", "clip.wav: not audio that can be read"),
    ],
)
def test_a_bad_file_costs_one_line_and_is_deleted(room, monkeypatch, content, name, said):
    monkeypatch.setenv("PATH", "")
    visitor = Visitor(room[0], name)
    shown = visitor.load(visitor.upload(content, name))
    assert shown["trouble"].startswith(said), shown
    assert "\n" not in shown["trouble"] and "/" not in shown["trouble"].partition(":")[0]
    assert "card" not in shown and files(room[1]) == []


def test_what_cannot_be_asked_costs_one_line(room):
    visitor = Visitor(room[0], "four")
    assert visitor.ask()["trouble"] == "no clip yet: record one, choose a file, or take a sample"
    assert "spectrogram of 0.5 s" in visitor.do("take", "sample.wav")["card"]
    assert visitor.ask("  ")["trouble"].startswith("the prompt is &#x27; &#x27;: ask something")
    assert "exceed the language model&#x27;s context" in visitor.ask("what is it " * 90)["trouble"]


def test_a_fault_of_the_program_is_one_line_too():
    def fail() -> Iterator[dict]:
        yield {}
        raise ZeroDivisionError("by\n<zero>")

    line = object()
    assert list(pages.on_one_line(fail, line)()) == [
        {line: ""},
        {},
        {line: "unexpected ZeroDivisionError: by &lt;zero&gt;"},
    ]


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(room):
    connection = HTTPConnection(room[0].removeprefix("http://"), timeout=600)
    connection.putrequest("POST", f"/{TOKEN}/gradio_api/upload")
    connection.putheader("Content-Length", str(50 * servers.MB))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413 and answer.read().startswith(b"more than 25 MB: cut the clip")
    connection.close()


def test_a_file_of_unknown_length_is_cut_off(room):
    def pieces() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        for _ in range(27):
            yield bytes(servers.MB)
        yield b"\r\n--x--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{room[0]}/{TOKEN}/gradio_api/upload", content=pieces(), headers=kind, timeout=600)
    assert answer.status_code == 413 and files(room[1]) == []


@pytest.mark.parametrize("name", ["../../../escaped.wav", "..\\escaped.wav", "/escaped.wav"])
def test_an_upload_stays_in_its_folder(room, tmp_path, name):
    visitor = Visitor(room[0], "five")
    path = Path(visitor.upload(wav(tone(0.2), tmp_path), name))
    assert path.resolve().is_relative_to(room[1].resolve())
    assert visitor.load(str(path))["trouble"] == ""


def test_no_other_file_can_be_named_as_an_upload(room, tmp_path):
    other = tmp_path / "own.wav"
    wav(tone(0.2), tmp_path, "own.wav")
    with pytest.raises(AssertionError, match="success"):
        Visitor(room[0], "six").load(str(other))
    assert other.is_file()


# --- what there is ---------------------------------------------------------------------------------------------------


def test_the_models_are_those_that_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("SALMONN_MINI_TOY", str(tmp_path))
    with pytest.raises(SalmonnError, match="no trained toy"):
        answering.find_models()
    for stage in (1, 2):
        (tmp_path / f"stage{stage}").mkdir()
    own = tmp_path / "run"
    own.mkdir()
    names = [str(own), "toy, stage 2", "toy, stage 1"]
    assert [*answering.find_models([str(own)])] == names
    monkeypatch.setattr(answering, "is_complete", lambda name: name == "7b")
    assert [*answering.find_models()] == [*names[1:], "7b"]


def test_ffmpeg_decodes_what_soundfile_cannot_and_may_open_nothing_else(tmp_path, monkeypatch):
    wav(tone(0.5), tmp_path, "decoded.wav")
    program, memo = tmp_path / "ffmpeg", tmp_path / "memo.m4a"
    program.write_text(
        f'#!/bin/sh\necho "$@" > "{tmp_path}/line"\nfor last; do :; done\n'
        f'/bin/cp "{tmp_path}/decoded.wav" "${{last#file:}}"\n'
    )
    program.chmod(0o755)
    memo.write_bytes(b"\0\0\0\x20ftypM4A ")
    monkeypatch.setenv("PATH", str(tmp_path))
    clip = tour.Clip.read(memo, "my memo")
    assert len(clip.X) == SAMPLE_RATE // 2 and clip.notes == ["MPEG-4 (M4A), decoded by ffmpeg, 30 s at most"]
    line = (tmp_path / "line").read_text()
    assert f"-protocol_whitelist file -f mov -t 30 -i file:{memo} " in line
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(
        SalmonnError, match=r"my memo: MPEG-4 \(M4A\) without sound that ffmpeg can decode; re-enc"
    ):
        tour.Clip.read(memo, "my memo")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\nfile:///etc/passwd\n")
    with pytest.raises(SalmonnError, match="a text file, not audio"):
        tour.Clip.read(playlist, "list.m3u8")


def test_without_gradio_it_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr("salmonn_mini.cli.serve.find_spec", lambda name: None)
    assert main(["serve"]) == 2
    said = "error: the page needs gradio, which is not installed: pip install 'salmonn-mini[web]'\n"
    assert capsys.readouterr().err == said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_the_command_listens_here_alone_and_leaves_nothing_when_it_ends(tmp_path, monkeypatch):
    """In a process of its own, from the command to SIGTERM."""
    toy, temporary = tiny_toy(tmp_path / "toy"), tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("SALMONN_MINI_TOY", str(toy))
    pretrained.save(pretrained.build(tiny_config()), toy / "stage1")
    line = [sys.executable, "-m", "salmonn_mini", "serve", "--samples", str(tmp_path / "none")]
    settings = {"env": os.environ | {"TMPDIR": str(temporary)}, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, **settings) as command:
        try:
            address = command.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
            assert httpx.get(address, timeout=600).status_code == 200
            assert httpx.get(address.rpartition("/")[0].rpartition("/")[0]).status_code == 403
            connections = psutil.Process(command.pid).net_connections("inet")
            assert {one.laddr.ip for one in connections} == {"127.0.0.1"}
            (uploads,) = temporary.glob("salmonn-mini-*")
            assert uploads.stat().st_mode & 0o777 == 0o700
        finally:
            command.terminate()
        assert command.wait(60) == 130
    assert not list(temporary.glob("salmonn-mini-*"))
