// SPDX-License-Identifier: Apache-2.0
// The checks that all losses' arguments go through (ops/loss_plan.hpp).
#pragma once

#include "core/check.hpp"
#include "ops/loss_plan.hpp"

namespace logsum {

// An optional tensor of `size` elements: one, of any rank, or more in one dimension.
enum class Use { input, output };
Status check_few(const Checker& check, const Argument& argument,
                 std::initializer_list<DType> dtypes, std::int64_t size, Use use,
                 ElementsView& view) noexcept;

// A number, or a tensor of one element: a normalizer, where 0 asks for counting, or a factor.
Status check_normalizer(const Checker& check, const char* name, const PerRow<double>& given,
                        ScalarView& view) noexcept;
Status check_factor(const Checker& check, const char* name, const PerRow<double>& given,
                    ScalarView& view) noexcept;

}  // namespace logsum
