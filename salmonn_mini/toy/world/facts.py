"""What is true in the toy world: the knowledge behind question answering and co-reasoning."""

from __future__ import annotations

from salmonn_mini.toy.world.lexicon import DAYS, MONTHS, NUMBERS

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Japan": "Tokyo", "Greece": "Athens",
    "England": "London", "Spain": "Madrid", "Austria": "Vienna", "Portugal": "Lisbon", "Norway": "Oslo",
}  # fmt: skip

_OPPOSITES = (
    ("big", "small"), ("old", "new"), ("black", "white"), ("happy", "sad"), ("fast", "slow"), ("hot", "cold"),
    ("open", "closed"), ("day", "night"), ("left", "right"), ("rich", "poor"),
)  # fmt: skip

Fact = tuple[tuple[str, ...], str]  # (what stands in the question's gaps), answer


def _facts(text: str) -> list[Fact]:
    """Facts with one gap, from `gap: answer; gap: answer …`."""
    rows = (row.split(":") for row in text.split(";"))
    return [((" ".join(gap.split()),), answer.strip()) for gap, answer in rows]


FACTS: dict[str, list[Fact]] = {
    "capital": [((country,), city) for country, city in CAPITALS.items()],
    "country": [((city,), country) for country, city in CAPITALS.items()],
    "animal": _facts("""
        barks at strangers: a dog; catches mice: a cat; gives milk: a cow; gives us wool: a sheep;
        has wings and sings: a bird; swims on the lake: a duck; pulls a cart: a horse; eats cheese: a mouse;
        has very long ears: a rabbit; climbs trees and eats bananas: a monkey
    """),
    "color": _facts("""
        the sky: blue; grass: green; snow: white; coal: black; the sun: yellow; blood: red; chocolate: brown
    """),
    "day_after": [((day,), DAYS[(i + 1) % 7]) for i, day in enumerate(DAYS)],
    "day_before": [((day,), DAYS[i - 1]) for i, day in enumerate(DAYS)],
    "month": [((month,), MONTHS[(i + 1) % 12]) for i, month in enumerate(MONTHS)],
    "sum": [((NUMBERS[a], NUMBERS[b]), NUMBERS[a + b + 1]) for a in range(5) for b in range(5)],
    "opposite": [((word,), other) for pair in _OPPOSITES for word, other in (pair, pair[::-1])],
    "legs": _facts("a dog: four; a horse: four; a bird: two; a man: two; a spider: eight; a butterfly: six"),
    "work": _facts("""
        bakes bread: a baker; teaches children: a teacher; helps sick people: a doctor; grows corn: a farmer;
        wears a crown: a king; sails on a ship: a sailor; paints pictures: a painter; sings on a stage: a singer
    """),
    "where": _facts("""
        buy fresh fish: at the market; make soup: in the kitchen; learn to write: at school;
        catch a train: at the station; borrow books: at the library; see a lot of trees: in the forest;
        swim in the sea: at the beach; get a room for the night: at a hotel
    """),
    "tool": _facts("""
        cut bread: a knife; write a letter: a pen; open a locked door: a key; stay dry in the rain: an umbrella;
        eat soup: a spoon; sweep the floor: a broom; tell the time: a clock; make a phone call: a phone
    """),
}

# Three wordings each: of every fact one is held out (see `grammar.split_of`).
WORDINGS: dict[str, tuple[str, str, str]] = {
    "capital": ("What is the capital of {}?", "Tell me the capital of {}.", "Which city is the capital of {}?"),
    "country": ("Which country is {} in?", "Tell me which country {} is in.", "In which country is {}?"),
    "animal": ("Which animal {}?", "What animal {}?", "Name an animal that {}."),
    "color": ("What color is {}?", "What is the color of {}?", "Tell me the color of {}."),
    "day_after": ("What day comes after {}?", "Which day follows {}?", "Tell me the day after {}."),
    "day_before": ("What day comes before {}?", "Which day is right before {}?", "Tell me the day before {}."),
    "month": ("What month comes after {}?", "Which month follows {}?", "Tell me the month after {}."),
    "sum": ("What is {} plus {}?", "How much is {} plus {}?", "Add {} and {}."),
    "opposite": ("What is the opposite of {}?", "Tell me the opposite of {}.", "Which word means the opposite of {}?"),
    "legs": ("How many legs does {} have?", "Tell me how many legs {} has.", "Do you know how many legs {} has?"),
    "work": ("Who {}?", "Tell me who {}.", "What do we call a person who {}?"),
    "where": ("Where can I {}?", "Tell me where I can {}.", "Where do people {}?"),
    "tool": ("What do I need to {}?", "Tell me what I need to {}.", "What do people use to {}?"),
}  # fmt: skip

# Spoken questions about the sound behind the voice (speech-audio co-reasoning): question -> column of SOUND_FACTS.
SOUND_QUESTIONS: dict[str, str] = {
    "What is that sound?": "source",
    "What is making this sound?": "source",
    "Tell me what that sound is.": "source",
    "Where am I?": "place",
    "Tell me where I am.": "place",
    "Can you guess where I am?": "place",
    "What should I do now?": "action",
    "Tell me what to do.": "action",
    "Can you tell me what to do?": "action",
}
SOUND_ANSWERS = {"source": "It is {}.", "place": "You are {}.", "action": "You should {}."}


def _sound_facts(text: str) -> dict[str, dict[str, str]]:
    rows = ([cell.strip() for cell in row.split("|")] for row in text.strip().split("\n"))
    return {name: dict(zip(SOUND_ANSWERS, columns, strict=True)) for name, *columns in rows}


# What each sound event stands for: its source, the place where it is heard, and what to do about it.
SOUND_FACTS: dict[str, dict[str, str]] = _sound_facts("""
    dog       | a dog        | in the garden   | pet the dog
    cat       | a cat        | in the house    | feed the cat
    cow       | a cow        | on the farm     | milk the cow
    bird      | a bird       | in the forest   | look for the bird
    rain      | the rain     | outside         | take an umbrella
    thunder   | thunder      | in the mountains | stay inside
    wind      | the wind     | on a hill       | wear a coat
    waves     | the sea      | at the beach    | go swimming
    bell      | a bell       | at the church   | go to church
    knock     | a knock at the door | at the door     | open the door
    clock     | a clock      | in the kitchen  | check the time
    siren     | a police car | on the road     | stop the car
    phone     | a phone      | in the office   | answer the phone
    baby      | a baby       | in the bedroom  | comfort the baby
    sheep     | a sheep      | in a meadow     | count the sheep
    duck      | a duck       | on the lake     | feed the duck
    owl       | an owl       | in the woods    | look up
    frog      | a frog       | at a pond       | look for the frog
    bee       | a bee        | near the flowers | stand still
    water     | running water | in the bathroom | turn off the water
    fire      | a fire       | at a campfire   | put out the fire
    hammer    | a hammer     | in the workshop | cover your ears
    footsteps | somebody walking | in the hallway | turn around
    clapping  | an audience  | in the theater  | clap along
    engine    | an engine    | in the garage   | turn off the engine
    horn      | a car horn   | in traffic      | get out of the way
""")
