# SPDX-License-Identifier: Apache-2.0
# LOGSUM_CUDA: on by itself where there is an nvcc that can compile src/cuda. One that can't (too
# old, or at odds with the host compiler) turns the backend off and says why: it must not stand in
# the way of a build for the CPU.
include(CheckLanguage)

# The first that knows sm_100 and sm_120.
set(LOGSUM_NVCC_MINIMUM 12.8)

# Sets `why` to what is wrong with the nvcc that CMake finds, or to nothing.
function(logsum_check_nvcc why)
  set(${why} "" PARENT_SCOPE)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(${why} "no nvcc that compiles (CUDACXX, PATH)" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE text ERROR_QUIET)
  if(NOT text MATCHES "release ([0-9.]+)")
    set(${why} "${CMAKE_CUDA_COMPILER} is no nvcc" PARENT_SCOPE)
  elseif(CMAKE_MATCH_1 VERSION_LESS LOGSUM_NVCC_MINIMUM)
    set(text "${CMAKE_CUDA_COMPILER} is version ${CMAKE_MATCH_1}")
    set(${why} "${text}, must be ${LOGSUM_NVCC_MINIMUM} or later" PARENT_SCOPE)
  endif()
endfunction()

if(NOT DEFINED LOGSUM_CUDA OR LOGSUM_CUDA)
  logsum_check_nvcc(LOGSUM_CUDA_OBSTACLE)
  if(LOGSUM_CUDA_OBSTACLE AND LOGSUM_CUDA)
    message(FATAL_ERROR "LOGSUM_CUDA is ON, but: ${LOGSUM_CUDA_OBSTACLE}")
  elseif(LOGSUM_CUDA_OBSTACLE)
    message(STATUS "CUDA backend: off, ${LOGSUM_CUDA_OBSTACLE}")
  else()
    set(LOGSUM_CUDA_POSSIBLE ON)
  endif()
endif()
option(LOGSUM_CUDA "Build the CUDA backend (nvcc)" ${LOGSUM_CUDA_POSSIBLE})

# CUDAARCHS, as CMake has it, reaches builds whose command line is fixed: ./demo and ./test.
set(LOGSUM_DEFAULT_ARCHITECTURES "75;80;86;89;90;100;120")
if(DEFINED ENV{CUDAARCHS})
  set(LOGSUM_DEFAULT_ARCHITECTURES $ENV{CUDAARCHS})
endif()
set(LOGSUM_CUDA_ARCHITECTURES "${LOGSUM_DEFAULT_ARCHITECTURES}" CACHE STRING "GPUs to compile for")

if(LOGSUM_CUDA)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  if(LOGSUM_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${LOGSUM_CCACHE})
  endif()
  message(STATUS "CUDA backend: nvcc ${CUDAToolkit_VERSION}, for ${LOGSUM_CUDA_ARCHITECTURES}")
endif()
