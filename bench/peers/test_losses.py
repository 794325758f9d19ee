# SPDX-License-Identifier: Apache-2.0
"""Tests of what is measured of training losses, on the CPU; test_peers.py runs them."""

import os
import sys
import types
import unittest
from unittest import mock

from options import LOSSES

try:
    import torch
except ImportError:
    torch = None

LIBRARY = os.environ.get("LOGSUM_LIBRARY")


def cases():
    import inputs

    for case in inputs.cases(LOSSES, quick=False, rehearse=True):
        yield case, inputs.make(case, "normal", "cpu", 0)


@unittest.skipUnless(torch, "needs PyTorch")
class Losses(unittest.TestCase):
    def test_large_cases_are_not_in_a_graph(self):
        import inputs

        for case in inputs.cases(LOSSES, quick=False, rehearse=False):
            self.assertFalse(case.in_graph)
            self.assertEqual(case.sets, 2)

    def test_a_rollout_has_tokens_inside_and_outside_of_the_clip(self):
        from candidate import EPSILON
        from rollout import logprobs

        _, inputs = next(cases())
        lp = logprobs(inputs.logits, inputs.targets, torch.float64)
        change = (torch.exp(lp.view_as(inputs.rollout.old) - inputs.rollout.old) - 1).abs()
        self.assertTrue((change < EPSILON).any() and (change > EPSILON).any())
        self.assertGreater((change - EPSILON).abs().min(), 0.05)

    def test_reference_is_autograds(self):
        """The formulas of check_losses against those of torch_losses, both in float64."""
        import check_losses
        import peer_torch
        import torch_losses

        formulas = {
            "policy_loss": (torch_losses.policy, torch_losses.grpo_whole),
            "cross_entropy": (torch_losses.classes, torch_losses.cross_entropy_f32),
            "distill_loss": (torch_losses.distill, torch_losses.jsd),
        }
        for case, inputs in cases():
            candidate = peer_torch.candidates(case)[0]
            inputs.logits = inputs.logits.double()
            prepare, formula = formulas[case.family]
            with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
                outputs = prepare(formula, inputs)()
            self.assertLess(max(check_losses.distance(candidate, inputs, outputs)), 1e-12)

    def test_pytorch_computes_the_same(self):
        import check_losses
        import peer_torch

        for case, inputs in cases():
            for candidate in peer_torch.candidates(case):
                outputs = candidate.make(inputs)()
                self.assertLess(
                    max(check_losses.distance(candidate, inputs, outputs)), 0.04, candidate.who
                )

    @unittest.skipUnless(LIBRARY, "needs a library")
    def test_a_wrong_result_is_noticed(self):
        import check_losses
        import peer_logsum

        peer = peer_logsum.Peer(LIBRARY)
        peer.load()
        for case, inputs in cases():
            for candidate in peer.candidates(case):
                call = candidate.make(inputs)
                outputs = call()
                self.assertLessEqual(check_losses.ours(candidate, inputs, outputs)[1], 1)
                gradient = next(x for name, x in outputs.items() if name.startswith("grad_"))
                for tensor in (outputs["loss"], gradient):
                    kept = tensor.clone()
                    tensor.mul_(1.01)
                    self.assertGreater(check_losses.ours(candidate, inputs, outputs)[1], 1)
                    tensor.copy_(kept)

    @unittest.skipUnless(LIBRARY, "needs a library")
    def test_in_place_leaves_the_inputs_alone(self):
        import peer_logsum

        peer = peer_logsum.Peer(LIBRARY)
        peer.load()
        for case, inputs in cases():
            logits = inputs.logits.clone()
            call = peer.candidates(case)[0].make(inputs)
            first = call()["loss"].item()
            self.assertFalse(torch.equal(call.copy, logits))
            call.restore()
            self.assertTrue(torch.equal(call.copy, logits))
            self.assertEqual(call()["loss"].item(), first)
            self.assertTrue(torch.equal(inputs.logits, logits))


def module(name, **contents):
    made = types.ModuleType(name)
    vars(made).update(contents)
    return made


