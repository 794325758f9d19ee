// SPDX-License-Identifier: Apache-2.0
#include "bench_operations.hpp"

#include <algorithm>
#include <cmath>

#include "errors.hpp"
#include "logsum/approx_kl.hpp"
#include "logsum/cross_entropy.hpp"
#include "logsum/distill_loss.hpp"
#include "logsum/logsumexp.hpp"
#include "logsum/merge.hpp"
#include "logsum/policy_loss.hpp"
#include "logsum/preference_loss.hpp"
#include "logsum/sample.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "logsum/token_logprobs.hpp"

namespace logsum::cli {
namespace {

constexpr std::int64_t kDraws = 64;

// Operations write here, one after the other.
struct Room {
  std::vector<std::int64_t> targets, token;
  std::vector<float> logprobs, lse, entropy, target_logits[2], advantages;
  std::vector<std::byte> rows, gradients, teacher;  // each of the logits' size
  std::vector<std::byte> records[2];
  std::uint64_t calls = 0;  // each draws with other uniforms
};

class Operations {
 public:
  explicit Operations(const BenchLogits& z) : z_(z) {
    const auto count = static_cast<std::size_t>(std::max(z.rows(), kDraws));
    room_->targets.resize(count);
    for (std::size_t i = 0; i < count; ++i)
      room_->targets[i] = static_cast<std::int64_t>(i) * 7919 % z.columns();
    room_->token.resize(count);
    for (auto* floats : {&room_->logprobs, &room_->lse, &room_->entropy, &room_->target_logits[0],
                         &room_->target_logits[1]})
      floats->resize(count);
    room_->advantages.resize(count, 1.0f);
  }

  std::vector<BenchOperation> all() const {
    const std::int64_t rows = z_.rows();
    std::vector<BenchOperation> list = {
        {"token_logprobs", rows, true, true, score(false)},
        {"token_logprobs + entropy", rows, true, true, score(true)},
        {"logsumexp", rows, true, true, reduce()},
        {"sample", rows, true, true, draw(rows, 1)},
        {"sample, one row", 1, true, true, draw(1, 1)},
        {"sample, one row, 64 draws", 1, true, true, draw(1, kDraws)},
        {"softmax", rows, false, true, write(softmax)},
        {"log_softmax", rows, false, true, write(log_softmax)},
        {"softmax_backward", rows, false, true, differentiate(softmax_backward),
         once(write(softmax))},
        {"log_softmax_backward", rows, false, true, differentiate(log_softmax_backward),
         once(write(log_softmax))},
        {"logsumexp_backward", rows, false, true, differentiate_sum(), once(reduce())},
        {"policy_loss", rows, false, true, learn(0.0f)},
        {"policy_loss + entropy", rows, false, true, learn(0.01f)},
        {"cross_entropy", rows, false, true, classify()},
        {"preference_loss", rows, false, true, prefer()},
        {"distill_loss, jsd", rows, false, true, distil(Divergence::jsd), teach()},
        {"distill_loss, forward KL", rows, false, true, distil(Divergence::forward_kl), teach()}};
    if (z_.columns() > kTileColumns)
      list.push_back({"measure, merge: two shards", rows, true, true, shards()});
    if (z_.dtype() == DType::f32) list.push_back({"approx_kl", rows, false, true, compare()});
    list.push_back({"plain libm loop", std::min<std::int64_t>(2, rows), false, false, loop()});
    return list;
  }

 private:
  using Run = std::function<void(const Context&)>;

  Tensor batch() const { return z_.tensor(z_.rows()); }

  Tensor like_batch(std::vector<std::byte>& memory) const {
    memory.resize(z_.bytes());
    const std::int64_t shape[] = {z_.rows(), z_.columns()};
    return Tensor::contiguous(memory.data(), z_.dtype(), shape);
  }

  template <class T>
  Tensor first(std::vector<T>& values) const {
    return Tensor::of(values.data(), {z_.rows()});
  }

