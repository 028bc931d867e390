"""The toy world's speakers: who speaks how, in which mood, when each word is said, and in which phones.

Another processor may round otherwise, so nothing here compares samples with recorded ones.
"""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmonn_mini.errors import SalmonnError
from salmonn_mini.models.config import GAP_SECONDS, SAMPLE_RATE
from salmonn_mini.toy.world import acoustics, vocoder, voice
from salmonn_mini.toy.world.clips import ClipPlan, record
from salmonn_mini.toy.world.grammar import SPLITS, spoken_words
from salmonn_mini.toy.world.pronunciation import PHONES, Said, phonemes, phones_of, pronounce
from salmonn_mini.toy.world.voice import MOODS, SPEAKERS, Speech, Utterance, speak, speakers_of

TEXT = "The old farmer saw a yellow bird near the river."
FEW = ("alice", "emma", "adam", "eric", "kim", "nora", "oscar", "vic")  # of every gender and split


def median_f0(wave: np.ndarray) -> float:
    """Median over voiced frames of the first strong peak, 60 to 500 Hz, of a generalized autocorrelation.

    Amplitudes below 3 kHz to the power of 2/3 in place of 2: else a strong formant passes for the pitch.
    """
    found = []
    lags = np.arange(SAMPLE_RATE // 500, SAMPLE_RATE // 60)
    for start in range(0, len(wave) - 1024, 400):
        frame = wave[start : start + 1024] * np.hanning(1024)
        if np.abs(frame).max() < 0.1 * np.abs(wave).max():
            continue
        amplitudes = np.abs(np.fft.rfft(frame, 4096))[: 3000 * 4096 // SAMPLE_RATE]
        peaks = np.fft.irfft(amplitudes ** (2 / 3), 4096)
        strength = peaks[lags] / (peaks[0] * (1 - lags / 1024))
        if strength.max() > 0.3:
            found.append(SAMPLE_RATE / lags[np.flatnonzero(strength > 0.9 * strength.max())[0]])
    return float(np.median(found))


def brightness(wave: np.ndarray) -> float:
    """The energy from 3 to 7 kHz against that below 1 kHz, in nepers of amplitude."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(power))
    return float(np.log(power[(hertz > 3000) & (hertz < 7000)].sum() / power[hertz < 1000].sum()) / 2)


@pytest.fixture(scope="module")
def neutral() -> dict[str, Speech]:
    return {name: speak(TEXT, name) for name in SPEAKERS}


@pytest.fixture(scope="module")
def moods(neutral) -> dict[tuple[str, str], Speech]:
    said = {(name, mood): speak(TEXT, name, mood) for name in FEW for mood in MOODS[1:]}
    return said | {(name, MOODS[0]): neutral[name] for name in FEW}


# --- speakers ------------------------------------------------------------


def test_every_split_has_women_men_and_children_of_its_own():
    assert tuple(voice._TENTHS) == SPLITS
    names = [name for split in SPLITS for name in speakers_of(split)]
    assert sorted(names) == sorted(SPEAKERS) and len(set(names)) == len(names) >= 40
    assert len(speakers_of("train")) >= 24
    for split in SPLITS:
        assert {SPEAKERS[name].gender for name in speakers_of(split)} == {"male", "female", "child"}


@given(st.sampled_from(("male", "female", "child")), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_held_out_speakers_come_from_held_out_ranges(gender, draws):
    for split in SPLITS:
        someone = voice.new_speaker("someone", gender, split, draws)
        for value, (low, high) in zip((someone.pitch, someone.size), voice._RANGES[gender], strict=True):
            tenth = 10 * log(value / low) / log(high / low)
            assert any(own - 1e-6 <= tenth <= own + 1 + 1e-6 for own in voice._TENTHS[split])
    assert sorted(tenth for own in voice._TENTHS.values() for tenth in own) == list(range(10))


def test_everyone_sounds_and_nobody_sounds_like_another(neutral):
    for name, said in neutral.items():
        assert said.wave.dtype == np.float32 and said.wave.ndim == 1 and np.isfinite(said.wave).all(), name
        assert 0.2 < np.abs(said.wave).max() <= 1 and acoustics.rms(said.wave) == pytest.approx(0.1, rel=0.3)
    assert len({said.wave.tobytes() for said in neutral.values()}) == len(SPEAKERS)


def test_pitch_tells_men_women_and_children_apart(neutral):
    f0 = {name: median_f0(said.wave) for name, said in neutral.items()}
    for name, speaker in SPEAKERS.items():
        assert f0[name] == pytest.approx(speaker.pitch, rel=0.1), name
    of = lambda gender: [f0[name] for name, who in SPEAKERS.items() if who.gender == gender]  # noqa: E731
    assert max(of("male")) < min(of("female")) and 1.1 * np.mean(of("female")) < np.mean(of("child"))
    assert 1.5 * np.mean(of("male")) < np.mean(of("female"))


def test_a_longer_vocal_tract_and_a_darker_voice_lower_the_spectrum():
    who = SPEAKERS["alice"]
    plain = brightness(speak(TEXT, replace(who, tilt=0.0)).wave)
    assert brightness(speak(TEXT, replace(who, tilt=-3.0)).wave) < plain - 0.8
    assert brightness(speak(TEXT, replace(who, tilt=0.0, size=1.3)).wave) < plain - 0.1


# --- moods ------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_moods_change_tempo_pitch_and_level_of_everyone(moods, name):
    said = {mood: moods[name, mood].wave for mood in MOODS}
    assert len(said["happy"]) < len(said["neutral"]) < len(said["sad"]) > 1.1 * len(said["angry"])
    f0 = {mood: median_f0(wave) for mood, wave in said.items()}
    for mood in MOODS:
        own = moods[name, mood].f0
        assert len(own) * vocoder.FRAME_SECONDS == pytest.approx(len(said[mood]) / SAMPLE_RATE, abs=0.03)
        assert np.median(own[own > 0]) == pytest.approx(f0[mood], rel=0.2)
    assert f0["sad"] < f0["neutral"] < f0["happy"]
    level = {mood: acoustics.rms(wave) for mood, wave in said.items()}
    assert level["sad"] < level["neutral"] < level["angry"]
    assert brightness(said["sad"]) < brightness(said["angry"]) - 0.2


def test_the_pitch_of_the_happy_moves_most_and_that_of_the_sad_least():
    spectra = vocoder.analyze("wˈʌt ə dˈA!", 1.0)
    movement = {}
    for mood in MOODS:
        f0 = voice._as_said_by(SPEAKERS["alice"], voice._MANNERS[mood], spectra).f0
        movement[mood] = np.log(f0[f0 > vocoder.UNVOICED]).std()
    assert 2 * movement["sad"] < movement["neutral"] < movement["angry"] < movement["happy"]


# --- words and times ------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_words_come_in_order_within_the_clip(moods, name):
    for mood in MOODS:
        said = moods[name, mood]
        assert " ".join(word.text for word in said.words) == TEXT.rstrip(".")
        times = [time for word in said.words for time in (word.begin, word.end)]
        assert times == sorted(times) and all(word.end - word.begin >= 0.025 for word in said.words)
        seconds = len(said.wave) / SAMPLE_RATE
        assert times[0] == pytest.approx(0.1) and times[-1] == pytest.approx(seconds - 0.1, abs=0.03)


def test_a_pause_lies_between_the_words_that_it_parts():
    said = speak("Stop. The cat is here, and the dog is there.", "diana")
    stop, the = said.words[:2]
    assert the.begin - stop.end > 0.15
    samples = lambda begin, end: said.wave[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)]  # noqa: E731
    silence = acoustics.rms(samples(stop.end + 0.06, the.begin - 0.02))
    assert silence < 0.1 * min(acoustics.rms(samples(word.begin, word.end)) for word in (stop, the))
    here, and_ = said.words[4:6]
    assert (here.text, and_.text) == ("here", "and") and and_.begin - here.end > 0.05


def test_every_symbol_lies_between_frames_of_its_own():
    symbols = "hˈæt."
    spectra = vocoder.analyze(symbols, 1.0)
    assert len(spectra.bounds) == len(symbols) + 1 and np.all(np.diff(spectra.bounds) > 0)
    assert spectra.bounds[0] > 0 and spectra.bounds[-1] < len(spectra.f0) == spectra.harmonics.shape[1]
    assert len(vocoder.synthesize(spectra, np.random.default_rng(0))) == len(spectra.f0) * SAMPLE_RATE // 80
    assert len(vocoder.analyze(symbols, 0.8).f0) > len(spectra.f0)


@pytest.mark.parametrize("name", FEW)
def test_a_word_is_heard_in_its_time(name):
    """Only the words with a sibilant hiss in their times, and where it is their first phone from the beginning."""
    for text, at in (("Now say no.", 1), ("Lee may go soon.", 3), ("Anna may show Lee.", 2)):
        said = speak(text, name)
        hisses = [_hiss(said, word) for word in said.words]
        assert [i for i, hiss in enumerate(hisses) if hiss is not None] == [at]
        assert -0.015 <= hisses[at] <= 0.05


def _hiss(said, word):
    """When more than half of the power is above 4 kHz, in seconds from the word's beginning."""
    for begin in np.arange(word.begin - 0.03, word.end - 0.02, 0.005):
        frame = said.wave[round(begin * SAMPLE_RATE) :][: SAMPLE_RATE // 50]
        power = np.abs(np.fft.rfft(frame)) ** 2
        if power[len(frame) // 4 :].sum() > 0.5 * power.sum():
            return begin - word.begin
    return None


def test_the_same_call_gives_the_same_bytes():
    first, second = (speak(TEXT, "bella", "angry", 1.05) for _ in range(2))
    assert first.wave.tobytes() == second.wave.tobytes() and first.words == second.words


def test_words_keep_their_spelling_and_lose_the_punctuation_around_them():
    (first, second) = pronounce("It's a ten-year-old dog; isn't it? Yes , it is .")
    assert [word.text for word in first] == ["It's", "a", "ten-year-old", "dog", "isn't", "it"]
    assert [word.text for word in second] == ["Yes", "it", "is"]
    assert [word.pause for word in first] == ["", "", "", ";", "", "?"] and second[0].pause == ","


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((TEXT, "nobody"), "unknown speaker 'nobody'"),
        ((TEXT, "adam", "bored"), "unknown mood 'bored'"),
        ((TEXT, "adam", "sad", 2.0), "tempo 2: choose one from 0.92 to 1.08"),
        (("...", "adam"), "nothing to say in '...'"),
        (("", "adam"), "nothing to say in ''"),
        (("Room 101", "adam"), "cannot say '1' in 'Room 101'"),
        (("今天", "adam"), "cannot say '今'"),
        (("a café", "adam"), "cannot say 'é'"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_rule(arguments, rule):
    with pytest.raises(SalmonnError, match=rule) as refused:
        speak(*arguments)
    assert "\n" not in str(refused.value)


# --- phones ------------------------------------------------------------


def test_phones_are_those_of_the_words_without_stress_and_punctuation():
    church = ("ð", "ə", "tʃ", "ɚ", "tʃ", "m", "ɛ", "ʒ", "ɚ", "d", "b", "aɪ", "ə", "b", "ɔɪ")
    assert phonemes("The church, measured: by a boy.") == church
    assert phonemes("hello") == ("h", "ə", "l", "oʊ")
    assert phonemes("around") == ("ə", "ɹ", "aʊ", "n", "d")
    assert phonemes("The water") == ("ð", "ə", "w", "ɔ", "t", "ɚ")


def test_speech_brings_the_phones_of_its_text(neutral):
    assert all(said.phones == phonemes(TEXT) for said in neutral.values())


def test_the_inventory_holds_every_word_of_the_world():
    phones = {phone for word in spoken_words() for phone in phonemes(word)}
    assert phones <= set(PHONES) and len(set(PHONES)) == len(PHONES) == 40


def test_a_foreign_phone_is_refused():
    with pytest.raises(SalmonnError, match="loch"):
        phones_of(Said("loch", "lˈɑx"))


# --- clips ------------------------------------------------------------


def test_words_keep_their_times_when_others_speak_first_or_at_once():
    both = (Utterance("The cat is here.", "alice"), Utterance("The dog is there.", "adam"))
    first, second = (speak(**vars(one)) for one in both)
    seconds = len(first.wave) / SAMPLE_RATE
    for overlap, start in ((None, seconds + GAP_SECONDS), (0.5, 0.5 * seconds)):
        clip = record(ClipPlan(0, both, overlap))
        assert len(clip.wave) == pytest.approx((start + len(second.wave) / SAMPLE_RATE) * SAMPLE_RATE, abs=2)
        assert clip.words[:4] == first.words
        assert [word.text for word in clip.words[4:]] == ["The", "dog", "is", "there"]
        assert clip.words[4].begin == pytest.approx(second.words[0].begin + start)


def test_a_sound_is_heard_before_and_after_the_voice_in_front_of_it():
    said = Utterance("The cat is here.", "alice")
    alone, clip = record(ClipPlan(1, (said,))), record(ClipPlan(1, (said,), events=("rain",)))
    lead = clip.words[0].begin - alone.words[0].begin
    tail = (len(clip.wave) - len(alone.wave)) / SAMPLE_RATE - lead
    assert 0.8 <= lead <= 1.2 and 0.2 <= tail <= 0.5
    assert clip.words[-1].end - alone.words[-1].end == pytest.approx(lead)
    assert acoustics.rms(clip.wave[: round(0.7 * SAMPLE_RATE)]) > 0.003
    assert acoustics.rms(clip.wave[-round(0.15 * SAMPLE_RATE) :]) > 0.003
    assert record(ClipPlan(1, events=("rain",))).words == ()
