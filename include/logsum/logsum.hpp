// SPDX-License-Identifier: Apache-2.0
// All of logsum's C++ API.
#pragma once

#include "logsum/approx_kl.hpp"
#include "logsum/context.hpp"
#include "logsum/devices.hpp"
#include "logsum/dlpack.hpp"
#include "logsum/draw.hpp"
#include "logsum/dtype.hpp"
#include "logsum/executor.hpp"
#include "logsum/logsumexp.hpp"
#include "logsum/measure.hpp"
#include "logsum/merge.hpp"
#include "logsum/policy_loss.hpp"
#include "logsum/rng.hpp"
#include "logsum/row_status.hpp"
#include "logsum/sample.hpp"
#include "logsum/softmax.hpp"
#include "logsum/softmax_backward.hpp"
#include "logsum/status.hpp"
#include "logsum/tensor.hpp"
#include "logsum/token_logprobs.hpp"
#include "logsum/version.h"
