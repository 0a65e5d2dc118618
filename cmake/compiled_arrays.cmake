# Test: cmake -DNVCC=... -DHOST=<its host compiler, or empty> -DSOURCES=<csrc> -P compiled_arrays.cmake
#
# nvcc compiles csrc/tests/compiled_arrays.cu, which counts what is wrong in an array of sums, to PTX; there the count
# is a constant.
set(host "")
if(HOST)
  set(host -ccbin "${HOST}")
endif()
execute_process(
  COMMAND ${NVCC} ${host} -std=c++20 -O3 --fmad=false -DSEMIDEEP_ISA=device -I ${SOURCES}
    -ptx ${SOURCES}/tests/compiled_arrays.cu -o compiled_arrays.ptx
  COMMAND_ERROR_IS_FATAL ANY)
file(READ compiled_arrays.ptx ptx)
if(NOT ptx MATCHES "mov\\.[bu]32[ \t]+%r[0-9]+, ([0-9]+);[ \t\r\n]*st\\.global")
  message(FATAL_ERROR "compiled_arrays.ptx does not store a constant; read it, and mend the pattern here:\n${ptx}")
endif()
if(NOT CMAKE_MATCH_1 EQUAL 0)
  message(FATAL_ERROR "As nvcc compiles them, ${CMAKE_MATCH_1} sums of the array in compiled_arrays.cu begin with wrong "
                      "values. Fill arrays of classes by hand (CONTRIBUTING.md, Where things go).")
endif()
