// SPDX-License-Identifier: Apache-2.0
// Every operation's tensors, whatever they are called.
#pragma once

#include <vector>

#include "logsum/logsum.hpp"

namespace logsum::test {

// Arguments whose tensors may be changed: also those that they only point to.
template <class Args>
struct Copy : Args {
  explicit Copy(const Args& args) : Args(args) {}
};

template <>
struct Copy<MergeArgs> : MergeArgs {
  explicit Copy(const MergeArgs& args)
      : MergeArgs(args),
        own_shards(args.shards.begin(), args.shards.end()),
        own_logits(args.target_logits.begin(), args.target_logits.end()) {
    shards = own_shards;
    target_logits = own_logits;
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  std::vector<Tensor> own_shards, own_logits;
};

inline std::vector<Tensor*> tensors_of(TokenLogprobsArgs& a) {
  return {&a.logits, &a.targets, &a.logprobs,     &a.lse,        &a.entropy,           &a.argmax,
          &a.rank,   &a.top_ids, &a.top_logprobs, &a.row_status, &a.temperature.tensor};
}

inline std::vector<Tensor*> tensors_of(SampleArgs& a) {
  return {&a.logits,      &a.indices,      &a.token,      &a.logprob, &a.raw_logprob,
          &a.lse,         &a.entropy,      &a.row_status, &a.u,       &a.temperature.tensor,
          &a.seed.tensor, &a.offset.tensor};
}

inline std::vector<Tensor*> tensors_of(MeasureArgs& a) {
  return {&a.logits, &a.records, &a.targets, &a.target_logits, &a.temperature.tensor};
}

inline std::vector<Tensor*> tensors_of(Copy<MergeArgs>& a) {
  std::vector<Tensor*> tensors = {
      &a.targets,    &a.logprobs, &a.lse, &a.entropy,     &a.max,           &a.argmax,
      &a.row_status, &a.choices,  &a.u,   &a.seed.tensor, &a.offset.tensor, &a.temperature.tensor};
  for (Tensor& t : a.own_shards) tensors.push_back(&t);
  for (Tensor& t : a.own_logits) tensors.push_back(&t);
  return tensors;
}

inline std::vector<Tensor*> tensors_of(DrawArgs& a) {
  return {&a.logits, &a.choices, &a.token, &a.logprob, &a.token_logit, &a.temperature.tensor};
}

inline std::vector<Tensor*> tensors_of(SoftmaxArgs& a) {
  return {&a.logits, &a.output, &a.row_status, &a.temperature.tensor};
}

inline std::vector<Tensor*> tensors_of(SoftmaxBackwardArgs& a) {
  return {&a.grad_output, &a.output, &a.grad_logits, &a.row_status, &a.temperature.tensor};
}

inline std::vector<Tensor*> tensors_of(LogsumexpArgs& a) {
  return {&a.logits, &a.lse, &a.row_status, &a.temperature.tensor};
}

inline std::vector<Tensor*> tensors_of(LogsumexpBackwardArgs& a) {
  return {&a.grad_output, &a.lse, &a.logits, &a.grad_logits, &a.temperature.tensor};
}

inline std::vector<Tensor*> tensors_of(ApproxKlArgs& a) {
  return {&a.per_token_logps,
          &a.ref_per_token_logps,
          &a.completion_mask,
          &a.k1,
          &a.k2,
          &a.k3,
          &a.mean_k1,
          &a.mean_k2,
          &a.mean_k3,
          &a.count,
          &a.overflow_count};
}

inline std::vector<Tensor*> tensors_of(PreferenceLossArgs& a) {
  return {&a.logits,
          &a.targets,
          &a.completion_mask,
          &a.cu_seqlens,
          &a.ref_logps,
          &a.ref_per_token_logps,
          &a.desirable,
          &a.kl.tensor,
          &a.loss,
          &a.per_pair_loss,
          &a.sequence_logps,
          &a.rewards,
          &a.per_token_logps,
          &a.metrics,
          &a.row_status,
          &a.grad_logits,
          &a.temperature.tensor,
          &a.normalizer.tensor,
          &a.nll_normalizer.tensor,
          &a.grad_scale.tensor};
}

inline std::vector<Tensor*> tensors_of(PolicyLossArgs& a) {
  return {&a.logits,
          &a.targets,
          &a.advantages,
          &a.completion_mask,
          &a.cu_seqlens,
          &a.old_per_token_logps,
          &a.ref_per_token_logps,
          &a.sampling_per_token_logps,
          &a.importance_weights,
          &a.entropy_mask,
          &a.loss,
          &a.per_token_loss,
          &a.per_token_logps,
          &a.per_token_kl,
          &a.entropy,
          &a.metrics,
          &a.row_status,
          &a.grad_logits,
          &a.temperature.tensor,
          &a.normalizer.tensor,
          &a.entropy_normalizer.tensor,
          &a.grad_scale.tensor};
}

inline std::vector<Tensor*> tensors_of(CrossEntropyArgs& a) {
  return {&a.logits,     &a.targets,     &a.class_weights,     &a.grad_loss,
          &a.loss,       &a.z_loss,      &a.per_token_loss,    &a.lse,
          &a.row_status, &a.grad_logits, &a.normalizer.tensor, &a.grad_scale.tensor};
}

inline std::vector<Tensor*> tensors_of(DistillLossArgs& a) {
  return {&a.student_logits,
          &a.teacher_logits,
          &a.completion_mask,
          &a.loss,
          &a.per_token_loss,
          &a.row_status,
          &a.grad_student,
          &a.grad_teacher,
          &a.student_temperature.tensor,
          &a.teacher_temperature.tensor,
          &a.normalizer.tensor,
          &a.grad_scale.tensor};
}

inline std::vector<Tensor*> tensors_of(GroupAdvantagesArgs& a) {
  return {&a.rewards, &a.mask, &a.advantages, &a.mean, &a.std, &a.group_status};
}

inline std::vector<Tensor*> tensors_of(ImportanceWeightsArgs& a) {
  return {&a.old_per_token_logps,
          &a.sampling_per_token_logps,
          &a.completion_mask,
          &a.cu_seqlens,
          &a.weights,
          &a.count,
          &a.effective_sample_size,
          &a.mean_weight,
          &a.clipped_fraction};
}

// To where `device` says; a tensor that claims to be elsewhere than on the host goes on doing so.
template <class Args>
void move_to(DeviceType device, Copy<Args>& args) {
  for (Tensor* tensor : tensors_of(args))
    if (tensor->device.type == DeviceType::cpu) tensor->device.type = device;
}

}  // namespace logsum::test
