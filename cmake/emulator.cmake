# Kernels of csrc/cuda as C++ programs for the host, by way of csrc/tests/emulator.
#
#   semideep_add_emulated_program(<name> <sources>... [SANITIZE thread|address|undefined|none])
#   semideep_add_emulated_test(<name> <sources>... [SANITIZE ...] [KERNELS] [EVERY <n>])
#
# The second also registers the program with ctest, under its name; EVERY is the program's argument, unless
# SEMIDEEP_ALL_CASES is on. KERNELS links csrc/cuda and the reference. Sources are .cu or .cpp files; all are read as
# C++, each by way of a file of one line that includes it, so that a .cu file can be nvcc's elsewhere in the project.
# Without SANITIZE the program is built as SEMIDEEP_SANITIZE says; with it, whatever that says. Where the compiler
# lacks the sanitizer there is no program and no test, and a message says so.
# UCONTEXT builds it with the switch of stacks that processors other than x86-64 and ARM get.

include(CheckCXXSourceRuns)

# Sets `result` to whether programs can be built with a sanitizer, and run.
function(semideep_check_sanitizer sanitizer result)
  if(NOT sanitizer)
    set(${result} TRUE PARENT_SCOPE)
    return()
  endif()
  set(program "int main() {}")
  if(sanitizer STREQUAL "thread")
    set(program "#include <sanitizer/tsan_interface.h>
      int main() { __tsan_destroy_fiber(__tsan_create_fiber(0)); }")
  endif()
  set(CMAKE_REQUIRED_FLAGS -fsanitize=${sanitizer})
  set(CMAKE_REQUIRED_QUIET ON)
  check_cxx_source_runs("${program}" SEMIDEEP_HAVE_SANITIZER_${sanitizer})
  if(NOT SEMIDEEP_HAVE_SANITIZER_${sanitizer})
    set(CMAKE_REQUIRED_QUIET OFF)
  endif()
  set(${result} "${SEMIDEEP_HAVE_SANITIZER_${sanitizer}}" PARENT_SCOPE)
endfunction()

# The flags of a target are these alone: what the project set for its own targets includes its own sanitizer.
function(semideep_set_emulated_flags target sanitizer)
  set(flags ${kernel_flags} -Wall -Wextra -Wno-unknown-pragmas "-fmacro-prefix-map=${PROJECT_SOURCE_DIR}/=" -g1)
  set(link_flags "")
  if(sanitizer)
    list(APPEND flags -fsanitize=${sanitizer} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    set(link_flags -fsanitize=${sanitizer})
  endif()
  set_target_properties(${target} PROPERTIES COMPILE_OPTIONS "${flags}" LINK_OPTIONS "${link_flags}"
    CXX_VISIBILITY_PRESET default VISIBILITY_INLINES_HIDDEN OFF ENABLE_EXPORTS ON)  # so that messages can name a kernel
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/csrc ${PROJECT_SOURCE_DIR}/csrc/tests)
  target_compile_definitions(${target} PRIVATE SEMIDEEP_EMULATED=1 SEMIDEEP_ISA=emulated)
  string(TOUPPER "${sanitizer}" upper)
  if(sanitizer)
    target_compile_definitions(${target} PRIVATE SEMIDEEP_EMULATOR_${upper}=1)
  endif()
endfunction()

# Sets `result` to files of one line that include the sources.
function(semideep_wrap_sources name result)
  set(wrappers "")
  foreach(source IN LISTS ARGN)
    get_filename_component(file ${source} ABSOLUTE)
    get_filename_component(stem ${source} NAME)
    set(wrapper ${CMAKE_CURRENT_BINARY_DIR}/emulated/${name}/${stem}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${file}\"\n")
    list(APPEND wrappers ${wrapper})
  endforeach()
  set(${result} "${wrappers}" PARENT_SCOPE)
endfunction()

function(semideep_add_emulated_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "UCONTEXT;KERNELS" SANITIZE "")
  set(sanitizer "${SEMIDEEP_SANITIZE}")
  if(DEFINED arg_SANITIZE)
    string(REGEX REPLACE "^none$" "" sanitizer "${arg_SANITIZE}")
  endif()
  semideep_check_sanitizer("${sanitizer}" available)
  if(NOT available)
    message(STATUS "No ${name}: no program built with -fsanitize=${sanitizer} runs here")
    return()
  endif()

  # One emulator a sanitizer, itself not instrumented.
  set(emulator semideep_emulator_${sanitizer})
  if(arg_UCONTEXT)
    string(APPEND emulator ucontext)
  endif()
  if(NOT TARGET ${emulator})
    add_library(${emulator} OBJECT ${PROJECT_SOURCE_DIR}/csrc/tests/emulator/emulator.cpp)
    semideep_set_emulated_flags(${emulator} "${sanitizer}")
    target_compile_options(${emulator} PRIVATE -fno-sanitize=all)
    target_compile_definitions(${emulator} PRIVATE $<$<BOOL:${arg_UCONTEXT}>:SEMIDEEP_EMULATOR_UCONTEXT=1>)
  endif()

  semideep_wrap_sources(${name} wrappers ${arg_UNPARSED_ARGUMENTS})
  add_executable(${name} ${wrappers} $<TARGET_OBJECTS:${emulator}>)
  semideep_set_emulated_flags(${name} "${sanitizer}")
  target_link_libraries(${name} PRIVATE ${CMAKE_DL_LIBS})

  if(arg_KERNELS)  # compiled once for all programs of a sanitizer
    set(kernels semideep_emulated_kernels_${sanitizer})
    if(NOT TARGET ${kernels})
      file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/csrc/cuda/*.cu)
      semideep_wrap_sources(${kernels} wrappers ${sources} ${PROJECT_SOURCE_DIR}/csrc/tests/reference.cpp)
      add_library(${kernels} OBJECT ${wrappers})
      semideep_set_emulated_flags(${kernels} "${sanitizer}")
    endif()
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:${kernels}>)
  endif()
endfunction()

function(semideep_add_emulated_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" EVERY "")
  semideep_add_emulated_program(${name} ${arg_UNPARSED_ARGUMENTS})
  if(SEMIDEEP_ALL_CASES)
    set(arg_EVERY "")
  endif()
  if(TARGET ${name})
    add_test(NAME ${name} COMMAND ${name} ${arg_EVERY})
    set(limit 600)
    if(SEMIDEEP_SANITIZE)
      set(limit 7200)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${limit})
  endif()
endfunction()

# The faults of planted_faults.cu that a sanitizer must report, and `none`, of which it must not say a word.
function(semideep_add_planted_faults sanitizer report)
  set(program planted_faults_${sanitizer})
  semideep_add_emulated_program(${program} csrc/tests/emulator/planted_faults.cu SANITIZE ${sanitizer})
  if(NOT TARGET ${program})
    return()
  endif()
  add_test(NAME ${program}.none COMMAND ${program} none)
  foreach(fault IN LISTS ARGN)
    add_test(NAME ${program}.${fault} COMMAND ${CMAKE_COMMAND} "-DREPORT=${report}"
      -P ${PROJECT_SOURCE_DIR}/cmake/expect_report.cmake -- $<TARGET_FILE:${program}> ${fault})
  endforeach()
endfunction()