  Run score(bool entropy) const {
    return [=, *this](const Context& context) {
      check(token_logprobs({.logits = batch(),
                            .targets = first(room_->targets),
                            .logprobs = first(room_->logprobs),
                            .lse = first(room_->lse),
                            .entropy = entropy ? first(room_->entropy) : Tensor()},
                           context),
            "token_logprobs");
    };
  }

  Run reduce() const {
    return [*this](const Context& context) {
      check(logsumexp({.logits = batch(), .lse = first(room_->lse)}, context), "logsumexp");
    };
  }

  Run draw(std::int64_t n, std::int64_t draws) const {
    return [=, *this](const Context& context) {
      check(sample({.logits = z_.tensor(n),
                    .token = Tensor::of(room_->token.data(), {n, draws}),
                    .logprob = Tensor::of(room_->logprobs.data(), {n, draws}),
                    .offset = room_->calls++,
                    .draws = draws},
                   context),
            "sample");
    };
  }

  Run write(Status (*op)(const SoftmaxArgs&, const Context&) noexcept) const {
    return [=, *this](const Context& context) {
      check(op({.logits = batch(), .output = like_batch(room_->rows)}, context), "softmax");
    };
  }

  // A forward pass, before its gradient is timed.
  static std::function<void()> once(Run run) {
    return [run = std::move(run)] { run({}); };
  }

  Run differentiate(Status (*op)(const SoftmaxBackwardArgs&, const Context&) noexcept) const {
    return [=, *this](const Context& context) {
      check(op({.grad_output = batch(),
                .output = like_batch(room_->rows),
                .grad_logits = like_batch(room_->gradients)},
               context),
            "softmax_backward");
    };
  }

  Run differentiate_sum() const {
    return [*this](const Context& context) {
      check(logsumexp_backward({.grad_output = first(room_->logprobs),
                                .lse = first(room_->lse),
                                .logits = batch(),
                                .grad_logits = like_batch(room_->gradients)},
                               context),
            "logsumexp_backward");
    };
  }

  // One sequence, with ratio 1.
  Run learn(float entropy_coef) const {
    return [=, *this](const Context& context) {
      PolicyLossArgs args{.logits = batch(),
                          .targets = first(room_->targets),
                          .advantages = first(room_->advantages),
                          .loss = Tensor::of(room_->lse.data(), {1}),
                          .per_token_logps = first(room_->logprobs),
                          .grad_logits = like_batch(room_->gradients)};
      args.options.entropy_coef = entropy_coef;
      check(policy_loss(args, context), "policy_loss");
    };
  }

  Run classify() const {
    return [*this](const Context& context) {
      check(cross_entropy({.logits = batch(),
                           .targets = first(room_->targets),
                           .loss = Tensor::of(room_->lse.data(), {1}),
                           .per_token_loss = first(room_->logprobs),
                           .grad_logits = like_batch(room_->gradients)},
                          context),
            "cross_entropy");
    };
  }

  // A pair: the first half of the rows against the other.
  Run prefer() const {
    return [*this](const Context& context) {
      const std::int64_t rows = z_.rows(), cuts[] = {0, rows / 2, rows};
      const PreferenceLossArgs args{.logits = batch(),
                                    .targets = first(room_->targets),
                                    .cu_seqlens = Tensor::of(cuts, {3}),
                                    .loss = Tensor::of(room_->lse.data(), {1}),
                                    .per_token_logps = first(room_->logprobs),
                                    .grad_logits = like_batch(room_->gradients),
                                    .options = {.reference_free = true}};
      check(preference_loss(args, context), "preference_loss");
    };
  }

