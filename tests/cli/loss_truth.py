# SPDX-License-Identifier: Apache-2.0
"""What logsum loss should say of a batch: the policy losses by docs/ops/policy_loss.md, in float64
by math alone. Gradients are central differences; what no gradient goes through is held at the point
where they are taken."""

import math
from dataclasses import dataclass, field

import truth
from truth import INF

LOSS_TYPES = {
    "grpo": ("clip", "token", "sequence_mean"),
    "bnpo": ("clip", "token", "token_mean"),
    "dr_grpo": ("clip", "token", "constant"),
    "dapo": ("clip", "token", "token_mean"),
    "cispo": ("cispo", "token", "token_mean"),
    "sapo": ("sapo", "token", "sequence_mean"),
    "vespo": ("vespo", "token", "token_mean"),
    "luspo": ("clip", "sequence", "sequence_sum_mean"),
    "gspo": ("clip", "sequence", "sequence_mean"),
    "gmpo": ("gmpo", "token", "sequence_mean"),
    "reinforce": ("reinforce", "token", "token_mean"),
}


@dataclass
class Options:
    objective: str = "clip"
    ratio_level: str = "token"
    aggregation: str = "token_mean"
    epsilon_low: float = 0.2
    epsilon_high: float = 0.2
    delta: float = INF
    dual_clip: float = INF
    cispo_bounds: str = "upper"
    sapo_tau_pos: float = 1.0
    sapo_tau_neg: float = 1.05
    vespo_k_pos: float = 2.0
    vespo_lambda_pos: float = 3.0
    vespo_k_neg: float = 3.0
    vespo_lambda_neg: float = 2.0
    log_ratio_clamp: float = INF
    beta: float = 0.0
    kl_estimator: str = "k3"
    use_bias_correction_kl: bool = False
    kl_input_clamp: float = INF
    kl_output_clamp: float = INF
    entropy_coef: float = 0.0
    off_policy_threshold: float = INF
    count_empty_sequences: bool = True
    temperature: float = 1.0
    normalizer: float = 0.0
    entropy_normalizer: float = 0.0
    grad_scale: float = 1.0
    ignore_index: int = -100
    vocab_size: int = 0


@dataclass
class Batch:
    """Lists by row; sequences are lists of rows."""

    logits: list
    targets: list
    advantages: list  # by row
    sequences: list
    old: list = None
    ref: list = None
    sampling: list = None
    weights: list = None  # by row, or by sequence
    mask: list = None
    entropy_mask: list = None
    weights_of_sequences: bool = False
    options: Options = field(default_factory=Options)


def clamp(x, low, high):
    return min(max(x, low), high)


