// SPDX-License-Identifier: Apache-2.0
// Two tiles of logits compared, step by step as core/divergence.hpp: what a tile adds to a row's
// sums, and its gradients. A chunk is summed as the tile tree's: four rows of 256 lanes in f32, all
// terms of a divergence being positive, then folded; chunks in f64.
#if defined(LOGSUM_CPU_DIVERGENCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LOGSUM_CPU_DIVERGENCE_INL_H_
#undef LOGSUM_CPU_DIVERGENCE_INL_H_
#else
#define LOGSUM_CPU_DIVERGENCE_INL_H_
#endif

#include "core/divergence.hpp"
#include "cpu/emit-inl.h"
#include "cpu/fold-inl.h"

HWY_BEFORE_NAMESPACE();
namespace logsum::cpu::HWY_NAMESPACE {

struct PairVectors {
  V a, b, x;
};

// Where a column's pair comes from: near_pair,
class NearPairs {
 public:
  HWY_INLINE NearPairs(const Tile& a, const Tile& b, const DivergencePair& pair)
      : a_(a.z, pair.a),
        b_(b.z, pair.b),
        pair_(pair),
        whole_(hn::Set(F32(), pair.whole)),
        part_(hn::Set(F32(), pair.part)) {}

  HWY_INLINE PairVectors operator()(int column) const {
    const F32 d;
    const Column a = a_.at(column), b = b_.at(column);
    // −r of both: r_a − r_b is their difference the other way round.
    const V r = hn::Sub(hn::Sub(b.minus_r, a.minus_r), whole_);
    const V f = hn::Add(hn::Sub(a.f, b.f), part_);
    V x = hn::Mul(hn::Add(r, f), hn::Set(d, static_cast<float>(kLn2)));
    const auto is_low = hn::Or(hn::Lt(a.z, a_.math.low), hn::Lt(b.z, b_.math.low));
    if (HWY_UNLIKELY(!hn::AllFalse(d, is_low))) x = settled(column, a.p, x, is_low);
    return {a.p, b.p, x};
  }

 private:
  struct Column {
    V z, p, minus_r, f;
  };

  struct Side {
    const float* z;
    ChunkMath math;
    V c_low, factor;

    HWY_INLINE Side(const float* from, const RowExp& exp)
        : z(from),
          math(exp.temperature, static_cast<float>(exp.n), exp.low),
          c_low(hn::Set(F32(), exp.c_low)),
          factor(hn::Set(F32(), exp.factor)) {}

    HWY_INLINE Column at(int column) const {
      const F32 d;
      Column c;
      c.z = hn::LoadU(d, z + column);
      const V clamped = math.clamp(c.z);
      const V rounded = fma(clamped, math.c, math.magic);
      c.minus_r = hn::Sub(math.magic, rounded);
      c.f = fma(clamped, c_low, fma(clamped, math.c, c.minus_r));
      V p = fma(math.poly[0], c.f, math.poly[1]);
      for (int i = 2; i < 6; ++i) p = fma(p, c.f, math.poly[i]);
      const V scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(I32(), rounded)));
      c.p = hn::Mul(hn::Mul(p, scale), factor);
      return c;
    }
  };

  // Rare, unless a vocabulary is masked by −∞.
  HWY_NOINLINE V settled(int column, V a, V x, hn::Mask<F32> is_low) const {
    const F32 d;
    constexpr std::size_t kMost = HWY_LANES(float);
    HWY_ALIGN float as[kMost], xs[kMost], low[kMost];
    hn::Store(a, d, as);
    hn::Store(x, d, xs);
    hn::Store(hn::IfThenElseZero(is_low, hn::Set(d, 1.0f)), d, low);
    for (std::size_t i = 0; i < hn::Lanes(d); ++i)
      if (low[i] != 0)
        xs[i] = log_ratio_of(pair_, a_.z[static_cast<std::size_t>(column) + i],
                             b_.z[static_cast<std::size_t>(column) + i], as[i]);
    return hn::Load(d, xs);
  }

  Side a_, b_;
  const DivergencePair& pair_;
  V whole_, part_;
};

// or far_pair.
class FarPairs {
 public:
  HWY_INLINE FarPairs(const Tile& a, const Tile& b, const DivergencePair& pair)
      : a_(a.z), b_(b.z), pair_(pair) {}

  HWY_INLINE PairVectors operator()(int column) const {
    const F32 d;
    constexpr std::size_t kMost = HWY_LANES(float);
    HWY_ALIGN float a[kMost], b[kMost], x[kMost];
    for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
      const std::size_t j = static_cast<std::size_t>(column) + i;
      const ColumnPair c = far_pair(pair_, a_[j], b_[j]);
      a[i] = c.a, b[i] = c.b, x[i] = c.x;
    }
    return {hn::Load(d, a), hn::Load(d, b), hn::Load(d, x)};
  }

 private:
  const float *a_, *b_;
  const DivergencePair& pair_;
};

