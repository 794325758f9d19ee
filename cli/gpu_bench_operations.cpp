// SPDX-License-Identifier: Apache-2.0
#include "gpu_bench_operations.hpp"

#include <array>
#include <span>

#include "errors.hpp"
#include "logsum/approx_kl.hpp"
#include "logsum/cross_entropy.hpp"
#include "logsum/distill_loss.hpp"
#include "logsum/logsumexp.hpp"
#include "logsum/measure.hpp"
#include "logsum/merge.hpp"
#include "logsum/policy_loss.hpp"
#include "logsum/preference_loss.hpp"
#include "logsum/sample.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "logsum/token_logprobs.hpp"

namespace logsum::cli {
namespace {

constexpr float kTemperature = 0.8f;  // not 1: the raw log-prob is then another sum

constexpr GpuTraffic kRead{1, 0}, kMap{1, 1}, kJoin{2, 1}, kCached{0, 0};

template <class Args>
std::size_t no_workspace(const Args&) noexcept {
  return 0;
}

// What two ranks' measure gives for the halves of each row, and its join.
struct TwoShards {
  MeasureArgs shards[2];
  Tensor records[2], target_logits[2];
  MergeArgs joined;
};

class Operations {
 public:
  Operations(Gpu& gpu, const GpuBenchLogits& z)
      : gpu_(gpu), z_(z), memory_(std::make_shared<std::vector<GpuBuffer>>()) {}

  std::vector<GpuOperation> all() {
    switch (z_.shape().family) {
      case GpuFamily::sample: return samplers();
      case GpuFamily::score: return scorers();
      case GpuFamily::top: return {top()};
      case GpuFamily::softmax: return softmaxes();
      case GpuFamily::loss: return losses();
      case GpuFamily::shards: return {measured(), merged()};
      case GpuFamily::kl: return {compared()};
    }
    return {};
  }

 private:
  template <class Args>
  using Operation = Status (*)(const Args&, const Context&) noexcept;

  // `rotated`: the tensor that is another input in each call.
  template <class Args>
  GpuOperation make(std::string name, GpuTraffic traffic, Operation<Args> operation,
                    std::size_t (*workspace_size)(const Args&) noexcept, Args args,
                    Tensor Args::*rotated) {
    args.*rotated = z_.tensor(0);
    return {name, traffic, workspace_size(args),
            [=, &z = z_, kept = memory_](int input, const Context& context) {
              Args now = args;
              now.*rotated = z.tensor(input);
              check(operation(now, context), name);
            }};
  }

  void* memory(std::size_t bytes) {
    memory_->emplace_back(gpu_, bytes);
    return memory_->back().data();
  }

  Tensor per_row(DType dtype, std::int64_t count = 1) {
    const std::int64_t rows = z_.shape().rows, shape[] = {rows, count};
    return Tensor::contiguous(memory(static_cast<std::size_t>(rows * count) * size_of(dtype)),
                              dtype, std::span(shape, count == 1 ? 1 : 2), z_.device());
  }

  Tensor like_logits() {
    const std::int64_t shape[] = {z_.shape().rows, z_.shape().columns};
    return Tensor::contiguous(memory(z_.bytes()), z_.shape().dtype, shape, z_.device());
  }

  template <class T>
  Tensor on_gpu(const std::vector<T>& host) {
    const std::int64_t shape[] = {static_cast<std::int64_t>(host.size())};
    const std::size_t bytes = host.size() * sizeof host[0];
    const Tensor tensor = Tensor::contiguous(memory(bytes), dtype_of<T>, shape, z_.device());
    gpu_.to_device(tensor.data, host.data(), bytes);
    gpu_.wait();
    return tensor;
  }

  Tensor targets() {
    std::vector<std::int64_t> host(static_cast<std::size_t>(z_.shape().rows));
    for (std::size_t i = 0; i < host.size(); ++i)
      host[i] = static_cast<std::int64_t>(i) * 7919 % z_.shape().columns;
    return on_gpu(host);
  }

