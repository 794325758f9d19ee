// SPDX-License-Identifier: Apache-2.0
// docs/design/tile_tree.md and rng.md, implemented a second time: from the pages alone, in plain
// scalar C++, without a line of src/. If this and the library agree to the bit, the pages say
// enough.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace logsum::test::tile_tree {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr int kLaneCount = 256, kChunkColumns = 1024, kTileWidth = 4096;

struct Scale {
  float t, c, inverse_c;
  explicit Scale(float temperature)
      : t(temperature),
        c(static_cast<float>(1.44269504088896340735992468100189214L / temperature)),
        inverse_c(1.0f / c) {}
};

inline float poly(float f) {
  float p = 0x1.5bcceap-10f;
  for (const float k : {0x1.3cee56p-7f, 0x1.c6b70ep-5f, 0x1.ebf9bp-3f, 0x1.62e42ap-1f, 1.0f})
    p = std::fmaf(p, f, k);
  return p;
}

// One column of a chunk: its weight without the bias, and x.
struct Weight {
  float w = 0, x = 0;
};

struct Chunk {
  bool live = false, poisoned = false;
  float max = -kInfinity;
  double n = 0;
  std::vector<Weight> weights;
};

inline Chunk chunk_of(const float* z, int columns, const Scale& scale) {
  Chunk chunk;
  for (int i = 0; i < columns; ++i) {
    chunk.poisoned |= std::isnan(z[i]) || z[i] == kInfinity;
    if (z[i] > chunk.max) chunk.max = z[i];
  }
  chunk.live = chunk.max > -kInfinity;
  if (chunk.poisoned || !chunk.live) return chunk;
  const double c = scale.c;
  chunk.n = std::rint(static_cast<double>(chunk.max) * c);
  const bool far = std::fabs(chunk.n) > 0x1p21;
  const float lo = static_cast<float>(chunk.n - 64) * scale.inverse_c;
  for (int i = 0; i < columns; ++i) {
    const float clamped = far ? z[i] : std::max(z[i], lo);
    // 64 bits of mantissa: t − N is exact where it matters.
    const long double t = static_cast<long double>(clamped) * scale.c;
    const long double above = t - chunk.n;
    const long double e = std::rint(above);
    Weight weight;
    if (!(far && e < -64)) {
      weight.w = std::ldexp(poly(static_cast<float>(above - e)), static_cast<int>(e));
      weight.x = static_cast<float>(-above);
    }
    chunk.weights.push_back(weight);
  }
  return chunk;
}

inline float fold(std::vector<float> a) {
  for (int step = 0; step < 3; ++step) {
    for (std::size_t i = 0; i < a.size() / 2; ++i) a[i] = a[2 * i] + a[2 * i + 1];
    a.resize(a.size() / 2);
  }
  for (std::size_t half = 16; half >= 1; half /= 2)
    for (std::size_t i = 0; i < half; ++i) a[i] += a[i + half];
  return a[0];
}

inline float g(double d) { return d > 52 ? 0.0f : std::ldexp(1.0f, -static_cast<int>(d)); }

struct Tile {
  bool live = false, poisoned = false;
  double n = 0;
  float sum = 0, moment = 0, max = -kInfinity;
  std::vector<float> weights;  // relative to n; 0 for −∞
  std::vector<Chunk> chunks;
};

inline Tile tile_of(const float* z, int columns, const Scale& scale) {
  Tile tile;
  std::vector<float> a(kLaneCount, 0.0f), b(kLaneCount, 0.0f);
  for (int begin = 0; begin < columns; begin += kChunkColumns) {
    const int count = std::min(columns - begin, kChunkColumns);
    const Chunk chunk = chunk_of(z + begin, count, scale);
    tile.chunks.push_back(chunk);
    tile.poisoned |= chunk.poisoned;
    tile.max = std::max(tile.max, chunk.max);
    if (chunk.poisoned || !chunk.live) continue;
    const double raised = tile.live ? std::max(tile.n, chunk.n) : chunk.n;
    const double up = tile.live ? raised - tile.n : 0, down = raised - chunk.n;
    for (int l = 0; l < kLaneCount; ++l) {
      float s = 0, e = 0;
      for (int i = l; i < count; i += kLaneCount) {
        const Weight& k = chunk.weights[static_cast<std::size_t>(i)];
        const float w = std::ldexp(k.w, 101);
        if (w == 0) continue;
        s += w;
        e = std::fmaf(w, k.x, e);
      }
      const auto lane = static_cast<std::size_t>(l);
      const float shifted_a = g(up) == 0 ? 0 : std::fmaf(static_cast<float>(up), a[lane], b[lane]);
      const float shifted_s =
          g(down) == 0 ? 0 : std::fmaf(static_cast<float>(down), s, e) * g(down);
      b[lane] = std::fmaf(shifted_a, g(up), shifted_s);
      a[lane] = std::fmaf(a[lane], g(up), s * g(down));
    }
    tile.n = raised;
    tile.live = true;
  }
  tile.max += 0.0f;  // −0 becomes +0
  tile.sum = fold(a) * 0x1p-101f;
  tile.moment = fold(b) * 0x1p-101f;
  for (int i = 0; i < columns && !tile.poisoned; ++i) {
    const Chunk& chunk = tile.chunks[static_cast<std::size_t>(i / kChunkColumns)];
    const bool lives = chunk.live && z[i] > -kInfinity;
    tile.weights.push_back(lives ? chunk.weights[static_cast<std::size_t>(i % kChunkColumns)].w *
                                       g(tile.n - chunk.n)
                                 : 0.0f);
  }
  return tile;
}