  // From a teacher that is the student at another temperature.
  Run distil(Divergence divergence) const {
    return [=, *this](const Context& context) {
      check(distill_loss({.student_logits = batch(),
                          .teacher_logits = like_batch(room_->teacher),
                          .loss = Tensor::of(room_->lse.data(), {1}),
                          .grad_student = like_batch(room_->gradients),
                          .divergence = divergence},
                         context),
            "distill_loss");
    };
  }
  std::function<void()> teach() const {
    return [*this] {
      check(log_softmax(
                {.logits = batch(), .output = like_batch(room_->teacher), .temperature = 1.5f}),
            "log_softmax");
    };
  }

  // Two ranks' work and the join, on this machine.
  Run shards() const {
    return [*this](const Context& context) {
      const std::int64_t rows = z_.rows();
      const std::int64_t middle =
          (z_.columns() / 2 + kTileColumns - 1) / kTileColumns * kTileColumns;
      const std::int64_t starts[] = {0, middle, z_.columns()};
      Tensor records[2], target_logits[2];
      for (int s = 0; s < 2; ++s) {
        const std::int64_t columns = starts[s + 1] - starts[s];
        const std::int64_t shape[] = {rows, columns};
        const std::int64_t strides[] = {z_.columns(), 1};
        auto* data = static_cast<std::byte*>(const_cast<void*>(z_.data())) +
                     static_cast<std::size_t>(starts[s]) * size_of(z_.dtype());
        const std::int64_t tiles = (columns + kTileColumns - 1) / kTileColumns;
        auto& bytes = room_->records[s];
        bytes.resize(static_cast<std::size_t>(rows * tiles) * sizeof(TileRecord));
        const std::int64_t record_shape[] = {rows, tiles, sizeof(TileRecord)};
        records[s] = Tensor::contiguous(bytes.data(), DType::u8, record_shape);
        target_logits[s] = first(room_->target_logits[s]);
        check(measure({.logits = Tensor::strided(data, z_.dtype(), shape, strides),
                       .records = records[s],
                       .targets = first(room_->targets),
                       .target_logits = target_logits[s],
                       .vocab_start = starts[s],
                       .moment = false},
                      context),
              "measure");
      }
      check(merge({.shards = records,
                   .vocab_size = z_.columns(),
                   .targets = first(room_->targets),
                   .target_logits = target_logits,
                   .logprobs = first(room_->logprobs),
                   .lse = first(room_->lse)},
                  context),
            "merge");
    };
  }

  // Per-token log-probs: as many as there are logits, against the rows in the opposite order.
  Run compare() const {
    return [*this](const Context& context) {
      const std::int64_t shape[] = {z_.rows(), z_.columns()};
      const std::int64_t backwards[] = {-z_.columns(), 1};
      auto* last =
          static_cast<float*>(const_cast<void*>(z_.data())) + (z_.rows() - 1) * z_.columns();
      check(approx_kl({.per_token_logps = batch(),
                       .ref_per_token_logps = Tensor::strided(last, DType::f32, shape, backwards),
                       .mean_k3 = Tensor::of(room_->lse.data(), {1})},
                      context),
            "approx_kl");
    };
  }

  // What one would write: the maximum, then expf, on one thread.
  Run loop() const {
    return [*this](const Context&) {
      for (std::int64_t row = 0; row < std::min<std::int64_t>(2, z_.rows()); ++row) {
        const auto begin = static_cast<std::size_t>(row * z_.columns());
        const auto end = begin + static_cast<std::size_t>(z_.columns());
        float max = -INFINITY;
        for (std::size_t i = begin; i < end; ++i) max = std::max(max, z_.value(i));
        double sum = 0;
        for (std::size_t i = begin; i < end; ++i)
          sum += static_cast<double>(std::exp(z_.value(i) - max));
        room_->lse[static_cast<std::size_t>(row)] = max + static_cast<float>(std::log(sum));
      }
    };
  }

  const BenchLogits& z_;
  std::shared_ptr<Room> room_ = std::make_shared<Room>();
};

}  // namespace

std::vector<BenchOperation> bench_operations(const BenchLogits& z) { return Operations(z).all(); }

}  // namespace logsum::cli
