# The CUDA kernels as one static library, `semideep_cuda`, where there is an nvcc; not part of `all` by itself.
#
# Every .cu file of csrc/cuda is compiled for each target. Contraction is off, as on the CPU: a * b + c is fused
# only where the source says fma.

set(cuda_version none)
set(cuda_targets "")
set(all_cuda_targets 75-real 80-real 86-real 89-real 90a-real 100-real 120)  # the last one as PTX, too

# Sets `result` to the targets of this machine's cards, empty where there is none.
function(semideep_targets_of_cards result)
  find_program(NVIDIA_SMI nvidia-smi)
  set(targets "")
  if(NVIDIA_SMI)
    execute_process(COMMAND ${NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
      OUTPUT_VARIABLE capabilities ERROR_QUIET RESULT_VARIABLE status)
    if(status EQUAL 0)
      string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${capabilities}")
      foreach(capability IN LISTS capabilities)
        string(REPLACE "." "" target ${capability})
        string(REGEX REPLACE "^90$" "90a" target ${target})
        list(APPEND targets ${target}-real)
      endforeach()
      list(REMOVE_DUPLICATES targets)
    endif()
  endif()
  set(${result} "${targets}" PARENT_SCOPE)
endfunction()

if(NOT cuda_choice STREQUAL "OFF")
  string(TOUPPER "${SEMIDEEP_CUDA_TARGETS}" cuda_targets)
  if(cuda_targets STREQUAL "AUTO")
    semideep_targets_of_cards(cuda_targets)
  elseif(NOT cuda_targets STREQUAL "ALL")
    set(cuda_targets ${SEMIDEEP_CUDA_TARGETS})
    string(REPLACE " " ";" cuda_targets "${cuda_targets}")
  endif()
  if(NOT cuda_targets OR cuda_targets STREQUAL "ALL")
    set(cuda_targets ${all_cuda_targets})
  endif()
  foreach(target IN LISTS cuda_targets)
    if(NOT target MATCHES "^[0-9]+[af]?(-real|-virtual)?$")
      message(FATAL_ERROR "SEMIDEEP_CUDA_TARGETS names '${target}'; set it to AUTO, to ALL, or to compute "
                          "capabilities without the point, such as 80-real;90a-real.")
    endif()
  endforeach()
  set(CMAKE_CUDA_ARCHITECTURES ${cuda_targets})

  if(NOT CMAKE_CUDA_COMPILER)
    unset(CMAKE_CUDA_COMPILER CACHE)  # a failure is remembered otherwise, even after nvcc is there
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake < 3.25.2 does not know nvcc's
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    endif()
    set(cuda_version ${CMAKE_CUDA_COMPILER_VERSION})
    file(GLOB cuda_sources CONFIGURE_DEPENDS csrc/cuda/*.cu)
    add_library(semideep_cuda STATIC EXCLUDE_FROM_ALL ${cuda_sources})
    target_link_libraries(semideep_cuda PUBLIC semideep_core)
    target_compile_definitions(semideep_cuda PRIVATE SEMIDEEP_ISA=device)
    target_compile_options(semideep_cuda PRIVATE -O3 --fmad=false -Xptxas=-v
      "-Xcompiler=-Wall,-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=")
    set_target_properties(semideep_cuda PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON
      CUDA_COMPILER_LAUNCHER ${PROJECT_SOURCE_DIR}/cmake/keep_report.sh)
  elseif(cuda_choice STREQUAL "ON")
    message(FATAL_ERROR
      "SEMIDEEP_CUDA=ON, but no working CUDA compiler was found. Install the CUDA toolkit and put "
      "nvcc on PATH, or set CUDACXX to it (CUDACXX=/usr/local/cuda/bin/nvcc); or build for the CPU "
      "alone with SEMIDEEP_CUDA=OFF. If nvcc is there, it may refuse this host compiler "
      "(${compiler}): set CUDAHOSTCXX to one that it accepts.")
  endif()
endif()

# Sets cuda_problem to why _torch_cuda cannot be built against a torch for that version of CUDA, or to nothing.
function(semideep_choose_cuda_module torch_cuda)
  set(problem "")
  string(REGEX MATCH "^[0-9]+" torch_major "${torch_cuda}")
  string(REGEX MATCH "^[0-9]+" nvcc_major "${cuda_version}")
  if(cuda_choice STREQUAL "OFF")
    set(problem "built with SEMIDEEP_CUDA=OFF")
  elseif(torch_cuda STREQUAL "none" AND NOT cuda_choice STREQUAL "ON")
    set(problem "built for a torch without CUDA")
  elseif(NOT TARGET semideep_cuda)
    set(problem "no nvcc was found when it was built")
    message(WARNING "This torch has CUDA ${torch_cuda}, but no working nvcc was found: semideep_ext will run "
                    "on the CPU only. Install CUDA ${torch_major}'s toolkit and put nvcc on PATH or set CUDACXX "
                    "to it; SEMIDEEP_CUDA=OFF silences this.")
  elseif(torch_cuda STREQUAL "none")
    message(WARNING "SEMIDEEP_CUDA=ON, but this torch has no CUDA: _torch_cuda is built, and no torch like this one "
                    "will load it. Install a torch with CUDA to use it (https://pytorch.org/get-started).")
  elseif(NOT torch_major STREQUAL nvcc_major)
    set(problem "built with the nvcc of CUDA ${cuda_version} for a torch with CUDA ${torch_cuda}")
    set(text "nvcc is CUDA ${cuda_version} and torch has CUDA ${torch_cuda}: the major versions must be equal. Put "
             "CUDA ${torch_major}'s nvcc first on PATH or set CUDACXX to it, or install a torch for CUDA ${nvcc_major}.")
    list(JOIN text "" text)
    if(cuda_choice STREQUAL "ON")
      message(FATAL_ERROR "${text}")
    endif()
    message(WARNING "${text} semideep_ext will run on the CPU only.")
  endif()
  set(cuda_problem "${problem}" PARENT_SCOPE)
endfunction()

# nvcc compiles the kernels, they spill no more registers than benchmarks/results/cuda_resources.json has, and arrays
# begin as the sources say.
function(semideep_add_cuda_tests)
  if(SEMIDEEP_SANITIZE)
    return()  # says nothing of code for the device
  endif()
  if(NOT TARGET semideep_cuda)
    message(STATUS "CUDA: skipped, no nvcc (or SEMIDEEP_CUDA=OFF): csrc/cuda is not compiled")
    return()
  endif()
  add_test(NAME cuda_builds
    COMMAND ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR} --target semideep_cuda)
  set_tests_properties(cuda_builds PROPERTIES FIXTURES_SETUP cuda_kernels TIMEOUT 1200)
  add_test(NAME cuda_arrays
    COMMAND ${CMAKE_COMMAND} -DNVCC=${CMAKE_CUDA_COMPILER} -DHOST=${CMAKE_CUDA_HOST_COMPILER}
      -DSOURCES=${PROJECT_SOURCE_DIR}/csrc -P ${PROJECT_SOURCE_DIR}/cmake/compiled_arrays.cmake)
  find_package(Python 3.10 COMPONENTS Interpreter QUIET)
  if(Python_FOUND)
    add_test(NAME cuda_resources
      COMMAND Python::Interpreter ${PROJECT_SOURCE_DIR}/benchmarks/cuda_resources.py ${CMAKE_BINARY_DIR})
    set_tests_properties(cuda_resources PROPERTIES FIXTURES_REQUIRED cuda_kernels)
  endif()
endfunction()
