# SPDX-License-Identifier: Apache-2.0
"""What the tool should say, in float64 by the textbook, and its random numbers by the paper."""

import math

INF, NAN = math.inf, math.nan


def log_softmax(z, temperature=1.0):
    scaled = [x / temperature for x in z]
    top = max(scaled)
    total = math.fsum(math.exp(x - top) for x in scaled)
    return [x - top - math.log(total) for x in scaled]


def lse(z, temperature=1.0):
    top = max(z) / temperature
    return top + math.log(math.fsum(math.exp(x / temperature - top) for x in z))


def entropy(z, temperature=1.0):
    return -math.fsum(math.exp(x) * x for x in log_softmax(z, temperature) if x > -INF)


def rank(z, target):
    return 1 + sum(x > z[target] for x in z)


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011)."""
    c, k, mask = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def uniform(seed, offset, draw=0):
    mask = 0xFFFFFFFF
    w = philox((offset & mask, offset >> 32, draw, 0), (seed & mask, seed >> 32))
    return ((w[0] << 32 | w[1]) >> 11) * 2.0**-53


def token(z, u, temperature=1.0):
    """The lowest index whose cdf is above u, and how far u is from a step of the cdf."""
    cdf, found, distance = 0.0, None, 1.0
    for i, logp in enumerate(log_softmax(z, temperature)):
        cdf += math.exp(logp)
        distance = min(distance, abs(cdf - u))
        if found is None and cdf > u and logp > -INF:
            found = i
    return found, distance