// The page's series.
inline double ln(double x) {
  int e = 0;
  double a = std::frexp(x, &e);
  if (a <= 0x1.6a09e667f3bcdp-1) {
    a *= 2;
    --e;
  }
  const double d = (a - 1) / (a + 1), q = d * d;
  double h = 0;
  for (int k = 21; k >= 3; k -= 2) h = std::fma(h, q, 1.0 / k);
  return std::fma(e, 0x1.62e42fefa39efp-1, std::fma(2 * d * q, h, 2 * d));
}

// A healthy row.
struct Row {
  std::vector<float> z;
  Scale scale;
  std::vector<Tile> tiles;
  std::vector<std::uint64_t> masses;
  float max = -kInfinity;
  double log_ratio = 0;
  float lse = 0, entropy = 0;

  Row(const std::vector<float>& logits, float temperature) : z(logits), scale(temperature) {
    const auto columns = static_cast<int>(z.size());
    double n = -std::numeric_limits<double>::infinity();
    for (int begin = 0; begin < columns; begin += kTileWidth) {
      tiles.push_back(tile_of(z.data() + begin, std::min(columns - begin, kTileWidth), scale));
      max = std::max(max, tiles.back().max);
      if (tiles.back().live) n = std::max(n, tiles.back().n);
    }
    const double s = 61 - std::ceil(std::log2(static_cast<double>(columns)));
    std::uint64_t total = 0;
    std::int64_t moment = 0;
    for (const Tile& tile : tiles) {
      const double lower = n - tile.n;
      const bool counts = tile.live && lower < 1000;
      const double bracket =
          static_cast<double>(tile.moment) + lower * static_cast<double>(tile.sum);
      masses.push_back(
          counts ? static_cast<std::uint64_t>(std::ldexp(tile.sum, static_cast<int>(s - lower)))
                 : 0);
      moment +=
          counts ? static_cast<std::int64_t>(std::ldexp(bracket, static_cast<int>(s - lower - 7)))
                 : 0;
      total += masses.back();
    }
    const double t = static_cast<double>(max) * static_cast<double>(scale.c);
    const double w_max = poly(static_cast<float>(t - n));
    log_ratio = ln(static_cast<double>(total) / std::ldexp(w_max, static_cast<int>(s)));
    lse =
        static_cast<float>(static_cast<double>(max) / static_cast<double>(temperature) + log_ratio);
    const double mean = static_cast<double>(moment) * 128 / static_cast<double>(total);
    entropy =
        static_cast<float>(std::max(0.0, log_ratio + 0x1.62e42fefa39efp-1 * (mean + (t - n))));
  }

  float logprob(std::size_t column) const {
    return std::fmaf(std::fmaf(z[column], 0.5f, -max / 2), 2.0f / scale.t,
                     0.0f - static_cast<float>(log_ratio));
  }

  // rng.md: from 53 bits to a column.
  std::int64_t draw(std::uint64_t bits) const {
    std::uint64_t total = 0, below = 0;
    for (const std::uint64_t mass : masses) total += mass;
    const auto target =
        static_cast<std::uint64_t>(static_cast<unsigned __int128>(bits) * total >> 53);
    std::size_t i = 0;
    while (below + masses[i] <= target) below += masses[i++];
    const double share = static_cast<double>(target - below) / static_cast<double>(masses[i]);
    std::uint64_t k_total = 0, cdf = 0;
    for (const float w : tiles[i].weights) k_total += units(w);
    const auto inner =
        std::min(static_cast<std::uint64_t>(share * static_cast<double>(k_total)), k_total - 1);
    std::size_t column = 0;
    while ((cdf += units(tiles[i].weights[column])) <= inner) ++column;
    return static_cast<std::int64_t>(i * kTileWidth + column);
  }

 private:
  static std::uint64_t units(float w) {
    return static_cast<std::uint64_t>(std::rint(static_cast<double>(w) * 0x1p38));
  }
};

}  // namespace logsum::test::tile_tree