def in_place(loss_of):
    """A stand-in for a peer's function that overwrites its logits, with what PyTorch computes."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context, logits, *others):
            with torch.enable_grad():
                copy = logits.detach().clone().requires_grad_()
                loss = loss_of(copy, *others)
                (context.gradient,) = torch.autograd.grad(loss, copy)
            context.logits, context.others = logits.data, len(others)
            return loss.detach()

        @staticmethod
        def backward(context, grad_loss):
            context.logits.copy_(context.gradient * grad_loss)
            return (context.logits, *[None] * context.others)

    return Function.apply


@unittest.skipUnless(torch, "needs PyTorch")
class StandIns(unittest.TestCase):
    """Peers whose packages need a GPU are called as their own code wants it; what comes back is
    compared as at a measurement."""

    def check(self, peer, family, packages, count):
        import check_losses

        case, inputs = next(pair for pair in cases() if pair[0].family == family)
        logits = inputs.logits.clone()
        with mock.patch.dict(sys.modules, packages):
            candidates = peer.candidates(case)
            self.assertEqual(len(candidates), count)
            for candidate in candidates:
                call = candidate.make(inputs)
                for _ in range(2):
                    distances = check_losses.distance(candidate, inputs, call())
                    self.assertLess(max(distances), 0.01, candidate.who)
                    if hasattr(call, "restore"):
                        call.restore()
                self.assertTrue(torch.equal(inputs.logits, logits))

    def test_liger_policy_loss(self):
        import peer_liger
        import torch_losses

        def loss(logits, *given):
            mask = torch.ones_like(given[1])
            return torch_losses.grpo_whole(logits[:, :-1], *given, mask)

        def stand_in(logits, old, ref, targets, advantages, **options):
            self.assertEqual(logits.shape[1], targets.shape[1] + 1)
            self.assertTrue(options["inplace"] and options["reduce"])
            self.assertTrue(logits.is_contiguous() and targets.is_contiguous())
            return in_place(loss)(logits, targets, old, ref, advantages), []

        name = "liger_kernel.transformers.grpo_loss"
        packages = {name: module(name, triton_grpo_loss=stand_in)}
        self.check(peer_liger, "policy_loss", packages, 1)

    def test_liger_cross_entropy(self):
        import peer_liger
        import torch_losses

        name = "liger_kernel.transformers.functional"
        stand_in = in_place(torch_losses.cross_entropy_f32)
        packages = {name: module(name, liger_cross_entropy=stand_in)}
        self.check(peer_liger, "cross_entropy", packages, 1)

    def test_liger_jsd(self):
        import peer_liger
        import torch_losses

        asked = []

        def apply(log_q, log_p, labels, beta, ignore, implementation, mode):
            asked.append(implementation)
            return torch_losses.jsd(log_q, log_p)  # a log_softmax of log-probs changes nothing

        name = "liger_kernel.ops.jsd"
        packages = {name: module(name, LigerJSDFunction=types.SimpleNamespace(apply=apply))}
        self.check(peer_liger, "distill_loss", packages, 2)
        self.assertEqual(set(asked), {"nvidia-triton", "nvidia-cutedsl"})

    def test_quack_cross_entropy(self):
        import peer_quack
        import torch_losses

        def at_once(logits, targets, return_dx, inplace_backward):
            self.assertTrue(return_dx and inplace_backward)
            logp = torch.log_softmax(logits.float(), -1)
            gradient = logp.exp()
            gradient[torch.arange(len(targets)), targets] -= 1
            loss = -logp.gather(-1, targets[:, None])[:, 0]
            return loss, logits.copy_(gradient)

        def autograd(logits, targets, inplace_backward):
            self.assertTrue(inplace_backward)
            return in_place(torch_losses.cross_entropy_f32)(logits, targets)

        name = "quack.cross_entropy"
        packages = {name: module(name, cross_entropy_fwd=at_once, cross_entropy=autograd)}
        self.check(peer_quack, "cross_entropy", packages, 2)