  std::vector<GpuOperation> samplers() {
    SampleArgs args{
        .token = per_row(DType::i32), .logprob = per_row(DType::f32), .temperature = kTemperature};
    SampleArgs raw = args;
    raw.raw_logprob = per_row(DType::f32);
    return {make("sample", kRead, &sample, &sample_workspace_size, args, &SampleArgs::logits),
            make("sample + raw log-prob", kRead, &sample, &sample_workspace_size, raw,
                 &SampleArgs::logits)};
  }

  std::vector<GpuOperation> scorers() {
    TokenLogprobsArgs args{.targets = targets(),
                           .logprobs = per_row(DType::f32),
                           .lse = per_row(DType::f32),
                           .argmax = per_row(DType::i64)};
    TokenLogprobsArgs entropy = args;
    entropy.entropy = per_row(DType::f32);
    const auto scorer = [&](const char* name, const TokenLogprobsArgs& a) {
      return make(name, kRead, &token_logprobs, &token_logprobs_workspace_size, a,
                  &TokenLogprobsArgs::logits);
    };
    return {scorer("token_logprobs + lse + argmax", args),
            scorer("token_logprobs + lse + argmax + entropy", entropy)};
  }

  GpuOperation top() {
    return make("token_logprobs, top 20", kRead, &token_logprobs, &token_logprobs_workspace_size,
                TokenLogprobsArgs{.top_ids = per_row(DType::i32, kGpuTop),
                                  .top_logprobs = per_row(DType::f32, kGpuTop)},
                &TokenLogprobsArgs::logits);
  }

  // Of the columns from `first` on, in the first input.
  MeasureArgs shard(std::int64_t first, std::int64_t columns, const Tensor& targets) {
    const std::int64_t rows = z_.shape().rows, shape[] = {rows, columns};
    const std::int64_t strides[] = {z_.shape().columns, 1};
    const std::int64_t tiles = (columns + kTileColumns - 1) / kTileColumns;
    const std::int64_t record_shape[] = {rows, tiles, sizeof(TileRecord)};
    void* const records = memory(static_cast<std::size_t>(rows * tiles) * sizeof(TileRecord));
    auto* const begin = static_cast<std::byte*>(z_.tensor(0).data) +
                        static_cast<std::size_t>(first) * size_of(z_.shape().dtype);
    return {.logits = Tensor::strided(begin, z_.shape().dtype, shape, strides, z_.device()),
            .records = Tensor::contiguous(records, DType::u8, record_shape, z_.device()),
            .targets = targets,
            .target_logits = per_row(DType::f32),
            .vocab_start = first,
            .moment = false};
  }

  GpuOperation measured() {
    return make("measure", kRead, &measure, &no_workspace<MeasureArgs>,
                shard(0, z_.shape().columns, targets()), &MeasureArgs::logits);
  }

  GpuOperation merged() {
    const std::int64_t columns = z_.shape().columns;
    const std::int64_t middle = (columns / 2 + kTileColumns - 1) / kTileColumns * kTileColumns;
    const auto two = std::make_shared<TwoShards>();
    const Tensor all_targets = targets();
    two->shards[0] = shard(0, middle, all_targets);
    two->shards[1] = shard(middle, columns - middle, all_targets);
    for (int i = 0; i < 2; ++i) {
      two->records[i] = two->shards[i].records;
      two->target_logits[i] = two->shards[i].target_logits;
    }
    two->joined = {.shards = two->records,
                   .vocab_size = columns,
                   .targets = all_targets,
                   .target_logits = two->target_logits,
                   .logprobs = per_row(DType::f32),
                   .lse = per_row(DType::f32)};
    return {
        .name = "merge, two shards",
        .traffic = kCached,
        .workspace = 0,
        .run = [two, kept = memory_](
                   int, const Context& context) { check(merge(two->joined, context), "merge"); },
        .prepare =
            [two](const Context& context) {
              for (const MeasureArgs& args : two->shards) check(measure(args, context), "measure");
            }};
  }

