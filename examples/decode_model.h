/* SPDX-License-Identifier: Apache-2.0
 *
 * The language model of the decode loops: a row's logits follow from its last token, by a hash.
 * Made on the GPU by a kernel; on the host, for the check, the same numbers. */
#ifndef DECODE_MODEL_H
#define DECODE_MODEL_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* logits [rows, vocab] from tokens [rows], `stride` apart. */
cudaError_t decode_model_on_gpu(const int32_t* tokens, int stride, int rows, int vocab,
                                float* logits, cudaStream_t stream);
void decode_model_on_host(const int32_t* tokens, int stride, int rows, int vocab, float* logits);

#ifdef __cplusplus
}
#endif

#endif