template <int kCount>
HWY_INLINE V horner(float (*coefficient)(int), V x) {
  V series = hn::Set(F32(), coefficient(kCount - 1));
  for (int i = kCount - 2; i >= 0; --i) series = fma(series, x, hn::Set(F32(), coefficient(i)));
  return series;
}

struct LogRatioVectors {
  V a, b, m;
};

// log_of_rest
HWY_INLINE V log_of_rest(V y, V u) {
  const F32 d;
  const I32 di;
  const auto root_half = hn::Set(di, 0x3f3504f3);
  const auto bits = hn::Add(hn::BitCast(di, y), hn::Set(di, 0x3f800000 - 0x3f3504f3));
  const V mantissa = hn::BitCast(d, hn::Add(hn::And(bits, hn::Set(di, 0x7fffff)), root_half));
  const auto k = hn::Sub(hn::ShiftRight<23>(bits), hn::Set(di, 127));
  const V f = hn::IfThenElse(hn::RebindMask(d, hn::Eq(k, hn::Zero(di))), hn::Sub(hn::Zero(d), u),
                             hn::Sub(mantissa, hn::Set(d, 1.0f)));
  const V s = hn::Div(f, hn::Add(hn::Set(d, 2.0f), f)), s2 = hn::Mul(s, s);
  const V series = horner<DivergenceSeries::kL>(&DivergenceSeries::l, s2);
  const V log = fma(hn::Mul(s, s2), series, hn::Add(s, s));
  return fma(hn::ConvertTo(d, k), hn::Set(d, static_cast<float>(kLn2)), log);
}

// How a pair of rows is compared: log_ratios, divergence_terms, divergence_gradients.
template <bool kIsJsd>
class Comparison {
 public:
  HWY_INLINE explicit Comparison(const DivergencePair& pair)
      : weight_a_(hn::Set(F32(), pair.weight_a)),
        weight_b_(hn::Set(F32(), pair.weight_b)),
        is_uneven_(pair.is_uneven) {}

  struct Terms {
    V divergence, mean_a, mean_b;
  };
  HWY_INLINE Terms terms(const PairVectors& c) const {
    const LogRatioVectors l = log_ratios(c);
    V divergence = term(c.a, l.a, l.m);
    if constexpr (kIsJsd)
      divergence = fma(weight_a_, divergence, hn::Mul(weight_b_, term(c.b, l.b, l.m)));
    return {divergence, hn::Mul(c.a, l.a), hn::Mul(c.b, l.b)};
  }

  struct Gradients {
    V a, b;
  };
  HWY_INLINE Gradients gradients(const DivergenceGradient& g, const PairVectors& c) const {
    const F32 d;
    const LogRatioVectors l = log_ratios(c);
    const V of_a = above_mean(c.a, l.a, g.mean_a);
    const V of_b = kIsJsd ? above_mean(c.b, l.b, g.mean_b) : hn::Sub(c.b, c.a);
    return {hn::Mul(of_a, hn::Set(d, g.factor_a)), hn::Mul(of_b, hn::Set(d, g.factor_b))};
  }

 private:
  static HWY_INLINE V above_mean(V p, V l, float mean) {
    const F32 d;
    const V above = hn::Sub(l, hn::Set(d, mean)), least = hn::Set(d, -kMostF32);
    return hn::Mul(p, hn::IfThenElse(hn::Lt(above, least), least, above));
  }

  static HWY_INLINE V term(V p, V l, V m) {
    const F32 d;
    const V series = horner<DivergenceSeries::kH>(&DivergenceSeries::h, l);
    const V near = hn::Mul(p, hn::Mul(hn::Mul(l, l), series));
    const V inf = hn::Set(d, -kNegInf);
    const V product = hn::IfThenElse(hn::Eq(l, inf), l, hn::Mul(p, l));
    return hn::IfThenElse(hn::Lt(hn::Abs(l), hn::Set(d, 1.0f)), near,
                          hn::Add(hn::Sub(m, p), product));
  }