  // Of log-probs: the first half of the rows against the other.
  GpuOperation compared() {
    const std::int64_t rows = z_.shape().rows / 2, shape[] = {rows, z_.shape().columns};
    const std::int64_t one[] = {1};
    ApproxKlArgs args{.mean_k3 =
                          Tensor::contiguous(memory(sizeof(float)), DType::f32, one, z_.device())};
    const auto of = [args, shape = std::to_array(shape), &z = z_](int input) {
      auto* const policy = static_cast<std::byte*>(z.tensor(input).data);
      ApproxKlArgs now = args;
      now.per_token_logps = Tensor::contiguous(policy, DType::f32, shape, z.device());
      now.ref_per_token_logps =
          Tensor::contiguous(policy + z.bytes() / 2, DType::f32, shape, z.device());
      return now;
    };
    return {.name = "approx_kl",
            .traffic = kRead,
            .workspace = approx_kl_workspace_size(of(0)),
            .run = [of, kept = memory_](int input, const Context& context) {
              check(approx_kl(of(input), context), "approx_kl");
            }};
  }

  static constexpr std::int64_t kTokens = 512;  // of the losses' packed sequences

  std::vector<std::int32_t> cuts() const {
    std::vector<std::int32_t> all;
    const std::int64_t rows = z_.shape().rows;
    for (std::int64_t i = 0; i < rows; i += kTokens) all.push_back(static_cast<std::int32_t>(i));
    all.push_back(static_cast<std::int32_t>(rows));
    return all;
  }

  // DPO of the same rows, into the same memory. An odd number of sequences has an empty one behind.
  GpuOperation preferences(const PolicyLossArgs& policy) {
    std::vector<std::int32_t> even = cuts();
    if (even.size() % 2 == 0) even.push_back(even.back());
    const PreferenceLossArgs args{.targets = policy.targets,
                                  .cu_seqlens = on_gpu(even),
                                  .ref_logps = on_gpu(std::vector<float>(even.size() - 1, -6e3f)),
                                  .loss = policy.loss,
                                  .per_token_logps = policy.per_token_logps,
                                  .grad_logits = policy.grad_logits};
    return make("preference_loss", kJoin, &preference_loss, &preference_loss_workspace_size, args,
                &PreferenceLossArgs::logits);
  }

  // With a KL term; every other sequence has A < 0.
  std::vector<GpuOperation> losses() {
    const std::int64_t rows = z_.shape().rows;
    const auto count = static_cast<std::size_t>(rows);
    std::vector<float> advantages(count);
    for (std::size_t i = 0; i < count; ++i) advantages[i] = i / kTokens % 2 ? -0.5f : 1.0f;
    PolicyLossArgs args{.targets = targets(),
                        .advantages = on_gpu(advantages),
                        .cu_seqlens = on_gpu(cuts()),
                        .old_per_token_logps = on_gpu(std::vector<float>(count, -12.0f)),
                        .ref_per_token_logps = on_gpu(std::vector<float>(count, -12.2f)),
                        .loss = on_gpu(std::vector<double>(1)),
                        .per_token_logps = per_row(DType::f32),
                        .grad_logits = like_logits()};
    args.options.beta = 0.04f;
    PolicyLossArgs entropy = args, sequence = args;
    entropy.options.entropy_coef = 0.01f;
    check(set_loss_type(sequence.options, "gspo"), "set_loss_type");
    const auto loss = [&](const char* name, GpuTraffic traffic, const PolicyLossArgs& a) {
      return make(name, traffic, &policy_loss, &policy_loss_workspace_size, a,
                  &PolicyLossArgs::logits);
    };
    const CrossEntropyArgs classes{.targets = args.targets,
                                   .loss = args.loss,
                                   .per_token_loss = per_row(DType::f32),
                                   .grad_logits = args.grad_logits};
    std::vector<GpuOperation> list = {
        loss("policy_loss", kMap, args), loss("policy_loss + entropy", kMap, entropy),
        loss("policy_loss, sequence level", kJoin, sequence),
        make("cross_entropy", kMap, &cross_entropy, &cross_entropy_workspace_size, classes,
             &CrossEntropyArgs::logits),
        preferences(args)};
    for (GpuOperation& operation : distillations(args.grad_logits))
      list.push_back(std::move(operation));
    return list;
  }

