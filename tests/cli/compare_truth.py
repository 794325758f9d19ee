# SPDX-License-Identifier: Apache-2.0
"""What logsum compare should say of two lists of sequences, by math alone."""

import math

QUANTILES = {
    "min": 0, "0.1 %": 1, "1 %": 10, "5 %": 50, "50 %": 500,
    "95 %": 950, "99 %": 990, "99.9 %": 999, "max": 1000,
}  # fmt: skip


def quantile(values, permille):
    """The smallest value with at least that share at or below it."""
    ordered = sorted(values)
    return next(x for i, x in enumerate(ordered, 1) if 1000 * i >= permille * len(ordered))


def effective(weights):
    return math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)


class Truth:
    def __init__(self, rollout, trainer, mask=None):
        self.total = sum(map(len, rollout))
        self.sequences = [
            [((i, j), x, y) for j, (x, y) in enumerate(zip(a, b)) if mask is None or mask[i][j]]
            for i, (a, b) in enumerate(zip(rollout, trainer))
        ]
        tokens = [t for s in self.sequences for t in s]
        self.n = len(tokens)
        self.masked = self.total - self.n
        self.differences = d = [y - x for _, x, y in tokens]
        self.mean = math.fsum(d) / self.n
        self.mean_abs = math.fsum(map(abs, d)) / self.n
        self.max_abs = max(map(abs, d))
        self.identical = d.count(0)
        self.kl = (
            -self.mean,
            math.fsum(x * x / 2 for x in d) / self.n,
            math.fsum(math.expm1(x) - x for x in d) / self.n,
        )
        ratios = [math.exp(x) for x in d]
        self.mean_ratio = math.fsum(ratios) / self.n
        self.ess = effective(ratios)
        self.quantiles = {
            name: (quantile(d, q), math.exp(quantile(d, q))) for name, q in QUANTILES.items()
        }
        self.worst = [at for at, x, y in sorted(tokens, key=lambda t: (-abs(t[2] - t[1]), t[0]))]

    @property
    def correlation(self):
        tokens = [t for s in self.sequences for t in s]
        means = [math.fsum(t[k] for t in tokens) / self.n for k in (1, 2)]

        def cov(i, j):
            return math.fsum((t[i] - means[i - 1]) * (t[j] - means[j - 1]) for t in tokens)

        return cov(1, 2) / math.sqrt(cov(1, 1) * cov(2, 2))

    @property
    def quarters(self):
        first, last = [], []
        for s in self.sequences:
            d = [abs(y - x) for _, x, y in s]
            quarter = len(d) // 4
            first += d[:quarter]
            last += d[len(d) - quarter :]
        return math.fsum(first) / len(first), math.fsum(last) / len(last)

    @property
    def means(self):
        return [math.fsum(y - x for _, x, y in s) / len(s) for s in self.sequences if s]

    @property
    def sequence_quantiles(self):
        return {name: quantile(self.means, q) for name, q in QUANTILES.items()}

    def outside(self, low, high, values=None):
        ratios = [math.exp(x) for x in (self.differences if values is None else values)]
        return sum(r < 1 - low for r in ratios), sum(r > 1 + high for r in ratios)

    def sequences_outside(self, low, high):
        return self.outside(low, high, self.means)

    def weights(self, level, mode, low, high):
        """Mean weight, share clipped, effective sample size."""
        raw = []
        for s in self.sequences:
            d = [y - x for _, x, y in s]
            raw += d if level == "token" else [math.fsum(d)] * len(d)
        raw = [math.exp(x) for x in raw]
        kept = [
            w if low <= w <= high else 0.0 if mode == "mask" else min(max(w, low), high)
            for w in raw
        ]
        clipped = sum(not low <= w <= high for w in raw)
        return math.fsum(kept) / self.n, clipped / self.n, effective(kept)
