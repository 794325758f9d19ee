// SPDX-License-Identifier: Apache-2.0
#include "decode_model.h"

namespace {

// In [-8, 8), exactly: a multiple of 2^-20, so host and GPU can't differ.
__host__ __device__ float logit(int token, int column) {
  unsigned x = static_cast<unsigned>(token) * 2654435761u ^ static_cast<unsigned>(column);
  x = (x ^ x >> 16) * 0x85ebca6bu;
  x = (x ^ x >> 13) * 0xc2b2ae35u;
  x ^= x >> 16;
  return static_cast<float>(x >> 8) * 0x1p-20f - 8;
}

__global__ void make_logits(const int32_t* tokens, int stride, int vocab, float* logits) {
  const int row = blockIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column < vocab) logits[int64_t{row} * vocab + column] = logit(tokens[row * stride], column);
}

}  // namespace

cudaError_t decode_model_on_gpu(const int32_t* tokens, int stride, int rows, int vocab,
                                float* logits, cudaStream_t stream) {
  constexpr int kThreads = 256;
  const dim3 grid(static_cast<unsigned>((vocab + kThreads - 1) / kThreads),
                  static_cast<unsigned>(rows));
  make_logits<<<grid, kThreads, 0, stream>>>(tokens, stride, vocab, logits);
  return cudaGetLastError();
}

void decode_model_on_host(const int32_t* tokens, int stride, int rows, int vocab, float* logits) {
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < vocab; ++column)
      logits[int64_t{row} * vocab + column] = logit(tokens[row * stride], column);
}