class Truth:
    def __init__(self, batch):
        self.b, self.o = batch, batch.options
        rows = range(len(batch.logits))
        self.kept = [
            i
            for i in rows
            if (batch.mask is None or batch.mask[i]) and batch.targets[i] != self.o.ignore_index
        ]
        self.base = {i: self.logp(batch.logits[i], i) for i in self.kept}
        self.entropy = {i: truth.entropy(self.used(batch.logits[i]), self.o.temperature)
                        for i in self.kept}  # fmt: skip
        self.tokens = {}  # row: what is known of it at the point itself
        self.total = self.loss(dict(self.base), self.entropy, self.tokens)

    def used(self, z):
        return z[: self.o.vocab_size or len(z)]

    def logp(self, z, row):
        return truth.log_softmax(self.used(z), self.o.temperature)[self.b.targets[row]]

    def weight(self, row, sequence):
        if self.b.weights is None:
            return 1.0
        return self.b.weights[sequence if self.b.weights_of_sequences else row]

    def keeps_loss(self, row):
        return self.b.entropy_mask is None or self.b.entropy_mask[row]

    def old(self, row):
        return self.base[row] if self.b.old is None else self.b.old[row]

    def log_ratio(self, logps, row):
        bound = self.o.log_ratio_clamp
        return clamp(logps[row] - self.old(row), -bound, bound)

    def unit(self, length):
        o = self.o
        kept = [[i for i in s if i in self.base] for s in self.b.sequences]
        counted = {
            "token_mean": len(self.kept),
            "constant": len(self.b.logits),
        }.get(
            o.aggregation,
            len(kept) if o.count_empty_sequences else sum(bool(s) for s in kept),
        )
        n = o.normalizer or counted or 1
        return 1 / (n * length) if o.aggregation == "sequence_mean" else 1 / n

    def entropy_unit(self):
        o = self.o
        if o.entropy_normalizer:
            return 1 / o.entropy_normalizer
        if o.normalizer and o.aggregation == "token_mean":
            return 1 / o.normalizer
        return 1 / max(1, sum(bool(self.keeps_loss(i)) for i in self.kept))

    def loss(self, logps, entropies, tokens=None):
        parts = []
        for s, rows in enumerate(self.b.sequences):
            rows = [i for i in rows if i in self.base]
            if not rows:
                continue
            known = self.sequence(rows, s, logps)
            for i in rows:
                value = self.token(i, s, logps, known, tokens)
                parts.append(self.unit(len(rows)) * value)
                if self.keeps_loss(i):
                    parts.append(-self.o.entropy_coef * self.entropy_unit() * entropies[i])
        return math.fsum(parts)

    def sequence(self, rows, s, logps):
        """Ratio, off-policy or not, and VESPO's two phi."""
        o, b = self.o, self.b
        terms = []
        for i in rows:
            lr = self.log_ratio(logps, i)
            if o.objective == "gmpo":
                a = b.advantages[i]
                lr = min(lr, o.epsilon_high) if a > 0 else max(lr, -o.epsilon_low) if a < 0 else 0
            terms.append(lr)
        ratio = math.exp(math.fsum(terms) / len(rows))
        sampling = b.sampling or {i: self.old(i) for i in rows}
        drift = math.fsum(sampling[i] - self.base[i] for i in rows) / len(rows)
        phi = {}
        if o.objective == "vespo":
            low = math.log(1e-8)

            def log(w):
                return clamp(math.log(w), low, 20) if w > 0 else low

            log_w = math.fsum(clamp(self.base[i] - self.old(i), -20, 20) for i in rows)
            if b.weights is not None:
                log_w += (
                    log(b.weights[s])
                    if b.weights_of_sequences
                    else math.fsum(log(b.weights[i]) for i in rows)
                )
            log_w = clamp(log_w, low, 20)
            for sign, k, lam in (
                (1, o.vespo_k_pos, o.vespo_lambda_pos),
                (-1, o.vespo_k_neg, o.vespo_lambda_neg),
            ):
                phi[sign] = math.exp(lam + k * log_w - lam * math.exp(log_w))
        return ratio, drift > o.off_policy_threshold, phi

    def objective(self, i, logp, r, base_r, phi):
        o, a = self.o, self.b.advantages[i]
        if o.objective == "clip":
            value = -min(min(r, o.delta) * a, clamp(r, 1 - o.epsilon_low, 1 + o.epsilon_high) * a)
            return min(value, -o.dual_clip * a) if a < 0 else value
        if o.objective == "cispo":
            low = 1 - o.epsilon_low if o.cispo_bounds == "both" else -INF
            high = 1 + o.epsilon_high if o.cispo_bounds == "both" else o.epsilon_high
            return -clamp(base_r, low, high) * a * logp
        if o.objective == "sapo":
            tau = o.sapo_tau_pos if a > 0 else o.sapo_tau_neg
            return -a * 4 / tau / (1 + math.exp(-tau * (r - 1)))
        if o.objective == "gmpo":
            return -a * r
        if o.objective == "vespo":
            return -phi[1 if a > 0 else -1] * a * logp
        return -a * logp

    def token(self, i, s, logps, known, tokens):
        o, b = self.o, self.b
        sequence_ratio, off_policy, phi = known
        of_sequence = o.ratio_level == "sequence" or o.objective == "gmpo"
        r = sequence_ratio if of_sequence else math.exp(self.log_ratio(logps, i))
        base_r = r if of_sequence else math.exp(self.log_ratio(self.base, i))
        counts = self.keeps_loss(i) and not (off_policy and b.advantages[i] < 0)
        w = (1.0 if o.objective == "vespo" else self.weight(i, s)) if counts else 0.0
        value = w * self.objective(i, logps[i], r, base_r, phi)
        kl = 0.0
        if b.ref is not None:
            kl = self.kl(b.ref[i] - logps[i], b.ref[i] - self.base[i])
            value += o.beta * kl * (r if o.use_bias_correction_kl else 1)
        if tokens is not None:
            tokens[i] = {"loss": value, "kl": kl, "ratio": r, "clip": self.clip(i, r, logps)}
        return value

    def kl(self, d, base):
        o = self.o
        if o.kl_estimator == "k1":
            return -d
        if o.kl_estimator == "k2":
            return d * d / 2

        def k3(x):
            x = clamp(x, -o.kl_input_clamp, o.kl_input_clamp)
            return min(math.expm1(x) - x, o.kl_output_clamp)

        # k3_plus: the value of k3, the gradient of k2.
        return k3(base) + (d * d - base * base) / 2 if o.kl_estimator == "k3_plus" else k3(d)

    def clip(self, i, r, logps):
        o, a = self.o, self.b.advantages[i]
        low, high, x = 1 - o.epsilon_low, 1 + o.epsilon_high, r
        if o.objective == "gmpo":
            low, high, x = -o.epsilon_low, o.epsilon_high, self.log_ratio(logps, i)
        elif o.objective == "cispo" and o.cispo_bounds == "upper":
            low, high = -INF, o.epsilon_high
        elif o.objective not in ("clip", "cispo"):
            return 0
        return -1 if a < 0 and x < low else 1 if a > 0 and x > high else 0

    def metrics(self):
        n = len(self.tokens)
        ratios = [t["ratio"] for t in self.tokens.values()]

        def mean(values):
            return math.fsum(values) / n

        low = mean(t["clip"] < 0 for t in self.tokens.values())
        high = mean(t["clip"] > 0 for t in self.tokens.values())
        return {
            "token_count": n,
            "bad_count": 0,
            "clip_low": low,
            "clip_high": high,
            "clip_region": low + high,
            "kl": mean(t["kl"] for t in self.tokens.values()),
            "entropy": mean(self.entropy.values()),
            "ratio_min": min(ratios),
            "ratio_mean": mean(ratios),
            "ratio_max": max(ratios),
            "effective_sample_size": math.fsum(ratios) ** 2 / math.fsum(r * r for r in ratios),
        }

    def gradient(self, row, column, step=1e-5):
        """By a logit; 0 where nothing depends on it."""
        if row not in self.base or column >= (self.o.vocab_size or INF):
            return 0.0
        values = []
        for sign in (1, -1):
            z = list(self.b.logits[row])
            z[column] += sign * step
            entropy = truth.entropy(self.used(z), self.o.temperature)
            values.append(
                self.loss(
                    self.base | {row: self.logp(z, row)}, self.entropy | {row: entropy}
                )
            )
        return self.o.grad_scale * (values[0] - values[1]) / (2 * step)
