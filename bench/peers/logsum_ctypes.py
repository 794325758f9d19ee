# SPDX-License-Identifier: Apache-2.0
"""The C API of include/logsum/logsum.h for ctypes, as far as the benchmarks call it.
test_peers.py compares sizes and offsets with what a C compiler makes of the header."""

import ctypes

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


def tensors(*names):
    return [(name, Tensor) for name in names]


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


# Function: its arguments, their defaults other than zero, and the workspace query.
FUNCTIONS = {
    "token_logprobs": (TokenLogprobsArgs, {"ignore_index": -100}, "token_logprobs"),
    "sample": (SampleArgs, {"draws": 1}, "sample"),
    "softmax": (SoftmaxArgs, {"dim": -1}, "softmax"),
    "log_softmax": (SoftmaxArgs, {"dim": -1}, "softmax"),
    "softmax_backward": (SoftmaxBackwardArgs, {"dim": -1}, "softmax_backward"),
    "log_softmax_backward": (SoftmaxBackwardArgs, {"dim": -1}, "softmax_backward"),
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
    args = kind(struct_size=ctypes.sizeof(kind), **defaults)
    args.temperature.value = 1.0
    for name, value in given.items():
        field = getattr(args, name)
        is_parameter = isinstance(field, (ParamF32, ParamU64))
        if hasattr(value, "data_ptr"):
            if is_parameter:
                field.tensor = view(value)
            else:
                setattr(args, name, view(value))
        elif is_parameter:
            field.value = value
        else:
            setattr(args, name, value)
    return args


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
