// SPDX-License-Identifier: Apache-2.0
// logsum bench --device cuda: operations × shapes × determinism, beside a device copy and a bare
// read of the same logits, measured in the same process.
//
// Each is timed queued on a stream, as a caller without graphs pays for it, launches and all; and
// in a CUDA graph, as a decode step inside an engine's graph does.
#include "gpu_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <new>
#include <thread>

#include "errors.hpp"
#include "gpu_bench_operations.hpp"
#include "gpus.hpp"
#include "io/file_error.hpp"
#include "terminal.hpp"

namespace logsum::cli {
namespace {

constexpr int kRepeats = 25;
constexpr int kKindRepeats = 9;  // of each further kind of logits: that rows cost the same
constexpr int kLaunches = 64;    // of a graph, at least: what starts it is then small
constexpr std::size_t kTiring = 64 << 20;  // bytes of logits, of calls that want a rest before

class Measurement {
 public:
  Measurement(Gpu& gpu, const GpuBenchLogits& z, int repeats)
      : gpu_(gpu),
        z_(z),
        repeats_(repeats),
        // Whole turns through the inputs. Of large ones a turn is long enough.
        calls_(z.is_small() ? (kLaunches + z.inputs() - 1) / z.inputs() * z.inputs() : z.inputs()) {
  }

  using Work = std::function<void(int)>;  // of an input

  double cold(const Work& work) {
    rest();
    return gpu_.seconds_queued(calls_, repeats_, turning(work));
  }
  double graph(const Work& work) {
    rest();
    return gpu_.seconds_in_graph(calls_, repeats_, turning(work));
  }
  double warm(const Work& work) {
    rest();
    return gpu_.seconds_queued(std::min(calls_, kLaunches), repeats_, [&](int) { work(0); });
  }

 private:
  // Measured one right after the other, such calls draw an H200's 700 W, and it lowers its clock
  // from 1980 to as little as 1455 MHz: what came before would decide how long a call takes (the
  // gradient of log_softmax, 4096 x 151936 bf16: 987 us, or 1060 to 1340).
  void rest() const {
    if (z_.bytes() >= kTiring) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }

  Work turning(const Work& work) const {
    return [&work, inputs = z_.inputs()](int i) { work(i % inputs); };
  }

  Gpu& gpu_;
  const GpuBenchLogits& z_;
  int repeats_, calls_;
};

// The better of both: in a graph large copies take a copy engine, at two thirds of the speed (2.5
// GB moved on an H200: 920 us, queued 589).
double copy_seconds(Gpu& gpu, const GpuBenchLogits& z, Measurement& measurement) {
  const GpuBuffer to(gpu, z.bytes());
  const auto copy = [&](int i) { gpu.copy(to.data(), z.tensor(i).data, z.bytes()); };
  return std::min(measurement.cold(copy), measurement.graph(copy));
}

double read_seconds(Gpu& gpu, const GpuBenchLogits& z, Measurement& measurement) {
  double best = 1e9;
  for (int grid = 0; grid < Gpu::kReadGrids; ++grid)
    best = std::min(best, measurement.graph([&](int i) {
      gpu.read(z.tensor(i).data, z.bytes() / 16 * 16, grid);
    }));
  return best;
}

// An operation on logits of a kind, its workspace and what it needs of the forward pass made.
class Prepared {
 public:
  Prepared(Gpu& gpu, GpuBenchLogits& z, const GpuOperation& operation, BenchData data,
           Determinism determinism)
      : operation_(operation),
        workspace_(gpu, operation.workspace),
        context_{.workspace = {workspace_.data(), operation.workspace},
                 .determinism = determinism,
                 .stream = gpu.stream()} {
    gpu.zero(workspace_.data(), operation.workspace);
    z.hold(gpu, data);
    if (operation.prepare) operation.prepare(context_);
    // A gradient has no masks: −∞ would make it another operation, on rows of NaN.
    if (operation.takes_gradients) z.hold(gpu, BenchData::normal);
  }

