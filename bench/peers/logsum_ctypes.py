# SPDX-License-Identifier: Apache-2.0
"""The C API of include/logsum/logsum.h for ctypes, as far as the benchmarks call it.
test_binding.py compares sizes and offsets with what a C compiler makes of the header."""

import ctypes
import math

MAX_RANK = 8
CPU, CUDA = 1, 2  # DLPack's device types
PER_DEVICE, CROSS_DEVICE = 0, 1
UNSUPPORTED = 2
DTYPES = {
    "float32": 0,
    "float16": 1,
    "bfloat16": 2,
    "float64": 3,
    "int32": 4,
    "int64": 5,
    "uint8": 6,
    "bool": 7,
}


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("device_type", ctypes.c_int32),
        ("device_index", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.c_int64 * MAX_RANK),
        ("strides", ctypes.c_int64 * MAX_RANK),
    ]


class ParamF32(ctypes.Structure):
    _fields_ = [("value", ctypes.c_float), ("tensor", Tensor)]


class ParamU64(ctypes.Structure):
    _fields_ = [("value", ctypes.c_uint64), ("tensor", Tensor)]


class ParamF64(ctypes.Structure):
    _fields_ = [("value", ctypes.c_double), ("tensor", Tensor)]


class Status(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("message", ctypes.c_char * 300)]


class Executor(ctypes.Structure):
    _fields_ = [
        ("self", ctypes.c_void_p),
        ("concurrency", ctypes.c_void_p),
        ("run", ctypes.c_void_p),
    ]


class Context(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("workspace", ctypes.c_void_p),
        ("workspace_size", ctypes.c_size_t),
        ("executor", ctypes.POINTER(Executor)),
        ("backend", ctypes.c_int32),
        ("simd", ctypes.c_int32),
        ("determinism", ctypes.c_int32),
        ("schedule", ctypes.c_int32),
        ("stream", ctypes.c_void_p),
    ]


def fields(kind, *names):
    return [(name, kind) for name in names]


def tensors(*names):
    return fields(Tensor, *names)


class TokenLogprobsArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ParamF32),
        ("ignore_index", ctypes.c_int64),
        ("vocab_size", ctypes.c_int64),
        *tensors("logits", "targets", "logprobs"),
        *tensors("lse", "entropy", "argmax", "rank", "top_ids", "top_logprobs", "row_status"),
    ]


class SampleArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ParamF32),
        ("seed", ParamU64),
        ("offset", ParamU64),
        ("draws", ctypes.c_int64),
        ("vocab_size", ctypes.c_int64),
        *tensors("logits", "indices", "u"),
        *tensors("token", "logprob", "raw_logprob"),
        *tensors("lse", "entropy", "row_status"),
    ]


class SoftmaxArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ParamF32),
        ("dim", ctypes.c_int64),
        *tensors("logits", "output", "row_status"),
    ]


class SoftmaxBackwardArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ParamF32),
        ("dim", ctypes.c_int64),
        *tensors("grad_output", "output", "grad_logits", "row_status"),
    ]


class PolicyOptions(ctypes.Structure):
    _fields_ = [
        *fields(ctypes.c_int32, "objective", "ratio_level", "aggregation", "kl_estimator"),
        *fields(ctypes.c_int32, "cispo_bounds", "use_bias_correction_kl", "count_empty_sequences"),
        *fields(ctypes.c_float, "epsilon_low", "epsilon_high", "delta", "dual_clip"),
        *fields(ctypes.c_float, "sapo_tau_pos", "sapo_tau_neg"),
        *fields(ctypes.c_float, "vespo_k_pos", "vespo_lambda_pos"),
        *fields(ctypes.c_float, "vespo_k_neg", "vespo_lambda_neg"),
        *fields(ctypes.c_float, "log_ratio_clamp", "beta", "kl_input_clamp", "kl_output_clamp"),
        *fields(ctypes.c_float, "entropy_coef", "off_policy_threshold"),
    ]


class PolicyLossArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("temperature", ParamF32),
        *fields(ParamF64, "normalizer", "entropy_normalizer", "grad_scale"),
        *fields(ctypes.c_int64, "ignore_index", "vocab_size"),
        ("options", PolicyOptions),
        *tensors("logits", "targets", "advantages", "completion_mask", "cu_seqlens"),
        *tensors("old_per_token_logps", "ref_per_token_logps", "sampling_per_token_logps"),
        *tensors("importance_weights", "entropy_mask"),
        *tensors("loss", "per_token_loss", "per_token_logps", "per_token_kl", "entropy"),
        *tensors("metrics", "row_status", "grad_logits"),
    ]


class CrossEntropyArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *fields(ParamF64, "normalizer", "grad_scale"),
        *fields(ctypes.c_int64, "ignore_index", "vocab_size"),
        ("reduction", ctypes.c_int32),
        *fields(ctypes.c_float, "label_smoothing", "lse_square_scale", "softcap"),
        *tensors("logits", "targets", "class_weights", "grad_loss"),
        *tensors("loss", "z_loss", "per_token_loss", "lse", "row_status", "grad_logits"),
    ]


class DistillLossArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        *fields(ParamF32, "student_temperature", "teacher_temperature"),
        *fields(ParamF64, "normalizer", "grad_scale"),
        ("vocab_size", ctypes.c_int64),
        ("divergence", ctypes.c_int32),
        ("beta", ctypes.c_float),
        *tensors("student_logits", "teacher_logits", "completion_mask"),
        *tensors("loss", "per_token_loss", "row_status", "grad_student", "grad_teacher"),
    ]


NONE = math.inf  # a bound that is not there
POLICY_OPTIONS = {
    "kl_estimator": 2,  # k3
    "count_empty_sequences": 1,
    "epsilon_low": 0.2,
    "epsilon_high": 0.2,
    "sapo_tau_pos": 1.0,
    "sapo_tau_neg": 1.05,
    "vespo_k_pos": 2.0,
    "vespo_lambda_pos": 3.0,
    "vespo_k_neg": 3.0,
    "vespo_lambda_neg": 2.0,
    **dict.fromkeys(("delta", "dual_clip", "log_ratio_clamp"), NONE),
    **dict.fromkeys(("kl_input_clamp", "kl_output_clamp", "off_policy_threshold"), NONE),
}
SCORE = {"temperature": 1.0, "ignore_index": -100}
SOFTMAX = {"temperature": 1.0, "dim": -1}
CROSS_ENTROPY = {"grad_scale": 1.0, "ignore_index": -100}
POLICY = {**SCORE, **CROSS_ENTROPY, "options": POLICY_OPTIONS}
DISTILL = {
    "student_temperature": 1.0,
    "teacher_temperature": 1.0,
    "grad_scale": 1.0,
    "divergence": 2,  # jsd
    "beta": 0.5,
}

# Function: its arguments, their defaults other than zero, and the workspace query.
FUNCTIONS = {
    "token_logprobs": (TokenLogprobsArgs, SCORE, "token_logprobs"),
    "sample": (SampleArgs, {"temperature": 1.0, "draws": 1}, "sample"),
    "softmax": (SoftmaxArgs, SOFTMAX, "softmax"),
    "log_softmax": (SoftmaxArgs, SOFTMAX, "softmax"),
    "softmax_backward": (SoftmaxBackwardArgs, SOFTMAX, "softmax_backward"),
    "log_softmax_backward": (SoftmaxBackwardArgs, SOFTMAX, "softmax_backward"),
    "policy_loss": (PolicyLossArgs, POLICY, "policy_loss"),
    "cross_entropy": (CrossEntropyArgs, CROSS_ENTROPY, "cross_entropy"),
    "distill_loss": (DistillLossArgs, DISTILL, "distill_loss"),
}


class Unsupported(Exception):
    """Legal, but not in this build or on this device."""


def view(tensor):
    """A torch tensor as a logsum_tensor, which doesn't keep it alive."""
    dtype = DTYPES[str(tensor.dtype).removeprefix("torch.")]
    device = CUDA if tensor.is_cuda else CPU
    result = Tensor(tensor.data_ptr(), dtype, device, tensor.device.index or 0, tensor.dim())
    for i in range(tensor.dim()):
        result.shape[i], result.strides[i] = tensor.shape[i], tensor.stride(i)
    return result


def arguments(function, **given):
    """The function's struct, from its defaults, with torch tensors and numbers filled in."""
    kind, defaults, _ = FUNCTIONS[function]
    args = kind(struct_size=ctypes.sizeof(kind))
    fill(args, defaults)
    fill(args, given)
    return args


def fill(struct, values):
    for name, value in values.items():
        field = getattr(struct, name)
        is_parameter = isinstance(field, (ParamF32, ParamF64, ParamU64))
        if isinstance(value, dict):
            fill(field, value)
        elif hasattr(value, "data_ptr"):
            if is_parameter:
                field.tensor = view(value)
            else:
                setattr(struct, name, view(value))
        elif is_parameter:
            field.value = value
        else:
            setattr(struct, name, value)


class Library:
    def __init__(self, path):
        self._library = ctypes.CDLL(str(path))
        self._library.logsum_version.restype = ctypes.c_char_p
        for name, (kind, _, query) in FUNCTIONS.items():
            function = getattr(self._library, f"logsum_{name}")
            function.restype = Status
            function.argtypes = [ctypes.POINTER(kind), ctypes.POINTER(Context)]
            size = getattr(self._library, f"logsum_{query}_workspace_size")
            size.restype = ctypes.c_size_t
            size.argtypes = [ctypes.POINTER(kind)]

    def version(self):
        return self._library.logsum_version().decode()

    def workspace_size(self, function, args):
        query = FUNCTIONS[function][2]
        return getattr(self._library, f"logsum_{query}_workspace_size")(ctypes.byref(args))

    def call(self, function, args, context):
        status = getattr(self._library, f"logsum_{function}")(
            ctypes.byref(args), ctypes.byref(context)
        )
        if status.code == UNSUPPORTED:
            raise Unsupported(status.message.decode())
        if status.code:
            raise RuntimeError(status.message.decode())


def context(executor=None, determinism=PER_DEVICE):
    result = Context(struct_size=ctypes.sizeof(Context), determinism=determinism)
    if executor:
        result.executor = ctypes.pointer(executor)
    return result
