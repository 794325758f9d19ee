/* SPDX-License-Identifier: Apache-2.0 */
#include <logsum/logsum.h>
#include <stdio.h>

int main(void) {
  float logits[3] = {0.0f, 1.0f, 2.0f};
  int32_t token = -7;
  const int64_t shape[2] = {1, 3};
  logsum_sample_args args = logsum_sample_args_defaults();
  logsum_status status;
  args.logits = logsum_tensor_contiguous(logits, LOGSUM_F32, 2, shape);
  args.token = logsum_tensor_contiguous(&token, LOGSUM_I32, 1, shape);
  args.temperature.value = 0.0f;
  status = logsum_sample(&args, NULL);
  printf("C consumer: token %d %s\n", (int)token, status.message);
  return status.code == LOGSUM_OK && token == 2 ? 0 : 1;
}