  void operator()(int input) const { operation_.run(input, context_); }

 private:
  const GpuOperation& operation_;
  GpuBuffer workspace_;
  Context context_;
};

class Bench {
 public:
  Bench(const BenchOptions& options, Gpu& gpu, std::size_t l2_bytes, int repeats)
      : options_(options), gpu_(gpu), l2_bytes_(l2_bytes), repeats_(repeats) {}

  void add(const GpuCase& shape) {
    GpuBenchLogits z(gpu_, shape, l2_bytes_);
    std::vector<GpuOperation> operations = gpu_operations(gpu_, z);
    std::erase_if(operations, [&](const GpuOperation& operation) {
      return operation.name.find(options_.filter) == std::string::npos;
    });
    if (operations.empty()) return;
    z.hold(gpu_, options_.data);
    Measurement measurement(gpu_, z, repeats_);
    const double copy = copy_seconds(gpu_, z, measurement);
    const double read = read_seconds(gpu_, z, measurement);
    const std::size_t first = lines_.size();
    for (const GpuOperation& operation : operations) {
      const auto [reads, writes] = operation.traffic;
      lines_.push_back({operation.name,
                        shape,
                        z.inputs(),
                        writes > 0  ? "copy"
                        : reads > 0 ? "read"
                                    : "none",
                        writes > 0 ? copy * (reads + writes) / 2 : read * reads,
                        measure(z, operation, Determinism::per_device, measurement),
                        measure(z, operation, Determinism::cross_device, measurement),
                        {}});
    }
    Measurement brief(gpu_, z, std::min(repeats_, kKindRepeats));
    for (const BenchData data : kAllBenchData)
      for (std::size_t i = 0; i < operations.size(); ++i) {
        GpuLine& line = lines_[first + i];
        line.graph_by_data.emplace_back(data, data == options_.data
                                                  ? line.per_device.graph
                                                  : in_graph(z, operations[i], data, brief));
      }
  }

  const std::vector<GpuLine>& lines() const { return lines_; }

 private:
  GpuTimes measure(GpuBenchLogits& z, const GpuOperation& operation, Determinism determinism,
                   Measurement& measurement) {
    const Prepared work(gpu_, z, operation, options_.data, determinism);
    return {
        .cold = measurement.cold(std::cref(work)),
        .warm = measurement.warm(std::cref(work)),
        .graph = measurement.graph(std::cref(work)),
    };
  }

  double in_graph(GpuBenchLogits& z, const GpuOperation& operation, BenchData data,
                  Measurement& measurement) {
    const Prepared work(gpu_, z, operation, data, Determinism::per_device);
    return measurement.graph(std::cref(work));
  }

  const BenchOptions& options_;
  Gpu& gpu_;
  std::size_t l2_bytes_;
  int repeats_;
  std::vector<GpuLine> lines_;
};

}  // namespace

int run_gpu_bench(const BenchOptions& options) {
  const std::vector<GpuCase> cases = gpu_cases(options);
  const DeviceInfo device = gpu_at(options.device.index, "--device cuda");
  const std::unique_ptr<Gpu> gpu = open_gpu(options.device.index);
  const int repeats = options.repeats > 0 ? options.repeats : kRepeats;
  Bench bench(options, *gpu, device.l2_bytes, repeats);
  bool any_fits = false;
  for (const GpuCase& shape : cases) {
    try {
      bench.add(shape);
      any_fits = true;
    } catch (const std::bad_alloc&) {  // the table is also for smaller GPUs
      fmt::print(stderr, "logsum: no room on the GPU for {} x {} {}\n", shape.rows, shape.columns,
                 to_string(shape.dtype));
    }
  }
  if (!any_fits) throw std::bad_alloc();
  if (bench.lines().empty())
    throw UsageError(io::in_quotes(options.filter) + " is in the name of no operation (--filter)");
  (options.json ? print_gpu_json : print_gpu_table)(options, device, repeats, bench.lines());
  flush_stdout();
  return 0;
}

}  // namespace logsum::cli
