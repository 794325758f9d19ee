# SPDX-License-Identifier: Apache-2.0
"""FlashInfer's samplers. Those with top-k and top-p are there for information: they do more."""

import torch
from candidate import FILTERED, SAMPLE, TEMPERATURE, TOP_K, TOP_P, Candidate
from flashinfer_env import use_curand_headers


def load():
    if not torch.cuda.is_available():
        raise RuntimeError("needs CUDA")
    use_curand_headers()
    import flashinfer

    return flashinfer.__version__


def candidates(case):
    if case.family != "sample":
        return []
    return [
        Candidate("softmax(T) alone", "FlashInfer softmax(T)", softmax),
        Candidate(SAMPLE, "FlashInfer sampling_from_logits (T = 1)", from_logits),
        Candidate(SAMPLE, "FlashInfer softmax + sampling_from_probs", from_probs),
        Candidate(
            FILTERED, "FlashInfer top_k_top_p_from_logits (T = 1)", top_k_top_p, is_extra=True
        ),
        Candidate("top-p 0.95", "FlashInfer softmax + top_p", top_p, is_extra=True),
        Candidate(FILTERED, "FlashInfer softmax + cake", cake, is_extra=True),
    ]


def random_state(device):
    """Tensors, as a CUDA graph needs them."""
    return {
        "seed": torch.tensor([7], device=device, dtype=torch.int64),
        "offset": torch.tensor([0], device=device, dtype=torch.int64),
    }


def probabilities(logits):
    from flashinfer.sampling import softmax as flashinfer_softmax

    return flashinfer_softmax(logits, temperature=TEMPERATURE)


def softmax(inputs):
    return lambda: {"output": probabilities(inputs.logits)}


def from_logits(inputs):
    from flashinfer.sampling import sampling_from_logits

    state = random_state(inputs.logits.device)
    return lambda: {"token": sampling_from_logits(inputs.logits, **state)}


def from_probs(inputs):
    from flashinfer.sampling import sampling_from_probs

    state = random_state(inputs.logits.device)
    return lambda: {"token": sampling_from_probs(probabilities(inputs.logits), **state)}


def top_p(inputs):
    from flashinfer.sampling import top_p_sampling_from_probs as draw

    state = random_state(inputs.logits.device)
    return lambda: {"token": draw(probabilities(inputs.logits), TOP_P, **state)}


def top_k_top_p(inputs):
    from flashinfer.sampling import top_k_top_p_sampling_from_logits as draw

    state = random_state(inputs.logits.device)
    return lambda: {"token": draw(inputs.logits, TOP_K, TOP_P, **state)}


def cake(inputs):
    from flashinfer.cake_sampling import top_k_top_p_sampling_from_probs as draw

    def call():
        probs = probabilities(inputs.logits)
        return {"token": draw(probs, TOP_K, TOP_P, philox_seed=7, philox_offset=0)}

    return call
