// SPDX-License-Identifier: Apache-2.0
// A call that must be refused: its code, and phrases of the message, which names the operation, the
// argument, what it was and what is allowed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "logsum/status.hpp"
#include "logsum/tensor.hpp"

namespace logsum::test {

// One change to valid arguments, and what the refusal says.
template <class Args>
struct Refusal {
  std::function<void(Args&)> spoil;
  std::vector<std::string> phrases;
  StatusCode code = StatusCode::invalid_argument;
};

inline void expect_refused(const Status& status, StatusCode code,
                           const std::vector<std::string>& phrases) {
  EXPECT_EQ(to_string(status.code()), std::string(to_string(code))) << status.message();
  for (const std::string& phrase : phrases)
    EXPECT_NE(std::string(status.message()).find(phrase), std::string::npos)
        << "'" << phrase << "' is not in '" << status.message() << "'";
}

// A tensor of this rank, which may be beyond what Tensor has room for.
inline Tensor of_rank(Tensor tensor, std::int32_t rank) {
  tensor.rank = rank;
  for (int i = 0; i < kMaxRank; ++i) tensor.shape[i] = tensor.strides[i] = 1;
  return tensor;
}

// Structural faults that any present tensor is refused for, by name.
struct Fault {
  std::function<void(Tensor&)> spoil;
  std::string phrase;
  StatusCode code = StatusCode::invalid_argument;
};

inline std::vector<Fault> faults_of_any_tensor() {
  const auto rank = [](std::int32_t r) { return [r](Tensor& t) { t = of_rank(t, r); }; };
  return {
      {rank(9), "has 9 dimensions, must have 0 to 8"},
      {rank(100000000), "has 100000000 dimensions, must have 0 to 8"},
      {rank(INT32_MAX), "has 2147483647 dimensions, must have 0 to 8"},
      {rank(-1), "has -1 dimensions, must have 0 to 8"},
      {rank(INT32_MIN), "has -2147483648 dimensions, must have 0 to 8"},
      {[](Tensor& t) { t.dtype = static_cast<DType>(77); }, "has no known dtype (77)"},
      {[](Tensor& t) { t.device.type = static_cast<DeviceType>(7); },
       "is on device type 7, must be cpu (1) or cuda (2)", StatusCode::unsupported},
      {[](Tensor& t) { t.shape[0] = -3; }, "sizes must not be negative"},
      {[](Tensor& t) { t.shape[0] = INT64_MIN; }, "sizes must not be negative"},
      {[](Tensor& t) { t.shape[0] = INT64_MAX; }, "more elements than memory can hold"},
      {[](Tensor& t) { t.data = nullptr; }, "and a null pointer"},
  };
}

inline std::vector<Fault> faults_of_wide_elements() {
  return {
      {[](Tensor& t) { t.data = static_cast<char*>(t.data) + 1; }, "needs alignment to"},
      {[](Tensor& t) { t.strides[0] = INT64_MAX; }, "strides that reach beyond the address space"},
      {[](Tensor& t) { t.strides[0] = INT64_MIN; }, "strides that reach beyond the address space"},
  };
}

// Of all but the first tensor, which says where the call is.
inline Fault fault_of_place() {
  return {[](Tensor& t) { t.device.index = 1; }, "index 1, must be where the first tensor is"};
}

// A tensor of an operation's arguments and what it may be. A Call has valid `args`, run() and
// wrote(): whether any output changed.
template <class Call>
struct Field {
  const char* name;
  Tensor& (*of)(Call&);
  std::vector<DType> dtypes;
  bool output = false;
  bool is_bytes = false;  // records and choices
};

template <class Call>
void expect_refusal(Call& call, StatusCode code, const std::vector<std::string>& phrases) {
  const Status status = call.run();
  expect_refused(status, code, phrases);
  EXPECT_EQ(std::string(status.message()).rfind(std::string(Call::kOperation) + ": ", 0), 0u)
      << status.message();
  EXPECT_FALSE(call.wrote()) << status.message();
}

template <class Call>
void expect_refused_by_structure(const std::vector<Field<Call>>& fields) {
  for (const Field<Call>& field : fields) {
    std::vector<Fault> faults = faults_of_any_tensor();
    if (!field.is_bytes)
      for (const Fault& fault : faults_of_wide_elements()) faults.push_back(fault);
    if (std::string(field.name) != "logits") faults.push_back(fault_of_place());
    if (field.output)
      faults.push_back(
          {[](Tensor& t) { t.strides[0] = 0; }, "elements overlap: stride 0 in dimension 0"});
    for (const Fault& fault : faults) {
      Call call;
      fault.spoil(field.of(call));
      SCOPED_TRACE(std::string(field.name) + ": " + fault.phrase);
      expect_refusal(call, fault.code, {field.name, fault.phrase});
    }
  }
}

template <class Call>
void expect_refused_by_dtype(const std::vector<Field<Call>>& fields) {
  for (const Field<Call>& field : fields)
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::f64, DType::i32,
                              DType::i64, DType::u8, DType::boolean}) {
      Call call;
      field.of(call).dtype = dtype;
      if (std::find(field.dtypes.begin(), field.dtypes.end(), dtype) != field.dtypes.end())
        continue;
      std::string list;
      for (const DType d : field.dtypes)
        list += (list.empty() ? "" : " or ") + std::string(to_string(d));
      expect_refusal(call, StatusCode::invalid_argument,
                     {field.name, "has dtype " + std::string(to_string(dtype)), "must be " + list});
    }
}

