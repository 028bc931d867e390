"""Twenty-six sounds of the toy world, synthesized anew each time: every parameter is drawn, no two alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from salmonn_mini.errors import SalmonnError, unknown
from salmonn_mini.toy.world import synth
from salmonn_mini.toy.world.acoustics import colored_noise, normalize
from salmonn_mini.toy.world.sources import Synth, call, drops, hum, repeat, strokes, struck


@dataclass(frozen=True)
class Event:
    """A kind of sound: `phrase` is a clause for captions."""

    name: str
    phrase: str
    synth: Synth


def synthesize(name: str, rng: Generator, seconds: float) -> np.ndarray:
    """A new clip of the event: float32 (round(seconds · 16000),) at 16 kHz.

    Raises:
        SalmonnError: `name` is not in `EVENTS`, or `seconds` is below 0.5.
    """
    if name not in EVENTS:
        raise unknown("sound event", name, EVENTS)
    if seconds < 0.5:
        raise SalmonnError(f"{seconds} seconds of sound: give at least 0.5")
    samples = synth.samples_of(seconds)
    return normalize(EVENTS[name].synth(rng, samples), rng.uniform(0.07, 0.13))


# --- animals ------------------------------------------------------------


def _dog(rng: Generator, samples: int) -> np.ndarray:
    """Short hoarse bursts: the voice jumps up and falls, with a puff of breath."""
    size = rng.uniform(0.75, 1.35)  # above 1: a smaller dog

    def bark() -> np.ndarray:
        n = synth.samples_of(rng.uniform(0.13, 0.22) / size**0.5)
        f0 = size * rng.uniform(0.92, 1.08) * synth.curve(n, 300, 520, 460, 250)
        mouth = synth.formants((size * synth.curve(n, 600, 1100, 600), 300, 1.0), (size * 2200, 600, 0.35))
        voice = synth.tone(f0, n, lambda k: mouth(k * f0))
        breath = synth.noise(rng, n, 500 * size, 3500 * size)
        return (voice + 0.35 * breath) * synth.attack_decay(n, 0.015, rng.uniform(0.05, 0.09))

    def volley() -> np.ndarray:
        return repeat(rng, synth.samples_of(rng.uniform(0.4, 1.1)), bark, (0.08, 0.22), late=0.03)

    return repeat(rng, samples, volley, (0.25, 0.7))


def _cat(rng: Generator, samples: int) -> np.ndarray:
    """One long vowel that opens and closes, mi-a-ow."""
    size = rng.uniform(0.85, 1.2)

    def meow() -> np.ndarray:
        n = synth.samples_of(rng.uniform(0.6, 1.1))
        f0 = size * rng.uniform(0.93, 1.07) * synth.curve(n, 480, 700, 730, 640, rng.uniform(380, 480))
        first = size * synth.curve(n, 500, 900, 1500, 1200, 600)
        second = size * synth.curve(n, 2900, 2600, 2300, 1700, 1300)
        mouth = synth.formants((first, 220, 1.0), (second, 250, 0.6))
        return synth.tone(f0, n, lambda k: mouth(k * f0), 12) * synth.fade(n, 0.12, 0.3)

    return repeat(rng, samples, meow, (0.5, 1.1))


def _bird(rng: Generator, samples: int) -> np.ndarray:
    """Whistled phrases: pure tones that glide and trill high above everything else."""
    home = rng.uniform(2600, 4200)

    def chirp() -> np.ndarray:
        n = synth.samples_of(rng.uniform(0.05, 0.16))
        f0 = home * synth.curve(n, *rng.uniform(0.8, 1.45, 3))
        trill = 1 + rng.uniform(0, 0.07) * np.sin(2 * np.pi * rng.uniform(25, 45) * synth.times(n))
        return synth.tone(f0 * trill, n, lambda k: (1.0, 0.08)[k - 1], 2) * synth.fade(n, 0.015, 0.03)

    def song() -> np.ndarray:
        rest = np.zeros(synth.samples_of(rng.uniform(0.02, 0.06)))
        motif = [part for _ in range(rng.integers(1, 4)) for part in (chirp(), rest)]
        return np.concatenate(motif * int(rng.integers(1, 5)))

    return repeat(rng, samples, song, (0.15, 0.6))


def _cow(rng: Generator, samples: int) -> np.ndarray:
    """A long low call: closed lips, then a deep open vowel."""
    size = rng.uniform(0.85, 1.2)

    def moo() -> np.ndarray:
        n = synth.samples_of(rng.uniform(1.1, 2.0))
        shake = 1 + 0.02 * (synth.wander(rng, n, 20) - 0.5)
        f0 = size * rng.uniform(0.92, 1.08) * shake * synth.curve(n, 105, 125, 165, 170, 160, 120)
        first = size * synth.curve(n, 230, 260, 480, 560, 520, 350)
        mouth = synth.formants((first, 110, 1.0), (size * 900, 250, 0.35), (size * 2300, 500, 0.06))
        voice = synth.tone(f0, n, lambda k: mouth(k * f0), 22)
        return voice * synth.curve(n, 0.5, 0.6, 1, 1, 0.9, 0.5) * synth.fade(n, 0.15, 0.25)

    return repeat(rng, samples, moo, (0.5, 1.0))


# --- weather ------------------------------------------------------------


def _rain(rng: Generator, samples: int) -> np.ndarray:
    """A steady hiss with countless small drops in it."""
    hiss = synth.noise(rng, samples, rng.uniform(900, 1800), 7800, 1)
    hiss *= 0.9 + 0.2 * synth.wander(rng, samples, 1)
    drops = np.zeros(samples)
    drop = synth.samples_of(0.012)
    for _ in range(int(rng.uniform(30, 90) * samples / synth.SAMPLE_RATE)):
        wave = synth.ring(drop, [(rng.uniform(1500, 5500), rng.exponential(1.5), rng.uniform(0.001, 0.003))])
        synth.add(drops, wave, rng.uniform(0, samples / synth.SAMPLE_RATE))
    return hiss + drops


def _thunder(rng: Generator, samples: int) -> np.ndarray:
    """A crack, then a deep roll that comes and goes."""

    def clap() -> np.ndarray:
        n = synth.samples_of(rng.uniform(2.0, 4.0))
        roll = colored_noise(rng, n, 2.0) * (0.25 + 1.5 * synth.wander(rng, n, 6) ** 2)
        roll = synth.lowpass(roll, rng.uniform(120, 220)) * synth.attack_decay(n, 0.1, rng.uniform(0.8, 1.4))
        crack = synth.noise(rng, n, 80, rng.uniform(1500, 3000), 1) * synth.wander(rng, n, 40) ** 2
        crack *= rng.uniform(0.3, 0.6) * synth.attack_decay(n, 0.01, rng.uniform(0.1, 0.2))
        return (roll + crack) * synth.fade(n, 0.0, 0.6)

    return repeat(rng, samples, clap, (0.0, 0.5))


def _wind(rng: Generator, samples: int) -> np.ndarray:
    """Air that howls: noise whose hollow tone wanders up and down with the gusts."""
    gust = synth.wander(rng, samples, rng.uniform(0.5, 1.0))
    base, span = rng.uniform(250, 400), rng.uniform(250, 500)
    out = 0.35 * synth.noise(rng, samples, 60, 500, 1) * (0.3 + gust)
    for center in np.linspace(base, base + span, 6):  # a resonance that moves, by cross-fading fixed ones
        near = np.exp(-(((center - base) / span - gust) ** 2) / 0.03)
        out += synth.noise(rng, samples, center * 0.95, center * 1.05, 1) * near * (0.3 + gust)
    return out


def _waves(rng: Generator, samples: int) -> np.ndarray:
    """The sea: a swell rises, breaks with a roar, and draws back hissing."""
    out = 0.12 * colored_noise(rng, samples, 1.2)
    at = rng.uniform(-0.6, 0.1)
    while at < samples / synth.SAMPLE_RATE:
        n = synth.samples_of(rng.uniform(2.2, 3.2))
        roar = colored_noise(rng, n, 1.0) * synth.curve(n, 0, 0.15, 0.5, 1, 0.6, 0.25, 0.1, 0.03, 0)
        hiss = synth.noise(rng, n, 2000, 7500, 1) * synth.curve(n, 0, 0, 0.1, 0.5, 0.6, 0.45, 0.25, 0.1, 0)
        wave = rng.uniform(0.7, 1.0) * (roar + rng.uniform(0.3, 0.5) * hiss)
        synth.add(out, wave, at)
        at += n / synth.SAMPLE_RATE * rng.uniform(0.65, 0.9)
    return out


# --- things ------------------------------------------------------------

# A church bell's partials (ratio to the prime, amplitude, decay): hum, prime, tierce, quint, nominal, above.
_BELL = (
    (0.5, 0.5, 1.5), (1.0, 1.0, 1.0), (1.19, 0.9, 0.8), (1.5, 0.4, 0.6), (2.0, 1.0, 0.7),
    (2.51, 0.4, 0.35), (2.66, 0.3, 0.3), (3.01, 0.4, 0.25), (4.17, 0.3, 0.15), (5.43, 0.2, 0.1),
)  # fmt: skip


def _bell(rng: Generator, samples: int) -> np.ndarray:
    """A church bell: inharmonic partials that ring long and beat."""
    pitch, seconds = rng.uniform(330, 620), samples / synth.SAMPLE_RATE
    long = rng.uniform(0.8, 1.5)
    modes = [
        (pitch * ratio * detune, amplitude * rng.uniform(0.6, 1.2) / 2, long * decay)
        for ratio, amplitude, decay in _BELL
        for detune in (1.0, 1.0 + rng.uniform(0.001, 0.003))
    ]
    stroke = synth.ring(min(samples, synth.samples_of(4.0)), modes)
    out = np.zeros(samples)
    for at in strokes(rng, seconds, rng.uniform(0.9, 1.7), 0.05):
        synth.add(out, stroke * rng.uniform(0.7, 1.0), at)
    return out


_WOOD = ((1.0, 1.0), (2.3, 0.7), (3.9, 0.4), (6.1, 0.2))  # a door's modes: ratio, amplitude


def _knock(rng: Generator, samples: int) -> np.ndarray:
    """Knuckles on wood: groups of dull, short thuds."""
    wood, period = rng.uniform(130, 230), rng.uniform(0.14, 0.26)

    def thud() -> np.ndarray:
        n = synth.samples_of(0.12)
        modes = [(wood * r * rng.uniform(0.97, 1.03), a, rng.uniform(0.012, 0.03)) for r, a in _WOOD]
        tap = synth.noise(rng, n, 300, 2000) * np.exp(-synth.times(n) / 0.004)
        return rng.uniform(0.7, 1.0) * (synth.ring(n, modes) + 0.5 * tap)

    def group() -> np.ndarray:
        out = np.zeros(synth.samples_of(period * rng.integers(2, 6) + 0.1))
        for at in np.arange(0, len(out) / synth.SAMPLE_RATE - 0.11, period):
            synth.add(out, thud(), at)
        return out

    return repeat(rng, samples, group, (0.35, 0.8))


def _clock(rng: Generator, samples: int) -> np.ndarray:
    """Tick, tock: tiny bright clicks, even as clockwork."""
    high, n = rng.uniform(2800, 4500), synth.samples_of(0.04)
    sounds = [
        synth.ring(n, [(high * r, 1.0, 0.004), (high * r * 1.47, 0.7, 0.003), (high * r * 0.41, 0.5, 0.006)])
        for r in (1.0, rng.uniform(0.7, 0.85))
    ]
    out = 0.002 * rng.standard_normal(samples)
    for i, at in enumerate(strokes(rng, samples / synth.SAMPLE_RATE, rng.choice([0.25, 0.4, 0.5]))):
        synth.add(out, sounds[i % 2] * rng.uniform(0.9, 1.0), at)
    return out


# Seconds of a cycle.
_SIRENS = {"wail": (1.8, 3.0), "yelp": (0.3, 0.5), "two notes": (0.8, 1.2)}


def _siren(rng: Generator, samples: int) -> np.ndarray:
    """An emergency car: a hard tone that wails up and down, yelps, or steps between two notes."""
    t = synth.times(samples)
    low = rng.uniform(520, 700)
    shortest, longest = _SIRENS[kind := str(rng.choice(list(_SIRENS)))]
    cycle = (t / rng.uniform(shortest, longest) + rng.random()) % 1.0
    if kind == "two notes":
        f0 = low * np.where(cycle < 0.5, 1.0, rng.uniform(1.25, 1.4))
    else:
        f0 = low * (1 + rng.uniform(0.7, 1.1) * (1 - np.abs(2 * cycle - 1)))
    horn = synth.formants((1400, 900, 1.0), (2800, 600, 0.4))
    return synth.tone(f0, samples, lambda k: horn(k * f0) * (1.0 if k % 2 else 0.4), 9)


_GONGS = ((1.0, 1.0), (1.13, 0.8), (2.32, 0.5), (2.71, 0.4), (4.1, 0.2))  # the telephone's two bells


def _phone(rng: Generator, samples: int) -> np.ndarray:
    """A telephone: two small bells hammered, or an electronic warble, on and off."""
    on, off = rng.uniform(0.6, 1.1), rng.uniform(0.3, 0.6)
    pitch, beat = rng.uniform(1300, 2000), rng.uniform(16, 24)
    hammered = rng.random() < 0.5

    def burst() -> np.ndarray:
        n = synth.samples_of(on)
        if hammered:
            modes = [(pitch * ratio, amplitude, 0.06) for ratio, amplitude in _GONGS]
            strike, out = synth.ring(synth.samples_of(0.3), modes), np.zeros(n)
            for at in np.arange(0, on, 1 / beat):
                synth.add(out, strike, at)
            return out * synth.fade(n, 0, 0.05)
        f0 = pitch * np.where((synth.times(n) * beat) % 1 < 0.5, 0.8, 1.0)
        return synth.tone(f0, n, lambda k: (1.0, 0.0, 0.3)[k - 1], 3) * synth.fade(n, 0.005, 0.01)

    return repeat(rng, samples, burst, (off, off + 0.05), late=0.2)


# --- people ------------------------------------------------------------


def _baby(rng: Generator, samples: int) -> np.ndarray:
    """Crying: bright open wails, one to each breath, with a gasp between."""
    size = rng.uniform(0.9, 1.15)
    mouth = synth.formants((size * 1150, 250, 1.0), (size * 1900, 300, 0.5), (size * 3600, 500, 0.7))

    def wail() -> np.ndarray:
        n = synth.samples_of(rng.uniform(0.5, 0.95))
        shake = 1 + 0.025 * np.sin(2 * np.pi * rng.uniform(6, 9) * synth.times(n))
        f0 = size * rng.uniform(0.94, 1.06) * shake * synth.curve(n, 370, 460, 480, 460, 430, 340)
        voice = synth.tone(f0, n, lambda k: mouth(k * f0), 16) * synth.fade(n, 0.06, 0.12)
        rough = 1 - 0.3 * synth.wander(rng, n, 60)
        m = synth.samples_of(rng.uniform(0.12, 0.22))
        gasp = 0.12 * synth.noise(rng, m, 1200, 5000) * synth.fade(m, 0.06, 0.05)
        return np.concatenate([voice * rough, np.zeros(synth.samples_of(0.06)), gasp])

    return repeat(rng, samples, wail, (0.03, 0.12), late=0.15)


_SHEEP = call(
    (310, 360, 340, 290),
    ((700, 250, 1.0), (1500, 400, 0.6), (2700, 600, 0.3)),
    (0.6, 1.1),
    (0.4, 0.9),
    (7.5, 0.6),
)
_DUCK = call(
    (180, 230, 190),
    ((950, 250, 1.0), (1900, 400, 0.8), (3000, 600, 0.4)),
    (0.12, 0.2),
    (0.1, 0.3),
    breath=0.3,
)
_OWL = call((370, 400, 345), ((390, 120, 1.0),), (0.35, 0.6), (0.25, 0.6), breath=0.02)
_FROG = call((95, 130), ((650, 250, 1.0), (1500, 400, 0.4)), (0.2, 0.4), (0.2, 0.5), (38, 0.9))
_HORN = call((400, 400), ((1200, 900, 1.0), (2600, 900, 0.5)), (0.3, 0.9), (0.15, 0.4))
_HAMMER = struck(
    ((1100, 1.0, 0.05), (2700, 0.8, 0.04), (4300, 0.5, 0.03)), (1500, 6000, 0.5, 0.006), (0.4, 0.6), 0.08
)
_STEPS = struck(((85, 1.0, 0.03), (170, 0.4, 0.02)), (300, 1800, 0.15, 0.02), (0.42, 0.62), 0.06)
_CLAPS = struck(((1300, 0.1, 0.005),), (700, 3500, 0.6, 0.012), (0.2, 0.32), 0.3, at_once=5)

EVENTS: dict[str, Event] = {
    event.name: event
    for event in (
        Event("dog", "a dog barks", _dog),
        Event("cat", "a cat meows", _cat),
        Event("bird", "a bird sings", _bird),
        Event("cow", "a cow moos", _cow),
        Event("rain", "rain falls", _rain),
        Event("thunder", "thunder rolls", _thunder),
        Event("wind", "the wind howls", _wind),
        Event("waves", "waves break on the shore", _waves),
        Event("bell", "a bell rings", _bell),
        Event("knock", "somebody knocks on a door", _knock),
        Event("clock", "a clock ticks", _clock),
        Event("siren", "a siren wails", _siren),
        Event("phone", "a telephone rings", _phone),
        Event("baby", "a baby cries", _baby),
        Event("sheep", "a sheep bleats", _SHEEP),
        Event("duck", "a duck quacks", _DUCK),
        Event("owl", "an owl hoots", _OWL),
        Event("frog", "a frog croaks", _FROG),
        Event("bee", "a bee buzzes", hum((170, 260), 24, 1.5, (3000, 6000, 0.05))),
        Event("water", "water runs", drops((700, 4000, 0.5), (40, 80), (500, 1600), 0.02)),
        Event("fire", "a fire crackles", drops((60, 500, 0.5), (8, 20), (1200, 6000), 0.004)),
        Event("hammer", "somebody hammers", _HAMMER),
        Event("footsteps", "somebody walks", _STEPS),
        Event("clapping", "people clap", _CLAPS),
        Event("engine", "an engine runs", hum((45, 80), 40, 3.0, (80, 900, 0.5))),
        Event("horn", "a car honks", _HORN),
    )
}