  // From a teacher that is the student at another temperature, made once before.
  std::vector<GpuOperation> distillations(const Tensor& gradient) {
    const Tensor teacher = like_logits();
    DistillLossArgs args{.teacher_logits = teacher,
                         .loss = on_gpu(std::vector<double>(1)),
                         .grad_student = gradient};
    const auto distillation = [&](const char* name, Divergence divergence) {
      args.divergence = divergence;
      GpuOperation made = make(name, kJoin, &distill_loss, &distill_loss_workspace_size, args,
                               &DistillLossArgs::student_logits);
      made.prepare = [teacher, &z = z_](const Context& context) {
        Context own = context;
        own.workspace = {};  // the loss's may be too small
        check(log_softmax({.logits = z.tensor(0), .output = teacher, .temperature = 1.5f}, own),
              "log_softmax");
      };
      return made;
    };
    return {distillation("distill_loss, jsd", Divergence::jsd),
            distillation("distill_loss, forward KL", Divergence::forward_kl)};
  }

  std::vector<GpuOperation> softmaxes() {
    const Tensor output = like_logits(), gradient = like_logits(), lse = per_row(DType::f32);
    std::vector<GpuOperation> list;
    // A gradient takes what the forward pass gave, which is computed once before.
    const auto add = [&list](GpuOperation forward, GpuOperation backward) {
      backward.prepare = [run = forward.run](const Context& context) {
        Context own = context;
        own.workspace = {};  // the other's may be too small
        run(0, own);
      };
      list.push_back(std::move(forward));
      list.push_back(std::move(backward));
    };
    const auto forward = [&](const char* name, Operation<SoftmaxArgs> operation) {
      return make(name, kMap, operation, &softmax_workspace_size, SoftmaxArgs{.output = output},
                  &SoftmaxArgs::logits);
    };
    const auto backward = [&](const char* name, Operation<SoftmaxBackwardArgs> operation) {
      GpuOperation made = make(name, kJoin, operation, &softmax_backward_workspace_size,
                               SoftmaxBackwardArgs{.output = output, .grad_logits = gradient},
                               &SoftmaxBackwardArgs::grad_output);
      made.takes_gradients = true;
      return made;
    };
    add(forward("softmax", &softmax), backward("softmax_backward", &softmax_backward));
    add(forward("log_softmax", &log_softmax),
        backward("log_softmax_backward", &log_softmax_backward));
    add(make("logsumexp", kRead, &logsumexp, &logsumexp_workspace_size, LogsumexpArgs{.lse = lse},
             &LogsumexpArgs::logits),
        make("logsumexp_backward", kMap, &logsumexp_backward, &logsumexp_backward_workspace_size,
             LogsumexpBackwardArgs{.grad_output = lse, .lse = lse, .grad_logits = gradient},
             &LogsumexpBackwardArgs::logits));
    return list;
  }

  Gpu& gpu_;
  const GpuBenchLogits& z_;
  std::shared_ptr<std::vector<GpuBuffer>> memory_;
};

}  // namespace

std::vector<GpuOperation> gpu_operations(Gpu& gpu, const GpuBenchLogits& logits) {
  return Operations(gpu, logits).all();
}

}  // namespace logsum::cli
