"""Personal data in texts, counted by the patterns of the mask steps and by check digits. No text is shown, only row numbers."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from textpipe.config import plugins

CHUNK = 5_000  # texts of a call
NUM_ROWS = 5  # row numbers of each kind
MARK = "\ufdd3"  # a noncharacter: no text has it after ingest replaced invalid bytes, and no pattern matches it
# The masks in the order in which they apply: an address in a URL counts once.
STEPS = {"urls": "mask_urls", "addresses": "mask_addresses", "phones": "mask_phones", "names": "mask_names"}
# Two letters of a country, two check digits and 11 to 30 letters or digits in groups of four (ISO 13616).
IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
CARD = re.compile(
    r"(?<![0-9\-.])[2-6][0-9]{3}([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}(?![0-9\-])|(?<![0-9])3[47][0-9]{2}([ -]?)[0-9]{6}\2[0-9]{5}(?![0-9])"
)
TITLES = {
    "addresses": "e-mail addresses",
    "phones": "telephone numbers",
    "urls": "URLs",
    "names": "names of persons, where mails have them",
    "ibans": "IBANs with valid check digits",
    "cards": "card numbers with a valid check digit",
}


def measure(texts: Sequence[str], positions: Sequence[int]) -> dict[str, dict[str, Any]]:
    """{kind: {"rows": texts that contain it, "count": occurrences, "examples": positions of the first such rows}} of N texts."""
    chunks = [texts[at : at + CHUNK] for at in range(0, len(texts), CHUNK)]
    counts: dict[str, list[int]] = {kind: [] for kind in TITLES}
    # The patterns of a step are matched by one thread, without Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for table in pool.map(count_chunk, chunks):
            for kind, numbers in table.items():
                counts[kind] += numbers
    return {
        kind: {
            "rows": sum(number > 0 for number in numbers),
            "count": sum(numbers),
            "examples": [positions[at] for at, number in enumerate(numbers) if number][:NUM_ROWS],
        }
        for kind, numbers in counts.items()
    }


def count_chunk(texts: Sequence[str]) -> dict[str, list[int]]:
    """Occurrences of each kind in each text."""
    import tensorflow as tf

    table: dict[str, list[int]] = {"ibans": [], "cards": []}
    rest = []
    for text in texts:
        for kind, pattern, valid in (("ibans", IBAN, is_iban), ("cards", CARD, is_card)):
            matches = [match[0] for match in pattern.finditer(text) if valid(match[0])]
            table[kind].append(len(matches))
            for number in matches:
                text = text.replace(number, " ")
        rest.append(text.replace(MARK, " "))
    tensor, before = tf.constant(rest, tf.string), [0] * len(texts)
    for kind, step in STEPS.items():
        module = plugins.find("text.steps", step)
        tensor = module.apply(tensor, module.Config(token=MARK))
        after = [text.count(MARK.encode()) for text in tensor.numpy()]
        table[kind] = [number - earlier for number, earlier in zip(after, before, strict=True)]
        before = after
    return table


def is_iban(text: str) -> bool:
    """Whether the check digits of an IBAN are right (ISO 13616; ISO 7064, MOD 97-10).

    "GB82 WEST 1234 5698 7654 32" -> True
    """
    compact = text.replace(" ", "")
    digits = "".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])
    return 15 <= len(compact) <= 34 and int(digits) % 97 == 1


def is_card(text: str) -> bool:
    """Whether a number has 13 to 19 digits and the check digit of a payment card (ISO/IEC 7812-1, Luhn).

    "4111 1111 1111 1111" -> True
    """
    digits = [int(letter) for letter in text if letter.isdigit()]
    doubled = [digit if at % 2 == 0 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(reversed(digits))]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0
