"""Writes the bundled stories: `python data/stories/generate.py [FOLDER]`. The same files every time.

A small world of persons, rooms and things, told sentence by sentence. Three kinds of questions, a file of each per split: where a thing
is, which moves with the person who carries it; who has a thing; whether a person is in a room.
"""

import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

PERSONS = ("Ines", "Otto", "Priya", "Tomasz", "Lena")
ROOMS = ("archive", "workshop", "canteen", "lobby", "studio", "cellar")
THINGS = ("ledger", "parcel", "lantern", "toolbox", "camera")
MOVES = ("{person} walks into the {room}.", "{person} heads for the {room}.", "{person} is now in the {room}.")
TAKES = ("{person} picks up the {thing}.", "{person} takes the {thing} along.")
GIVES = "{person} hands the {thing} to {other}."
DROPS = ("{person} puts the {thing} down.", "{person} leaves the {thing} there.")
SENTENCES, EVERY = 10, 2  # of a story, and after how many a question is asked
QUESTIONS = {"train": 480, "valid": 60, "test": 120}  # of each kind
KINDS = ("where", "who", "whether")


@dataclass
class World:
    """Who is where and has what. Things that nobody has lie in a room; those that no sentence has named are nowhere."""

    draw: random.Random
    room: dict[str, str] = field(default_factory=dict)  # of persons
    holder: dict[str, str] = field(default_factory=dict)  # of things
    place: dict[str, str] = field(default_factory=dict)  # of things that lie somewhere

    def happen(self) -> str:
        """Something that can happen, as a sentence."""
        present = sorted(self.room)
        held = sorted(self.holder)
        events = ["move"]
        lying = [(person, thing) for person in present for thing in THINGS if self.can_take(person, thing)]
        meeting = [(thing, other) for thing in held for other in present if self.meets(self.holder[thing], other)]
        events += ["take"] * (2 if lying else 0) + ["give"] * (1 if meeting else 0) + ["drop"] * (1 if held else 0)
        event = self.draw.choice(events)
        if event == "take":
            person, thing = self.draw.choice(lying)
            self.place.pop(thing, None)
            self.holder[thing] = person
            return self.draw.choice(TAKES).format(person=person, thing=thing)
        if event == "give":
            thing, other = self.draw.choice(meeting)
            person, self.holder[thing] = self.holder[thing], other
            return GIVES.format(person=person, thing=thing, other=other)
        if event == "drop":
            thing = self.draw.choice(held)
            person = self.holder.pop(thing)
            self.place[thing] = self.room[person]
            return self.draw.choice(DROPS).format(person=person, thing=thing)
        person = self.draw.choice(PERSONS)
        self.room[person] = self.draw.choice([room for room in ROOMS if room != self.room.get(person)])
        return self.draw.choice(MOVES).format(person=person, room=self.room[person])

    def can_take(self, person: str, thing: str) -> bool:
        """A thing is taken where it lies, or anywhere if the story has not named it."""
        return thing not in self.holder and self.place.get(thing, self.room[person]) == self.room[person]

    def meets(self, person: str, other: str) -> bool:
        return person != other and self.room[person] == self.room[other]

    def ask(self, kind: str) -> tuple[str, str] | None:
        """A question of a kind and its answer; None if the story says nothing to ask about."""
        if kind == "whether":
            person = self.draw.choice(sorted(self.room))
            room = self.room[person] if self.draw.random() < 0.5 else self.draw.choice(ROOMS)
            return f"Is {person} in the {room}?", "yes" if room == self.room[person] else "no"
        if kind == "who":
            things = sorted({*self.holder, *self.place})
            if not things:
                return None
            thing = self.draw.choice(things)
            return f"Who has the {thing}?", self.holder.get(thing, "nobody")
        places = {**self.place, **{thing: self.room[person] for thing, person in self.holder.items()}}
        if not places:
            return None
        thing = self.draw.choice(sorted(places))
        return f"Where is the {thing}?", places[thing]


def stories(kind: str, split: str) -> str:
    """The file of a kind of questions and a split, in the format of the bAbI tasks."""
    draw = random.Random(f"{kind} {split}")
    lines: list[str] = []
    asked = 0
    while asked < QUESTIONS[split]:
        world, number = World(draw), 0
        for sentence in range(1, SENTENCES + 1):
            number += 1
            lines.append(f"{number} {world.happen()}")
            pair = world.ask(kind) if sentence % EVERY == 0 else None
            if pair and asked < QUESTIONS[split]:
                number, asked = number + 1, asked + 1
                lines.append(f"{number} {pair[0]}\t{pair[1]}")
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write all files."""
    for kind in KINDS:
        for split in QUESTIONS:
            (folder / f"{kind}_{split}.txt").write_text(stories(kind, split), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