  HWY_INLINE LogRatioVectors log_ratios(const PairVectors& c) const {
    const F32 d;
    if constexpr (!kIsJsd) return {c.x, hn::Zero(d), c.b};
    const auto a_is_larger = hn::Ge(c.x, hn::Zero(d));
    const V larger = hn::IfThenElse(a_is_larger, c.a, c.b);
    const V smaller = hn::IfThenElse(a_is_larger, c.b, c.a);
    const V weight_of_larger = hn::IfThenElse(a_is_larger, weight_a_, weight_b_);
    const V weight_of_smaller = hn::IfThenElse(a_is_larger, weight_b_, weight_a_);
    const V distance = hn::Abs(c.x), most = hn::Set(d, kMostF32);
    const V s = hn::IfThenElse(hn::Lt(distance, most), distance, most);
    const V series = horner<DivergenceSeries::kE>(&DivergenceSeries::e, s);
    const V least = hn::Set(d, std::numeric_limits<float>::min()), size = hn::Abs(larger);
    const V ratio = hn::Div(hn::Abs(smaller), hn::IfThenElse(hn::Lt(size, least), least, size));
    const V one = hn::Set(d, 1.0f);
    const auto is_near = hn::Lt(s, hn::Set(d, 0.5f));
    const V lacks = hn::IfThenElse(is_near, hn::Mul(s, series), hn::Sub(one, ratio));
    const V rest = hn::IfThenElse(is_near, hn::Sub(one, lacks), ratio);
    const V y = fma(weight_of_smaller, rest, weight_of_larger);
    const V of_larger = hn::Sub(hn::Zero(d), log_of_rest(y, hn::Mul(weight_of_smaller, lacks)));
    V of_smaller = hn::Sub(of_larger, s);
    if (HWY_UNLIKELY(is_uneven_)) {
      const V lower = hn::Div(hn::Mul(weight_of_larger, lacks), y);
      of_smaller = hn::IfThenElse(hn::Lt(s, hn::Set(d, kFarApart)),
                                  log_of_rest(hn::Div(rest, y), lower), of_smaller);
    }
    return {hn::IfThenElse(a_is_larger, of_larger, of_smaller),
            hn::IfThenElse(a_is_larger, of_smaller, of_larger),
            fma(weight_a_, c.a, hn::Mul(weight_b_, c.b))};
  }

  V weight_a_, weight_b_;
  bool is_uneven_;
};

// Calls body(pairs, comparison) for how the rows are to be looked at.
template <class Body>
HWY_INLINE void compare(const Tile& a, const Tile& b, const DivergencePair& pair,
                        const Body& body) {
  if (pair.is_far)
    return pair.is_jsd ? body(FarPairs(a, b, pair), Comparison<true>(pair))
                       : body(FarPairs(a, b, pair), Comparison<false>(pair));
  if (pair.is_jsd)
    body(NearPairs(a, b, pair), Comparison<true>(pair));
  else
    body(NearPairs(a, b, pair), Comparison<false>(pair));
}

// The columns behind a tile's last are −∞ in both, and add 0.
inline DivergenceSums sum_divergence(const Tile& a, const Tile& b, const DivergencePair& pair) {
  DivergenceSums chunks[kTileChunks];
  compare(a, b, pair, [&](const auto& pairs, const auto& comparison) HWY_ATTR {
    const F32 d;
    const int step = static_cast<int>(hn::Lanes(d));
    alignas(64) float divergence[kLanes], mean_a[kLanes], mean_b[kLanes];
    for (int k = 0; k * kChunk < a.columns; ++k) {
      for (int lane = 0; lane < kLanes; lane += step) {
        auto sum = comparison.terms(pairs(k * kChunk + lane));
        for (int row = 1; row < kChunkRows; ++row) {
          const auto terms = comparison.terms(pairs(k * kChunk + row * kLanes + lane));
          sum.divergence = hn::Add(sum.divergence, terms.divergence);
          sum.mean_a = hn::Add(sum.mean_a, terms.mean_a);
          sum.mean_b = hn::Add(sum.mean_b, terms.mean_b);
        }
        hn::Store(sum.divergence, d, divergence + lane);
        hn::Store(sum.mean_a, d, mean_a + lane);
        hn::Store(sum.mean_b, d, mean_b + lane);
      }
      chunks[k] = {static_cast<double>(fold(divergence)), static_cast<double>(fold(mean_a)),
                   static_cast<double>(fold(mean_b))};
    }
  });
  for (int k = 1; k < kTileChunks; ++k) chunks[0].add(chunks[k]);
  return chunks[0];
}

// Both are made before either is written: each may lie where its logits do.
inline void write_divergence_gradients(const Tile& a, const Tile& b, const DivergencePair& pair,
                                       const DivergenceGradient& gradient, const GradientTile& to_a,
                                       const GradientTile& to_b) {
  compare(a, b, pair, [&](const auto& pairs, const auto& comparison) HWY_ATTR {
    const F32 d;
    const int step = static_cast<int>(hn::Lanes(d));
    alignas(64) float of_a[kChunk], of_b[kChunk];
    for (int begin = 0; begin < a.columns; begin += kChunk) {
      for (int i = 0; i < kChunk; i += step) {
        const auto g = comparison.gradients(gradient, pairs(begin + i));
        hn::Store(g.a, d, of_a + i);
        hn::Store(g.b, d, of_b + i);
      }
      const int columns = HWY_MIN(a.columns - begin, kChunk);
      const auto write = [&](const float* values, const GradientTile& to) HWY_ATTR {
        if (to.out == nullptr) return;
        write_as(
            to.dtype, Plain{values}, columns,
            static_cast<std::byte*>(to.out) + static_cast<std::size_t>(begin) * size_of(to.dtype));
      };
      write(of_a, to_a);
      write(of_b, to_b);
    }
  });
}

}  // namespace logsum::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
