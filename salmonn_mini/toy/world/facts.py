"""What is true in the toy world: the knowledge behind question answering and co-reasoning."""

from __future__ import annotations

from salmonn_mini.toy.world.lexicon import DAYS, NUMBERS, OPPOSITES

CAPITALS = {
    "france": "paris", "germany": "berlin", "italy": "rome", "japan": "tokyo", "china": "beijing",
    "england": "london", "spain": "madrid", "egypt": "cairo", "russia": "moscow", "norway": "oslo",
}  # fmt: skip

# A fact is ((what stands in the question's gaps), answer).
FACTS: dict[str, list[tuple[tuple[str, ...], str]]] = {
    "capital": [((country,), city) for country, city in CAPITALS.items()],
    "country": [((city,), country) for country, city in CAPITALS.items()],
    "animal": [
        (("barks",), "dog"),
        (("catches mice",), "cat"),
        (("gives milk",), "cow"),
        (("gives wool",), "sheep"),
        (("sings in the morning",), "bird"),
        (("swims on the river",), "duck"),
        (("pulls a cart",), "horse"),
        (("likes cheese",), "mouse"),
    ],
    "colour": [
        (("sky",), "blue"),
        (("grass",), "green"),
        (("snow",), "white"),
        (("night",), "black"),
        (("sun",), "yellow"),
        (("blood",), "red"),
    ],
    "after": [((day,), DAYS[(i + 1) % 7]) for i, day in enumerate(DAYS)],
    "before": [((day,), DAYS[i - 1]) for i, day in enumerate(DAYS)],
    "sum": [((NUMBERS[a], NUMBERS[b]), NUMBERS[a + b + 1]) for a in range(5) for b in range(5)],
    "opposite": [((word,), other) for word, other in OPPOSITES.items()],
    "legs": [
        (("dog",), "four"),
        (("horse",), "four"),
        (("bird",), "two"),
        (("man",), "two"),
        (("spider",), "eight"),
    ],
    "work": [
        (("bakes bread",), "baker"),
        (("teaches children",), "teacher"),
        (("helps sick people",), "doctor"),
        (("grows corn",), "farmer"),
        (("wears a crown",), "king"),
    ],
    "where": [
        (("buy apples",), "market"),
        (("cook soup",), "kitchen"),
        (("learn to read",), "school"),
        (("wait for a train",), "station"),
        (("see many trees",), "forest"),
        (("grow flowers",), "garden"),
    ],
}

WORDINGS: dict[str, tuple[str, ...]] = {
    "capital": ("what is the capital of {}", "tell me the capital of {}", "which city is the capital of {}"),
    "country": ("where is the city of {}", "which country has the city of {}", "in which country is {}"),
    "animal": ("which animal {}", "what animal {}", "name an animal that {}"),
    "colour": ("what colour is the {}", "which colour has the {}", "tell me the colour of the {}"),
    "after": ("which day comes after {}", "what day comes after {}", "tell me the day after {}"),
    "before": ("which day comes before {}", "what day comes before {}", "tell me the day before {}"),
    "sum": ("what is {} plus {}", "how much is {} plus {}", "tell me {} plus {}"),
    "opposite": (
        "what is the opposite of {}",
        "tell me the opposite of {}",
        "which word is the opposite of {}",
    ),
    "legs": ("how many legs has a {}", "tell me how many legs a {} has", "how many legs are on a {}"),
    "work": ("who {}", "tell me who {}", "which person {}"),
    "where": ("where can i {}", "tell me where i can {}", "where do people {}"),
}

# Spoken questions about the sound behind the voice (speech-audio co-reasoning): question -> column of SOUND_FACTS.
SOUND_QUESTIONS: dict[str, str] = {
    "what is this sound": "source",
    "what makes this sound": "source",
    "tell me what i hear": "source",
    "where can i hear this sound": "place",
    "tell me where i am": "place",
    "in which place am i": "place",
    "what should i do now": "action",
    "tell me what to do": "action",
    "what do i have to do": "action",
}

# What each sound event stands for: its source, the place where it is heard, and what to do about it.
SOUND_FACTS: dict[str, dict[str, str]] = {
    "dog": {"source": "a dog", "place": "in the garden", "action": "stroke the dog"},
    "cat": {"source": "a cat", "place": "in the house", "action": "feed the cat"},
    "cow": {"source": "a cow", "place": "on a farm", "action": "milk the cow"},
    "bird": {"source": "a bird", "place": "in the forest", "action": "look at the bird"},
    "rain": {"source": "the rain", "place": "in the street", "action": "take an umbrella"},
    "thunder": {"source": "a storm", "place": "in the mountains", "action": "stay at home"},
    "wind": {"source": "the wind", "place": "on a hill", "action": "wear a coat"},
    "waves": {"source": "the sea", "place": "at the beach", "action": "go swimming"},
    "bell": {"source": "a bell", "place": "in the church", "action": "go to church"},
    "knock": {"source": "a door", "place": "at the door", "action": "open the door"},
    "clock": {"source": "a clock", "place": "in the kitchen", "action": "look at the time"},
    "siren": {"source": "a police car", "place": "on the road", "action": "stop the car"},
    "phone": {"source": "a phone", "place": "in the office", "action": "answer the phone"},
    "baby": {"source": "a baby", "place": "in the bedroom", "action": "comfort the baby"},
}
