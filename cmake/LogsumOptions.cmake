# SPDX-License-Identifier: Apache-2.0
# Compiler settings shared by everything in this tree.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(LOGSUM_CCACHE ccache)
if(LOGSUM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${LOGSUM_CCACHE})
endif()

add_library(logsum_options INTERFACE)
target_compile_features(logsum_options INTERFACE cxx_std_20)
target_compile_options(
  logsum_options INTERFACE
  # Contracting a·b + c where the source has two roundings would change bits from target to target.
  $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-ffp-contract=off>
  $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>
  $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false>
  $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>
  $<$<COMPILE_LANGUAGE:CUDA>:--extended-lambda>)
if(LOGSUM_DEVELOPER_MODE)
  target_compile_options(
    logsum_options INTERFACE
    "$<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-Wall;-Wextra;-Wconversion;-Wno-sign-conversion;-Wshadow>"
    # GCC 12 warns of its own std::string (PR 105651).
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<NOT:$<COMPILE_LANGUAGE:CUDA>>>:-Wno-restrict>)
endif()

if(LOGSUM_SANITIZE)
  add_compile_options(-fsanitize=${LOGSUM_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${LOGSUM_SANITIZE})
endif()