// All but the tensor whose leading dimensions rule, which `reference` describes.
template <class Call>
void expect_refused_by_rows(const std::vector<Field<Call>>& fields, const std::string& reference) {
  for (const Field<Call>& field : fields) {
    if (reference.rfind(field.name, 0) == 0) continue;
    for (const std::int64_t rows : {std::int64_t{2}, std::int64_t{4}, std::int64_t{0}}) {
      Call call;
      field.of(call).shape[0] = rows;
      SCOPED_TRACE(std::string(field.name) + " of rows " + std::to_string(rows));
      expect_refusal(
          call, StatusCode::invalid_argument,
          {field.name, "has shape [" + std::to_string(rows), "must be ", "(" + reference + ")"});
    }
  }
}

template <class Call>
using NamedTensors = std::vector<std::pair<std::string, std::function<Tensor&(Call&)>>>;

template <class Call>
NamedTensors<Call> tensors_of_fields(const std::vector<Field<Call>>& fields) {
  NamedTensors<Call> tensors;
  for (const Field<Call>& field : fields) tensors.emplace_back(field.name, field.of);
  return tensors;
}

// A gradient may be its logits.
inline bool may_be_in_place(const std::string& output, const std::string& input) {
  return output == "grad_logits"
             ? input == "logits"
             : output.rfind("grad_", 0) == 0 && input == output.substr(5) + "_logits";
}

// Outputs may not overlap one another, nor inputs: not even the first bytes of these, or, where all
// of it would then be in place, some behind them.
template <class Call>
void expect_overlaps_refused(const NamedTensors<Call>& outputs, const NamedTensors<Call>& inputs) {
  const auto refused = [](Call& call, const std::string& phrase) {
    expect_refusal(call, StatusCode::invalid_argument, {phrase});
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto& [output, tensor] = outputs[i];
    for (std::size_t j = 0; j < outputs.size(); ++j) {
      if (i == j) continue;
      Call call;
      tensor(call).data = outputs[j].second(call).data;
      refused(call, "outputs " + outputs[std::min(i, j)].first + " and " +
                        outputs[std::max(i, j)].first + " overlap in memory");
    }
    for (const auto& [input, read] : inputs) {
      Call call;
      tensor(call).data =
          static_cast<std::byte*>(read(call).data) + (may_be_in_place(output, input) ? 8 : 0);
      refused(call, "output " + output + " overlaps input " + input);
    }
  }
}

template <class Call, class Args>
void expect_refusals(const std::vector<Refusal<Args>>& refusals) {
  for (const Refusal<Args>& refusal : refusals) {
    Call call;
    refusal.spoil(call.args);
    SCOPED_TRACE(refusal.phrases[0]);
    expect_refusal(call, refusal.code, refusal.phrases);
  }
}

}  // namespace logsum::test
