# SPDX-License-Identifier: Apache-2.0
"""Safetensors and NPY files, written and read with struct alone."""

import json
import math
import struct

CODES = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "U8": "B"}
NPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "U8": "|u1",
    "BF16": "<V2",
}


def bf16_bits(x):
    """Rounded to nearest even."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    if math.isnan(x):
        return (bits >> 16) | 0x40
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def encode(dtype, values):
    if dtype == "BF16":
        return struct.pack(f"<{len(values)}H", *map(bf16_bits, values))
    return struct.pack(f"<{len(values)}{CODES[dtype]}", *values)


def decode(dtype, data):
    if dtype == "BF16":
        halves = struct.unpack(f"<{len(data) // 2}H", data)
        return [struct.unpack("<f", struct.pack("<I", h << 16))[0] for h in halves]
    return list(
        struct.unpack(f"<{len(data) // struct.calcsize('<' + CODES[dtype])}{CODES[dtype]}", data)
    )


def flat(rows):
    if rows and isinstance(rows[0], (list, tuple)):
        return [x for row in rows for x in flat(row)]
    return list(rows)


def shape_of(rows):
    shape = []
    while isinstance(rows, (list, tuple)):
        shape.append(len(rows))
        rows = rows[0] if rows else None
    return shape


def safetensors(tensors, misaligned=False):
    """{name: (dtype, nested lists)} or {name: (dtype, flat values, shape)} to bytes."""
    header, blob = {}, b""
    for name, (dtype, values, *shape) in tensors.items():
        data = encode(dtype, flat(values))
        header[name] = {
            "dtype": dtype,
            "shape": shape[0] if shape else shape_of(values),
            "data_offsets": [len(blob), len(blob) + len(data)],
        }
        blob += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8 + (1 if misaligned else 0))
    return struct.pack("<Q", len(text)) + text + blob


def npy(dtype, values, shape=None):
    shape = shape_of(values) if shape is None else shape
    header = str({"descr": NPY[dtype], "fortran_order": False, "shape": tuple(shape)})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", len(header))
        + header.encode()
        + encode(dtype, flat(values))
    )


def read_safetensors(path):
    """{name: (dtype, shape, flat values)} and the metadata."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    blob = data[8 + length :]
    return {
        name: (t["dtype"], t["shape"], decode(t["dtype"], blob[slice(*t["data_offsets"])]))
        for name, t in header.items()
    }, metadata


def read_npy(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<H", data[8:10])
    header = eval(data[10 : 10 + length], {})  # a dict literal, made by the tool under test
    dtype = {v: k for k, v in NPY.items()}[header["descr"]]
    return dtype, list(header["shape"]), decode(dtype, data[10 + length :])
