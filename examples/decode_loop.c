/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_loop.cpp through the C API: a step of decoding is one launch of a CUDA graph (inputs to
 * the GPU, logits from the last tokens, sample, 8 bytes per row back), and every record is compared
 * with the CPU backend's. */
#include <cuda_runtime_api.h>
#include <logsum/logsum.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode_model.h"

enum { ROWS = 8, STEPS = 32, VOCAB = 32000, EXIT_SKIPPED = 77, CPU = 1, CUDA = 2 };

/* A row's result, brought to the host in one copy for all rows. */
typedef struct record {
  int32_t token;
  float logprob;
} record;

/* What may change from step to step. */
typedef struct step_inputs {
  int64_t seed[ROWS];
  int64_t offset[ROWS];
  float temperature[ROWS];
} step_inputs;

static void must(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  exit(1);
}

static void must_hold(logsum_status status) {
  if (status.code == LOGSUM_OK) return;
  fprintf(stderr, "%s\n", status.message);
  exit(1);
}

static void* on_gpu(size_t bytes) {
  void* data = NULL;
  must("allocating", cudaMalloc(&data, bytes));
  must("clearing", cudaMemset(data, 0, bytes));
  return data;
}

static void* pinned(size_t bytes) {
  void* data = NULL;
  must("allocating pinned memory", cudaMallocHost(&data, bytes));
  memset(data, 0, bytes);
  return data;
}

static logsum_tensor per_row(void* data, logsum_dtype dtype, int64_t stride, int32_t device) {
  const int64_t rows = ROWS;
  logsum_tensor tensor = logsum_tensor_contiguous(data, dtype, 1, &rows);
  tensor.strides[0] = stride;
  tensor.device_type = device;
  return tensor;
}

/* The same call for both devices: the tensors say where they are. */
static logsum_sample_args arguments(float* logits, step_inputs* inputs, record* records,
                                    int32_t device) {
  const int64_t shape[2] = {ROWS, VOCAB};
  logsum_sample_args args = logsum_sample_args_defaults();
  args.logits = logsum_tensor_contiguous(logits, LOGSUM_F32, 2, shape);
  args.logits.device_type = device;
  args.token = per_row(&records->token, LOGSUM_I32, 2, device);
  args.logprob = per_row(&records->logprob, LOGSUM_F32, 2, device);
  args.temperature.tensor = per_row(inputs->temperature, LOGSUM_F32, 1, device);
  args.seed.tensor = per_row(inputs->seed, LOGSUM_I64, 1, device);
  args.offset.tensor = per_row(inputs->offset, LOGSUM_I64, 1, device);
  return args;
}

int main(void) {
  logsum_device_info device;
  const logsum_status found = logsum_cuda_device(0, &device);
  if (found.code != LOGSUM_OK) {
    printf("decode_loop needs a GPU: %s\n", found.message);
    return EXIT_SKIPPED;
  }
  const size_t logits_bytes = sizeof(float) * ROWS * VOCAB;
  float* const logits = malloc(logits_bytes);
  float* const gpu_logits = on_gpu(logits_bytes);
  if (logits == NULL) return 1;
  step_inputs* const inputs = pinned(sizeof(step_inputs));
  step_inputs* const gpu_inputs = on_gpu(sizeof(step_inputs));
  record* const records = pinned(ROWS * sizeof(record));
  record* const gpu_records = on_gpu(ROWS * sizeof(record));
  for (int row = 0; row < ROWS; ++row) {
    inputs->seed[row] = 1000 + row;
    inputs->temperature[row] = 0.6f + 0.1f * (float)row;
  }

  cudaStream_t stream;
  must("making a stream", cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const logsum_sample_args args = arguments(gpu_logits, gpu_inputs, gpu_records, CUDA);
  logsum_context context = logsum_context_defaults();
  context.workspace_size = logsum_sample_workspace_size(&args);
  context.workspace = on_gpu(context.workspace_size); /* zero once, fit for every later call */
  context.determinism = LOGSUM_CROSS_DEVICE;
  context.stream = stream;
  must("preparing", cudaDeviceSynchronize());
  must_hold(logsum_sample(&args, &context)); /* the first call loads the kernel: not in a capture */
  /* The prompts' last tokens: 0. */
  must("clearing", cudaMemsetAsync(gpu_records, 0, ROWS * sizeof(record), stream));

  cudaGraph_t graph;
  cudaGraphExec_t step;
  must("capturing", cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  must("copying inputs",
       cudaMemcpyAsync(gpu_inputs, inputs, sizeof *inputs, cudaMemcpyHostToDevice, stream));
  must("making logits",
       decode_model_on_gpu(&gpu_records->token, 2, ROWS, VOCAB, gpu_logits, stream));
  must_hold(logsum_sample(&args, &context));
  must("copying records", cudaMemcpyAsync(records, gpu_records, ROWS * sizeof(record),
                                          cudaMemcpyDeviceToHost, stream));
  must("capturing", cudaStreamEndCapture(stream, &graph));
  must("making the graph", cudaGraphInstantiate(&step, graph, 0));

  record expected[ROWS];
  const logsum_sample_args on_cpu = arguments(logits, inputs, expected, CPU);
  int disagreeing = 0;
  for (int i = 0; i < STEPS; ++i) {
    decode_model_on_host(&records->token, 2, ROWS, VOCAB, logits);
    must_hold(logsum_sample(&on_cpu, NULL));
    must("launching a step", cudaGraphLaunch(step, stream));
    must("a step", cudaStreamSynchronize(stream));
    disagreeing += memcmp(records, expected, sizeof expected) != 0;
    for (int row = 0; row < ROWS; ++row) ++inputs->offset[row];
  }
  free(logits);
  if (disagreeing > 0) {
    printf("%d of %d steps DIFFER from the CPU's\n", disagreeing, STEPS);
    return 1;
  }
  printf("all %d tokens and log-probs agree with the CPU's, bit for bit\n", STEPS * ROWS);
  return 0;
}
