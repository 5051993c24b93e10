"""An n-gram language model: interpolated Kneser-Ney with one discount an order (Chen and Goodman, 1999, section 3).

The baseline of benchmarks/smart_reply.py for the perplexity of replies, over the tokens of the network that it is compared with.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

START = 2  # in front of each row


class KneserNey:
    """P(token | the order - 1 tokens before it), in which each order adds to the one below it:

        P_n(w | h) = max(c(h w) - D_n, 0) / c(h) + D_n * types(h) / c(h) * P_n-1(w | h without its first token)

    c counts occurrences at the highest order and below it the different tokens in front of an n-gram; n-grams at the beginning of a
    row have none in front and are counted as they are. D_n = n1 / (n1 + 2 * n2), with n1 and n2 of the n-grams counted once and
    twice. Below single tokens all `vocab_size` tokens are equally probable.
    """

    def __init__(self, rows: Iterable[Sequence[int]], order: int, vocab_size: int):
        self.order, self.vocab_size = order, vocab_size
        raw: list[Counter] = [Counter() for _ in range(order + 1)]
        for row in rows:
            tokens = (START, *row)
            for end in range(2, len(tokens) + 1):
                for size in range(1, min(order, end) + 1):
                    raw[size][tokens[end - size : end]] += 1
        self.counts, self.totals, self.types, self.discounts = [Counter()], [Counter()], [Counter()], [0.0]
        for size in range(1, order + 1):
            counts = raw[size]
            if size < order:
                counts = Counter({gram: count for gram, count in counts.items() if gram[0] == START})
                counts.update(gram[1:] for gram in raw[size + 1])
            totals, types = Counter(), Counter()
            for gram, count in counts.items():
                totals[gram[:-1]] += count
                types[gram[:-1]] += 1
            once, twice = (sum(count == times for count in counts.values()) for times in (1, 2))
            self.discounts.append(once / (once + 2 * twice) if once else 0.0)
            self.counts.append(counts)
            self.totals.append(totals)
            self.types.append(types)

    def probability(self, token: int, before: Sequence[int]) -> float:
        """P(token | before), with START in front of a row's first token."""
        probability = 1 / self.vocab_size
        for size in range(1, min(self.order, len(before) + 1) + 1):
            context = tuple(before[len(before) - size + 1 :])
            total = self.totals[size][context]
            if not total:
                break
            discount = self.discounts[size]
            own = max(self.counts[size][(*context, token)] - discount, 0)
            probability = (own + discount * self.types[size][context] * probability) / total
        return probability

    def perplexity(self, rows: Iterable[Sequence[int]]) -> float:
        """exp of the mean negative log-probability of a token."""
        nats, count = 0.0, 0
        for row in rows:
            tokens = (START, *row)
            for end in range(1, len(tokens)):
                nats -= math.log(self.probability(tokens[end], tokens[max(0, end - self.order + 1) : end]))
                count += 1
        return math.exp(nats / count)
